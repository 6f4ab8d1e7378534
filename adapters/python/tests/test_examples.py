"""The login example, used with a browser."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

EXAMPLE = Path(__file__).parent.parent / "examples/login.py"


@pytest.fixture(scope="module")
def application() -> Any:
    with pytest.warns(UserWarning, match="For development only"):
        return runpy.run_path(str(EXAMPLE))


class Visitor:
    def __init__(self, application: Any) -> None:
        self.browser = TestClient(application["app"])
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
