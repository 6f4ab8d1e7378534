"""Four workers that share sessions through Redis or Valkey."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from servers import KINDS, Server
from workers import Visitor, Workers, until

pytestmark = pytest.mark.newest

# Every pair of a store and a server; by default each store and each server at least once.
ALL = list(itertools.product(KINDS, ["uvicorn", "gunicorn", "preload"]))
PAIRS = ALL if "SESSILE_LONG_TESTS" in os.environ else [pair for pair in ALL if pair[0] == KINDS[0] or pair[1] == "preload"]
# The time after which a worker without its channel rejects an ended session.
LEASE_AND_A_SECOND = 6


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def site(request: pytest.FixtureRequest) -> Iterator[Workers]:
    store, kind = request.param
    with Server(store) as server, Workers(kind, server.url) as workers:
        yield workers
    assert workers.stopped_in is not None and workers.stopped_in < 10


@pytest.fixture
def workers(site: Workers) -> list[HTTPConnection]:
    return site.connect()


def test_hundred_users_sign_in_and_are_known_to_all_workers(workers: list[HTTPConnection]) -> None:
    users = [(f"user {at}", Visitor()) for at in range(100)]
    for at, (user, visitor) in enumerate(users):
        assert visitor.send(workers[at % 4], "POST", f"/login/{user.replace(' ', '%20')}").status == 200
    for (user, visitor), worker in itertools.product(users, workers):
        answer = visitor.send(worker, "GET", "/me")
        assert (answer.status, answer.json()) == (200, user)


def test_cart_is_filled_in_ten_requests_to_different_workers(workers: list[HTTPConnection]) -> None:
    visitor = Visitor()
    for at in range(10):
        assert visitor.send(workers[at % 4], "POST", f"/cart/item-{at}").status == 200
    expected = [f"item-{at}" for at in range(10)]
    for worker in workers:
        until(lambda: visitor.send(worker, "GET", "/all").json() == {"cart": expected}, LEASE_AND_A_SECOND, "the last change arrives")


def test_sign_out_on_one_worker_is_rejected_on_all(workers: list[HTTPConnection]) -> None:
    for at in range(4):
        ada = Visitor()
        ada.send(workers[at], "POST", "/login/ada")
        copy = ada.cookie
        assert [ada.send(worker, "GET", "/me").status for worker in workers] == [200] * 4, "all have it in memory"
        assert ada.send(workers[at], "POST", "/logout").status == 200
        assert ada.cookie == ""
        assert Visitor(copy).send(workers[at], "GET", "/me").status == 401
        for worker in workers:
            until(lambda: Visitor(copy).send(worker, "GET", "/me").status == 401, LEASE_AND_A_SECOND, "the sign-out arrives")


def test_blocking_methods_work_in_threads(workers: list[HTTPConnection]) -> None:
    visitors = [Visitor(), Visitor()]
    for visitor, worker in zip(visitors, workers, strict=False):
        visitor.send(worker, "POST", "/login/grace")
    assert [visitors[0].send(worker, "GET", "/thread").json() for worker in workers] == [2] * 4


def test_killed_worker_takes_no_session_with_it(site: Workers, workers: list[HTTPConnection]) -> None:
    visitors = [Visitor() for _ in range(8)]
    for at, visitor in enumerate(visitors):
        visitor.send(workers[at % 4], "POST", f"/login/user-{at}")
    killed = site.kill_worker()
    remaining, before = site.connect_to_others(), set(site.pids)
    for at, visitor in enumerate(visitors):
        assert visitor.send(remaining[at % 3], "GET", "/me").json() == f"user-{at}"
    replaced = site.connect()
    assert len(set(site.pids) - before) == 1 and killed not in site.pids, "the server started another"
    for (at, visitor), worker in itertools.product(enumerate(visitors), replaced):
        assert visitor.send(worker, "GET", "/me").json() == f"user-{at}"
