"""``request.session`` for Starlette and FastAPI, kept on the server.

Change the import, and what was a signed cookie is a session::

    from sessile.starlette import SessionMiddleware

    app.add_middleware(SessionMiddleware, secret_key=..., max_age=1_800)
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Literal

from sessile._sessile import SessionCache, Sessions
from sessile._workers import warn_of_several
from sessile.session import Session, unread

__all__ = ["Session", "SessionMiddleware"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Secret = object
"""``str``, ``bytes``, Starlette's ``Secret``, or a list of those, newest first."""

FOURTEEN_DAYS = 14 * 24 * 60 * 60

_log = logging.getLogger("sessile")


class SessionMiddleware:
    """Gives each request a :class:`~sessile.session.Session` and each response the headers that go with it.

    Arguments that Starlette's own has mean what they mean there, but for ``max_age``: it is counted from the last
    use, not from the last change, and the cookie is sent again as it moves on.

    ``secret_key``
        At least 32 characters; a list for rotation, newest first. Guessable ones, and those that tutorials print,
        are refused, unless ``insecure_dev_key`` is set. Instead of it, ``keys`` takes base64 of 32 bytes or more,
        as the environment variable ``SESSILE_KEYS``, which is read if neither is given.
    ``max_age``
        How long after its last use a session ends, and the browser drops its cookie, in seconds. With ``None`` the
        cookie goes when the browser closes, and the session after ``idle_timeout``, or 14 days.
    ``lifetime``
        How long after its beginning a session ends, in seconds, whatever it is used for: 12 hours, or
        ``max_age`` if that is longer.
    ``memory``
        All the memory for sessions, in bytes; 32 MiB unless set. It is taken at once and never grows: when it is
        full, sessions of visitors who never came back go first, and those of people who are signed in last.
    ``rotate_every``
        Gives a session a new id when its id is that old, in seconds. Never unless set.
    ``accept_starlette_cookies``
        The secret of Starlette's own middleware, of whatever strength, to move its sessions here: a cookie that it
        signed is read, and replaced when the response begins. Take it out again once ``max_age`` has passed.
    ``cache``
        A :class:`sessile.SessionCache` of yours, which has then the settings of the sessions and the cookie's
        name: the handle for ``sessions_of``, ``end_user`` and statistics.
    """

    def __init__(
        self,
        app: App,
        secret_key: Secret | None = None,
        session_cookie: str | None = None,
        max_age: int | None = FOURTEEN_DAYS,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        cookie_name: str | None = None,
        cache: SessionCache | None = None,
        keys: str | Sequence[str] | None = None,
        memory: int = 32 << 20,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
        max_session_size: int = 16 << 10,
        max_sessions_per_user: int = 32,
        rotate_every: float | None = None,
        accept_starlette_cookies: Secret | None = None,
        insecure_dev_key: bool = False,
    ) -> None:
        name = _one("session_cookie", session_cookie, "cookie_name", cookie_name)
        if cache is None:
            idle = _idle_timeout(max_age, idle_timeout)
            cache = SessionCache(
                secret_key=secret_key,
                keys=keys,
                insecure_dev_key=insecure_dev_key,
                memory=memory,
                max_session_size=max_session_size,
                max_sessions_per_user=max_sessions_per_user,
                idle_timeout=idle,
                lifetime=max(12 * 60 * 60, idle) if lifetime is None else lifetime,
                cookie_name=name or "session",
            )
        elif secret_key is not None or keys is not None or name not in (None, cache.cookie_name):
            raise ValueError("`cache` has keys and a cookie's name of its own: leave them out here")
        if accept_starlette_cookies is not None:
            warnings.warn(
                "`accept_starlette_cookies` is set: whoever has a cookie that Starlette signed gets a session by it, "
                "signed out or not. Take it out once `max_age` has passed",
                stacklevel=2,
            )
        warn_of_several()
        self.app = app
        self.cache = cache
        self._sessions = Sessions(
            cache,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
            max_age=max_age,
            rotate_every=rotate_every,
            accept_starlette_cookies=accept_starlette_cookies,
        )
        self._is_read_at_once = not _starlette_says_when()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http":
            await (self._connect if kind == "websocket" else self.app)(scope, receive, send)
            return
        visit = self._sessions.begin(scope["headers"], False)
        session = scope["session"] = unread(visit)
        if self._is_read_at_once:
            session.mark_accessed()

        def responding(message: Message) -> Awaitable[None]:
            instead = visit.respond(session, message)
            return send(message) if instead is None else _refuse(send, message, instead)

        await self.app(scope, receive, responding)
        visit.save_late(session)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket has no response that could carry a cookie: an existing session is read, and stored when the
        connection is accepted and when it ends."""
        visit = self._sessions.begin(scope["headers"], True)
        session = scope["session"] = unread(visit)
        if self._is_read_at_once:
            session.mark_accessed()

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                visit.save_late(session)
            return message

        async def sending(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.close"):
                visit.save_late(session)
            await send(message)

        await self.app(scope, receiving, sending)
        visit.save_late(session)


async def _refuse(send: Send, message: Message, body: bytes) -> None:
    """Sends the response that says that a session could not be stored, and nothing of the application's."""
    if message["type"] == "http.response.start":
        _log.warning("a session could not be stored: the response is a %d", message["status"])
        await send(message)
        await send({"type": "http.response.body", "body": body})


def _starlette_says_when() -> bool:
    """Whether ``request.session`` tells us that it was asked for, as Starlette's does since 1.0."""
    try:
        from starlette.middleware.sessions import Session as Starlettes
    except ImportError:
        return False
    return hasattr(Starlettes, "mark_accessed")


def _one(name: str, given: str | None, other: str, also: str | None) -> str | None:
    if given is not None and also is not None and given != also:
        raise ValueError(f"`{name}` was {given!r} and `{other}` {also!r}; they are one setting: give one")
    return also if given is None else given


def _idle_timeout(max_age: int | None, idle_timeout: float | None) -> float:
    if idle_timeout is None:
        return FOURTEEN_DAYS if max_age is None else max_age
    if max_age not in (None, FOURTEEN_DAYS, idle_timeout):
        raise ValueError(
            f"`max_age` was {max_age} and `idle_timeout` {idle_timeout}; they are one setting: give one, or "
            "`max_age=None` for a cookie that goes when the browser closes"
        )
    return idle_timeout
