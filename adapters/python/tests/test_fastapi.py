"""The session as a FastAPI dependency, and `sessile.testing`."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import KEY, attributes
from fastapi import FastAPI
from starlette.testclient import TestClient

from sessile import InvalidCSRFToken, SessionCache
from sessile.fastapi import CurrentUser, SessionDep, SessionMiddleware
from sessile.testing import ManualClock, session_cookie, test_client


def application(cache: SessionCache) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache)

    @app.post("/login")
    async def login(session: SessionDep, user: str) -> str:
        session.sign_in(user)
        return session.csrf_token()

    @app.post("/logout")
    def logout(session: SessionDep) -> None:
        session.sign_out()

    @app.post("/rotate")
    async def rotate(session: SessionDep) -> None:
        session.rotate()

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user

    @app.get("/data")
    async def data(session: SessionDep) -> dict[str, Any]:
        return session.data

    @app.post("/form")
    async def form(session: SessionDep, token: str) -> bool:
        try:
            session.check_csrf(token)
        except InvalidCSRFToken:
            return False
        return True

    return app


def test_sign_in_and_sign_out(cache: SessionCache) -> None:
    client = TestClient(application(cache))
    assert client.get("/me").status_code == 401
    token = client.post("/login", params={"user": "ada"}).json()
    assert client.get("/me").json() == "ada"
    assert client.post("/form", params={"token": token}).json() is True
    before = client.cookies["session"]
    client.post("/rotate")
    assert client.cookies["session"] != before and client.get("/me").json() == "ada"
    assert client.post("/form", params={"token": token}).json() is False
    assert attributes(client.post("/logout"))["max-age"] == "0"
    assert client.get("/me").status_code == 401


def test_missing_middleware_is_named() -> None:
    app = FastAPI()

    @app.get("/")
    async def home(session: SessionDep) -> None: ...

    with pytest.raises(RuntimeError, match="add_middleware"):
        TestClient(app).get("/")


def test_test_client_is_signed_in_until_clock_advances(cache: SessionCache, clock: ManualClock) -> None:
    client = test_client(application(cache), cache, user="ada", data={"cart": ["tea"]})
    assert client.get("/me").json() == "ada" and client.get("/data").json() == {"cart": ["tea"]}
    clock.advance(31 * 60)
    assert client.get("/me").status_code == 401


def test_test_client_with_data_only(cache: SessionCache) -> None:
    client = test_client(application(cache), cache, data={"n": 1}, base_url="http://testserver")
    assert client.get("/data").json() == {"n": 1} and client.get("/me").status_code == 401
    with pytest.raises(ValueError, match="`user` or `data` must be given"):
        session_cookie(cache)


def test_test_client_with_host_prefix_needs_https() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20, cookie_name="__Host-session")
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache, https_only=True)

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user

    assert test_client(app, cache, user="ada", base_url="https://testserver").get("/me").json() == "ada"


def test_session_dependency_does_not_change_openapi_schema(cache: SessionCache) -> None:
    schema = application(cache).openapi()
    assert schema["paths"]["/data"]["get"].get("parameters") is None
