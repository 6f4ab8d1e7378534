"""The application of the tests with several workers. Its store is that of `SESSILE_STORE`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

from sessile import RedisStore, SessionCache
from sessile.fastapi import CurrentUser, SessionDep, SessionMiddleware
from sessile.starlette import session_control

LIFETIME = 14 * 24 * 60 * 60
# A machine that runs many tests at once may take longer than the default of 0.5 s.
store = RedisStore(os.environ["SESSILE_STORE"], timeout=float(os.environ.get("STORE_TIMEOUT", "5")))
cache = SessionCache(secret_key=os.environ["SECRET_KEY"], memory=8 << 20, store=store, idle_timeout=LIFETIME, lifetime=LIFETIME)
app = FastAPI()
app.add_middleware(SessionMiddleware, cache=cache)
held = asyncio.Event()


@app.get("/worker")
async def worker() -> int:
    return os.getpid()


@app.get("/ready")
async def ready() -> bool:
    health = cache.store_health()
    return health is not None and health.state == "up"


@app.get("/plain")
async def plain(request: Request) -> int:
    """Reads the session and stores nothing."""
    return len(request.session)


@app.post("/login/{user}")
async def login(session: SessionDep, user: str) -> None:
    session.sign_in(user)


@app.post("/logout")
async def logout(session: SessionDep) -> None:
    await session.asign_out()


@app.get("/me")
async def me(user: CurrentUser) -> str:
    return user


@app.get("/thread")
def in_a_thread(session: SessionDep) -> int:
    """Reads the user's sessions with the blocking method."""
    return len(session.user_sessions())


@app.post("/cart/{item}")
async def add_to_cart(session: SessionDep, item: str) -> list[str]:
    cart: list[str] = session.data.setdefault("cart", [])
    cart.append(item)
    return cart


@app.post("/count/{key}")
async def count(session: SessionDep, key: str) -> int:
    session.data[key] = session.data.get(key, 0) + 1
    return int(session.data[key])


@app.post("/put/{key}/{value}")
async def put(session: SessionDep, key: str, value: int) -> None:
    session.data[key] = value


@app.get("/all")
async def all_values(session: SessionDep) -> Any:
    return session.data


@app.post("/fail")
async def fail(session: SessionDep) -> None:
    session.data["failed"] = True
    raise RuntimeError("required by the tests")


@app.post("/hold")
async def hold(session: SessionDep) -> None:
    """Changes the session, and is held until its client goes or the next release."""
    session.data["held"] = True
    await held.wait()


@app.post("/release")
async def release() -> None:
    held.set()
    held.clear()


@app.get("/stream")
async def stream(session: SessionDep) -> Response:
    session.data["begun"] = True

    async def body() -> AsyncIterator[str]:
        yield "one"
        session.data["done"] = True
        yield "two"

    return StreamingResponse(body())


@app.websocket("/ws")
async def websocket(socket: WebSocket) -> None:
    control = session_control(socket)
    await socket.accept()
    async for text in socket.iter_text():
        control.data["last"] = text
        await control.asave()
        await socket.send_json(dict(control.data))
