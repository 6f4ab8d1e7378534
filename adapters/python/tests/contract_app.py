"""The application of the contract (`adapters/contract`) in FastAPI: prints its port when it listens."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Form, HTTPException, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from sessile import InvalidCSRFToken, SessionCache
from sessile.fastapi import SessionDep, SessionMiddleware
from sessile.testing import ManualClock

FEATURES = "panics remember clock large-headers"

clock = ManualClock()
cache = SessionCache(keys=os.environ["SESSILE_KEYS"], memory=16 << 20, cookie_name="__Host-session", clock=clock)
app = FastAPI(default_response_class=PlainTextResponse)
app.add_middleware(SessionMiddleware, cache=cache, https_only=True, max_age=None)


async def data(session: SessionDep) -> Any:
    return session.data


Visitor = Annotated[Any, Depends(data)]
InQuery = Annotated[str, Query()]
InForm = Annotated[str, Form()]


@app.get("/features")
async def features() -> str:
    return "\n".join(FEATURES.split())


@app.get("/stats")
async def stats() -> str:
    cache.maintain(sys.maxsize)
    counts = cache.stats()
    return f"{len(cache)} {counts['created']} {counts['saved']}"


@app.get("/untouched")
async def untouched() -> str:
    return "untouched"


@app.get("/get")
async def get(session: Visitor, key: InQuery) -> str:
    return str(session.get(key, ""))


@app.post("/set")
async def put(session: Visitor, key: InForm, value: InForm = "") -> str:
    session[key] = value
    return "ok"


@app.post("/remove")
async def remove(session: Visitor, key: InForm) -> str:
    session.pop(key, None)
    return "ok"


@app.post("/take")
async def take(session: Visitor, key: InForm) -> str:
    return str(session.pop(key, ""))


@app.post("/clear")
async def clear(session: Visitor) -> str:
    for key in list(session):
        del session[key]
    return "ok"


@app.post("/bump")
async def bump(session: Visitor, key: InForm) -> str:
    session[key] = session.get(key, 0) + 1
    return str(session[key])


@app.post("/sign-in")
async def sign_in(session: SessionDep, user: InForm, label: InForm = "", remember: Annotated[float | None, Form()] = None) -> str:
    session.sign_in(user, label=label, remember=remember)
    return "ok"


@app.get("/user")
async def user(session: SessionDep) -> str:
    return session.user or ""


@app.post("/sign-out")
async def sign_out(session: SessionDep) -> str:
    session.sign_out()
    return "ok"


@app.post("/sign-out-and-set")
async def sign_out_and_set(session: SessionDep, key: InForm, value: InForm) -> str:
    session.sign_out()
    session.data[key] = value
    return "ok"


@app.post("/sign-out-everywhere")
async def sign_out_everywhere(session: SessionDep) -> str:
    return str(session.sign_out_everywhere())


@app.post("/rotate")
async def rotate(session: SessionDep) -> str:
    session.rotate()
    return "ok"


@app.get("/devices")
async def devices(session: SessionDep) -> str:
    return "\n".join(f"{'* ' if device.is_this else ''}{device.label}" for device in session.user_sessions())


@app.get("/csrf")
async def csrf(session: SessionDep) -> str:
    return session.csrf_token()


@app.post("/csrf")
async def check_csrf(session: SessionDep, token: InForm = "") -> str:
    try:
        session.check_csrf(token)
    except InvalidCSRFToken as error:
        raise HTTPException(403) from error
    return "ok"


@app.post("/own-headers")
async def own_headers(session: Visitor) -> Response:
    session["a"] = "1"
    headers = {"set-cookie": "theme=dark", "vary": "accept-language", "cache-control": "public, max-age=60"}
    return PlainTextResponse("ok", headers=headers)


@app.post("/unwritable")
async def unwritable(session: Visitor) -> None:
    session["a"] = object()


@app.post("/fail")
async def fail(session: SessionDep, key: InForm, value: InForm) -> Response:
    session.data[key] = value
    session.sign_in("mallory")
    return PlainTextResponse("failed", 500)


@app.post("/sign-out-and-fail")
async def sign_out_and_fail(session: SessionDep, key: InForm, value: InForm) -> Response:
    session.sign_out()
    session.data[key] = value
    return PlainTextResponse("failed", 500)


@app.post("/panic")
async def panic(session: Visitor, key: InForm, value: InForm) -> None:
    session[key] = value
    raise RuntimeError("as the contract asks for")


@app.get("/stream")
async def stream(session: SessionDep, key: InQuery) -> Response:
    async def body() -> AsyncIterator[str]:
        yield f"{session.data.get(key, '')}\n"
        session.data[key] = "late"
        try:
            session.save()
            yield "stored"
        except RuntimeError:
            del session.data[key]
            yield "refused"

    return StreamingResponse(body(), media_type="text/plain")


class Hold:
    """Requests that are held until they are let go."""

    def __init__(self) -> None:
        self.held = 0
        self.release = asyncio.Event()
        self.changed = asyncio.Condition()

    async def count(self, by: int) -> None:
        async with self.changed:
            self.held += by
            self.changed.notify_all()


hold = Hold()


@app.post("/held-set")
async def held_set(session: Visitor, key: InForm, value: InForm) -> str:
    session.get(key)
    release = hold.release
    await hold.count(1)
    try:
        await release.wait()
    finally:
        await hold.count(-1)
    session[key] = value
    return "ok"


@app.get("/held")
async def held(requests: Annotated[int, Query()]) -> str:
    async with hold.changed:
        await hold.changed.wait_for(lambda: hold.held == requests)
    return "ok"


@app.post("/release")
async def release() -> str:
    hold.release.set()
    hold.release = asyncio.Event()
    return "ok"


@app.post("/advance")
async def advance(seconds: Annotated[float, Form()]) -> str:
    clock.advance(seconds)
    return "ok"


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
