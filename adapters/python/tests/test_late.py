"""Errors after the headers were sent are logged, and the client receives the complete response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import KEY, client_for
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from sessile import SessionCache
from sessile.starlette import SessionMiddleware, session_control


def stream(request: Request) -> Response:
    async def body() -> AsyncIterator[str]:
        yield "one,"
        request.session["seen"] = True
        yield "two"

    return StreamingResponse(body())


def messages(app: Any) -> list[Any]:
    """Returns the messages that an application sends for a request without a cookie."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": [], "asgi": {"spec_version": "2.4"}}
    asyncio.run(app(scope, receive, send))
    return sent


def test_stream_that_writes_for_new_visitor_is_sent_completely() -> None:
    app = Starlette(routes=[Route("/", stream)], middleware=[Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20)])
    start, *bodies = messages(app)
    assert start["status"] == 200
    assert [(body["body"], body["more_body"]) for body in bodies] == [(b"one,", True), (b"two", True), (b"", False)]


def after_call_next() -> Starlette:
    async def write(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        request.session["seen"] = True
        return response

    middleware = [Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20), Middleware(BaseHTTPMiddleware, dispatch=write)]
    return Starlette(routes=[Route("/", lambda request: PlainTextResponse("onetwo"))], middleware=middleware)


def around_the_session() -> Starlette:
    """Adds a function as a middleware outside the session middleware."""

    async def write(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        request.session["seen"] = True
        return response

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=write), Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20)]
    return Starlette(routes=[Route("/", lambda request: PlainTextResponse("onetwo"))], middleware=middleware)


def after_yield() -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20)

    async def writing(request: Request) -> AsyncIterator[None]:
        session = request.session
        yield
        session["seen"] = True

    @app.get("/", dependencies=[Depends(writing)])
    async def home() -> Response:
        return PlainTextResponse("onetwo")

    return app


def test_writes_of_new_visitors_after_headers_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    streaming = Starlette(routes=[Route("/", stream)], middleware=[Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20)])
    for app in (streaming, after_call_next(), around_the_session(), after_yield()):
        for _ in range(100):
            client = TestClient(app)
            assert client.get("/").text in ("onetwo", "one,two")
    records = [record for record in caplog.records if record.name == "sessile"]
    assert [(record.levelno, record.exc_info, "headers were sent" in record.message) for record in records] == [
        (logging.ERROR, None, True)
    ]


@pytest.mark.parametrize("late", ["stream", "background"])
@pytest.mark.parametrize("value", [object(), "x" * 20_000])
def test_failed_saves_after_headers_are_logged_once_per_kind(
    cache: SessionCache, caplog: pytest.LogCaptureFixture, late: str, value: Any
) -> None:
    from starlette.background import BackgroundTask

    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def go_on(request: Request) -> Response:
        session = request.session

        async def body() -> AsyncIterator[str]:
            yield "one,"
            session["late"] = value
            yield "two"

        if late == "stream":
            return StreamingResponse(body())
        return PlainTextResponse("one,two", background=BackgroundTask(lambda: session.update(late=value)))

    client = client_for([Route("/begin", begin), Route("/go_on", go_on), Route("/view", lambda request: JSONResponse(dict(request.session)))], cache=cache)
    client.get("/begin")
    for _ in range(3):
        assert client.get("/go_on").text == "one,two"
    assert len(caplog.records) == 1 and caplog.records[0].exc_info is None
    assert client.get("/view").json() == {"a": 1}


def test_explicit_save_after_headers_raises() -> None:
    raised: list[BaseException] = []

    def late(request: Request) -> Response:
        control = session_control(request)

        async def body() -> AsyncIterator[str]:
            yield "one,"
            control.data["a"] = 1
            try:
                control.save()
            except RuntimeError as error:
                raised.append(error)
                control.data.clear()
            yield "two"

        return StreamingResponse(body())

    assert client_for([Route("/", late)]).get("/").text == "one,two"
    assert "headers were sent" in str(raised[0])


def test_session_restarted_in_stream_is_logged(
    cache: SessionCache, caplog: pytest.LogCaptureFixture
) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def end(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "one,"
            request.session.clear()
            request.session["b"] = 1
            yield "two"

        return StreamingResponse(body())

    client = client_for([Route("/begin", begin), Route("/end", end)], cache=cache)
    client.get("/begin")
    assert client.get("/end").text == "one,two" and len(cache) == 0
    assert len(caplog.records) == 1
