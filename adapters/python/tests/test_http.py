"""Sessions over HTTP, with uvicorn in a separate process."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SERVER = Path(__file__).parent / "server.py"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            # The server prints its port when it listens.
            yield int(server.stdout.readline())
        finally:
            server.terminate()


class Browser:
    """Keeps one connection and one cookie."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookie: str | None = None

    def close(self) -> None:
        self.connection.close()

    def get(self, path: str, cookie: str | None = None) -> tuple[int, str]:
        cookie = cookie or self.cookie
        self.connection.request("GET", path, headers={"cookie": cookie} if cookie else {})
        response = self.connection.getresponse()
        body = response.read().decode()
        if (set_cookie := response.getheader("set-cookie")) is not None:
            pair = set_cookie.split(";")[0]
            self.cookie = None if pair.endswith("=") else pair
        return response.status, body


Browsers = Callable[[], Browser]


@pytest.fixture
def browsers(port: int) -> Iterator[Browsers]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(Browser(port)))


def test_session_is_created_used_and_ended(browsers: Browsers) -> None:
    browser = browsers()
    assert browser.get("/view") == (200, "{}")
    assert browser.cookie is None
    browser.get("/set/name/ada")
    assert browser.cookie and browser.get("/view") == (200, '{"name":"ada"}')
    stolen = browser.cookie
    browser.get("/clear")
    assert browser.cookie is None
    assert browsers().get("/view", stolen) == (200, "{}")


# LIFE-5: docs/security-checklist.md
def test_concurrent_requests_keep_both_keys(browsers: Browsers) -> None:
    first = browsers()
    first.get("/set/begun/1")
    rounds = 300

    def count(key: str) -> None:
        browser = browsers()
        browser.cookie = first.cookie
        for _ in range(rounds):
            assert browser.get(f"/count/{key}")[0] == 200

    threads = [threading.Thread(target=count, args=(key,)) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(first.get("/view")[1]) == {"a": rounds, "b": rounds, "begun": "1"}


# TERM-3: docs/security-checklist.md
def test_request_in_progress_during_sign_out_restores_nothing(browsers: Browsers) -> None:
    browser = browsers()
    browser.get("/set/name/ada")
    slow, cookie = browsers(), browser.cookie
    assert cookie is not None
    slow.connection.putrequest("POST", "/slow")
    slow.connection.putheader("cookie", cookie)
    slow.connection.putheader("content-length", "4")
    # When the handler reports that it waits for the body, it has read the session.
    slow.connection.endheaders()
    assert browsers().get("/wait_for_slow") == (200, '"waiting"')
    browser.get("/clear")
    slow.connection.send(b"done")
    response = slow.connection.getresponse()
    assert response.status == 200 and json.loads(response.read()) == {"name": "ada", "slow": True}
    assert browsers().get("/view", cookie) == (200, "{}")
    new = (response.getheader("set-cookie") or "").split(";")[0]
    assert json.loads(browsers().get("/view", new)[1]) == {"slow": True}, "a new session with only its own change"


# PARSE-8: docs/security-checklist.md
def test_random_bytes_in_cookie_header_are_harmless(port: int, browsers: Browsers) -> None:
    browser = browsers()
    browser.get("/set/name/ada")
    assert browser.cookie is not None
    seed = random.randrange(10**9)
    source = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as stream:
        for _ in range(2_000):
            # A server accepts all bytes except NUL and line ends.
            junk = bytes(source.choice(b'abc=;, "\\\t\x01\x7f\x80\xff%') for _ in range(source.randrange(60)))
            header = b"cookie: " + junk + b"; " + browser.cookie.encode() + b";" + junk
            connection.sendall(b"GET /view HTTP/1.1\r\nhost: a\r\n" + header + b"\r\n\r\n")
            status = stream.readline().split()[1]
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert (status, stream.read(length)) == (b"200", b'{"name":"ada"}'), seed


def test_changes_in_stream_are_stored(browsers: Browsers) -> None:
    browser = browsers()
    assert browser.get("/stream") == (200, "onetwo")
    assert json.loads(browser.get("/view")[1]) == {"begun": True, "done": True}


# ID-7: docs/security-checklist.md
def test_no_token_is_logged(browsers: Browsers) -> None:
    browser = browsers()
    browser.get("/set/name/ada")
    assert browser.cookie is not None
    token = browser.cookie.partition("=")[2]
    said = browser.get("/log")[1]
    assert said and token not in said and token[5:27] not in said
