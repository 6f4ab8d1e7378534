"""The contract's application (`adapters/contract`) in FastAPI. Prints its port when it listens.

With `SESSILE_STORE` it may run in several workers, which count and hold requests together.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import uvicorn
from contract_store import SharedCounts, SharedHold, settled
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Mount

from sessile import Gone, RedisStore, SessionCache, SessionError
from sessile.fastapi import SessionDep, SessionMiddleware
from sessile.starlette import session_control
from sessile.testing import ManualClock

STORE = os.environ.get("SESSILE_STORE")
FEATURES = "panics remember large-headers identity-keys touch-always rotates"

# Deadlines in a store are in the time of its server.
clock = None if STORE else ManualClock()
counts = SharedCounts(STORE) if STORE else None
# A machine that runs many tests at once may take longer than the default of 0.5 s.
store = RedisStore(STORE, timeout=5) if STORE else None
cache = SessionCache(keys=os.environ["SESSILE_KEYS"], memory=16 << 20, cookie_name="__Host-session", clock=clock, store=store)
router = APIRouter(default_response_class=PlainTextResponse)


async def data(session: SessionDep) -> Any:
    return session.data


Visitor = Annotated[Any, Depends(data)]
InQuery = Annotated[str, Query()]
InForm = Annotated[str, Form()]


@router.get("/features")
async def features() -> str:
    return "\n".join([*FEATURES.split(), *([] if STORE else ["clock"])])


@router.get("/worker")
async def worker() -> str:
    return str(os.getpid())


@router.get("/ready")
async def ready() -> str:
    health = cache.store_health()
    return "true" if health is None or health.state == "up" else "false"


@router.get("/stats")
async def stats() -> str:
    if counts is not None:
        return await counts.read()
    cache.maintain(sys.maxsize)
    own = cache.stats()
    return f"{len(cache)} {own['created']} {own['saved']}"


@router.get("/untouched")
async def untouched() -> str:
    return "untouched"


@router.get("/get")
async def get(session: Visitor, key: InQuery) -> str:
    return str(session.get(key, ""))


@router.post("/set")
async def put(session: Visitor, key: InForm, value: InForm = "") -> str:
    session[key] = value
    return "ok"


@router.post("/remove")
async def remove(session: Visitor, key: InForm) -> str:
    session.pop(key, None)
    return "ok"


@router.post("/take")
async def take(session: Visitor, key: InForm) -> str:
    return str(session.pop(key, ""))


@router.post("/clear")
async def clear(session: Visitor) -> str:
    for key in list(session):
        del session[key]
    return "ok"


@router.post("/bump")
async def bump(session: Visitor, key: InForm) -> str:
    session[key] = session.get(key, 0) + 1
    return str(session[key])


@router.post("/sign-in")
async def sign_in(session: SessionDep, user: InForm, label: InForm = "", remember: Annotated[float | None, Form()] = None) -> str:
    session.sign_in(user, label=label, remember=remember)
    return "ok"


@router.get("/user")
async def user(session: SessionDep) -> str:
    return session.user or ""


@router.post("/sign-out")
async def sign_out(session: SessionDep) -> str:
    await session.asign_out()
    return "ok"


@router.post("/sign-out-and-set")
async def sign_out_and_set(session: SessionDep, key: InForm, value: InForm) -> str:
    await session.asign_out()
    session.data[key] = value
    return "ok"


@router.post("/sign-out-set-and-delete-cookie")
async def sign_out_set_and_delete_cookie(session: SessionDep, key: InForm, value: InForm) -> Response:
    session.data.clear()
    session.data[key] = value
    response = PlainTextResponse("ok")
    response.delete_cookie("__Host-session")
    return response


@router.post("/sign-out-everywhere")
async def sign_out_everywhere(session: SessionDep) -> str:
    return str(await session.asign_out_everywhere())


@router.post("/rotate")
async def rotate(session: SessionDep) -> str:
    session.rotate()
    return "ok"


@router.get("/devices")
async def devices(session: SessionDep) -> str:
    return "\n".join(f"{'* ' if device.is_current else ''}{device.label}" for device in await session.auser_sessions())


@router.get("/csrf")
async def csrf(session: SessionDep) -> str:
    return session.csrf_token()


@router.post("/csrf")
async def check_csrf(session: SessionDep, token: InForm = "") -> str:
    session.check_csrf(token)
    return "ok"


@router.post("/own-headers")
async def own_headers(session: Visitor) -> Response:
    session["a"] = "1"
    headers = {"set-cookie": "theme=dark", "vary": "accept-language", "cache-control": "public, max-age=60"}
    return PlainTextResponse("ok", headers=headers)


@router.post("/unwritable")
async def unwritable(session: Visitor) -> None:
    session["a"] = object()


@router.post("/fail")
async def fail(session: SessionDep, key: InForm, value: InForm) -> Response:
    session.data[key] = value
    session.sign_in("mallory")
    return PlainTextResponse("failed", 500)


@router.post("/sign-out-and-fail")
async def sign_out_and_fail(session: SessionDep, key: InForm, value: InForm) -> Response:
    await session.asign_out()
    session.data[key] = value
    return PlainTextResponse("failed", 500)


@router.post("/panic")
async def panic(session: Visitor, key: InForm, value: InForm) -> None:
    session[key] = value
    raise RuntimeError("required by the contract")


@router.post("/sign-out-and-panic")
async def sign_out_and_panic(session: SessionDep) -> None:
    await session.asign_out()
    raise RuntimeError("required by the contract")


@router.get("/stream")
async def stream(session: SessionDep, key: InQuery) -> Response:
    async def body() -> AsyncIterator[str]:
        yield f"{session.data.get(key, '')}\n"
        session.data[key] = "late"
        try:
            await session.asave()
            yield "stored"
        except RuntimeError:
            del session.data[key]
            yield "refused"

    return StreamingResponse(body(), media_type="text/plain")


class Hold:
    """Holds requests until they are released."""

    def __init__(self) -> None:
        self.held = 0
        self.release = asyncio.Event()
        self.changed = asyncio.Condition()

    async def count(self, by: int) -> None:
        async with self.changed:
            self.held += by
            self.changed.notify_all()

    async def wait(self) -> None:
        release = self.release
        await self.count(1)
        try:
            await release.wait()
        finally:
            await self.count(-1)

    async def until_held(self, requests: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.held == requests)

    async def let_go(self) -> None:
        self.release.set()
        self.release = asyncio.Event()


hold = SharedHold(STORE) if STORE else Hold()


@router.post("/held-set")
async def held_set(session: Visitor, key: InForm, value: InForm) -> str:
    session.get(key)
    await hold.wait()
    session[key] = value
    return "ok"


@router.post("/held-take")
async def held_take(session: Visitor, key: InForm) -> str:
    session.get(key)
    await hold.wait()
    return str(session.pop(key, ""))


@router.post("/held-sign-in")
async def held_sign_in(session: SessionDep, user: InForm, label: InForm = "") -> str:
    _ = session.user
    await hold.wait()
    session.sign_in(user, label=label)
    return "ok"


@router.get("/held-csrf")
async def held_csrf(session: SessionDep) -> str:
    token = session.csrf_token()
    await hold.wait()
    return token


# These read the session only after they are released.


@router.post("/slow-set")
async def slow_set(request: Request, key: InForm, value: InForm) -> str:
    await hold.wait()
    request.session[key] = value
    return "ok"


@router.get("/slow-csrf")
async def slow_csrf(request: Request) -> str:
    await hold.wait()
    try:
        return session_control(request).csrf_token()
    except Gone as error:
        raise HTTPException(409) from error


@router.post("/save-and-go-on")
async def save_and_go_on(session: SessionDep, verb: InForm, user: InForm, value: InForm) -> str:
    match verb:
        case "sign-in":
            session.sign_in(user)
        case "rotate":
            session.rotate()
        case _:
            session.data.clear()
    session.data["x"] = session.data["y"] = value
    answer = "stored"
    try:
        await session.asave()
    except SessionError:
        answer = "rejected"
    for key in ("x", "y"):
        session.data.pop(key, None)
    return answer


@router.post("/remove-and-fail")
async def remove_and_fail(session: Visitor, key: InForm) -> Response:
    session.pop(key, None)
    return PlainTextResponse("failed", 500)


@router.post("/framed-set")
async def framed_set(session: Visitor, key: InForm, value: InForm) -> str:
    session[key] = value
    return "ok"


@router.get("/held")
async def held(requests: Annotated[int, Query()]) -> str:
    await hold.until_held(requests)
    return "ok"


@router.post("/release")
async def release() -> str:
    await hold.let_go()
    return "ok"


@router.post("/advance")
async def advance(seconds: Annotated[float, Form()]) -> str:
    assert clock is not None
    clock.advance(seconds)
    return "ok"


class Framed:
    """The middleware of ``/framed-set``, which adds headers to each response."""

    HEADERS = [
        (b"access-control-allow-origin", b"https://shop.example"),
        (b"x-request-id", b"7"),
        (b"set-cookie", b"theme=dark"),
        (b"accept-ranges", b"bytes"),
        (b"age", b"1"),
        (b"content-disposition", b"inline"),
        (b"content-language", b"en"),
        (b"content-location", b"/framed"),
        (b"content-range", b"bytes 0-1/2"),
        (b"etag", b'"1"'),
        (b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"),
        (b"last-modified", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"link", b"</style.css>; rel=preload"),
        (b"location", b"/elsewhere"),
        (b"refresh", b"60"),
    ]

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def framed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.HEADERS]}
            await send(message)

        is_framed = scope["type"] == "http" and scope["path"].endswith("/framed-set")
        await self.app(scope, receive, framed if is_framed else send)


def behind_sessions(**settings: Any) -> FastAPI:
    application = FastAPI(default_response_class=PlainTextResponse)
    application.include_router(router)
    application.add_middleware(Framed)
    application.add_middleware(SessionMiddleware, cache=cache, https_only=True, **settings)
    return application


app = settled(
    Starlette(
        routes=[
            Mount("/rotating", behind_sessions(max_age=1_800, rotate_every=600)),
            Mount("/touched", behind_sessions(max_age=None, touch_always=True)),
            Mount("/", behind_sessions(max_age=None)),
        ]
    )
)


class Server(uvicorn.Server):
    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0,
        log_level="critical",
        timeout_keep_alive=600,
        http="h11",
        h11_max_incomplete_event_size=256 << 10,
    )
    Server(config).run()
