"""What a type checker must know of the package: checked by mypy, never run."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import Request
from typing_extensions import assert_type

from sessile import Device, Issued, Record, SessionCache, SessionId
from sessile.fastapi import Session, SignedIn, session
from sessile.starlette import SessionMiddleware
from sessile.testing import ManualClock, client_of

clock = ManualClock()
cache = SessionCache(secret_key=["a", Secret("b"), b"c"], clock=clock, memory=1 << 20)
made = cache.create(b"data")
assert_type(made, Issued)
assert_type(made.id, SessionId)
assert_type(cache.open(b"cookie"), Record | None)
assert_type(cache.save(made.id, made.version, b""), int)
assert_type(cache.sessions_of("ada"), list[Device])
assert_type(cache.stats(), dict[str, int])

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="s", session_cookie="my_session_cookie", max_age=1_800)
app.add_middleware(SessionMiddleware, cache=cache, same_site="strict")
Starlette(middleware=[Middleware(SessionMiddleware, secret_key=Secret("s"))])


@app.get("/")
async def home(session: Annotated[Session, Depends(session)], user: SignedIn, request: Request) -> dict[str, Any]:
    assert_type(user, str)
    assert_type(session.user, str | None)
    assert_type(session.csrf_token, str)
    assert_type(session["a"], Any)
    session.sign_in("ada", label="phone", remember=86_400)
    session.rotate()
    session.sign_out()
    return session | {"a": session.devices()[0].is_this}


client_of(app, cache, user="ada", data={"a": 1}).get("/")
