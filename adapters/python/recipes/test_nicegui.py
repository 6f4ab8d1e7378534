"""NiceGUI below an application, with the application's sessions."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
import socketio
from conftest import DEADLINE, Browser, listen, plant, serving


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NICEGUI_STORAGE_PATH"] = folder
        from nicegui_app import app

        with serving(app, listen()) as url:
            yield url


@dataclass
class Page:
    """The values that the test reads from the HTML of NiceGUI's page."""

    user: str
    clicks: int
    client_id: str
    listener_id: str

    @classmethod
    def of(cls, browser: httpx2.Client) -> Page:
        text = browser.get("/ui/").text

        def found(pattern: str) -> str:
            match = re.search(pattern, text)
            assert match, pattern
            return match[1]

        return cls(
            user=found(r'"signed in: (\w+)"'),
            clicks=int(found(r'"clicks: (\d+)"')),
            client_id=found(r"'client_id': '([^']+)'"),
            listener_id=found(r'"label":"Add"\},"events":\[\{"listener_id":"([^"]+)"'),
        )


async def press(browser: httpx2.Client, page: Page, transport: str) -> str:
    """Clicks the button of the page, as its script does, and returns the text that it shows."""
    query = f"client_id={page.client_id}&tab_id={uuid.uuid4()}&document_id={uuid.uuid4()}&next_message_id=0"
    socket = socketio.AsyncSimpleClient()
    await socket.connect(
        f"{browser.base_url}?{query}&implicit_handshake=true",
        headers={"cookie": f"session={browser.cookies['session']}"},
        transports=[transport],
        socketio_path="/ui/_nicegui_ws/socket.io",
    )
    event = {"id": 6, "client_id": page.client_id, "listener_id": page.listener_id, "args": ["{}"]}
    await socket.emit("event", event)
    name = ""
    while name != "notify":
        name, *arguments = await socket.receive(DEADLINE)
    # A regular disconnect would wait for the open poll.
    await socket.client.eio.disconnect(abort=True)
    return str(arguments[0]["message"])


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_what_an_event_stores_for_the_user_is_there_on_the_next_page(
    site: str, browser: Browser, transport: str
) -> None:
    ada = browser(site)
    ada.post("/login", params={"name": "ada"})
    for clicks in range(3):
        page = Page.of(ada)
        assert (page.user, page.clicks) == ("ada", clicks)
        assert asyncio.run(press(ada, page, transport)) == f"clicks: {clicks + 1}"
    assert Page.of(browser(site)).clicks == 0


def test_the_pages_and_the_application_have_one_session(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert Page.of(ada).user == "None"
    assert ada.get("/me").json() is None
    ada.post("/login", params={"name": "ada"})
    assert Page.of(ada).user == "ada"
    assert ada.get("/me").json() == "ada"
    assert list(ada.cookies) == ["session"]


def test_a_sign_out_ends_the_session_on_the_server(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    ada.post("/login", params={"name": "ada"})
    plant(thief, ada)
    assert Page.of(thief).user == "ada"
    ada.post("/logout")
    assert Page.of(ada).user == Page.of(thief).user == "None"


def test_a_cookie_from_before_the_sign_in_opens_nothing(site: str, browser: Browser) -> None:
    mallory, ada = browser(site), browser(site)
    Page.of(mallory)
    plant(ada, mallory)
    ada.post("/login", params={"name": "ada"})
    assert Page.of(ada).user == "ada"
    assert mallory.get("/me").json() is None
    # NiceGUI stores an id in each session, but a request with a replaced cookie cannot store
    # changes.
    assert mallory.get("/ui/").status_code == 409
