"""Uses of a session, and the headers of the response. Independent of the version of Starlette."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import attributes, client_for
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessile import SessionCache
from sessile.testing import ManualClock


def login(request: Request) -> Response:
    request.session["user_id"] = "ada"
    return Response()


def view(request: Request) -> Response:
    return JSONResponse(dict(request.session))


def page(request: Request) -> Response:
    request.session.get("user_id")
    return PlainTextResponse("page", headers={"cache-control": "private, max-age=600"})


def static(request: Request) -> Response:
    return PlainTextResponse("a logo", headers={"cache-control": "public"})


async def silent(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def visitor(cache: SessionCache, **settings: Any) -> TestClient:
    handlers = [login, view, page, static]
    routes = [Route(f"/{handler.__name__}", handler) for handler in handlers]
    client = client_for([*routes, WebSocketRoute("/silent", silent)], cache=cache, **settings)
    client.get("/login")
    return client


@pytest.mark.parametrize(("settings", "expected"), [({}, {}), ({"touch_always": True}, {"user_id": "ada"})])
def test_unread_request_is_a_use_only_with_touch_always(
    cache: SessionCache, clock: ManualClock, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    client = visitor(cache, max_age=1_800, **settings)
    for _ in range(40):
        clock.advance(60)
        client.get("/static")
    assert client.get("/view").json() == expected


def test_unread_websocket_is_a_use_only_with_touch_always(cache: SessionCache, clock: ManualClock) -> None:
    for settings, expected in (({}, {}), ({"touch_always": True}, {"user_id": "ada"})):
        client = visitor(cache, max_age=1_800, **settings)
        for _ in range(2):
            clock.advance(1_000)
            with client.websocket_connect("/silent"):
                pass
        assert client.get("/view").json() == expected


@pytest.mark.parametrize("settings", [{}, {"touch_always": True}])
def test_response_without_read_has_no_header(cache: SessionCache, settings: dict[str, Any]) -> None:
    headers = visitor(cache, **settings).get("/static").headers
    assert headers["cache-control"] == "public" and "vary" not in headers and "set-cookie" not in headers


def test_no_store_is_sent_only_with_cookie(cache: SessionCache, clock: ManualClock) -> None:
    client = visitor(cache, max_age=1_800)
    seen = set()
    for _ in range(10):
        clock.advance(30)
        response = client.get("/page")
        assert response.headers["vary"] == "Cookie"
        seen.add((bool(attributes(response)), response.headers["cache-control"]))
    assert seen == {(False, "private, max-age=600"), (True, "no-store")}


def test_touch_always_sends_cookie_again(cache: SessionCache, clock: ManualClock) -> None:
    client = visitor(cache, max_age=1_800, touch_always=True)
    clock.advance(1_000)
    response = client.get("/static")
    assert attributes(response)["max-age"] == "1800" and response.headers["cache-control"] == "no-store"


def test_touch_always_without_cookie_does_nothing(cache: SessionCache) -> None:
    client = visitor(cache, touch_always=True)
    client.cookies.clear()
    before = cache.stats()
    assert "vary" not in client.get("/static").headers
    assert cache.stats() == before and client.get("/view").json() == {}
