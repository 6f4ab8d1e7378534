"""The error of a setting or an argument names it, its limits and the given value."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from conftest import KEY, client_for
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sessile import SessionCache
from sessile.starlette import SessionControl, SessionMiddleware, session_control

SECONDS, SECONDS_OR_NONE = "a number of seconds", "a number of seconds or None"
WHOLE, POSITIVE = "a whole number", "0 or more"
BETWEEN = "between .* and"

# The setting, its value, the expected values in the error, and the given value in the error if that
# is not its `repr`.
OF_THE_CACHE: list[tuple[Any, ...]] = [
    ("secret_key", 1, "str, bytes, a Secret", "int"),
    ("secret_key", "short", "32", "5"),
    ("keys", "no base64!", "base64", "key 1"),
    ("keys", 1, "str, bytes, a Secret", "int"),
    ("insecure_dev_key", 1, "True or False"),
    ("memory", "32M", WHOLE),
    ("memory", -1, POSITIVE),
    ("memory", 5, BETWEEN),
    ("max_session_size", None, WHOLE),
    ("max_session_size", 0, BETWEEN),
    ("max_session_size", 1 << 30, BETWEEN),
    ("idle_timeout", "60", SECONDS),
    ("idle_timeout", -1, POSITIVE),
    ("idle_timeout", float("nan"), POSITIVE, "NaN"),
    ("idle_timeout", 1, BETWEEN),
    ("idle_timeout", 86400, "at most `lifetime`"),
    ("lifetime", None, SECONDS),
    ("lifetime", float("inf"), POSITIVE),
    ("lifetime", 1, BETWEEN),
    ("cookie_name", 1, "a str"),
    ("cookie_name", "a b", "letters, digits"),
    ("max_sessions_per_user", 1.5, WHOLE),
    ("max_sessions_per_user", 0, "at least 1"),
    ("session_limit_policy", "panic", '"end_least_recently_used" or "reject"', '"panic"'),
    ("session_limit_policy", None, "a str"),
    ("reserved_for_authenticated", -1, POSITIVE),
    ("reserved_for_authenticated", 1 << 40, "at most"),
    ("end_reused", 1, "True or False"),
    ("verify_first", "no", "True or False"),
    ("events", -1, POSITIVE),
    ("clock", 1, "a ManualClock"),
]

OF_THE_STORE: list[tuple[Any, ...]] = [
    ("store", "http://127.0.0.1", "begin with `redis://`", "`http`"),
    ("store", "127.0.0.1:6379", "begin with `redis://`", "`127.0.0.1`"),
    ("store", 6379, "a URL, a RedisStore, a MemcachedStore, None or False", "int"),
]
OF_THE_CACHE += OF_THE_STORE

OF_THE_MIDDLEWARE: list[tuple[Any, ...]] = [
    ("secret_key", 1, "str, bytes, a Secret", "int"),
    ("session_cookie", "my session", "letters, digits", '"my session"'),
    ("session_cookie", 1, "a str"),
    ("cookie_name", b"sid", "a str"),
    ("max_age", "3600", "a whole number of seconds or None"),
    ("max_age", 1, BETWEEN),
    ("path", "", "begin with `/`", '""'),
    ("path", None, "a str"),
    ("same_site", "always", '"lax", "strict" or "none"'),
    ("same_site", "none", "`https_only` must be True", "False"),
    ("domain", "a.example:80", "a host name", '"a.example:80"'),
    ("domain", 1, "a str"),
    ("keys", 1, "str, bytes, a Secret", "int"),
    ("memory", "32M", WHOLE),
    ("memory", -1, POSITIVE),
    ("memory", 5, BETWEEN),
    ("idle_timeout", "60", SECONDS_OR_NONE),
    ("idle_timeout", 90, "equal"),
    ("lifetime", "60", SECONDS_OR_NONE),
    ("lifetime", 60, "`lifetime`"),
    ("max_session_size", 0, BETWEEN),
    ("max_sessions_per_user", "32", WHOLE),
    ("max_sessions_per_user", 0, "at least 1"),
    ("rotate_every", "60", SECONDS_OR_NONE),
    ("rotate_every", -1, POSITIVE),
    ("identity_keys", "user", "a tuple of str"),
    ("accept_starlette_cookies", 1, "str, bytes, a Secret", "int"),
    *OF_THE_STORE,
    ("skip", 1, "prefixes of paths", "1"),
    ("skip", "static/", "begin with `/`", "'static/'"),
    ("skip", ["/static/", None], "prefixes of paths", "['/static/', None]"),
]

ARE_CONVERTED = {"https_only", "partitioned", "touch_always", "insecure_dev_key", "app", "cache"}
"""Settings that accept any object."""


def error_of(make: Any, name: str, value: Any) -> str:
    keys = {} if name in ("secret_key", "keys") else {"secret_key": KEY}
    more = {"max_age": 60} if make is SessionMiddleware and value == 90 else {}
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**({"app": None} if make is SessionMiddleware else {}), **keys, **more, **{name: value})
    print(caught.value)
    return str(caught.value)


def names_all(text: str, name: str, must: str, shown: str) -> bool:
    is_a_contradiction = name == "same_site" and "https_only" in text
    return (f"`{name}`" in text or is_a_contradiction) and re.search(must, text) is not None and shown in text


@pytest.mark.parametrize("case", OF_THE_CACHE, ids=lambda case: f"{case[0]}={case[1]!r}")
def test_errors_of_the_cache_name_the_setting_its_value_and_its_limit(case: tuple[Any, ...]) -> None:
    name, value, must, shown = (*case, repr(case[1]).strip("'"))[:4]
    text = error_of(SessionCache, name, value)
    assert names_all(text, name, must, shown), text


@pytest.mark.filterwarnings("ignore:.accept_starlette_cookies")
@pytest.mark.parametrize("case", OF_THE_MIDDLEWARE, ids=lambda case: f"{case[0]}={case[1]!r}")
def test_errors_of_the_middleware_name_the_setting_its_value_and_its_limit(case: tuple[Any, ...]) -> None:
    name, value, must, shown = (*case, repr(case[1]).strip("'"))[:4]
    text = error_of(SessionMiddleware, name, value)
    assert names_all(text, name, must, shown), text


def test_every_setting_has_an_error_case() -> None:
    for make, cases in ((SessionCache, OF_THE_CACHE), (SessionMiddleware, OF_THE_MIDDLEWARE)):
        settings = set(inspect.signature(make).parameters)
        assert settings - ARE_CONVERTED <= {case[0] for case in cases}


@pytest.mark.parametrize(
    ("verb", "arguments", "settings", "text"),
    [
        ("sign_in", [""], {}, "user"),
        ("sign_in", ["ada"], {"assurance_level": 256}, "`assurance_level` must be a whole number, 0 to 255, got 256"),
        ("sign_in", ["ada"], {"remember": -1}, "`remember` must be a number of seconds, 0 or more, got -1"),
        ("sign_in", ["ada"], {"remember": "long"}, "`remember` must be a number of seconds, got 'long'"),
    ],
)
def test_errors_of_methods_name_the_argument(verb: str, arguments: list[Any], settings: dict[str, Any], text: str) -> None:
    def call(request: Request) -> Response:
        control: SessionControl = session_control(request)
        with pytest.raises((TypeError, ValueError), match=text) as caught:
            getattr(control, verb)(*arguments, **settings)
        print(caught.value)
        return Response()

    assert client_for([Route("/", call)]).get("/").status_code == 200
