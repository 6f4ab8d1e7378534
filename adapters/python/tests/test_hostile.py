"""Headers of random bytes, and constant memory."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from conftest import KEY

from sessile import SessionCache
from sessile.starlette import SessionMiddleware

ALPHABET = [bytes([byte]) for byte in range(256)] + [b"session=", b"; ", b"; session=", b"=", b";", b"A" * 48, b"."] * 10


def drive(coroutine: Any) -> None:
    """Runs a coroutine that does not wait, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def send(message: Any) -> None:
    pass


# PARSE-1: docs/security-checklist.md
@pytest.mark.newest
def test_a_hundred_thousand_random_headers_do_not_raise(cache: SessionCache) -> None:
    seed = random.randrange(10**9)
    source = random.Random(seed)
    token = cache.create(b"").token.encode()
    found = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal found
        found += len(scope["session"]) >= 0
        await send({"type": "http.response.start", "status": 200, "headers": []})

    with pytest.warns(UserWarning):
        middleware = SessionMiddleware(app, cache=cache, accept_starlette_cookies="old")
    for _ in range(100_000):
        header = b"".join(source.choices(ALPHABET, k=source.randrange(20)))
        if source.random() < 0.1:
            header += b";session=" + token[: source.randrange(49)]
        headers = [(b"cookie", header)] * source.randrange(3)
        drive(middleware({"type": "http", "headers": headers}, None, send))  # type: ignore[arg-type]
        cache.open(header), cache.open_token(header), cache.open(header.decode("latin-1"))
    assert found == 100_000, seed
    assert cache.stats()["hits"] > 0 and cache.stats()["created"] == 1, seed


# PARSE-7: docs/security-checklist.md
def test_huge_header_takes_linear_time(cache: SessionCache) -> None:
    def took(header: bytes) -> float:
        begin = time.perf_counter()
        assert cache.open(header) is None
        return time.perf_counter() - begin

    for piece in (b"a=;", b"session=;", b"session", b"=;" * 2, b" "):
        small, large = (min(took(piece * n) for _ in range(5)) for n in (10_000, 100_000))
        assert large < 40 * small + 0.01, piece


def test_malformed_header_lists_raise(cache: SessionCache) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        len(scope["session"])

    middleware = SessionMiddleware(app, cache=cache)
    for headers in ([()], [(b"cookie",)], [(b"cookie", "text")], [1], 1, None):
        with pytest.raises((TypeError, IndexError)):
            asyncio.run(middleware({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]
    for headers in ([("cookie", "text")], [[b"cookie", b"x"]], ((b"a", b"b"),), []):
        asyncio.run(middleware({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]


def resident() -> int:
    """Returns the resident memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.newest
def test_memory_does_not_grow_over_a_million_requests() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["n"] = session.get("n", 0) + 1
        session.setdefault("cart", {"items": []})["items"] = [{"sku": "tea", "n": session["n"]}]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware = SessionMiddleware(app, secret_key=KEY, memory=8 << 20)
    cookies: list[bytes] = []

    async def keep(message: Any) -> None:
        for name, value in message["headers"]:
            if name == b"set-cookie":
                cookies.append(value.split(b";")[0])

    def requests(number: int) -> None:
        for at in range(number):
            # One request in ten has no cookie. The others are those of a thousand visitors.
            headers = [(b"cookie", cookies[at % 1000])] if at % 10 and len(cookies) >= 1000 else []
            drive(middleware({"type": "http", "headers": headers}, None, keep))  # type: ignore[arg-type]
            del cookies[1000:]

    requests(50_000)
    before = resident()
    requests(1_000_000)
    assert resident() - before < 1 << 20
    assert len(middleware.cache) > 1000
