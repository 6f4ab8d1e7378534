"""Sign-in with authlib, with a provider and an application on real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from conftest import Browser, address, listen, plant, serving
from openid_provider import Provider


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    listener = listen()
    provider = Provider(address(listener))
    os.environ["OPENID_ISSUER"] = provider.issuer
    os.environ["OPENID_CLIENT_ID"] = provider.client_id
    os.environ["OPENID_CLIENT_SECRET"] = provider.client_secret
    with serving(provider.app, listener):
        yield provider


@pytest.fixture(scope="module")
def site(provider: Provider) -> Iterator[str]:
    from authlib_app import app

    with serving(app, listen()) as url:
        yield url


def begin(browser: httpx2.Client) -> str:
    """Starts a sign-in and returns the address of the provider's page."""
    response = browser.get("/login")
    assert response.status_code == 302
    return response.headers["location"]


def sign_in(browser: httpx2.Client) -> httpx2.Response:
    """Signs in and returns the response of the callback."""
    return browser.get(browser.get(begin(browser)).headers["location"])


def test_the_code_flow_signs_a_user_in(site: str, browser: Browser) -> None:
    ada = browser(site)
    page = begin(ada)
    asked = parse_qs(urlsplit(page).query)
    assert asked["code_challenge_method"] == ["S256"] and asked["state"] and asked["nonce"]
    callback = ada.get(ada.get(page).headers["location"])
    assert (callback.status_code, callback.headers["location"]) == (307, "/")
    assert ada.get("/").json() == {"sub": "ada", "name": "Ada"}
    assert browser(site).get("/").json() is None


def test_a_sign_out_ends_the_session_on_the_server(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    sign_in(ada)
    plant(thief, ada)
    assert thief.get("/").json() == {"sub": "ada", "name": "Ada"}
    ada.post("/logout")
    assert ada.get("/").json() is None
    assert thief.get("/").json() is None


def test_a_cookie_from_before_the_sign_in_opens_nothing(site: str, browser: Browser) -> None:
    mallory, ada = browser(site), browser(site)
    begin(mallory)
    plant(ada, mallory)
    sign_in(ada)
    assert ada.get("/").json() == {"sub": "ada", "name": "Ada"}
    assert mallory.get("/").json() is None


def test_a_callback_is_accepted_once_and_from_the_browser_that_began(site: str, browser: Browser) -> None:
    ada, other = browser(site), browser(site)
    callback = ada.get(begin(ada)).headers["location"]
    assert other.get(callback).json() == {"detail": "mismatching_state"}
    assert ada.get(callback).status_code == 307
    assert ada.get(callback).json() == {"detail": "mismatching_state"}
    assert ada.get("/").json() == {"sub": "ada", "name": "Ada"}
    assert other.get("/").json() is None


def test_an_id_token_of_another_sign_in_is_rejected(site: str, provider: Provider, browser: Browser) -> None:
    ada = browser(site)
    provider.forged_nonce = "of another sign-in"
    try:
        assert sign_in(ada).json() == {"detail": "invalid_claim"}
    finally:
        provider.forged_nonce = None
    assert ada.get("/").json() is None


def test_of_two_tabs_the_later_one_signs_in(site: str, browser: Browser) -> None:
    ada = browser(site)
    first, second = begin(ada), begin(ada)
    # Authlib keeps the state of the last sign-in that a browser started.
    assert ada.get(ada.get(second).headers["location"]).status_code == 307
    assert ada.get(ada.get(first).headers["location"]).status_code == 400
    assert ada.get("/").json() == {"sub": "ada", "name": "Ada"}


def test_a_sign_in_after_a_hundred_that_were_abandoned(site: str, browser: Browser) -> None:
    ada = browser(site)
    for _ in range(100):
        begin(ada)
    assert sign_in(ada).status_code == 307
    assert ada.get("/").json() == {"sub": "ada", "name": "Ada"}


def test_another_user_signs_in_on_the_same_browser(site: str, provider: Provider, browser: Browser) -> None:
    shared, thief = browser(site), browser(site)
    sign_in(shared)
    plant(thief, shared)
    provider.user = "bob"
    try:
        sign_in(shared)
    finally:
        provider.user = "ada"
    assert shared.get("/").json() == {"sub": "bob", "name": "Bob"}
    assert thief.get("/").json() is None
