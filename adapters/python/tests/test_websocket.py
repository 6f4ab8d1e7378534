"""Sessions of websockets. Their cookie is sent with the response to the handshake only."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from conftest import client_for
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sessile import SessionCache
from sessile.fastapi import SessionDep, SessionMiddleware
from sessile.starlette import session_control


def view(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


async def begin(request: Request) -> JSONResponse:
    request.session.update(await request.json())
    return JSONResponse({})


async def counter(socket: WebSocket) -> None:
    """Counts the received messages in the session, except those that name an operation."""
    control = session_control(socket)
    session = control.data
    await socket.accept()
    while (text := await socket.receive_text()) != "bye":
        if text == "save":
            control.save()
        elif text.isdecimal():
            session["n"] = session.get("n", 0) + int(text)
        else:
            getattr(control, text)(*["ada"] * (text == "sign_in"))
        await socket.send_json(dict(session))
    await socket.close()


async def silent(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def visitor(**settings: Any) -> TestClient:
    routes = [Route("/view", view), Route("/begin", begin, methods=["POST"]), WebSocketRoute("/ws", counter), WebSocketRoute("/silent", silent)]
    return client_for(routes, **settings)


def leaving() -> contextlib.suppress:
    """Ignores the exception of a handler whose client has disconnected."""
    return contextlib.suppress(WebSocketDisconnect)


@pytest.mark.parametrize("end", ["bye", "leave"])
def test_existing_session_is_read_and_written(end: str) -> None:
    client = visitor()
    client.post("/begin", json={"n": 1})
    with leaving(), client.websocket_connect("/ws") as socket:
        socket.send_text("2")
        assert socket.receive_json() == {"n": 3}
        assert client.get("/view").json() == {"n": 1}, "stored when the connection ends, or by `save`"
        socket.send_text("save")
        socket.receive_json()
        assert client.get("/view").json() == {"n": 3}
        socket.send_text("4")
        socket.receive_json()
        if end == "bye":
            socket.send_text("bye")
            with pytest.raises(WebSocketDisconnect):
                socket.receive_text()
    assert client.get("/view").json() == {"n": 7}


def test_concurrent_changes_of_request_are_kept() -> None:
    client = visitor()
    client.post("/begin", json={"n": 1})
    with leaving(), client.websocket_connect("/ws") as socket:
        socket.send_text("1")
        socket.receive_json()
        client.post("/begin", json={"other": True})
    assert client.get("/view").json() == {"n": 2, "other": True}


@pytest.mark.parametrize("text", ["rotate", "sign_in"])
def test_new_id_after_accept_raises(text: str) -> None:
    client = visitor()
    client.post("/begin", json={"n": 1})
    with pytest.raises(RuntimeError, match="a session cannot be created or get a new id after a websocket was accepted"):
        with client.websocket_connect("/ws") as socket:
            socket.send_text(text)
            socket.receive_json()


# LIFE-4: docs/security-checklist.md
def test_creating_a_session_after_the_handshake_is_logged_and_the_connection_stays_open(
    cache: SessionCache, caplog: pytest.LogCaptureFixture
) -> None:
    client = visitor(cache=cache)
    for _ in range(3):
        with client.websocket_connect("/ws") as socket:
            for n in (1, 2):
                socket.send_text("1")
                assert socket.receive_json() == {"n": n}
            socket.send_text("bye")
    assert cache.stats()["created"] == 0
    [record] = caplog.records
    assert "a session cannot be created or get a new id after a websocket was accepted" in record.message and record.exc_info is None


def test_saving_a_new_session_after_the_handshake_raises(cache: SessionCache) -> None:
    with pytest.raises(RuntimeError, match="a session cannot be created or get a new id after a websocket was accepted"):
        with visitor(cache=cache).websocket_connect("/ws") as socket:
            socket.send_text("1")
            socket.receive_json()
            socket.send_text("save")
            socket.receive_json()
    assert cache.stats()["created"] == 0


def test_sign_out_and_end_take_effect_immediately(cache: SessionCache) -> None:
    client = visitor(cache=cache)
    client.post("/begin", json={"n": 1})
    with client.websocket_connect("/ws") as socket:
        socket.send_text("sign_out")
        assert socket.receive_json() == {}
        assert client.get("/view").json() == {} and len(cache) == 0
        socket.send_text("bye")
    client.post("/begin", json={"n": 1})
    with client.websocket_connect("/ws") as socket:
        cache.end_all()
        socket.send_text("1")
        socket.receive_json()
        socket.send_text("bye")
    assert client.get("/view").json() == {}, "an ended session is not restored"


def test_websocket_that_never_reads_costs_no_lookup(cache: SessionCache) -> None:
    client = visitor(cache=cache)
    client.post("/begin", json={"n": 1})
    before = cache.stats()
    with client.websocket_connect("/silent"):
        pass
    assert cache.stats() == before


def test_dependency_works_for_websockets() -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, insecure_dev_key=True, memory=4 << 20)

    @app.websocket("/ws")
    async def _(socket: WebSocket, session: SessionDep) -> None:
        await socket.accept()
        await socket.send_json(session.data)
        await socket.close()

    with pytest.warns(UserWarning, match="development only"), TestClient(app).websocket_connect("/ws") as connection:
        assert connection.receive_json() == {}


def attributes_of(cookie: bytes) -> dict[str, str]:
    parts = [part.partition("=") for part in cookie.decode().split("; ")]
    return {name.lower(): value for name, _, value in parts}


async def early(socket: WebSocket) -> None:
    """Performs an operation on the session before the handshake ends."""
    control = session_control(socket)
    what = socket.query_params["what"]
    if what == "write":
        control.data["visits"] = control.data.get("visits", 0) + 1
    elif what == "grow":
        control.data["k"] = "x" * 20_000
    else:
        getattr(control, what)(*["ada"] * (what == "sign_in"))
    await socket.accept(headers=[(b"x-own", b"1"), (b"set-cookie", b"theme=dark")])
    control.data.get("visits")
    await socket.close()


def early_visitor(**settings: Any) -> TestClient:
    routes = [Route("/view", view), Route("/begin", begin, methods=["POST"]), WebSocketRoute("/early", early)]
    return client_for(routes, **settings)


def early_cookie(client: TestClient, what: str) -> bytes:
    """Returns the session's cookie in the headers of the response to the handshake."""
    with client.websocket_connect(f"/early?what={what}") as socket:
        headers = socket.extra_headers
    assert headers[:1] == [(b"x-own", b"1")] and (b"set-cookie", b"theme=dark") in headers
    [cookie] = [value for name, value in headers if name == b"set-cookie" and value.startswith(b"session=")]
    return bytes(cookie)


def test_new_session_is_in_headers_of_handshake() -> None:
    client = early_visitor(max_age=1_800, same_site="strict")
    flags = attributes_of(early_cookie(client, "write"))
    token = flags.pop("session")
    assert flags == {"path": "/", "max-age": "1800", "httponly": "", "samesite": "strict"}
    assert client.get("/view", headers={"cookie": f"session={token}"}).json() == {"visits": 1}


def test_sign_in_before_handshake_creates_session(cache: SessionCache) -> None:
    token = attributes_of(early_cookie(early_visitor(cache=cache), "sign_in"))["session"]
    record = cache.open_token(token)
    assert record is not None and record.is_authenticated


@pytest.mark.parametrize("what", ["rotate", "sign_in"])
def test_new_id_before_handshake_is_in_its_headers(cache: SessionCache, what: str) -> None:
    client = early_visitor(cache=cache)
    client.post("/begin", json={"n": 1})
    old = client.cookies["session"]
    token = attributes_of(early_cookie(client, what))["session"]
    assert cache.open_token(old) is None and cache.open_token(token) is not None
    client.cookies.clear()
    assert client.get("/view", headers={"cookie": f"session={token}"}).json() == {"n": 1}


def test_failed_save_at_handshake_is_raised_by_accept(cache: SessionCache) -> None:
    from sessile import TooLarge

    with pytest.raises(TooLarge, match="max_session_size"), early_visitor(cache=cache).websocket_connect("/early?what=grow"):
        pass
    assert len(cache) == 0


def test_handshake_without_changes_has_no_session_header(cache: SessionCache) -> None:
    client = visitor(cache=cache)
    client.post("/begin", json={"n": 1})
    with leaving(), client.websocket_connect("/ws") as socket:
        assert socket.extra_headers == []


def test_denied_handshake_carries_cookie(cache: SessionCache) -> None:
    from starlette import testclient

    if not hasattr(testclient, "WebSocketDenialResponse"):
        pytest.skip("Starlette before 0.37 knows no denial")

    async def deny(socket: WebSocket) -> None:
        socket.session["tries"] = 1
        await socket.send_denial_response(JSONResponse({}, 403))

    client = client_for([Route("/view", view), WebSocketRoute("/deny", deny)], cache=cache)
    with pytest.raises(testclient.WebSocketDenialResponse) as denied, client.websocket_connect("/deny"):
        pass
    cookie = denied.value.headers["set-cookie"].split(";")[0]
    assert client.get("/view", headers={"cookie": cookie}).json() == {"tries": 1}


def test_rejected_websocket_stores_changes_of_existing_session(cache: SessionCache) -> None:
    async def reject(socket: WebSocket) -> None:
        socket.session["tries"] = 1
        await socket.close()

    client = client_for([Route("/view", view), Route("/begin", begin, methods=["POST"]), WebSocketRoute("/reject", reject)], cache=cache)
    client.post("/begin", json={"n": 1})
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/reject"):
        pass
    assert client.get("/view").json() == {"n": 1, "tries": 1}
