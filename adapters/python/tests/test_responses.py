"""The response: its headers and status, streams, background tasks and failures."""

from __future__ import annotations

import asyncio
import logging
import warnings
from typing import Any

import pytest
from conftest import KEY, fill, visitor
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from sessile import SessionCache
from sessile.starlette import SessionMiddleware, session_control


def test_cookies_and_headers_of_handler_are_kept() -> None:
    def several(request: Request) -> Response:
        request.session["a"] = 1
        response = Response(headers={"vary": "accept-encoding", "x-own": "1", "cache-control": "public"})
        response.set_cookie("theme", "dark")
        response.set_cookie("session", "mine")
        response.set_cookie("lang", "en")
        return response

    with warnings.catch_warnings():
        # The cookie is warned of once per process.
        warnings.simplefilter("ignore", RuntimeWarning)
        response = visitor(several).get("/several")
    names = [line.split("=")[0] for line in response.headers.get_list("set-cookie")]
    assert names == ["theme", "lang", "session"]
    assert response.headers.get_list("vary") == ["accept-encoding", "Cookie"]
    assert response.headers["cache-control"] == "no-store" and response.headers["x-own"] == "1"


def test_response_that_is_sent_twice_is_not_changed() -> None:
    shared = Response("same")

    def same(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return shared

    client = visitor(same)
    for _ in range(3):
        assert client.get("/same").headers["vary"] == "Cookie"
    assert len(shared.raw_headers) == 1


def test_changes_of_stream_and_background_task_are_stored(cache: SessionCache) -> None:
    def stream(request: Request) -> Response:
        session = request.session
        session["begun"] = True

        async def body() -> Any:
            yield b"one"
            session["streamed"] = True
            yield b"two"

        return StreamingResponse(body())

    def background(request: Request) -> Response:
        session = request.session
        return Response("ok", background=BackgroundTask(lambda: session.setdefault("list", []).append(1)))

    client = visitor(stream, background, cache=cache)
    assert client.get("/stream").text == "onetwo"
    assert client.get("/view").json() == {"begun": True, "streamed": True}
    client.get("/background")
    assert client.get("/view").json() == {"begun": True, "list": [1], "streamed": True}
    saved = cache.stats()["saved"]
    client.get("/view")
    assert cache.stats()["saved"] == saved


def test_creation_after_headers_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def late(request: Request) -> Response:
        session = request.session

        async def write() -> None:
            session["a"] = 1

        return Response("ok", background=BackgroundTask(write))

    def late_sign_in(request: Request) -> Response:
        control = session_control(request)
        control.data["a"] = 1
        return Response("ok", background=BackgroundTask(lambda: control.sign_in("ada")))

    client = visitor(late, late_sign_in)
    with caplog.at_level(logging.ERROR, "sessile"):
        assert client.get("/late").text == "ok"
    assert ["headers were sent" in record.message for record in caplog.records] == [True]
    with pytest.raises(RuntimeError, match="headers were sent"):
        client.get("/late_sign_in")


@pytest.mark.parametrize("status", [200, 204, 302, 404, 422, 451])
def test_changes_before_status_below_500_are_stored(status: int) -> None:
    def respond(request: Request) -> Response:
        request.session["a"] = 1
        if status < 400:
            return Response(status_code=status)
        raise HTTPException(status)

    client = visitor(respond)
    client.get("/respond", follow_redirects=False)
    assert client.get("/view").json() == {"a": 1}


def test_failed_handler_stores_nothing(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def fail(request: Request) -> Response:
        request.session["a"] = 2
        raise ZeroDivisionError

    def answer_500(request: Request) -> Response:
        request.session["a"] = 3
        return Response(status_code=500, background=BackgroundTask(lambda: request.session.update(b=1)))

    client = visitor(begin, fail, answer_500, cache=cache)
    client.get("/begin")
    with pytest.raises(ZeroDivisionError):
        client.get("/fail")
    assert client.get("/answer_500").headers["vary"] == "Cookie"
    assert client.get("/view").json() == {"a": 1}


# OPS-2: docs/security-checklist.md
def test_full_cache_is_503_and_keeps_authenticated_sessions(caplog: pytest.LogCaptureFixture) -> None:
    def store(request: Request) -> Response:
        request.session["order"] = "x" * 16_300
        response = PlainTextResponse("stored", headers={"etag": "1"})
        response.set_cookie("theme", "dark")
        return response

    cache = SessionCache(secret_key=KEY, memory=1 << 20)
    fill(cache)
    users = cache.stats()["sessions_authenticated"]
    with caplog.at_level(logging.WARNING, "sessile"):
        response = visitor(store, cache=cache).get("/store")
    assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
    assert "try again" in response.text and response.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in response.headers and "etag" not in response.headers
    assert cache.stats()["sessions_authenticated"] == users
    assert [record.name for record in caplog.records] == ["sessile"]


def test_other_scopes_pass_through(cache: SessionCache) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "lifespan"}
    asyncio.run(SessionMiddleware(app, cache=cache)(scope, "receive", "send"))  # type: ignore[arg-type]
    assert seen == [(scope, "receive", "send")] and "session" not in scope


def test_session_first_read_after_headers_is_usable(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def late(request: Request) -> Response:
        def task() -> None:
            request.session["a"] += 1

        return Response("ok", status_code=int(request.query_params["status"]), background=BackgroundTask(task))

    client = visitor(begin, late, cache=cache)
    with pytest.raises(KeyError):
        client.get("/late?status=200")
    client.get("/begin")
    client.get("/late?status=200")
    assert client.get("/view").json() == {"a": 2}
    client.get("/late?status=500")
    assert client.get("/view").json() == {"a": 2}


def test_stream_can_continue_after_error_of_save() -> None:
    def stream(request: Request) -> Response:
        control = session_control(request)
        session = control.data

        async def body() -> Any:
            yield "begun"
            session["a"] = 1
            with pytest.raises(RuntimeError, match="headers were sent"):
                control.save()
            del session["a"]
            yield ", rejected"

        return StreamingResponse(body())

    assert visitor(stream).get("/stream").text == "begun, rejected"
