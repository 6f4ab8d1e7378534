"""The programs of the README, of the reference and of docstrings run as they are printed."""

from __future__ import annotations

import asyncio
import base64
import doctest
import inspect
import json
import os
import re
import secrets
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import itsdangerous
import pytest
from conftest import KEY
from redis_server import RedisServer
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

import sessile.fastapi
import sessile.starlette
import sessile.testing
from sessile.fastapi import CurrentUser, SessionDep
from sessile.starlette import SessionMiddleware

PACKAGE = Path(__file__).parent.parent
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def programs(page: str) -> list[str]:
    return PROGRAM.findall((PACKAGE / page).read_text(encoding="utf-8"))


LOGIN, IMPORT, MOVE = programs("README.md")
SOCKET, TASK, STORE, TESTING, ENGINE = programs("docs/reference.md")


def example(module: ModuleType) -> str:
    """Returns the indented program of a module's docstring."""
    assert module.__doc__ is not None
    _, found, program = module.__doc__.partition("::\n\n")
    assert found
    return textwrap.dedent(program)


def run(program: str, **names: Any) -> dict[str, Any]:
    exec(program, names)
    return names


def sign_in_app() -> FastAPI:
    """Returns an application in which the parameter `name` signs in."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=KEY, memory=4 << 20)

    @app.post("/sign-in")
    async def sign_in(session: SessionDep, name: str) -> None:
        session.sign_in(name)

    @app.post("/sign-out")
    async def sign_out(session: SessionDep) -> None:
        session.sign_out()

    return app


def cart_app() -> FastAPI:
    """Returns an application without a middleware, whose cart needs a user."""
    app = FastAPI()

    @app.get("/cart")
    async def cart(session: SessionDep, user: CurrentUser) -> Any:
        return session.data["cart"]

    return app


def test_login_program_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))
    client = TestClient(run(LOGIN)["app"])
    for name, password in (("ada", "wrong"), ("ada", "é"), ("bob", "correct horse")):
        assert client.post("/login", data={"name": name, "password": password}).status_code == 401
    assert client.get("/sessions").status_code == 401
    assert client.post("/login", data={"name": "ada", "password": "correct horse"}).json() == "Hello, ada."
    assert client.post("/cart", data={"item": "tea"}).json() == ["tea"]
    assert client.post("/cart", data={"item": "pot"}).json() == ["tea", "pot"]
    [(handle, label)] = client.get("/sessions").json().items()
    assert label == "Firefox on Linux" and client.delete(f"/sessions/{handle[::-1]}").json() is False
    cookies = dict(client.cookies)
    client.post("/logout")
    client.cookies.update(cookies)
    assert client.get("/sessions").status_code == 401
    client.post("/login", data={"name": "ada", "password": "correct horse"})
    [handle] = client.get("/sessions").json()
    assert client.delete(f"/sessions/{handle}").json() is True and client.get("/sessions").status_code == 401


def user_app() -> FastAPI:
    """Returns an application in Starlette's style, without a middleware."""
    app = FastAPI()

    @app.post("/login")
    async def login(request: Request, user_id: str) -> None:
        request.session["user_id"] = user_id

    @app.get("/me")
    async def me(request: Request) -> Any:
        return request.session.get("user_id")

    return app


def test_changed_import_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))
    app = user_app()
    run(IMPORT, app=app, os=os)
    client = TestClient(app)
    client.post("/login", params={"user_id": "ada"})
    assert client.get("/me").json() == "ada" and "site" in client.cookies


def test_move_from_starlettes_middleware_of_the_readme() -> None:
    app, old = user_app(), secrets.token_urlsafe(32)
    run(MOVE, app=app, SessionMiddleware=SessionMiddleware, new_secret=KEY, old_secret=old)
    cookie = itsdangerous.TimestampSigner(old).sign(base64.b64encode(json.dumps({"user_id": "ada"}).encode()))
    with pytest.warns(UserWarning, match="accept_starlette_cookies"):
        client = TestClient(app, cookies={"session": cookie.decode()})
        assert client.get("/me").json() == "ada"


def test_socket_of_the_reference_is_closed_after_a_sign_out_elsewhere() -> None:
    app = sign_in_app()
    run(SOCKET, app=app, SessionDep=SessionDep)
    client = TestClient(app)
    client.post("/sign-in", params={"name": "bob"})
    with client.websocket_connect("/chat") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "bob: hello"
        client.post("/sign-out")
        socket.send_text("hello")
        assert socket.receive()["code"] == 4401


async def request(app: Any, method: str, path: str, cookie: str) -> tuple[str, bytes]:
    """Sends one request in the running loop.

    Returns the cookie that the browser then has, and the body.
    """
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"cookie", cookie.encode())], "http_version": "1.1", "scheme": "http", "root_path": "",
        "server": ("testserver", 80), "client": ("testclient", 1), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    new = dict(sent[0]["headers"]).get(b"set-cookie", cookie.encode()).decode().split(";")[0]
    return new, b"".join(message.get("body", b"") for message in sent[1:])


def test_task_of_the_reference_stores_its_report() -> None:
    async def build() -> list[int]:
        return [7]

    app, tasks = sign_in_app(), set[Any]()
    run(TASK, app=app, SessionDep=SessionDep, asyncio=asyncio, build=build, tasks=tasks)

    @app.get("/report")
    async def report(session: SessionDep) -> Any:
        return session.data["report"]

    async def visit() -> bytes:
        cookie, _ = await request(app, "POST", "/sign-in?name=ada", "")
        await request(app, "POST", "/report", cookie)
        await asyncio.gather(*tasks)
        return (await request(app, "GET", "/report", cookie))[1]

    assert asyncio.run(visit()) == b"[7]"


def test_store_of_the_reference(redis: RedisServer) -> None:
    app = cart_app()
    run(STORE, app=app, key=KEY, url=redis.url)
    with TestClient(app) as client:
        assert client.get("/cart").status_code == 401
        assert redis.command("CLIENT", "LIST").count(b"id=") == 4, "three connections, and that of the command"


def test_program_of_the_reference_for_tests() -> None:
    run(TESTING, app=cart_app(), key=KEY)


def test_program_of_the_reference_for_the_engine() -> None:
    names = run(ENGINE, key=KEY)
    assert names["cache"].load(names["signed_in"].id).data == b"a fuller cart"


def test_readme_names_existing_tests_and_all_settings() -> None:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"`(\w+\.py)`", readme.partition("## Guarantees")[2])
    assert files and all((PACKAGE / "tests" / name).is_file() for name in files)
    settings = readme.partition("## Settings")[2].partition("## Guarantees")[0]
    names = inspect.signature(SessionMiddleware).parameters
    assert [name for name in names if name != "app" and f"`{name}`" not in settings] == []


def test_docstring_of_the_package() -> None:
    assert doctest.testmod(sessile).failed == 0
    assert doctest.testmod(sessile).attempted > 5


def test_docstring_of_sessile_fastapi() -> None:
    app = sign_in_app()
    run(example(sessile.fastapi), app=app)
    client = TestClient(app)
    assert client.get("/me").status_code == 401
    client.post("/login")
    assert client.get("/me").json() == "ada"


def test_docstring_of_sessile_starlette() -> None:
    app = user_app()
    run(example(sessile.starlette), app=app, secret_key=KEY)
    client = TestClient(app)
    client.post("/login", params={"user_id": "ada"})
    assert client.get("/me").json() == "ada"


def test_docstring_of_sessile_testing() -> None:
    run(example(sessile.testing), app=cart_app(), secret_key=KEY)
