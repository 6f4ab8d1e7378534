"""Websockets: a session is read and written; its cookie is in the response to the handshake, and not later."""

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
    """Counts what comes in the session, until it is told to do something else."""
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
    """The handler does not catch what tells it that the client is gone."""
    return contextlib.suppress(WebSocketDisconnect)


@pytest.mark.parametrize("end", ["bye", "leave"])
def test_an_existing_session_is_read_and_written(end: str) -> None:
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


def test_what_a_request_changed_meanwhile_stays() -> None:
    client = visitor()
    client.post("/begin", json={"n": 1})
    with leaving(), client.websocket_connect("/ws") as socket:
        socket.send_text("1")
        socket.receive_json()
        client.post("/begin", json={"other": True})
    assert client.get("/view").json() == {"n": 2, "other": True}


@pytest.mark.parametrize("text", ["rotate", "sign_in"])
def test_a_new_id_raises(text: str) -> None:
    client = visitor()
    client.post("/begin", json={"n": 1})
    with pytest.raises(RuntimeError, match="a websocket that was accepted cannot create a session"):
        with client.websocket_connect("/ws") as socket:
            socket.send_text(text)
            socket.receive_json()


def test_life_4_creating_a_session_after_the_handshake_is_logged_and_the_connection_stays_open(
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
    assert "a websocket that was accepted cannot create a session" in record.message and record.exc_info is None


def test_saving_a_new_session_after_the_handshake_raises(cache: SessionCache) -> None:
    with pytest.raises(RuntimeError, match="a websocket that was accepted cannot create a session"):
        with visitor(cache=cache).websocket_connect("/ws") as socket:
            socket.send_text("1")
            socket.receive_json()
            socket.send_text("save")
            socket.receive_json()
    assert cache.stats()["created"] == 0


def test_signing_out_and_ending_hold_at_once(cache: SessionCache) -> None:
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
    assert client.get("/view").json() == {}, "what has ended is not brought back"


def test_a_socket_that_never_asks_costs_no_lookup(cache: SessionCache) -> None:
    client = visitor(cache=cache)
    client.post("/begin", json={"n": 1})
    before = cache.stats()
    with client.websocket_connect("/silent"):
        pass
    assert cache.stats() == before


def test_the_dependency_works_on_websockets_too() -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, insecure_dev_key=True, memory=4 << 20)

    @app.websocket("/ws")
    async def _(socket: WebSocket, session: SessionDep) -> None:
        await socket.accept()
        await socket.send_json(session.data)
        await socket.close()

    with pytest.warns(UserWarning, match="development only"), TestClient(app).websocket_connect("/ws") as connection:
        assert connection.receive_json() == {}
