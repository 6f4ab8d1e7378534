"""Uses of the package that mypy checks. Never run."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import Request
from typing_extensions import assert_type

from sessile import SessionInfo, IssuedSession, Record, SessionCache, SessionId
from sessile import store
from sessile.fastapi import CurrentUser, SessionDep
from sessile.session import Session
from sessile.starlette import SessionControl, SessionMiddleware, session_control
from sessile.testing import ManualClock, test_client

clock = ManualClock()
cache = SessionCache(secret_key=["a", Secret("b"), b"c"], clock=clock, memory=1 << 20)
issued = cache.create(b"data")
assert_type(issued, IssuedSession)
assert_type(issued.id, SessionId)
assert_type(cache.open(b"cookie"), Record | None)
assert_type(cache.save(issued.id, issued.version, b""), int)
assert_type(cache.user_sessions("ada"), list[SessionInfo])
assert_type(cache.stats(), dict[str, int])

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="s", session_cookie="my_session_cookie", max_age=1_800)
app.add_middleware(SessionMiddleware, cache=cache, same_site="strict")
Starlette(middleware=[Middleware(SessionMiddleware, secret_key=Secret("s"))])


@app.get("/")
async def home(session: SessionDep, user: CurrentUser, request: Request) -> dict[str, Any]:
    assert_type(session_control(request), SessionControl)
    assert_type(session.data, Session)
    assert_type(user, str)
    assert_type(session.user, str | None)
    assert_type(session.csrf_token(), str)
    assert_type(session.is_alive(), bool)
    assert_type(session.data["a"], Any)
    session.sign_in("ada", label="phone", remember=86_400)
    session.rotate()
    session.check_csrf("token")
    session.save()
    await session.asave()
    await session.asign_out()
    assert_type(await session.asign_out_others(), int)
    assert_type(await session.asign_out_everywhere(), int)
    assert_type(await session.auser_sessions(), list[SessionInfo])
    assert_type(session.end_by_handle("handle"), bool)
    assert_type(await session.aend_by_handle("handle"), bool)
    session.sign_out()
    return session.data | {"a": session.user_sessions()[0].is_current}


test_client(app, cache, user="ada", data={"a": 1}).get("/")


async def another_program(client: redis.Redis, aclient: redis.asyncio.Redis) -> None:
    assert_type(store.read(client, "cookie"), store.StoredSession | None)
    assert_type(await store.read(aclient, "cookie", secret_key="secret"), store.StoredSession | None)
    assert_type(store.sessions(client, "ada"), list[store.StoredSession])
    assert_type(await store.sessions(aclient, "ada"), list[store.StoredSession])
    assert_type(store.read_id(client, "id"), store.StoredSession | None)
    found = await store.read_id(aclient, "id")
    if found is not None:
        assert_type(found.user, str | None)
        assert_type(found.data, dict[str, Any])
