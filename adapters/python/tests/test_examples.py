"""The login example, used with a browser."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from redis_server import free_port, wait_until
from servers import KINDS, Server
from starlette.testclient import TestClient
from workers import SECRET

EXAMPLE = Path(__file__).parent.parent / "examples/login.py"


@pytest.fixture(scope="module")
def application() -> Any:
    with pytest.warns(UserWarning, match="For development only"):
        return runpy.run_path(str(EXAMPLE))


class Visitor:
    def __init__(self, application: Any, browser: Any = None) -> None:
        self.browser = browser or TestClient(application["app"])
        self.page = self.browser.get("/").text

    def press(self, action: str, **fields: str) -> int:
        """Submits a form of the current page."""
        token = re.search(f"action='{action}'><input type=hidden name=token value='([^']+)'", self.page)
        assert token, action
        response = self.browser.post(action, data={"token": token[1], **fields})
        self.page = response.text
        return response.status_code


def test_shop_from_first_visit_to_sign_out_elsewhere(application: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        ada = Visitor(application)
        assert ada.press("/cart/tea") == 200 and "The tea is in your cart." in ada.page
        assert ada.press("/cart/tea") == 200 and "2 × tea" in ada.page
        assert ada.press("/login", user="<Ada>") == 200
        assert "Welcome, &lt;Ada&gt;." in ada.page and "2 × tea" in ada.page
        ada.page = ada.browser.get("/").text
        assert "Welcome" not in ada.page, "a message is shown once"

        elsewhere = Visitor(application)
        elsewhere.press("/login", user="<Ada>")
        assert elsewhere.browser.get("/devices").text.count("<li>") == 2
        ada.page = ada.browser.get("/devices").text
        assert ada.press("/others") == 200 and "Signed out on 1 other devices." in ada.page
        assert elsewhere.browser.get("/devices").status_code == 401

        assert ada.press("/logout") == 200 and "Signed in as" not in ada.page and "nothing yet" in ada.page


def test_form_of_another_session_is_rejected(application: Any) -> None:
    ada, other = Visitor(application), Visitor(application)
    ada.page = other.page
    assert ada.press("/cart/tea") == 403
    assert ada.browser.post("/cart/tea", data={}).status_code == 422


def start(*options: str, **variables: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("SECRET_KEY", "SESSILE_STORE", "SESSILE_KEYS")}
    command = [sys.executable, str(EXAMPLE), *options]
    return subprocess.Popen(command, env=clean | variables, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [(["--workers", "2"], "--workers above 1 needs --store"), (["--store", "redis://127.0.0.1"], "--store needs the variable SECRET_KEY")],
)
def test_options_that_need_another_one_are_rejected(options: list[str], error: str) -> None:
    with start(*options) as process:
        assert process.wait(30) == 2 and process.stderr is not None
        assert error in process.stderr.read()


@pytest.mark.newest
def test_workers_share_the_cart_and_say_which_of_them_answered() -> None:
    import httpx2

    def is_listening() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return bool(browser.get("/").status_code == 200)
        return False

    port = free_port()
    with Server(KINDS[0]) as store:
        options = ["--store", store.url, "--workers", "2", "--port", str(port)]
        with start(*options, SECRET_KEY=SECRET) as process, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as browser:
            try:
                wait_until(lambda: process.poll() is None and is_listening(), "the workers start", 60)
                ada = Visitor({"app": None}, browser)
                assert ada.press("/cart/tea") in (200, 303)
                answered = set()

                def reload() -> bool:
                    # A new connection may reach another worker.
                    page = browser.get("/", headers={"Connection": "close"}).text
                    if "1 × tea" in page:
                        answered.update(re.findall(r"Answered by process (\d+)\.", page))
                    return len(answered) == 2

                wait_until(reload, "both workers answer", 60)
            finally:
                process.terminate()
                process.communicate(timeout=30)
