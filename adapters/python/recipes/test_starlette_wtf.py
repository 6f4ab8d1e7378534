"""Starlette-WTF, with its token in the session."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator

import httpx2
import pytest
from conftest import Browser, listen, serving

os.environ["CSRF_SECRET"] = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    from starlette_wtf_app import app

    with serving(app, listen()) as url:
        yield url


def token(browser: httpx2.Client) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get("/").text)
    assert found
    return found[1]


def test_a_form_of_this_visitor_is_accepted(site: str, browser: Browser) -> None:
    ada = browser(site)
    first = token(ada)
    assert ada.post("/", data={"csrf_token": first, "item": "tea"}).text == "tea"
    assert ada.post("/", data={"csrf_token": token(ada), "item": "pot"}).text == "tea pot"


def test_a_form_of_another_visitor_is_rejected(site: str, browser: Browser) -> None:
    ada, mallory = browser(site), browser(site)
    token(ada)
    assert ada.post("/", data={"csrf_token": token(mallory), "item": "tea"}).status_code == 403
    assert ada.post("/", data={"item": "tea"}).status_code == 403
    assert "item" in ada.get("/").text


def test_a_token_without_its_session_is_rejected(site: str, browser: Browser) -> None:
    assert browser(site).post("/", data={"csrf_token": token(browser(site)), "item": "tea"}).status_code == 403
