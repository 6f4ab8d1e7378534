from __future__ import annotations

import contextlib
import gc
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer, program
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from sessile import Full, SessionCache
from sessile.control import SESSION
from sessile.session import Session
from sessile.starlette import SessionControl, SessionMiddleware
from sessile.testing import ManualClock

# A fixed value of `secrets.token_urlsafe(32)`: of random keys, one in 256 has the key number of
# another key of the tests, which a key ring rejects.
KEY = "-2OuwfO14KIkrdC0ymtnNO_Zt3gdrKpE5hcMzPpFC9U"

Handler = Callable[[Request], Any]


@pytest.fixture(autouse=True)
def reset_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resets the errors and warnings that are reported once per process."""
    monkeypatch.setattr("sessile.starlette._reported", set())
    monkeypatch.setattr("sessile.starlette._has_warned_of_two_caches", False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> SessionCache:
    return SessionCache(secret_key=KEY, memory=4 << 20, clock=clock, events=100)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis or Valkey server."""
    if program() is None:
        pytest.skip("no redis-server and no valkey-server")
    with RedisServer(tmp_path) as server:
        yield server


def client_for(routes: Sequence[BaseRoute], base_url: str = "http://testserver", **settings: Any) -> TestClient:
    """Returns a client of an application with `routes`, and a middleware with `settings`."""
    if "cache" not in settings:
        settings = {"secret_key": KEY, "memory": 4 << 20, **settings}
    middleware = [Middleware(SessionMiddleware, **settings)]
    return TestClient(Starlette(routes=list(routes), middleware=middleware), base_url=base_url)


def visitor(*handlers: Handler, **settings: Any) -> TestClient:
    """Returns a client of an application with a route for each handler, by name, and `/view`."""
    routes = [Route(f"/{handler.__name__}", handler, methods=["GET", "POST"]) for handler in (*handlers, view)]
    return client_for(routes, **settings)


def view(request: Request) -> JSONResponse:
    """Returns the session."""
    return JSONResponse(dict(request.session))


def control_of(session: Session) -> SessionControl:
    """Returns the control of a session that a test took from the scope."""
    return SessionControl({"session": session, SESSION: session})


def attributes(response: Any) -> dict[str, str]:
    """Returns the attributes of the only `Set-Cookie`, the cookie first; empty without one."""
    lines = response.headers.get_list("set-cookie")
    assert len(lines) <= 1
    parts = [part.partition("=") for line in lines for part in line.split("; ")]
    return {name.lower(): value for name, _, value in parts}


def collect_requests() -> None:
    """Frees the objects of earlier requests, which the threads of their handlers may still hold."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=5)
    gc.collect()


def fill(cache: SessionCache) -> None:
    """Fills a cache of one shard, so that a session of the maximum size is rejected.

    The sessions are authenticated.
    """
    users = itertools.count()

    def sign_one_in() -> None:
        cache.sign_in(cache.create(b"x" * 512).id, f"user {next(users)}")

    while cache.stats()["evicted_aliases"] == 0:
        sign_one_in()
    with contextlib.suppress(Full):
        while True:
            cache.end(cache.create(b"x" * cache.max_session_size).id)
            sign_one_in()


def fill_partially(cache: SessionCache) -> None:
    """Fills a cache of one shard, so that only sessions above about 11,000 bytes are rejected."""
    fill(cache)
    for at in range(10):
        cache.sign_in(cache.create(b"x" * 512).id, f"another user {at}")
