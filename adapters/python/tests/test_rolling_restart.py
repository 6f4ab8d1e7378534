"""A restart of all workers, one after the other, while visitors use their sessions."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from dataclasses import dataclass, field

import pytest
from redis_server import wait_until
from servers import KINDS, Server
from workers import Visitor, Workers

pytestmark = pytest.mark.newest


@dataclass
class Shopper:
    """Changes its session over and over, with a new connection each time, as behind a proxy."""

    name: str
    site: Workers
    visitor: Visitor = field(default_factory=Visitor)
    confirmed: int = 0
    # The last values that responses confirmed, and those that were sent since without a response.
    values: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, list[int]] = field(default_factory=dict)
    closed: int = 0
    wrong: list[str] = field(default_factory=list)

    def sign_in(self) -> None:
        assert self.send("POST", f"/login/{self.name}") is not None

    def run(self, stop: threading.Event) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            key = f"key-{at % 8}"
            if self.send("POST", f"/put/{key}/{at}") is None:
                self.unknown.setdefault(key, []).append(at)
            else:
                self.confirmed += 1
                self.values[key], self.unknown[key] = at, []
            if (user := self.send("GET", "/me")) not in (None, self.name):
                self.wrong.append(f"signed in as {user}")

    def is_stored(self) -> bool:
        """Returns true if the session has the last value of each key."""
        found = self.send("GET", "/all")
        assert isinstance(found, dict)
        return all(found.get(key) in [value, *self.unknown[key]] for key, value in self.values.items())

    def send(self, method: str, path: str) -> object:
        """Returns the response's value, ``None`` without a response."""
        with contextlib.closing(self.site.open()) as connection:
            try:
                answer = self.visitor.send(connection, method, path)
            except (ConnectionError, http.client.BadStatusLine):
                # The proxy answers 502.
                self.closed += 1
                return None
        if answer.status != 200:
            self.wrong.append(f"{method} {path}: status {answer.status}")
            return None
        return answer.json() or ""


def test_rolling_restart_loses_no_session_and_answers_no_error() -> None:
    with Server(KINDS[0]) as server, Workers("gunicorn", server.url, 2) as site:
        site.connect()
        old = set(site.pids)
        shoppers = [Shopper(f"user-{at}", site) for at in range(4)]
        for shopper in shoppers:
            shopper.sign_in()
        stop = threading.Event()
        threads = [threading.Thread(target=shopper.run, args=[stop]) for shopper in shoppers]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: all(shopper.confirmed > 20 for shopper in shoppers), "the load", 60)
            site.forget_connections()
            site.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not any(site.is_running(pid) for pid in old), "the old workers stop", 60)
            before = [shopper.confirmed for shopper in shoppers]
            wait_until(lambda: all(now.confirmed > then + 20 for now, then in zip(shoppers, before, strict=True)), "the new workers serve", 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        site.connect()
        assert not old & set(site.pids)
        for shopper in shoppers:
            wait_until(shopper.is_stored, "all confirmed changes are stored", 10)
        assert [shopper.wrong for shopper in shoppers] == [[]] * 4
        assert sum(shopper.closed for shopper in shoppers) <= 8, "connections that the old workers had accepted"
