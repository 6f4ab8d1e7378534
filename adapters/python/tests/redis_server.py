"""A Redis or Valkey server of a test, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

DEADLINE = 20.0
"""Seconds within which a server listens, or a condition holds."""


def program() -> str | None:
    """Returns the path of an installed server; ``None`` if there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A server without persistence, which can be stopped, killed and paused.

    It keeps its port. ``with`` starts and kills it.
    """

    def __init__(self, folder: Path, path: str | None = None, *options: str) -> None:
        found = path or program()
        assert found is not None, "no redis-server and no valkey-server"
        self._path, self._folder, self._options = found, folder, options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = [self._path, *settings, "--dir", str(self._folder), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.command("PING").startswith(b"+PONG"), "the server answers")

    def stop(self) -> None:
        """Ends the server in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the server, paused or not."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Keeps the server from answering; its connections stay open."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Sends one command, and returns the first bytes of the reply; empty without a server."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request.encode())
            return connection.recv(1 << 16)
        return b""

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(by)
        self._process.wait(DEADLINE)
        self._process = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_until(holds: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Waits until a condition holds. Fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
