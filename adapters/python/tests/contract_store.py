"""State beside the sessions that the workers of the contract's application share."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import redis
import redis.asyncio

PREFIX = "contract"


class SharedCounts:
    """Counts what the server announces since this worker started, so that each has the same counts.

    The server must announce new keys: `notify-keyspace-events En`.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._lock = threading.Lock()
        self._created = self._saved = 0
        self._messages = self._client.pubsub()
        self._messages.psubscribe("__keyevent@0__:new")
        self._messages.ssubscribe(*[f"sessile:{{{partition:02x}}}:c" for partition in range(256)])

    async def read(self) -> str:
        """Returns the numbers of sessions in the store, ever created, and ever saved."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        with self._lock:
            # All that was announced before the answer to this has arrived with it.
            self._messages.ping("now")
            while (message := self._messages.get_message(timeout=5)) is None or message["type"] != "pong":
                assert message is not None, "the server does not answer"
                self._count(message)
            sessions = sum(1 for key in self._client.scan_iter("sessile:*:s:*", 10_000) if self._client.getrange(key, 1, 1) == b"\x01")
            return f"{sessions} {self._created} {self._saved}"

    def _count(self, message: Any) -> None:
        kind, data = message["type"], message["data"]
        if kind == "pmessage":
            self._created += b":s:" in data
        elif kind == "smessage" and data[:1] == b"R":
            self._created -= 1  # the new key of a rotated session
        elif kind == "smessage" and data[:1] == b"W":
            self._saved += 1


class SharedHold:
    """Holds requests of all workers until any of them releases them."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(url)

    async def wait(self) -> None:
        release = await self._client.get(f"{PREFIX}:release")
        await self._client.incr(f"{PREFIX}:held")
        try:
            while await self._client.get(f"{PREFIX}:release") == release:
                await asyncio.sleep(0.002)
        finally:
            await self._client.decr(f"{PREFIX}:held")

    async def until_held(self, requests: int) -> None:
        while int(await self._client.get(f"{PREFIX}:held") or 0) != requests:
            await asyncio.sleep(0.002)

    async def let_go(self) -> None:
        await self._client.incr(f"{PREFIX}:release")


def settled(app: Any) -> Any:
    """Delays requests with a cookie by `CONTRACT_DELAY` seconds, so that the messages of earlier requests arrive first."""
    delay = float(os.environ.get("CONTRACT_DELAY", "0"))

    async def delayed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and any(name == b"cookie" for name, _ in scope["headers"]):
            await asyncio.sleep(delay)
        await app(scope, receive, send)

    return delayed if delay else app
