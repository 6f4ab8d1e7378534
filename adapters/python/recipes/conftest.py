"""Shared fixtures of the recipes' tests: servers and browsers."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
import uvicorn

# The programs read it when they are imported.
os.environ["SECRET_KEY"] = secrets.token_urlsafe(32)

DEADLINE = 20
"""The time limit for starting and stopping a server, in seconds."""

Browser = Callable[[str], httpx2.Client]


def listen() -> socket.socket:
    """Returns a socket that listens on a free port of the loopback interface."""
    return socket.create_server(("127.0.0.1", 0))


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def serving(app: Any, listener: socket.socket) -> Iterator[str]:
    """Serves an application with uvicorn in a thread, and yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + DEADLINE
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    yield address(listener)
    server.should_exit = True
    thread.join(DEADLINE)
    assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Returns a factory of clients with a cookie jar, which do not follow redirects."""
    with contextlib.ExitStack() as stack:
        yield lambda url: stack.enter_context(httpx2.Client(base_url=url, timeout=DEADLINE))


def plant(victim: httpx2.Client, attacker: httpx2.Client) -> None:
    """Sets the attacker's cookies in the victim's browser, as a sibling domain can."""
    victim.cookies.update(attacker.cookies)
