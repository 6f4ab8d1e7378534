"""gradio's sign-in below an application with sessions, with a provider on a real server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import pytest
from conftest import DEADLINE, address, listen, serving
from openid_provider import Provider


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    listener = listen()
    provider = Provider(address(listener))
    # The environment of a Hugging Face space. gradio's sign-in works only there.
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        SYSTEM="spaces",
        SPACE_ID="of/a-test",
        OAUTH_CLIENT_ID=provider.client_id,
        OAUTH_CLIENT_SECRET=provider.client_secret,
        OAUTH_SCOPES="openid profile",
        OPENID_PROVIDER_URL=provider.issuer,
    )
    with serving(provider.app, listener):
        from gradio_oauth_app import app

        with serving(app, listen()) as url:
            yield url


@pytest.fixture
def ada(site: str) -> Iterator[httpx2.Client]:
    # gradio's cookie is `Secure`. Browsers send such cookies to the loopback interface.
    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    with httpx2.Client(base_url=site, cookies=jar, timeout=DEADLINE) as client:
        yield client


def sign_in(browser: httpx2.Client) -> httpx2.Response:
    response = browser.get("/demo/login/huggingface")
    while "/demo/login/callback" not in str(response.url):
        response = browser.get(response.headers["location"])
    return response


def test_the_sign_in_of_gradio_and_the_cart_of_the_site_are_both_kept(ada: httpx2.Client) -> None:
    assert ada.post("/cart/tea").json() == ["tea"]
    assert sign_in(ada).status_code == 307
    assert ada.post("/cart/pot").json() == ["tea", "pot"]
    assert {cookie.name for cookie in ada.cookies.jar} == {"session", "site_session"}
    assert button(ada) == "Logout (ada)"
    ada.get("/demo/logout")
    assert button(ada).startswith("Sign in")
    assert ada.post("/cart/cup").json() == ["tea", "pot", "cup"]


def button(browser: httpx2.Client) -> str:
    """Returns the text of gradio's button, by the request that its page sends when it is loaded."""
    config = browser.get("/demo/config").json()
    call = next(each["id"] for each in config["dependencies"] if ["load"] == [target[1] for target in each["targets"]])
    body = {"data": [], "fn_index": call, "session_hash": "0123456789"}
    assert browser.post("/demo/gradio_api/queue/join", json=body).status_code == 200
    events = browser.get("/demo/gradio_api/queue/data", params={"session_hash": "0123456789"}).text
    found = re.search(r'"process_completed".*?"value":\s?"([^"]+)"', events)
    assert found, events
    return found[1]
