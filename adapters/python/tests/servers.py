"""Servers of Redis and Valkey on free loopback ports, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from types import TracebackType

import pytest
import redis

KINDS = os.environ.get("SESSILE_TEST_SERVERS", "redis,valkey").split(",")


class Server:
    """A server, which keeps its data over a kill if it `persists`. It is stopped when the context ends."""

    def __init__(self, kind: str, persists: bool = False) -> None:
        program = shutil.which(f"{kind}-server")
        if program is None:
            pytest.skip(f"{kind}-server is not installed")
        self._program, self.port, self._persists = program, free_port(), persists
        self._folder = tempfile.TemporaryDirectory()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = self._start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.resume()
        self.kill()
        self._folder.cleanup()

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        self.process = self._start()

    def pause(self) -> None:
        """Stops the process, which keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _start(self) -> subprocess.Popen[bytes]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder.name, "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "always"] if self._persists else ["--appendonly", "no"]
        process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        with self.client() as client:
            while True:
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    client.ping()
                    return process
                assert process.poll() is None and time.monotonic() < deadline, "the server does not start"
                time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
