"""A gradio interface, mounted in an application whose sessions sign users in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import httpx2
import pytest
from conftest import Browser, listen, plant, serving

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    from gradio_app import app

    with serving(app, listen()) as url:
        yield url


def greet(browser: httpx2.Client) -> str:
    """Calls the function of the interface as gradio's page does and returns its result."""
    call = browser.post("/demo/gradio_api/call/greet", json={"data": ["hello"]})
    if call.status_code != 200:
        return f"status {call.status_code}"
    events = browser.get(f"/demo/gradio_api/call/greet/{call.json()['event_id']}").text
    data = next(line for line in events.splitlines() if line.startswith("data: "))
    [result] = json.loads(data.removeprefix("data: "))
    return result


def test_the_interface_is_open_to_users_who_are_signed_in(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert ada.get("/demo/config").status_code == 401
    assert greet(ada) == "status 401"
    ada.post("/login", params={"name": "ada"})
    assert ada.get("/demo/config").status_code == 200
    assert ada.get("/demo/").status_code == 200
    assert greet(ada) == "hello, ada: 0 items"
    ada.post("/cart/tea")
    assert greet(ada) == "hello, ada: 1 items"
    assert greet(browser(site)) == "status 401"


def test_a_sign_out_closes_the_interface(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    ada.post("/login", params={"name": "ada"})
    plant(thief, ada)
    assert greet(thief) == "hello, ada: 0 items"
    ada.post("/logout")
    assert greet(ada) == greet(thief) == "status 401"
