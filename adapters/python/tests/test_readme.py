"""The application of the README, as it is printed there."""


import asyncio
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from fastapi import WebSocket
from starlette.testclient import TestClient

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of its first four programs, which are one application."""
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(32))

    async def build() -> list[int]:
        return [7]

    names: dict[str, Any] = {"WebSocket": WebSocket, "asyncio": asyncio, "tasks": set(), "build": build}
    for program in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)[:4]:
        exec(program, names)
    return names


def test_a_user_signs_in_by_a_key_and_by_name_and_signs_out(names: dict[str, Any]) -> None:
    client = TestClient(names["app"])
    client.post("/login", params={"username": "ada"})
    assert client.get("/me").json() == {"user_id": "ada"}
    assert client.get("/devices").status_code == 401
    client.post("/sign-in", params={"name": "bob"})
    assert client.get("/devices").json() == ["Firefox on Linux"]
    client.post("/logout")
    assert client.get("/me").json() == {"user_id": None}


def test_the_socket_is_closed_after_a_sign_out_elsewhere(names: dict[str, Any]) -> None:
    client = TestClient(names["app"])
    client.post("/sign-in", params={"name": "bob"})
    with client.websocket_connect("/chat") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "bob: hello"
        client.post("/logout")
        socket.send_text("hello")
        assert socket.receive()["code"] == 4401


async def ask(app: Any, method: str, path: str, cookie: str) -> tuple[str, bytes]:
    """Sends one request, in the loop that runs. Returns the cookie that the browser has then, and the body."""
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


def test_the_task_stores_its_report(names: dict[str, Any]) -> None:
    app = names["app"]

    @app.get("/report")
    async def report(session: names["SessionDep"]) -> Any:  # type: ignore[name-defined]
        return session.data["report"]

    async def visit() -> bytes:
        cookie, _ = await ask(app, "POST", "/login?username=ada", "")
        await ask(app, "POST", "/report", cookie)
        await asyncio.gather(*names["tasks"])
        return (await ask(app, "GET", "/report", cookie))[1]

    assert asyncio.run(visit()) == b"[7]"
