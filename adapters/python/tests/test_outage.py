"""A store that is killed or stopped under two workers, and comes back."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from redis_server import wait_until
from servers import KINDS, Server
from workers import Answer, Visitor, Workers

pytestmark = pytest.mark.newest

LONG = "SESSILE_LONG_TESTS" in os.environ
FAULTS = list(itertools.product(KINDS, ["kill", "stop"]))
# By default each store and each fault once.
CHOSEN = FAULTS if LONG else [fault for at, fault in enumerate(FAULTS) if at in (0, len(FAULTS) - 1)]
DOWN_FOR = 20 if LONG else 7.5

# Seconds. The machine of a test may be slow, so each limit has a margin.
MARGIN = 2.5
TIMEOUT, LEASE = 0.5, 5
SETTINGS = {"STORE_TIMEOUT": str(TIMEOUT)}
LONGEST = 3 * TIMEOUT + MARGIN
# Two heartbeats without an answer.
FENCE = 2 + MARGIN / 2


@dataclass
class Outage:
    server: Server
    workers: Workers
    fault: str

    def begin(self) -> None:
        self.server.kill() if self.fault == "kill" else self.server.pause()

    def end(self) -> None:
        self.server.start() if self.fault == "kill" else self.server.resume()


@pytest.fixture(params=CHOSEN, ids="-".join)
def outage(request: pytest.FixtureRequest) -> Iterator[Outage]:
    store, fault = request.param
    with Server(store, persists=True) as server, Workers("uvicorn", server.url, 2, environment=SETTINGS) as workers:
        yield Outage(server, workers, fault)


@dataclass
class Probe:
    name: str
    at: float
    answer: Answer


def is_unavailable(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0


def test_outage_of_the_store(outage: Outage) -> None:
    one, two = outage.workers.connect()
    ada, bob, carol, visitor = Visitor(), Visitor(), Visitor(), Visitor()
    for who, name in ((ada, "ada"), (bob, "bob"), (carol, "carol")):
        assert who.send(one, "POST", f"/login/{name}").status == 200
    assert ada.send(one, "POST", "/count/before").json() == 1

    probes: list[Probe] = []
    outage.begin()
    begin = time.monotonic()
    copy = carol.cookie
    signed_out = carol.send(one, "POST", "/logout")
    assert signed_out.status in (200, 503) and carol.cookie == "", "the cookie is removed in any case"
    while (at := time.monotonic() - begin) < DOWN_FOR:
        for name, answer in (
            ("hit", ada.send(one, "GET", "/me")),
            ("write", ada.send(one, "POST", "/count/during")),
            ("miss", bob.send(two, "GET", "/me")),
            ("visitor", visitor.send(one, "GET", "/plain")),
            ("no session", ada.send(two, "GET", "/worker")),
        ):
            probes.append(Probe(name, at, answer))
    check(probes)

    outage.end()
    for connection, who, name in ((one, ada, "ada"), (two, ada, "ada"), (two, bob, "bob")):
        wait_until(lambda: who.send(connection, "GET", "/me").status == 200, "the session opens again", 10)
        assert who.send(connection, "GET", "/me").json() == name
    assert ada.send(two, "POST", "/count/before").json() == 2, "nothing that was confirmed is lost"
    for connection in (one, two):
        wait_until(lambda: Visitor(copy).send(connection, "GET", "/me").status == 401, "the queued sign-out is sent", 10)
    assert Visitor().send(one, "POST", "/login/eve").status == 200


def check(probes: list[Probe]) -> None:
    of = {name: [probe for probe in probes if probe.name == name] for name in ("hit", "write", "miss", "visitor", "no session")}
    assert all(probe.answer.status == 200 for name in ("visitor", "no session") for probe in of[name])
    assert all(is_unavailable(probe.answer) for name in ("write", "miss") for probe in of[name])
    # The last heartbeat was answered up to a second before.
    early = [probe for probe in of["hit"] if probe.at < LEASE - 1 - MARGIN]
    late = [probe for probe in of["hit"] if probe.at > LEASE + MARGIN / 2]
    assert early and all(probe.answer.status == 200 for probe in early), "the lease"
    assert late and all(is_unavailable(probe.answer) for probe in late), "after the lease"
    assert max(probe.answer.seconds for probe in probes) < LONGEST
    fenced = [probe.answer.seconds for probe in probes if probe.at > FENCE + TIMEOUT]
    assert sorted(fenced)[len(fenced) // 2] < TIMEOUT / 2, "most do not wait at all"


def test_workers_without_their_store_start_and_stop() -> None:
    """They serve what needs no session, and use the store once it answers."""
    with Server(KINDS[0], persists=True) as server:
        server.kill()
        with Workers("uvicorn", server.url, 2, environment=SETTINGS, is_store_up=False) as workers:
            [one, two] = workers.connect()
            ada = Visitor()
            assert ada.send(one, "GET", "/plain").status == 200
            assert is_unavailable(ada.send(one, "POST", "/login/ada"))
            server.start()
            wait_until(lambda: ada.send(one, "POST", "/login/ada").status == 200, "the store answers", 10)
            wait_until(lambda: ada.send(two, "GET", "/me").status == 200, "the store answers", 10)
            server.pause()
        assert workers.stopped_in is not None and workers.stopped_in < 10
