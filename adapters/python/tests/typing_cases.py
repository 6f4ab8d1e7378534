"""Uses of the package that mypy checks. Never run."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import Request
from typing_extensions import assert_type

from sessile import SessionInfo, IssuedSession, Record, SessionCache, SessionId
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
    session.sign_out()
    return session.data | {"a": session.user_sessions()[0].is_current}


test_client(app, cache, user="ada", data={"a": 1}).get("/")
