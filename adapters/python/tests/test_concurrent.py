"""Concurrent requests of one visitor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessile import SessionCache
from sessile.starlette import SessionMiddleware


class ConcurrentClient:
    """A client that sends concurrent requests, whose progress the test controls."""

    def __init__(self, cache: SessionCache) -> None:
        self.cache = cache
        self.cookie: str | None = None

    def scope(self) -> dict[str, Any]:
        headers = [(b"cookie", self.cookie.encode())] if self.cookie else []
        return {"type": "http", "headers": headers}

    def run(self, act: Callable[[Any], Any]) -> Any:
        results: list[Any] = []
        [set_cookie] = self.concurrently(lambda session: results.append(act(session)))
        if set_cookie is not None:
            pair = set_cookie.split(";")[0]
            self.cookie = None if pair.endswith("=") else pair
        return results[0]

    def concurrently(self, *acts: Callable[[Any], Any], order: list[int] | None = None) -> list[str | None]:
        """Runs all handlers, then sends the responses in `order`.

        Returns the cookies that they set.
        """
        return asyncio.run(self._concurrently(acts, order or list(range(len(acts)))))

    async def _concurrently(self, acts: tuple[Callable[[Any], Any], ...], order: list[int]) -> list[str | None]:
        gates = [asyncio.Event() for _ in acts]
        sent: list[str | None] = [None] * len(acts)

        async def request(at: int) -> None:
            async def app(scope: Any, receive: Any, send: Any) -> None:
                acts[at](scope["session"])
                await gates[at].wait()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b""})

            async def send(message: Any) -> None:
                sent[at] = dict(message.get("headers", ())).get(b"set-cookie", (sent[at] or "").encode()).decode() or None

            await SessionMiddleware(app, cache=self.cache)(self.scope(), _nothing, send)

        tasks = [asyncio.ensure_future(request(at)) for at in range(len(acts))]
        await asyncio.sleep(0)
        for at in order:
            gates[at].set()
            await tasks[at]
        return sent


async def _nothing() -> Any:
    return {"type": "http.disconnect"}


def test_concurrent_changes_keep_both_keys(cache: SessionCache) -> None:
    client = ConcurrentClient(cache)
    client.run(lambda session: session.update(a=0, b=0))

    def change(key: str) -> Callable[[dict[str, Any]], None]:
        def act(session: dict[str, Any]) -> None:
            session[key] += 1

        return act

    for _ in range(500):
        client.concurrently(change("a"), change("b"))
    assert client.run(dict) == {"a": 500, "b": 500}
    assert cache.stats()["conflicts"] >= 500


# LIFE-3: docs/security-checklist.md
def test_slow_request_does_not_undo_sign_out(cache: SessionCache) -> None:
    client = ConcurrentClient(cache)
    client.run(lambda session: session.update(a=1, user_id=7))
    token = client.cookie
    sent = client.concurrently(
        lambda session: session.update(a=2), lambda session: session.clear(), order=[1, 0]
    )
    assert client.run(dict) == {}
    assert token and sent[0]
    client.cookie = sent[0].split(";")[0]
    assert client.run(dict) == {"a": 2}, "a new session with only its own change"


def test_cancelled_request_stores_nothing(cache: SessionCache) -> None:
    client = ConcurrentClient(cache)
    client.run(lambda session: session.update(a=1))

    async def run() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["session"]["a"] = 2
            await asyncio.Event().wait()

        middleware = SessionMiddleware(app, cache=cache)
        task = asyncio.ensure_future(middleware(client.scope(), None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert client.run(dict) == {"a": 1}
