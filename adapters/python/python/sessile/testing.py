"""Helpers for the tests of an application: a manual clock, and clients that are signed in.

::

    from sessile import SessionCache
    from sessile.starlette import SessionMiddleware
    from sessile.testing import ManualClock, test_client

    clock = ManualClock()
    cache = SessionCache(secret_key=secret_key, clock=clock)
    app.add_middleware(SessionMiddleware, cache=cache)

    client = test_client(app, cache, user="ada", data={"cart": ["tea"]})
    assert client.get("/cart").json() == ["tea"]
    clock.advance(31 * 60)
    assert client.get("/cart").status_code == 401
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.testclient import TestClient

from sessile._sessile import ManualClock, SessionCache, _Sessions
from sessile._waiting import block
from sessile.session import unread

__all__ = ["ManualClock", "session_cookie", "test_client"]


def session_cookie(
    cache: SessionCache, *, user: str | None = None, data: Mapping[str, Any] | None = None
) -> str:
    """Creates a session and returns the value of its cookie.

    It holds ``data``, and ``user`` is signed in.

    Raises :exc:`ValueError` if neither is given, and :exc:`RuntimeError` if the session cannot be
    stored.
    """
    visit = _Sessions(cache, https_only=True).begin([], False)
    session = unread(visit)
    session.update(data or {})
    if user is not None:
        visit.sign_in(user, "", 0, None)
    message: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
    response = block(visit.respond(session, message))
    if isinstance(response, tuple):
        raise RuntimeError("the session cannot be stored: the cache is full, the store cannot be reached, or `data` exceeds `max_session_size`")
    set_cookie = dict((response or message)["headers"]).get(b"set-cookie", b"")
    name, _, rest = set_cookie.decode().partition("=")
    if name != cache.cookie_name:
        raise ValueError("`user` or `data` must be given, got neither; an empty session is not stored")
    return str(rest.partition(";")[0])


def test_client(
    app: Any,
    cache: SessionCache,
    *,
    user: str | None = None,
    data: Mapping[str, Any] | None = None,
    **settings: Any,
) -> TestClient:
    """Returns a ``TestClient`` of the application with the cookie of :func:`session_cookie`.

    ``settings`` are passed to Starlette's ``TestClient``.
    """
    cookies = {cache.cookie_name: session_cookie(cache, user=user, data=data)}
    return TestClient(app, cookies=cookies, **settings)


# Because of its name, pytest would otherwise collect it in each module that imports it.
test_client.__test__ = False  # type: ignore[attr-defined]
