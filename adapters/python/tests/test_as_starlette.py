"""Applications written for Starlette's middleware respond equally after the import is changed."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import starlette
from conftest import KEY
from jinja2 import Template
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessile.starlette import SessionMiddleware

KINDS: list[Any] = [SessionMiddleware]
if not starlette.__version__.startswith("0."):
    # Importing the module of older versions changes the handling of replaced sessions in this
    # process.
    from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware

    KINDS.append(StarletteMiddleware)

both = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__.partition(".")[0])

USER_KEYS = ["user", "user_id", "userid", "uid", "username", "sub", "account_id", "_user_id", "_auth_user_id"]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Some versions of Starlette's test client warn.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def site(kind: Any, *routes: BaseRoute, inner: list[Middleware] | None = None, **settings: Any) -> Starlette:
    middleware = [Middleware(kind, secret_key=KEY, **settings), *(inner or [])]
    return Starlette(routes=list(routes), middleware=middleware)


def view(request: Request) -> Response:
    return JSONResponse(dict(request.session))


async def update(request: Request) -> Response:
    request.session.update(dict(request.query_params))
    return JSONResponse(dict(request.session))


VIEW = Route("/view", view)
UPDATE = Route("/update", update)


@both
def test_template_shows_keys_of_application(kind: Any) -> None:
    names = [
        "user", "csrf_token", "devices", "save", "rotate", "sign_in", "sign_out", "sign_out_others",
        "sign_out_everywhere", "check_csrf", "is_alive", "is_stored", "id", "cache",
    ]  # fmt: skip
    by_key = "{% for name in names %}{{ session[name] }}, {% endfor %}"
    by_attribute = "".join(f"{{{{ session.{name} }}}} " for name in names)
    template = Template(by_key + by_attribute)

    def show(request: Request) -> Response:
        return HTMLResponse(template.render(session=request.session, names=names))

    client = TestClient(site(kind, UPDATE, Route("/", show)))
    client.get("/update", params={name: f"my {name}" for name in names})
    text = client.get("/").text
    assert text == "".join(f"my {name}, " for name in names) + "".join(f"my {name} " for name in names)


@both
def test_template_shows_nothing_for_missing_key(kind: Any) -> None:
    text = "{% if session.user %}user{% else %}visitor{% endif %}{{ session.csrf_token }}{{ session.save }}"

    def show(request: Request) -> Response:
        return HTMLResponse(Template(text).render(session=request.session))

    client = TestClient(site(kind, UPDATE, Route("/", show)))
    assert client.get("/").text == "visitor"
    client.get("/update", params={"user": "ada"})
    assert client.get("/").text == "user"


@both
@pytest.mark.parametrize("key", USER_KEYS)
def test_cookie_planted_before_sign_in_does_not_open_session(kind: Any, key: str) -> None:
    app = site(kind, UPDATE, VIEW)
    for before in ({key: "mallory"}, {"cart": "tea"}):
        mallory, ada = TestClient(app), TestClient(app)
        mallory.get("/update", params=before)
        ada.cookies.update(mallory.cookies)
        ada.get("/update", params={key: "ada"})
        assert ada.get("/view").json()[key] == "ada"
        assert mallory.get("/view").json().get(key) != "ada"


@both
@pytest.mark.parametrize("status", [200, 302, 404, 500, 502])
def test_sign_out_is_permanent_for_any_response(kind: Any, status: int) -> None:
    def sign_out(request: Request) -> Response:
        request.session.clear()
        return Response(status_code=status)

    client = TestClient(site(kind, UPDATE, VIEW, Route("/out", sign_out)), follow_redirects=False)
    client.get("/update", params={"user": "ada", "cart": "tea"})
    assert client.get("/out").status_code == status
    assert client.get("/view").json() == {}


def test_sign_out_is_permanent_after_exception_and_for_copied_cookie() -> None:
    def sign_out(request: Request) -> Response:
        request.session.clear()
        raise RuntimeError("the provider does not answer")

    app = site(SessionMiddleware, UPDATE, VIEW, Route("/out", sign_out))
    ada, thief = TestClient(app, raise_server_exceptions=False), TestClient(app)
    ada.get("/update", params={"user": "ada"})
    thief.cookies.update(ada.cookies)
    assert ada.get("/out").status_code == 500
    assert ada.get("/view").json() == thief.get("/view").json() == {}


@both
def test_removal_of_user_is_stored_for_any_response(kind: Any) -> None:
    def sign_out(request: Request) -> Response:
        del request.session["user"]
        return Response(status_code=502)

    client = TestClient(site(kind, UPDATE, VIEW, Route("/out", sign_out)))
    client.get("/update", params={"user": "ada", "cart": "tea"})
    client.get("/out")
    assert client.get("/view").json() == {"cart": "tea"}


@both
def test_message_set_after_sign_out_is_shown_once(kind: Any) -> None:
    def sign_out(request: Request) -> Response:
        request.session.clear()
        request.session["flash"] = "Goodbye."
        return Response()

    def show(request: Request) -> Response:
        return PlainTextResponse(request.session.pop("flash", "nothing"))

    client = TestClient(site(kind, UPDATE, Route("/out", sign_out), Route("/", show)))
    client.get("/update", params={"user": "ada"})
    client.get("/out")
    assert [client.get("/").text for _ in range(2)] == ["Goodbye.", "nothing"]


@both
@pytest.mark.parametrize("is_nested", [False, True], ids=["beside", "nested"])
def test_mounted_applications_with_equal_middlewares_share_session(kind: Any, is_nested: bool) -> None:
    first, second = site(kind, UPDATE), site(kind, UPDATE, VIEW)
    routes = [Mount("/first", first), Mount("/second", second)]
    client = TestClient(site(kind, *routes) if is_nested else Starlette(routes=routes))
    assert client.get("/first/update", params={"a": "1"}).json() == {"a": "1"}
    assert client.get("/second/update", params={"b": "2"}).json() == {"a": "1", "b": "2"}
    assert client.get("/first/update", params={"c": "3"}).json() == {"a": "1", "b": "2", "c": "3"}
    assert client.get("/second/view").json() == {"a": "1", "b": "2", "c": "3"}


def test_dict_that_replaces_session_is_stored() -> None:
    def replace(request: Request) -> Response:
        request.scope["session"] = {"a": 1, "deep": {"b": [2]}}
        return Response()

    client = TestClient(site(SessionMiddleware, UPDATE, VIEW, Route("/replace", replace)))
    client.get("/update", params={"old": "1"})
    client.get("/replace")
    assert client.get("/view").json() == {"a": 1, "deep": {"b": [2]}}


def test_stream_of_new_visitor_that_writes_to_session_is_complete() -> None:
    def stream(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "one, "
            request.session["seen"] = True
            yield "two"

        return StreamingResponse(body())

    app = site(SessionMiddleware, UPDATE, VIEW, Route("/stream", stream))
    sent = asyncio.run(messages_of(app, "/stream"))
    assert b"".join(message.get("body", b"") for message in sent) == b"one, two"
    assert sent[-1].get("more_body", False) is False

    client = TestClient(app)
    client.get("/update", params={"known": "1"})
    assert client.get("/stream").text == "one, two"
    assert client.get("/view").json() == {"known": "1", "seen": True}


async def messages_of(app: Any, path: str) -> list[Any]:
    """Calls an application as a server does. Returns its messages, also if it raised."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "asgi": {"version": "3.0", "spec_version": "2.4"},
    }  # fmt: skip
    try:
        await app(scope, receive, send)
    except RuntimeError:
        pass
    return sent


@both
def test_websocket_of_new_visitor_can_write_to_session(kind: Any) -> None:
    async def socket(websocket: WebSocket) -> None:
        websocket.session["visits"] = websocket.session.get("visits", 0) + 1
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    client = TestClient(site(kind, VIEW, WebSocketRoute("/socket", socket), path="/"))
    with client.websocket_connect("/socket") as connection:
        assert connection.receive_text() == "hello"
    if kind is SessionMiddleware:
        # Starlette's middleware loses the change.
        [cookie] = [value.decode() for name, value in connection.extra_headers or [] if name == b"set-cookie"]
        assert "httponly" in cookie.lower() and "samesite=lax" in cookie.lower() and "path=/" in cookie.lower()
        client.cookies.set("session", cookie.partition(";")[0].partition("=")[2])
        assert client.get("/view").json() == {"visits": 1}


@pytest.mark.parametrize("sizes", [[2_000] * 9, [20_000]], ids=["many values", "one value"])
def test_error_response_keeps_headers_of_other_middlewares(sizes: list[int]) -> None:
    def grow(request: Request) -> Response:
        request.session.update({f"key {place}": "x" * size for place, size in enumerate(sizes)})
        return PlainTextResponse("ok", headers={"x-request-id": "7"})

    cors = Middleware(CORSMiddleware, allow_origins=["https://front.example"], allow_credentials=True)
    client = TestClient(site(SessionMiddleware, Route("/", grow), inner=[cors]))
    response = client.get("/", headers={"origin": "https://front.example"})
    assert response.status_code == 500 and "max_session_size" in response.text
    assert response.headers["access-control-allow-origin"] == "https://front.example"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["x-request-id"] == "7"
    assert response.headers.get("content-length") in (None, str(len(response.content)))


@both
@pytest.mark.parametrize(
    "settings",
    [
        {"same_site": "Lax"},
        {"same_site": "None", "https_only": True},
        {"max_age": 0},
        {"max_age": -1},
        {"max_age": None},
        {"domain": ".example.com"},
        {"path": "/view"},
    ],
    ids=str,
)
def test_settings_of_starlette_write_same_attributes(kind: Any, settings: dict[str, Any]) -> None:
    response = TestClient(site(kind, UPDATE, **settings)).get("/update", params={"a": "1"})
    found = {part.strip().lower() for part in response.headers["set-cookie"].split(";")[1:]}
    age = settings.get("max_age", 14 * 24 * 60 * 60)
    expected = {
        f"path={settings.get('path', '/')}",
        "httponly",
        f"samesite={settings.get('same_site', 'lax').lower()}",
        *([] if age is None else [f"max-age={age}"]),
        *(["secure"] if "https_only" in settings else []),
        *([f"domain={settings['domain']}"] if "domain" in settings else []),
    }
    if age == 0 and kind is not SessionMiddleware:
        # Starlette 1.7, the newest version for CPython 3.10, omits it.
        found.add("max-age=0")
    assert found == expected
