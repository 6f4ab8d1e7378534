"""Many requests to two workers with a store: no change is lost, and nothing grows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from servers import KINDS, Server
from workers import Visitor, Workers, status_of

pytestmark = pytest.mark.newest

# The number of changes of one session, and of the requests over which memory is watched.
CHANGES, REQUESTS = (100_000, 1_000_000) if "SESSILE_LONG_TESTS" in os.environ else (10_000, 10_000)
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


def test_memory_and_threads_do_not_grow(site: Workers) -> None:
    one, two = site.connect()
    visitors = [Visitor() for _ in range(50)]

    def use(requests: int) -> None:
        for at in range(requests):
            visitor, connection = visitors[at % len(visitors)], (one, two)[at % 2]
            if at % 10 == 0:
                visitor.cookie = "" if at % 100 == 0 else visitor.cookie
                assert visitor.send(connection, "POST", f"/put/key/{at}").status == 200
            else:
                assert visitor.send(connection, "GET", "/plain").status == 200

    use(REQUESTS // 5)
    before = [(status_of(pid, "VmRSS"), status_of(pid, "Threads")) for pid in site.pids]
    use(REQUESTS * 4 // 5)
    for pid, (memory, threads) in zip(site.pids, before, strict=True):
        assert status_of(pid, "VmRSS") < memory + MARGIN, "KiB"
        assert status_of(pid, "Threads") <= threads


# Fragmentation, in KiB: less than a byte for each request of the long form.
MARGIN = 1_024
