"""An `InvalidCSRFToken` that the application does not handle is answered by the middleware."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import KEY, client_for, view, visitor
from fastapi import FastAPI
from starlette import testclient
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sessile import InvalidCSRFToken, SessionCache, SessionError
from sessile.fastapi import SessionDep
from sessile.starlette import SessionMiddleware, session_control

TEXT = "This form is out of date. Go back, reload the page and try again."


def check(request: Request) -> Response:
    control = session_control(request)
    control.data["tries"] = control.data.get("tries", 0) + 1
    control.check_csrf(request.query_params.get("token", ""))
    return Response()


def test_starlette_responds_with_403_and_stores_the_changes(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    client = visitor(check, cache=cache)
    for _ in range(2):
        response = client.post("/check")
        assert response.status_code == 403 and response.text == TEXT
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.headers["content-length"] == str(len(TEXT)) and response.headers["vary"] == "Cookie"
    assert client.get("/view").json() == {"tries": 2}, "as with any response below 500"
    assert [(record.name, record.levelname, record.exc_info) for record in caplog.records] == [("sessile", "WARNING", None)] * 2
    assert "status 403" in caplog.text


def test_fastapi_responds_with_403(cache: SessionCache) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache)

    @app.get("/form")
    async def form(session: SessionDep) -> str:
        return session.csrf_token()

    @app.post("/form")
    async def send(session: SessionDep, token: str) -> bool:
        session.check_csrf(token)
        return True

    client = TestClient(app)
    token = client.get("/form").json()
    assert client.post("/form", params={"token": token}).json() is True
    response = client.post("/form", params={"token": "other"})
    assert response.status_code == 403 and response.text == TEXT


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("handled", [InvalidCSRFToken, SessionError])
def test_handler_of_the_application_responds(
    cache: SessionCache, caplog: pytest.LogCaptureFixture, framework: Any, handled: type[Exception]
) -> None:
    async def handle(request: Request, error: Exception) -> Response:
        return PlainTextResponse("mine", 419)

    app = framework(routes=[Route("/check", check)], middleware=[Middleware(SessionMiddleware, cache=cache)], exception_handlers={handled: handle})
    response = TestClient(app).get("/check")
    assert (response.status_code, response.text) == (419, "mine") and not caplog.records


@pytest.mark.parametrize(("handled", "status"), [({InvalidCSRFToken: lambda request, error: Response(status_code=419)}, 419), ({}, 500)])
def test_mounted_application_responds_itself(cache: SessionCache, handled: Any, status: int) -> None:
    mounted = Starlette(routes=[Route("/check", check)], exception_handlers=handled)
    app = Starlette(routes=[Mount("/mounted", mounted)], middleware=[Middleware(SessionMiddleware, cache=cache)])
    assert TestClient(app, raise_server_exceptions=False).get("/mounted/check").status_code == status


def test_check_in_a_middleware_is_403(cache: SessionCache) -> None:
    async def dispatch(request: Request, call_next: Any) -> Response:
        session_control(request).check_csrf(request.headers.get("x-csrf-token", ""))
        return await call_next(request)

    middleware = [Middleware(SessionMiddleware, cache=cache), Middleware(BaseHTTPMiddleware, dispatch=dispatch)]
    response = TestClient(Starlette(routes=[Route("/", lambda request: Response())], middleware=middleware)).get("/")
    assert response.status_code == 403 and response.text == TEXT


@pytest.mark.parametrize("shares_cache", [True, False])
def test_nested_middlewares_respond_once(cache: SessionCache, caplog: pytest.LogCaptureFixture, shares_cache: bool) -> None:
    outer = cache if shares_cache else SessionCache(secret_key=KEY, memory=4 << 20, cookie_name="outer")
    middleware = [Middleware(SessionMiddleware, cache=each) for each in (outer, cache)]
    response = TestClient(Starlette(routes=[Route("/check", check)], middleware=middleware)).get("/check")
    assert (response.status_code, response.text) == (403, TEXT) and len(caplog.records) == 1


def test_error_of_the_session_replaces_403() -> None:
    def grow(request: Request) -> Response:
        request.session["k"] = "x" * 20_000
        return check(request)

    response = visitor(grow).get("/grow")
    assert response.status_code == 500 and "max_session_size" in response.text and TEXT not in response.text


def test_value_that_is_not_json_is_raised(cache: SessionCache) -> None:
    def put(request: Request) -> Response:
        request.session["k"] = object()
        return check(request)

    with pytest.raises(TypeError, match="must be text"):
        visitor(put, cache=cache).get("/put")
    assert len(cache) == 0


class Begun(Response):
    """Checks a token after the start of the response."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        session_control(Request(scope)).check_csrf("other")


def in_response(request: Request) -> Response:
    return Begun()


def in_background(request: Request) -> Response:
    control = session_control(request)
    return Response(background=BackgroundTask(lambda: control.check_csrf("other")))


@pytest.mark.parametrize("handler", [in_response, in_background])
def test_failure_after_the_response_began_is_raised(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidCSRFToken):
        visitor(handler).get(f"/{handler.__name__}")
    assert not caplog.records


async def socket(socket: WebSocket) -> None:
    control = session_control(socket)
    control.data.get("tries")
    at = socket.query_params["at"]
    if at in ("accepted", "closed", "left"):
        await socket.accept()
    if at == "closed":
        await socket.close(4000)
    if at == "left":
        await socket.receive()
    if at == "denied":
        await socket.send_denial_response(JSONResponse({}, 401))
    control.data["tries"] = 1
    control.check_csrf("other")


def begin(request: Request) -> Response:
    request.session["tries"] = 0
    return Response()


def sockets(cache: SessionCache) -> TestClient:
    client = client_for([Route("/begin", begin), Route("/view", view), WebSocketRoute("/socket", socket)], cache=cache)
    client.get("/begin")
    return client


@pytest.mark.parametrize("at", ["handshake", "accepted"])
def test_websocket_is_closed_with_1008_and_stores_the_changes(
    cache: SessionCache, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    client = sockets(cache)
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(f"/socket?at={at}") as connection:
        connection.receive_text()
    assert closed.value.code == 1008
    assert [(record.name, record.levelname) for record in caplog.records] == [("sessile", "WARNING")]
    assert client.get("/view").json() == {"tries": 1}


@pytest.mark.parametrize("at", ["closed", "left", "denied"])
def test_closed_websocket_is_not_closed_again(cache: SessionCache, caplog: pytest.LogCaptureFixture, at: str) -> None:
    if at == "denied" and not hasattr(testclient, "WebSocketDenialResponse"):
        pytest.skip("Starlette before 0.37 knows no denial")
    client = sockets(cache)
    with pytest.raises(InvalidCSRFToken), client.websocket_connect(f"/socket?at={at}") as connection:
        if at == "left":
            connection.close()
    assert not caplog.records


def test_handler_of_the_application_closes_websocket(cache: SessionCache) -> None:
    async def handle(socket: WebSocket, error: Exception) -> None:
        await socket.close(4403)

    app = Starlette(
        routes=[WebSocketRoute("/socket", socket)],
        middleware=[Middleware(SessionMiddleware, cache=cache)],
        exception_handlers={InvalidCSRFToken: handle},
    )
    with pytest.raises(WebSocketDisconnect) as closed, TestClient(app).websocket_connect("/socket?at=accepted") as connection:
        connection.receive_text()
    assert closed.value.code == 4403
