"""The behaviour of Starlette's middleware that applications keep after changing the import.

It is that of the tests of Starlette 1.10 (BSD-3-Clause), except those that depend on the data in the
cookie.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import KEY, attributes, client_for
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sessile import SessionCache
from sessile.starlette import SessionMiddleware
from sessile.testing import ManualClock


def view(request: Request) -> JSONResponse:
    return JSONResponse({"session": request.session})


async def update(request: Request) -> JSONResponse:
    request.session.update(await request.json())
    return JSONResponse({"session": request.session})


async def merge(request: Request) -> JSONResponse:
    session = request.session
    session |= await request.json()
    return JSONResponse({"session": request.session})


async def popitem(request: Request) -> JSONResponse:
    request.session.popitem()
    return JSONResponse({"session": request.session})


async def clear(request: Request) -> JSONResponse:
    request.session.clear()
    return JSONResponse({"session": request.session})


def nothing(request: Request) -> Response:
    return Response("ok")


ROUTES = [
    Route("/view", view),
    Route("/update", update, methods=["POST"]),
    Route("/merge", merge, methods=["POST"]),
    Route("/popitem", popitem, methods=["POST"]),
    Route("/clear", clear, methods=["POST"]),
    Route("/nothing", nothing),
]


def client(base_url: str = "http://testserver", **settings: Any) -> TestClient:
    return client_for(ROUTES, base_url=base_url, **settings)


def test_session_is_created_used_and_ended() -> None:
    visitor = client()
    assert visitor.get("/view").json() == {"session": {}}
    response = visitor.post("/update", json={"some": "data"})
    assert response.json() == {"session": {"some": "data"}}
    assert attributes(response)["max-age"] == str(14 * 24 * 3600)
    assert visitor.get("/view").json() == {"session": {"some": "data"}}
    response = visitor.post("/clear")
    assert response.json() == {"session": {}}
    assert attributes(response)["max-age"] == "0" and "1970" in attributes(response)["expires"]
    assert "session" not in visitor.cookies
    assert visitor.get("/view").json() == {"session": {}}


# COOK-1: docs/security-checklist.md
def test_default_flags_of_cookie() -> None:
    response = client().post("/update", json={"some": "data"})
    flags = attributes(response)
    assert len(flags.pop("session")) == 48
    assert flags == {"path": "/", "max-age": "1209600", "httponly": "", "samesite": "lax"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_age": 1800}, {"max-age": "1800"}),
        ({"max_age": None}, {"max-age": None}),
        ({"max_age": None, "idle_timeout": 60}, {"max-age": None}),
        ({"idle_timeout": 60}, {"max-age": "60"}),
        ({"path": "/app"}, {"path": "/app"}),
        ({"same_site": "strict"}, {"samesite": "strict"}),
        ({"https_only": True}, {"secure": ""}),
        ({"https_only": True, "same_site": "none"}, {"samesite": "none", "secure": ""}),
        ({"https_only": True, "partitioned": True}, {"partitioned": "", "secure": ""}),
        ({"domain": "example.com"}, {"domain": "example.com"}),
        ({"domain": ".example.com"}, {"domain": ".example.com"}),
        ({"session_cookie": "sid"}, {"sid": ..., "session": None}),
        ({"cookie_name": "sid"}, {"sid": ..., "session": None}),
        ({"session_cookie": "__Host-sid", "https_only": True}, {"__host-sid": ..., "secure": ""}),
    ],
)
# TERM-6: docs/security-checklist.md
def test_each_flag_is_set_and_repeated_on_removal(
    settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain = {"path": "/", "max-age": "1209600", "httponly": "", "samesite": "lax"}
    visitor = client("https://app.example.com", **settings)
    issued = visitor.post("/update", json={"some": "data"})
    flags = attributes(issued)
    name, token = next(iter(flags.items()))
    assert len(token) == 48
    changed = {key for key in flags if plain.get(key) != flags[key]} | {key for key in plain if key not in flags}
    assert changed - {name} == {key for key in expected if key not in (name, "session")}
    for key, value in expected.items():
        assert (key in flags) is (value is not None)
        assert value in (..., None) or flags[key] == value
    cookie = issued.headers["set-cookie"].split(";")[0]
    removal = attributes(visitor.post("/clear", headers={"cookie": cookie}))
    assert removal.pop("max-age") == "0" and removal.pop(name) == ""
    assert removal.pop("expires") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert removal == {key: value for key, value in flags.items() if key not in (name, "max-age")}


def test_session_expires(clock: ManualClock) -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20, idle_timeout=60, clock=clock)
    visitor = client(cache=cache, max_age=60)
    visitor.post("/update", json={"some": "data"})
    clock.advance(59)
    assert visitor.get("/view").json() == {"session": {"some": "data"}}
    clock.advance(60)
    assert visitor.get("/view").json() == {"session": {}}


def test_max_age_counts_from_last_use_and_cookie_is_sent_again(clock: ManualClock) -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20, idle_timeout=1600, clock=clock)
    visitor = client(cache=cache, max_age=1600)
    token = attributes(visitor.post("/update", json={"some": "data"}))["session"]
    sent = []
    for _ in range(20):
        clock.advance(150)
        sent.append(attributes(visitor.get("/view")))
    assert all(flags["session"] == token and flags["max-age"] == "1600" for flags in sent)
    clock.advance(50)
    assert attributes(visitor.get("/view")) == {}


# COOK-7: docs/security-checklist.md
def test_secure_cookie_is_not_sent_over_http() -> None:
    app = Starlette(routes=ROUTES, middleware=[Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20, https_only=True)])
    secure, unsecure = TestClient(app, base_url="https://testserver"), TestClient(app, base_url="http://testserver")
    headers = {"x-forwarded-proto": "https", "forwarded": "proto=https"}
    assert unsecure.post("/update", json={"a": 1}, headers=headers).json() == {"session": {"a": 1}}
    assert unsecure.get("/view", headers=headers).json() == {"session": {}}
    secure.post("/update", json={"a": 1})
    assert secure.get("/view").json() == {"session": {"a": 1}}


def test_application_below_a_path() -> None:
    below = Starlette(routes=ROUTES, middleware=[Middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20, path="/below")])
    visitor = TestClient(Starlette(routes=[Mount("/below", app=below)]), base_url="http://testserver/below")
    response = visitor.post("/update", json={"some": "data"})
    assert attributes(response)["path"] == "/below"
    assert visitor.get("/view").json() == {"session": {"some": "data"}}


@pytest.mark.parametrize("value", ["invalid", "", "a.b.c", "null", "A" * 48, '"quoted"', "é"])
def test_invalid_cookie_is_ignored(value: str) -> None:
    response = client().get("/view", headers={"cookie": f"session={value}".encode()})
    assert response.json() == {"session": {}}


def test_cookie_is_sent_only_after_changes() -> None:
    visitor = client()
    assert "set-cookie" in visitor.post("/update", json={"some": "data"}).headers
    for path in ("/view", "/nothing"):
        assert "set-cookie" not in visitor.get(path).headers
    assert "set-cookie" not in visitor.post("/update", json={"some": "data"}).headers


# COOK-6: docs/security-checklist.md
def test_vary_is_set_if_session_was_read() -> None:
    visitor = client()
    assert "vary" not in visitor.get("/nothing").headers
    for response in (visitor.get("/view"), visitor.post("/update", json={"a": 1}), visitor.get("/view")):
        assert response.headers["vary"] == "Cookie"
    assert "vary" not in visitor.get("/nothing").headers


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [("/merge", {"c": "3"}, {"a": "1", "b": "2", "c": "3"}), ("/popitem", None, {"a": "1"})],
)
def test_every_way_to_change_a_dict_is_stored(path: str, data: object, expected: object) -> None:
    visitor = client()
    assert visitor.post("/update", json={"a": "1", "b": "2"}).json() == {"session": {"a": "1", "b": "2"}}
    assert visitor.post(path, json=data).json() == {"session": expected}
    assert visitor.get("/view").json() == {"session": expected}


def test_accessed_and_modified_are_known() -> None:
    seen = {}

    def look(request: Request) -> Response:
        unread = request.scope["session"]
        seen["before"] = (unread.accessed, unread.modified)
        session = request.session
        seen["asked"] = (session.accessed, session.modified)  # type: ignore[attr-defined]
        session.setdefault("list", []).append(1)
        seen["changed"] = session.modified  # type: ignore[attr-defined]
        return Response()

    client_for([Route("/", look)]).get("/")
    assert seen == {"before": (False, False), "asked": (True, False), "changed": True}


def test_starlette_example_works_with_changed_import() -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=KEY, session_cookie="my_session_cookie", max_age=1_800)

    @app.post("/login")
    async def login(request: Request, username: str) -> dict[str, str]:
        request.session["user_id"] = username
        return {"message": "hello"}

    @app.get("/me")
    async def me(request: Request) -> Any:
        return {"user_id": request.session.get("user_id")}

    @app.post("/logout")
    async def logout(request: Request) -> dict[str, str]:
        request.session.clear()
        return {"message": "bye"}

    visitor = TestClient(app)
    response = visitor.post("/login", params={"username": "ada"})
    assert attributes(response)["max-age"] == "1800" and "my_session_cookie" in visitor.cookies
    stolen = response.headers["set-cookie"].split(";")[0]
    assert visitor.get("/me").json() == {"user_id": "ada"}
    visitor.post("/logout")
    assert visitor.get("/me").json() == {"user_id": None}
    # The session was ended, not only the cookie removed.
    assert TestClient(app).get("/me", headers={"cookie": stolen}).json() == {"user_id": None}


def test_session_in_scope_is_read_by_json_and_sets_vary() -> None:
    def raw(request: Request) -> Response:
        return Response(json.dumps(request.scope["session"]))

    visitor = client_for([*ROUTES, Route("/raw", raw)])
    visitor.post("/update", json={"a": 1})
    response = visitor.get("/raw")
    assert response.json() == {"a": 1} and response.headers["vary"] == "Cookie"
