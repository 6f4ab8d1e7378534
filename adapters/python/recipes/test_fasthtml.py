"""FastHTML with ``sess_cls=``."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
from conftest import Browser, listen, plant, serving
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    from fasthtml_app import app

    with serving(app, listen()) as url:
        yield url


def home(browser: httpx2.Client) -> str:
    return browser.get("/", headers={"hx-request": "1"}).text.strip()


def test_a_handler_reads_and_changes_the_session(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert "visitor: 1 visits" in home(ada)
    assert "visitor: 2 visits" in home(ada)
    assert ada.post("/login", data={"name": "ada"}).status_code == 303
    assert "ada: 3 visits" in home(ada)
    assert "visitor: 1 visits" in home(browser(site))


def test_what_a_websocket_writes_is_kept(site: str, browser: Browser) -> None:
    ada = browser(site)
    home(ada)
    cookie = f"session={ada.cookies['session']}"
    with connect(site.replace("http", "ws") + "/chat", additional_headers={"cookie": cookie}) as socket:
        for text in ("hello", "goodbye"):
            socket.send(json.dumps({"text": text, "HEADERS": {}}))
            assert text in str(socket.recv(10))
    assert "2 visits, 2 messages" in home(ada)


def test_a_sign_out_ends_the_session_on_the_server(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    ada.post("/login", data={"name": "ada"})
    plant(thief, ada)
    assert "ada" in home(thief)
    ada.post("/logout")
    assert "visitor" in home(ada) and "visitor" in home(thief)


def test_a_cookie_from_before_the_sign_in_opens_nothing(site: str, browser: Browser) -> None:
    mallory, ada = browser(site), browser(site)
    home(mallory)
    plant(ada, mallory)
    ada.post("/login", data={"name": "ada"})
    assert "ada" in home(ada)
    # The page counts visits, but a request with a replaced cookie cannot store changes.
    assert mallory.get("/").status_code == 409
    assert "ada" not in home(mallory)


FAST_APP = """
from sessile.starlette import SessionMiddleware, install

install()

from fasthtml.common import fast_app
from starlette.testclient import TestClient

app, route = fast_app(secret_key={secret!r})


@route("/")
def get(session):
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


assert [each.cls for each in app.user_middleware] == [SessionMiddleware]
client = TestClient(app)
assert ["1" in client.get("/").text, "2" in client.get("/").text] == [True, True]
assert len(client.cookies["session_"]) == 48, "a token, not data"
"""


def test_fast_app_uses_sessions_after_install() -> None:
    program = FAST_APP.format(secret=secrets.token_urlsafe(32))
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", program], check=True, timeout=60)
