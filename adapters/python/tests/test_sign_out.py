"""A sign-out is permanent, whatever the response."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import attributes, client_for, collect_requests
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from sessile import SessionCache
from sessile.starlette import session_control


def login(request: Request) -> Response:
    request.session.update(user_id="ada", cart=["tea"])
    if "verb" in request.query_params:
        session_control(request).sign_in("ada")
    return Response()


def view(request: Request) -> Response:
    return JSONResponse(dict(request.session))


def client_with(*handlers: Any, **settings: Any) -> TestClient:
    routes = [Route(f"/{handler.__name__}", handler) for handler in (login, view, *handlers)]
    client = client_for(routes, **settings)
    client.get("/login")
    return client


@pytest.mark.parametrize("path", ["/login", "/login?verb"])
@pytest.mark.parametrize("way", ["clear", "sign_out"])
def test_failed_response_does_not_undo_sign_out(cache: SessionCache, path: str, way: str) -> None:
    def logout(request: Request) -> Response:
        if way == "clear":
            request.session.clear()
        else:
            session_control(request).sign_out()
        return Response(status_code=502)

    client = client_with(logout, cache=cache)
    client.get(path)
    token = client.cookies["session"]
    response = client.get("/logout")
    assert attributes(response)["max-age"] == "0" and cache.open_token(token) is None
    assert client.get("/view", headers={"cookie": f"session={token}"}).json() == {}


@pytest.mark.parametrize("way", ["clear", "pop", "del"])
def test_exception_does_not_undo_sign_out(cache: SessionCache, way: str) -> None:
    def logout(request: Request) -> Response:
        if way == "clear":
            request.session.clear()
        elif way == "pop":
            request.session.pop("user_id")
        else:
            del request.session["user_id"]
        raise ZeroDivisionError

    client = client_with(logout, cache=cache)
    with pytest.raises(ZeroDivisionError):
        client.get("/logout")
    assert client.get("/view").json() == ({} if way == "clear" else {"cart": ["tea"]})


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_removal_of_identity_key_is_stored_for_any_status(status: int) -> None:
    def logout(request: Request) -> Response:
        del request.session["user_id"]
        request.session.pop("cart")
        request.session["unwritable"] = object() if status >= 500 else 1
        return Response(status_code=status)

    client = client_with(logout)
    client.get("/logout")
    assert client.get("/view").json() == ({"cart": ["tea"]} if status >= 500 else {"unwritable": 1})


@pytest.mark.parametrize("signs_out", [True, False])
def test_exception_leaves_no_session_without_sent_cookie(cache: SessionCache, signs_out: bool) -> None:
    def fail(request: Request) -> Response:
        request.session.update(user_id="eve", a=1)
        control = session_control(request)
        control.rotate()
        control.save()
        if signs_out:
            del request.session["user_id"]
        raise ZeroDivisionError

    client = client_for([Route("/fail", fail)], cache=cache)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            client.get("/fail")
    collect_requests()
    assert cache.stats()["created"] == 2 and len(cache) == 0


def test_failed_response_stores_no_sign_in() -> None:
    def fail(request: Request) -> Response:
        request.session["user_id"] = "eve"
        return Response(status_code=500)

    client = client_with(fail)
    client.get("/fail")
    assert client.get("/view").json() == {"user_id": "ada", "cart": ["tea"]}


@pytest.mark.parametrize("removes", [True, False])
def test_flash_message_survives_clear_and_removal_of_cookie(cache: SessionCache, removes: bool) -> None:
    def logout(request: Request) -> Response:
        request.session.clear()
        request.session["flash"] = "bye"
        response = Response()
        if removes:
            response.delete_cookie("session")
        return response

    client = client_with(logout, cache=cache)
    token = client.cookies["session"]
    client.get("/logout")
    assert client.get("/view").json() == {"flash": "bye"} and cache.open_token(token) is None


def test_sign_out_before_accept_removes_cookie(cache: SessionCache) -> None:
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def socket(socket: WebSocket) -> None:
        socket.session.clear()
        await socket.accept()
        await socket.close()

    client = client_for([Route("/login", login), WebSocketRoute("/socket", socket)], cache=cache)
    client.get("/login")
    with client.websocket_connect("/socket") as connection:
        [(name, cookie)] = connection.extra_headers
    assert name == b"set-cookie" and b"Max-Age=0" in cookie and len(cache) == 0
