"""Servers with worker processes, and a client that can choose the worker that answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from redis_server import free_port

# The secret of the tests. It is not random, so that no two runs differ.
SECRET = "the-tests-of-the-workers-are-signed-with-this-0123"
HERE = Path(__file__).parent
UVICORN = ["uvicorn", "--timeout-keep-alive", "300", "--timeout-graceful-shutdown", "5", "--log-level", "warning"]
GUNICORN = ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "--keep-alive", "300", "--graceful-timeout", "5", "--log-level", "error"]


def command(kind: str, application: str, workers: int, port: int) -> list[str]:
    """Returns the command of `uvicorn`, `gunicorn`, or `preload`: gunicorn with that option."""
    at = f"127.0.0.1:{port}"
    options = {
        "uvicorn": [*UVICORN, "--port", str(port), "--workers", str(workers)],
        "gunicorn": [*GUNICORN, "--bind", at, "--workers", str(workers)],
        "preload": [*GUNICORN, "--bind", at, "--workers", str(workers), "--preload"],
    }
    return [sys.executable, "-m", *options[kind], application]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    """The cookie of a browser. Requests may use any connection."""

    cookie: str = ""

    def send(self, connection: http.client.HTTPConnection, method: str, path: str) -> Answer:
        begin = time.monotonic()
        connection.request(method, path, headers={"Cookie": f"session={self.cookie}"} if self.cookie else {})
        response = connection.getresponse()
        body = response.read()
        for line in response.headers.get_all("set-cookie") or []:
            name, _, value = line.split(";")[0].partition("=")
            if name == "session":
                self.cookie = value.strip('"').replace("null", "")
        return Answer(response.status, response.headers, body, time.monotonic() - begin)


@dataclass
class Workers:
    """A server with worker processes. It is stopped when the context ends."""

    kind: str
    store: str
    workers: int = 4
    application: str = "store_app:app"
    environment: Mapping[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    # Waits until each worker is connected to the store, which takes long on a busy machine.
    is_store_up: bool = True
    # Seconds that the server took to stop.
    stopped_in: float | None = None

    def __enter__(self) -> Workers:
        self.port = free_port()
        clean = {name: value for name, value in os.environ.items() if name not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "SESSILE_KEYS")}
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [*command(self.kind, self.application, self.workers, self.port), *self.options],
            env={**clean, "SECRET_KEY": SECRET, "SESSILE_STORE": self.store, "PYTHONPATH": path, **self.environment},
            start_new_session=True,
        )
        self._connections: dict[int, http.client.HTTPConnection] = {}
        try:
            self.connect()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops the server as a service manager does, and kills what is left after 30 s."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        begin = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(30)
            self.stopped_in = time.monotonic() - begin
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def open(self) -> http.client.HTTPConnection:
        """Opens a connection to any worker."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def connect(self) -> list[http.client.HTTPConnection]:
        """Opens a connection to each worker, and waits until all of them answer."""
        deadline = time.monotonic() + 60
        others = []
        while len(self._connections) < self.workers:
            assert self.process.poll() is None and time.monotonic() < deadline, "the workers do not start"
            try:
                connection = self.open()
                pid = Visitor().send(connection, "GET", "/worker").json()
                is_ready = Visitor().send(connection, "GET", "/ready").json()
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if pid in self._connections or (self.is_store_up and not is_ready):
                # It stays open meanwhile, so that other workers accept the next ones.
                others.append(connection)
            else:
                self._connections[pid] = connection
        for connection in others:
            connection.close()
        return list(self._connections.values())

    def connect_to_others(self) -> list[http.client.HTTPConnection]:
        """Returns the connections to the workers that are known already."""
        return list(self._connections.values())

    @property
    def pids(self) -> list[int]:
        return list(self._connections)

    def connect_again(self) -> list[http.client.HTTPConnection]:
        """Opens further connections, one to each worker, for another thread."""
        found: dict[int, http.client.HTTPConnection] = {}
        others = []
        while len(found) < self.workers:
            connection = self.open()
            pid = Visitor().send(connection, "GET", "/worker").json()
            others.append(connection) if pid in found else found.setdefault(pid, connection)
        for connection in others:
            connection.close()
        return list(found.values())

    def kill_worker(self) -> int:
        """Kills a worker at once, and returns its process id."""
        pid, connection = self._connections.popitem()
        os.kill(pid, signal.SIGKILL)
        connection.close()
        return pid

    def is_running(self, pid: int) -> bool:
        """Returns true if a process of this server exists and has not ended."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def forget_connections(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def status_of(pid: int, name: str) -> int:
    """Returns a number of `/proc/PID/status`, such as `VmRSS` in KiB or `Threads`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(value)
