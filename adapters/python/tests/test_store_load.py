"""Many requests to two workers with a store: no change is lost, and nothing grows."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from in_process import request
from servers import KINDS, Server
from workers import SECRET, Visitor, Workers, status_of

from sessile import RedisStore, SessionCache
from sessile.starlette import SessionMiddleware

pytestmark = pytest.mark.newest

# The number of changes of one session, and of the requests over which memory is watched.
CHANGES, REQUESTS = (100_000, 1_000_000) if "SESSILE_LONG_TESTS" in os.environ else (10_000, 100_000)
WRITERS = 4


@pytest.fixture(scope="module")
def site() -> Iterator[Workers]:
    with Server(KINDS[0]) as server, Workers("uvicorn", server.url, 2) as site:
        yield site
    assert site.stopped_in is not None and site.stopped_in < 10


@dataclass
class Writer:
    """Sets keys of its own, in turn over both workers."""

    name: str
    cookie: str
    site: Workers
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        visitor, connections, expected = Visitor(self.cookie), self.site.connect_again(), {}
        for at in range(CHANGES // WRITERS):
            key, connection = f"{self.name}-{at % 8}", connections[at % 2]
            while (status := visitor.send(connection, "POST", f"/put/{key}/{at}").status) != 200:
                # Too many requests of the others came between: the client repeats its own.
                if status != 409:
                    self.errors.append(f"status {status}")
                    break
            expected[key] = at
            if at % 16 == 0:
                # This worker has seen at least its own change, and so all that came before.
                found = visitor.send(connection, "GET", "/all").json()
                lost = {key: (value, found.get(key)) for key, value in expected.items() if found.get(key) != value}
                if lost:
                    self.errors.append(f"after {at} changes: {lost}")
        for connection in connections:
            connection.close()


def test_concurrent_changes_of_different_keys_are_all_kept(site: Workers) -> None:
    visitor = Visitor()
    visitor.send(site.connect()[0], "POST", "/put/first/1")
    writers = [Writer(f"writer-{at}", visitor.cookie, site) for at in range(WRITERS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.errors[:3] for writer in writers] == [[]] * WRITERS


def test_memory_and_threads_do_not_grow() -> None:
    with Server(KINDS[0]) as server:
        cache = SessionCache(secret_key=SECRET, memory=4 << 20, store=RedisStore(server.url, timeout=5))
        app = SessionMiddleware(change_or_read, cache=cache)
        cookies = [""] * 100

        async def use(requests: int) -> None:
            for at in range(requests):
                visitor, path = at % len(cookies), "/change" if at % 20 == 0 else "/read"
                # Some visitors begin again.
                cookie = "" if at % 1_000 == 0 else cookies[visitor]
                status, cookies[visitor] = await request(app, path, cookie)
                assert status == 200

        def state() -> tuple[int, int]:
            return status_of(os.getpid(), "VmRSS"), status_of(os.getpid(), "Threads")

        with asyncio.Runner() as runner:
            runner.run(use(REQUESTS // 5))
            memory, threads = state()
            runner.run(use(REQUESTS * 4 // 5))
            now = state()
        cache.close()
    assert now[0] < memory + MARGIN and now[1] <= threads


async def change_or_read(scope: Any, receive: Any, send: Any) -> None:
    session = scope["session"]
    session["count"] = session.get("count", 0) + (scope["path"] == "/change")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


# Fragmentation, in KiB: a tenth of what 100 bytes for each request would take.
MARGIN = 1_024
