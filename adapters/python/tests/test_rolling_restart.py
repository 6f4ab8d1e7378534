"""A restart of all workers, one after the other, while visitors use their sessions."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from dataclasses import dataclass, field

import pytest
from servers import KINDS, Server
from workers import Visitor, Workers, until

pytestmark = pytest.mark.newest


@dataclass
class Shopper:
    """Changes its session over and over, with a new connection each time, as behind a proxy."""

    name: str
    site: Workers
    visitor: Visitor = field(default_factory=Visitor)
    confirmed: int = 0
    # Requests whose connection was closed without a response: the proxy answers 502.
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)

    def sign_in(self) -> None:
        assert self.send("POST", f"/login/{self.name}") is not None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if (count := self.send("POST", "/count/changes")) is not None:
                self.confirmed += 1
                if not self.confirmed <= count <= self.confirmed + self.unknown:
                    self.wrong.append(f"{count} after {self.confirmed} changes, and {self.unknown} unknown ones")
            if (user := self.send("GET", "/me")) not in (None, self.name):
                self.wrong.append(f"signed in as {user}")

    def send(self, method: str, path: str) -> object:
        """Returns the response's value, ``None`` without a response."""
        with contextlib.closing(self.site.open()) as connection:
            try:
                answer = self.visitor.send(connection, method, path)
            except (ConnectionError, http.client.BadStatusLine):
                self.unknown += method == "POST"
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
            until(lambda: all(shopper.confirmed > 20 for shopper in shoppers), 60, "the load")
            site.forget_connections()
            site.process.send_signal(signal.SIGHUP)
            until(lambda: not any(site.is_running(pid) for pid in old), 60, "the old workers stop")
            before = [shopper.confirmed for shopper in shoppers]
            until(lambda: all(now.confirmed > then + 20 for now, then in zip(shoppers, before, strict=True)), 60, "the new workers serve")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        site.connect()
        assert not old & set(site.pids)
        assert [shopper.wrong for shopper in shoppers] == [[]] * 4
        assert sum(shopper.unknown for shopper in shoppers) <= 8, "connections that the old workers had accepted"
