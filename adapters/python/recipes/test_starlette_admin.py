"""starlette-admin, with users signed in by a session."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import httpx2
import pytest
from conftest import Browser, listen, plant, serving

os.environ["ADMIN_PASSWORD"] = "a password for the test"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    from starlette_admin_app import app

    with serving(app, listen()) as url:
        yield url


def post(browser: httpx2.Client, path: str, page: str, **fields: str) -> httpx2.Response:
    """Submits a form of a page with starlette-admin's token."""
    token = re.search(r'name="csrftoken" value="([^"]+)"', browser.get(page).text)
    assert token, page
    return browser.post(path, data={"csrftoken": token[1], **fields})


def sign_in(browser: httpx2.Client, password: str = os.environ["ADMIN_PASSWORD"]) -> httpx2.Response:
    return post(browser, "/admin/login", "/admin/login", username="ada", password=password)


def is_signed_in(browser: httpx2.Client) -> bool:
    return browser.get("/admin/product/list").status_code == 200


def test_a_user_signs_in_and_creates_a_product(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert not is_signed_in(ada)
    assert sign_in(ada).status_code == 303
    assert is_signed_in(ada)
    created = post(ada, "/admin/product/create", "/admin/product/create", name="teapot")
    assert created.status_code == 303
    assert not is_signed_in(browser(site))


def test_a_wrong_password_signs_no_user_in(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert sign_in(ada, "wrong").status_code == 400
    assert "session" not in ada.cookies and not is_signed_in(ada)


def test_a_sign_out_ends_the_session_on_the_server(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    sign_in(ada)
    plant(thief, ada)
    assert is_signed_in(thief)
    assert post(ada, "/admin/logout", "/admin/product/create").status_code == 303
    assert not is_signed_in(ada) and not is_signed_in(thief)
