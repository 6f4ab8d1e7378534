from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from sessile import Full, SessionCache
from sessile.starlette import SessionMiddleware, _starlette_says_when
from sessile.testing import ManualClock

KEY = secrets.token_urlsafe(32)

needs_to_be_told = pytest.mark.skipif(
    not _starlette_says_when(), reason="Starlette before 1.0 does not tell when a session is asked for"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> SessionCache:
    return SessionCache(secret_key=KEY, memory=4 << 20, clock=clock, events=100)


def client_for(routes: Sequence[BaseRoute], base_url: str = "http://testserver", **settings: Any) -> TestClient:
    """A browser at an application with those routes and a middleware of those settings."""
    if "cache" not in settings:
        settings = {"secret_key": KEY, "memory": 4 << 20, **settings}
    middleware = [Middleware(SessionMiddleware, **settings)]
    return TestClient(Starlette(routes=list(routes), middleware=middleware), base_url=base_url)


def attributes(response: Any) -> dict[str, str]:
    """The one `Set-Cookie` of a response as its attributes, the cookie itself first; empty if there is none."""
    lines = response.headers.get_list("set-cookie")
    assert len(lines) <= 1
    parts = [part.partition("=") for line in lines for part in line.split("; ")]
    return {name.lower(): value for name, _, value in parts}


def fill(cache: SessionCache) -> None:
    """Fills a cache of one shard with sessions of people who are signed in, so that the largest session finds no room."""
    users = itertools.count()

    def sign_one_in() -> None:
        cache.sign_in(cache.create(b"x" * 512).id, f"user {next(users)}")

    while cache.stats()["evicted_aliases"] == 0:
        sign_one_in()
    with contextlib.suppress(Full):
        while True:
            cache.end(cache.create(b"x" * cache.max_session_size).id)
            sign_one_in()
