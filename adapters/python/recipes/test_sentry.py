"""sentry-sdk in an application with sessions, with a server that receives its reports."""

from __future__ import annotations

import gzip
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from conftest import DEADLINE, Browser, address, listen, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

REPORTS: list[bytes] = []


async def receive(request: Request) -> Response:
    REPORTS.append(decompressed(await request.body(), request.headers.get("content-encoding")))
    return JSONResponse({})


def decompressed(body: bytes, encoding: str | None) -> bytes:
    if encoding == "br":
        import brotli

        return brotli.decompress(body)
    return gzip.decompress(body) if encoding == "gzip" else body


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    # The server logs the error of the handler with a traceback, as intended.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    sentry = listen()
    os.environ["SENTRY_DSN"] = address(sentry).replace("//", "//key@") + "/1"
    from sentry_app import app

    reports = Starlette(routes=[Route("/api/1/envelope/", receive, methods=["POST"])])
    with serving(reports, sentry), serving(app, listen()) as url:
        yield url


def sign_in(browser: httpx2.Client) -> None:
    assert browser.post("/login", params={"name": "ada"}).status_code == 200


def reported(matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Waits for a matching report and returns it."""
    from sentry_sdk.envelope import Envelope

    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        for item in (item for report in list(REPORTS) for item in Envelope.deserialize(report).items):
            event = item.get_event() or item.get_transaction_event()
            if event is not None and matches(event):
                return event
        time.sleep(0.02)
    raise AssertionError("there was no such report")


def test_an_error_is_reported_with_the_user_and_without_the_cookie(site: str, browser: Browser) -> None:
    ada = browser(site)
    sign_in(ada)
    assert ada.post("/orders").status_code == 500
    error = reported(lambda event: "exception" in event)
    assert error["exception"]["values"][-1]["value"] == "the warehouse does not answer"
    assert error["user"]["id"] == "ada"
    reported(lambda event: event.get("transaction") == "/orders" and event.get("type") == "transaction")
    assert not any(ada.cookies["session"].encode() in report for report in REPORTS)


def test_requests_are_traced(site: str, browser: Browser) -> None:
    sign_in(browser(site))
    reported(lambda event: event.get("transaction") == "/login")


def test_a_handler_that_raises_stores_nothing(site: str, browser: Browser) -> None:
    ada = browser(site)
    sign_in(ada)
    ada.post("/orders")
    again = browser(site)
    again.cookies.update(ada.cookies)
    assert again.get("/me").json() == {"user": "ada"}
