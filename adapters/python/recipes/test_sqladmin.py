"""sqladmin below an application, with the application's sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx2
import pytest
from conftest import Browser, listen, plant, serving

os.environ["ADMIN_PASSWORD"] = "a password for the test"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    from sqladmin_app import app

    with serving(app, listen()) as url:
        yield url


def sign_in(browser: httpx2.Client, password: str = os.environ["ADMIN_PASSWORD"]) -> httpx2.Response:
    return browser.post("/admin/login", data={"username": "ada", "password": password})


def test_the_admin_pages_and_the_site_have_one_session(site: str, browser: Browser) -> None:
    ada = browser(site)
    ada.post("/cart/tea")
    assert ada.get("/admin/product/list").status_code == 302, "not signed in"
    assert sign_in(ada).status_code == 302
    assert ada.get("/admin/product/list").status_code == 200
    ada.post("/cart/pot")
    assert ada.get("/me").json() == {"cart": ["tea", "pot"], "user": "ada"}
    assert ada.get("/admin/product/list").status_code == 200


def test_a_product_is_created_in_the_admin_pages(site: str, browser: Browser) -> None:
    ada = browser(site)
    sign_in(ada)
    assert ada.post("/admin/product/create", data={"name": "teapot", "save": "Save"}).status_code == 302
    assert "teapot" in ada.get("/admin/product/list").text


def test_a_wrong_password_signs_no_user_in(site: str, browser: Browser) -> None:
    ada = browser(site)
    assert sign_in(ada, "wrong").status_code == 400
    assert ada.get("/admin/product/list").status_code == 302
    assert ada.get("/me").json() == {}


def test_a_sign_out_ends_the_session_on_the_server(site: str, browser: Browser) -> None:
    ada, thief = browser(site), browser(site)
    sign_in(ada)
    plant(thief, ada)
    assert thief.get("/admin/product/list").status_code == 200
    ada.get("/admin/logout")
    for each in (ada, thief):
        assert each.get("/admin/product/list").status_code == 302


def test_a_cookie_from_before_the_sign_in_opens_nothing(site: str, browser: Browser) -> None:
    mallory, ada = browser(site), browser(site)
    mallory.post("/cart/tea")
    plant(ada, mallory)
    sign_in(ada)
    assert ada.get("/admin/product/list").status_code == 200
    assert mallory.get("/admin/product/list").status_code == 302
    assert mallory.get("/me").json() == {}
