"""The login application that is measured, on one worker of uvicorn and one core.

    python app.py none|sessile|starlette|starsessions|redis [redis-port]

Prints its port when it listens. `/login` creates a session with a user id and 8 cart items; `/`
reads it.
"""

from __future__ import annotations

import os
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

        app.add_middleware(SessionMiddleware, secret_key=KEY)
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


class Server(uvicorn.Server):
    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


if __name__ == "__main__":
    add(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    Server(config).run()
