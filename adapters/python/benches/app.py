"""The login application that is measured, on workers of uvicorn with a core each.

    python app.py none|sessile|sessile-redis|starlette|starsessions|redis [redis-port [workers]]

Prints its port when it listens, and the process ids of its workers. `/login` creates a session with a user id and 8 cart items; `/`
reads it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

KEY = "b1mVIDAzC1D1KMQv5lTSk8dPcCh8lIbbJx3zcwOWkk4"
CART = [{"sku": f"item-{at}", "title": f"Article number {at}", "count": at, "price": 9.5 * at} for at in range(8)]

app = FastAPI()


@app.post("/login")
async def login(request: Request) -> Response:
    request.session["user_id"] = 42
    request.session["cart"] = CART
    return Response("hello")


async def home(request: Request) -> Response:
    session = request.session
    return Response(f"user {session['user_id']}, {len(session['cart'])} items")


async def home_without(request: Request) -> Response:
    return Response(f"user {42}, {len(CART)} items")


async def put(request: Request) -> Response:
    session = request.session
    session["n"] = session.get("n", 0) + 1
    return Response("stored")


async def put_without(request: Request) -> Response:
    return Response("stored")


def add(kind: str, redis_port: str | None) -> None:
    if kind == "sessile":
        from sessile.starlette import SessionMiddleware

        app.add_middleware(SessionMiddleware, secret_key=KEY, store=False)
    elif kind == "sessile-redis":
        from sessile.starlette import SessionMiddleware

        app.add_middleware(SessionMiddleware, secret_key=KEY, store=f"redis://127.0.0.1:{redis_port}")
    elif kind == "starlette":
        from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware

        app.add_middleware(StarletteMiddleware, secret_key=KEY)
    elif kind in ("starsessions", "redis"):
        import starsessions
        from starsessions.stores.redis import RedisStore

        store: Any = starsessions.InMemoryStore()
        if kind == "redis":
            store = RedisStore(f"redis://127.0.0.1:{redis_port}")
        app.add_middleware(starsessions.SessionAutoloadMiddleware)
        app.add_middleware(starsessions.SessionMiddleware, store=store, lifetime=14 * 24 * 3600, cookie_https_only=False)
    is_none = kind == "none"
    app.get("/")(home_without if is_none else home)
    app.get("/write")(put_without if is_none else put)


def listen(port: int) -> socket.socket:
    """Returns a socket of its own for a worker. The kernel spreads the connections over them."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    return listening


def work(listening: socket.socket, core: int, kind: str, redis_port: str | None) -> None:
    os.sched_setaffinity(0, {core})
    add(kind, redis_port)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


def main(kind: str, redis_port: str | None = None, workers: str = "1") -> None:
    first = listen(0)
    port = first.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    if int(workers) == 1:
        print(port, os.getpid(), flush=True)
        work(first, cores[0], kind, redis_port)
        return
    children = []
    for at, listening in enumerate([first, *(listen(port) for _ in range(int(workers) - 1))]):
        # Before the middleware is built: no thread exists yet.
        child = os.fork()
        if child == 0:
            work(listening, cores[at % len(cores)], kind, redis_port)
            return
        listening.close()
        children.append(child)

    def stop(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    print(port, *children, flush=True)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
