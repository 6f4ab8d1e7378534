"""The server of `test_http.py`. Prints its port when it listens."""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from sessile.starlette import SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=secrets.token_urlsafe(32), memory=8 << 20)
log = io.StringIO()
slow_waits = asyncio.Event()


@app.get("/view")
async def view(request: Request) -> Any:
    return request.session


@app.get("/set/{key}/{value}")
async def put(request: Request, key: str, value: str) -> None:
    request.session[key] = value


@app.get("/clear")
async def clear(request: Request) -> None:
    request.session.clear()


@app.get("/count/{key}")
async def count(request: Request, key: str) -> None:
    session = request.session
    before = session.get(key, 0)
    # Other requests run now and read the same session.
    await asyncio.sleep(0)
    session[key] = before + 1


@app.post("/slow")
async def slow(request: Request) -> Any:
    session = request.session
    session["slow"] = True
    slow_waits.set()
    await request.body()
    return session


@app.get("/wait_for_slow")
async def wait_for_slow() -> str:
    await slow_waits.wait()
    return "waiting"


@app.get("/stream")
async def stream(request: Request) -> Response:
    session = request.session
    session["begun"] = True

    async def body() -> AsyncIterator[str]:
        yield "one"
        session["done"] = True
        yield "two"

    return StreamingResponse(body())


@app.get("/log")
async def logged() -> Response:
    return PlainTextResponse(log.getvalue())


class Server(uvicorn.Server):
    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    logging.basicConfig(stream=log, level=logging.DEBUG)
    Server(uvicorn.Config(app, host="127.0.0.1", port=0, http="h11", log_config=None, log_level="debug", timeout_keep_alive=60)).run()
