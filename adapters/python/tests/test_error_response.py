"""The error response that replaces the handler's if a session cannot be stored."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import KEY, fill
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from sessile import SessionCache
from sessile.starlette import SessionMiddleware, session_control

# Headers that describe the handler's body or result.
OF_THE_HANDLER = {
    "accept-ranges": "bytes", "age": "1", "content-disposition": "inline", "content-encoding": "identity",
    "content-language": "en", "content-location": "/other", "content-range": "bytes 0-1/2", "etag": '"1"',
    "expires": "Thu, 01 Jan 1970 00:00:00 GMT", "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT", "link": "</a>",
    "location": "/there", "refresh": "1", "trailer": "x",
}  # fmt: skip


def client_with(grow: Any, **settings: Any) -> TestClient:
    def handler(request: Request) -> Response:
        grow(request)
        response = PlainTextResponse("handled", headers={"x-request-id": "7", **OF_THE_HANDLER})
        response.set_cookie("theme", "dark")
        return response

    settings = settings or {"secret_key": KEY, "memory": 4 << 20}
    cors = Middleware(CORSMiddleware, allow_origins=["https://front.example"], allow_credentials=True)
    app = Starlette(routes=[Route("/", handler)], middleware=[Middleware(SessionMiddleware, **settings), cors])
    return TestClient(app, headers={"origin": "https://front.example"})


def many(request: Request) -> None:
    request.session.update({f"k{n}": "x" * 2_000 for n in range(9)})


def one(request: Request) -> None:
    request.session["k"] = "x" * 20_000


def huge(request: Request) -> None:
    request.session["k"] = ["x" * 1_000] * 1_000


@pytest.mark.parametrize("grow", [many, one, huge])
def test_too_large_session_is_error_response_with_headers_of_inner_middlewares(grow: Any) -> None:
    response = client_with(grow).get("/")
    assert response.status_code == 500 and "max_session_size" in response.text
    assert response.headers["access-control-allow-origin"] == "https://front.example"
    assert response.headers["x-request-id"] == "7" and response.headers["vary"] == "Origin, Cookie"
    assert not OF_THE_HANDLER.keys() & response.headers.keys() and "set-cookie" not in response.headers
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-store" and "content-length" not in response.headers


def test_full_cache_is_error_response_with_headers_of_inner_middlewares() -> None:
    cache = SessionCache(secret_key=KEY, memory=1 << 20)
    fill(cache)
    response = client_with(lambda request: request.session.update(k="x" * 16_300), cache=cache).get("/")
    assert response.status_code == 503 and response.headers["retry-after"]
    assert response.headers["access-control-allow-origin"] == "https://front.example"
    assert not OF_THE_HANDLER.keys() & response.headers.keys()


def test_sign_out_before_too_large_value_is_permanent() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20)

    def grow(request: Request) -> None:
        if "out" in request.query_params:
            session_control(request).sign_out()
            one(request)
        else:
            request.session["a"] = 1

    client = client_with(grow, cache=cache)
    client.get("/")
    response = client.get("/?out=1")
    assert response.status_code == 500 and "Max-Age=0" in response.headers["set-cookie"] and len(cache) == 0
