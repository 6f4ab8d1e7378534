"""Requests to an application in this process, without a server."""

from __future__ import annotations

from typing import Any


async def request(app: Any, path: str, cookie: str = "") -> tuple[int, str]:
    """Sends a `GET`, and returns the status and the cookie of the session, the old one unless it is replaced."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "server": ("testserver", 80), "client": None, "root_path": ""}
    scope["headers"] = [(b"cookie", b"session=" + cookie.encode())] if cookie else []
    start: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)

    await app(scope, receive, send)
    for name, value in start["headers"]:
        if name == b"set-cookie" and value.startswith(b"session="):
            cookie = value.split(b";")[0].partition(b"=")[2].decode()
    return start["status"], cookie
