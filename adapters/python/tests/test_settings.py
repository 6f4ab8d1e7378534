"""Settings are accepted as by Starlette, or the error names the setting."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import KEY, attributes, client_for
from starlette.datastructures import Secret
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sessile import SessionCache
from sessile.starlette import SessionMiddleware


class SecretStr:
    """Hides its text, as pydantic's `SecretStr` does."""

    def __str__(self) -> str:
        return "*" * 10


def put(request: Request) -> Response:
    request.session["a"] = 1
    return Response()


def view(request: Request) -> Response:
    return JSONResponse(dict(request.session))


@pytest.mark.parametrize(
    ("setting", "value", "must"),
    [
        ("max_age", 1, "must be between 1.6s and"),
        ("max_age", 10**10, "must be between 1.6s and"),
        ("max_age", "3600", "must be a whole number of seconds or None"),
        ("max_age", 1.5, "must be a whole number of seconds or None"),
        ("max_age", float("nan"), "must be a whole number of seconds or None"),
        ("max_age", float("inf"), "must be a whole number of seconds or None"),
        ("max_age", True, "must be a whole number of seconds or None"),
        ("idle_timeout", 1, "must be between 1.6s and"),
        ("idle_timeout", "60", "must be a number of seconds or None"),
        ("idle_timeout", -1, "must be a number of seconds, 0 or more"),
        ("lifetime", "60", "must be a number of seconds or None"),
        ("rotate_every", "60", "must be a number of seconds or None"),
        ("rotate_every", -1, "must be a number of seconds, 0 or more"),
        ("same_site", None, 'must be "lax", "strict" or "none"'),
        ("same_site", "always", 'must be "lax", "strict" or "none"'),
        ("path", None, "must be a str"),
        ("path", "", "must begin with `/`"),
        ("domain", "", "must be a host name"),
        ("domain", 1, "must be a str"),
        ("domain", "example.com:8000", "must be a host name"),
        ("session_cookie", "my session", "must be letters, digits"),
        ("session_cookie", "", "must be letters, digits"),
        ("session_cookie", 1, "must be a str"),
        ("cookie_name", b"sid", "must be a str"),
        ("cookie_name", "my session", "must be letters, digits"),
        ("secret_key", SecretStr(), "must be str, bytes, a Secret"),
        ("memory", "32M", "must be a whole number"),
        ("memory", 10, "must be between"),
        ("max_session_size", 0, "must be between"),
        ("max_sessions_per_user", "32", "must be a whole number"),
        ("identity_keys", "user", "must be a tuple of str"),
        ("identity_keys", [1], "must be a tuple of str"),
        ("identity_keys", None, "must be a tuple of str"),
    ],
)
def test_error_names_setting_value_and_limits(setting: str, value: Any, must: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        SessionMiddleware(None, **{"secret_key": KEY, setting: value})  # type: ignore[arg-type]
    text = str(caught.value)
    assert f"`{setting}`" in text and must in text
    shown = {SecretStr: "SecretStr"}.get(type(value), str(value))
    assert shown in text or f"{value}s" in text or setting == "max_age" and "10000000000s" in text
    assert not re.search(r"`(idle_timeout|name)`", text) or setting == "idle_timeout"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"same_site": "Lax"}, {"samesite": "lax"}),
        ({"same_site": "Strict"}, {"samesite": "strict"}),
        ({"same_site": "None", "https_only": True}, {"samesite": "none", "secure": ""}),
        ({"max_age": 3600.0}, {"max-age": "3600"}),
        ({"max_age": 0}, {"max-age": "0"}),
        ({"max_age": -1}, {"max-age": "-1"}),
        ({"domain": ".example.com"}, {"domain": ".example.com"}),
        ({"path": "/app"}, {"path": "/app"}),
        ({"secret_key": Secret(KEY)}, {}),
        ({"session_cookie": "app.sid"}, {}),
    ],
)
def test_settings_accepted_by_starlette_are_accepted(settings: dict[str, Any], expected: dict[str, str]) -> None:
    flags = attributes(client_for([Route("/", put)], **settings).get("/"))
    assert flags and expected.items() <= flags.items()


@pytest.mark.parametrize("max_age", [0, -1])
def test_cookie_that_expires_immediately_opens_no_session(max_age: int) -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20)
    client = client_for([Route("/", put), Route("/view", view)], cache=cache, max_age=max_age)
    token = attributes(client.get("/"))["session"]
    assert client.get("/view", headers={"cookie": f"session={token}"}).json() == {} and len(cache) == 0


def test_attributes_are_formatted_as_by_starlette() -> None:
    settings = {"path": "/app", "domain": ".example.com", "https_only": True, "same_site": "none", "partitioned": True}
    cookie = client_for([Route("/", put)], **settings).get("/").headers["set-cookie"]
    assert set(cookie.split("; ")[1:]) == {
        "path=/app", "Max-Age=1209600", "domain=.example.com", "httponly", "secure", "samesite=none", "partitioned",
    }  # fmt: skip
