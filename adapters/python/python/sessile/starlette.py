"""``request.session`` for Starlette and FastAPI, kept on the server.

Replace the import of Starlette's middleware::

    from sessile.starlette import SessionMiddleware

    app.add_middleware(SessionMiddleware, secret_key=secret_key, max_age=1_800)
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Literal

from sessile import _install, _settings
from sessile._access import mark_access_in_request_session
from sessile._replaced import adopt
from sessile._sessile import SessionCache
from sessile._workers import warn_of_several_workers
from sessile.control import SESSION, SessionControl, session_control
from sessile.session import Session, unread

__all__ = ["Session", "SessionControl", "SessionMiddleware", "install", "session_control"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Secret = object
"""``str``, ``bytes``, Starlette's ``Secret``, or a list of those, newest first."""

_log = logging.getLogger("sessile")


class SessionMiddleware:
    """Adds a :class:`~sessile.session.Session` to each request, and its headers to each response.

    The arguments of Starlette's middleware keep their meaning, except ``max_age``: it counts from
    the last use, not from the last change. The cookie is sent again when a sixteenth of it has
    passed.

    Middlewares of one process with equal secrets, cookie name and settings share one cache. A
    middleware inside another of the same cache uses the outer one's session.

    ``secret_key``
        At least 32 characters; a list for rotation, newest first. Guessable secrets, and those
        printed in tutorials, are rejected unless ``insecure_dev_key`` is set. Alternatively
        ``keys``: base64 of at least 32 bytes, as in the environment variable ``SESSILE_KEYS``,
        which is read if neither is given.
    ``max_age``
        Seconds from the last use until a session expires and the browser removes its cookie. With
        ``None`` the browser removes the cookie when it closes, and the session expires after
        ``idle_timeout``, or 14 days.
    ``lifetime``
        Seconds from the creation until a session expires, used or not: 12 hours, or ``max_age`` if
        that is longer.
    ``identity_keys``
        The keys that identify the user. If the value of one changes, the session gets a new id with
        that response, so that an id planted before a login is not accepted after it. ``()`` turns
        this off.
    ``touch_always``
        Counts each request with a valid cookie as a use. By default a request is a use if a
        handler, a middleware or a dependency reads or writes the session.
    ``memory``
        The memory for sessions, in bytes; 32 MiB by default. It is allocated at the start and never
        grows. When it is full, sessions of clients that never returned are evicted first, and
        sessions of signed-in users last.
    ``rotate_every``
        Seconds after which a session gets a new id. The old id is accepted for 10 more seconds.
        Never by default.
    ``accept_starlette_cookies``
        The secret of Starlette's middleware, of any strength, to move its sessions: a cookie that
        it signed is read, and replaced when the response begins. Remove the setting once
        ``max_age`` has passed.
    ``cache``
        A :class:`sessile.SessionCache`, in place of the settings of the sessions and the cookie's
        name. It provides ``user_sessions``, ``end_user_sessions`` and statistics.
    """

    def __init__(
        self,
        app: App,
        secret_key: Secret | None = None,
        session_cookie: str | None = None,
        max_age: int | None = _settings.FOURTEEN_DAYS,
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
        max_sessions_per_user: int | None = 32,
        rotate_every: float | None = None,
        identity_keys: Iterable[str] = _settings.IDENTITY_KEYS,
        touch_always: bool = False,
        accept_starlette_cookies: Secret | None = None,
        insecure_dev_key: bool = False,
    ) -> None:
        name = _settings.cookie_name(session_cookie, cookie_name)
        max_age = _settings.age("max_age", max_age)
        if cache is None:
            cache = _settings.cache_for(
                secret_key=secret_key,
                keys=keys,
                insecure_dev_key=insecure_dev_key,
                memory=memory,
                max_session_size=max_session_size,
                max_sessions_per_user=max_sessions_per_user,
                max_age=max_age,
                idle_timeout=idle_timeout,
                lifetime=lifetime,
                cookie_name=name,
            )
        elif secret_key is not None or keys is not None or name[1] not in (None, cache.cookie_name):
            raise ValueError("`secret_key`, `keys` and the cookie's name must not be given with `cache`, which defines them")
        if accept_starlette_cookies is not None:
            warnings.warn(
                "`accept_starlette_cookies` is set: a cookie that Starlette signed is accepted, even if its user has "
                "signed out. Remove the setting once `max_age` has passed",
                stacklevel=2,
            )
        warn_of_several_workers()
        mark_access_in_request_session()
        self.app = app
        self.cache = cache
        self._touch_always = bool(touch_always)
        self._sessions = _settings.sessions_for(
            cache,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
            max_age=max_age,
            rotate_every=rotate_every,
            identity_keys=identity_keys,
            touch_always=touch_always,
            accept_starlette_cookies=accept_starlette_cookies,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http" or SESSION in scope:
            if not self._needs_session(scope):
                await self.app(scope, receive, send)
                return
            if SESSION in scope:
                await self._call_inside(scope, receive, send)
                return
        visit = self._sessions.begin(scope["headers"], kind == "websocket")
        session = scope["session"] = scope[SESSION] = unread(visit)
        if self._touch_always:
            visit.touch()

        # Not a coroutine function, which would add a frame to each message.
        def respond(message: Message) -> Awaitable[None]:
            if scope["session"] is not session and message["type"] == "http.response.start":
                _adopt_replacement(scope, session, message)
            response = visit.respond(session, message)
            if response is None:
                return send(message)
            if type(response) is tuple:
                return _send_with_followup(send, session, *response)
            return send(response)  # type: ignore[arg-type]

        responding: Send = respond
        if kind == "websocket":
            receive, responding = _websocket(scope, session, receive, send)
        try:
            await self.app(scope, receive, responding)
        except BaseException:
            visit.fail(session)
            raise
        try:
            visit.finish(session)
        except Exception as error:
            _report(error)

    def _needs_session(self, scope: Scope) -> bool:
        """Returns true if this middleware must begin a session.

        False if an outer middleware of the same cache did, or if the scope is neither a request nor
        a websocket.
        """
        if scope["type"] not in ("http", "websocket"):
            return False
        outer = scope.get(SESSION)
        # The session is over if the scope of an earlier request is used again.
        if outer is None or outer._visit.is_over():
            scope.pop(SESSION, None)
            return True
        shares_outer = _install.is_installed() and self._has_cookie_name_of(outer)
        return not (outer._visit.is_of(self.cache) or shares_outer)

    async def _call_inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request inside a session middleware of another cache."""
        outer, outer_session = scope[SESSION], scope["session"]
        if self._has_cookie_name_of(outer):
            _warn_of_two_caches(self.cache.cookie_name)
        del scope[SESSION]
        try:
            await self(scope, receive, send)
        finally:
            scope["session"], scope[SESSION] = outer_session, outer

    def _has_cookie_name_of(self, outer: Session) -> bool:
        return outer._visit.cookie_name() == self.cache.cookie_name


def _websocket(scope: Scope, session: Session, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Returns the channels of a websocket.

    The response to its handshake carries the cookie. Later changes are stored when the connection
    ends.
    """

    async def receive_and_save() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            _save_late(session)
        return message

    async def respond(message: Message) -> None:
        if scope["session"] is not session and message["type"] in _HANDSHAKES:
            _adopt_replacement(scope, session, message)
        response = session._visit.respond(session, message)
        if message["type"] == "websocket.close":
            # Before the message: a client that has received it may send its next request.
            _save_late(session)
        if type(response) is tuple:
            await _send_with_followup(send, session, *response)
        else:
            await send(message if response is None else response)  # type: ignore[arg-type]

    return receive_and_save, respond


_HANDSHAKES = ("websocket.accept", "websocket.http.response.start")


async def _send_with_followup(
    send: Send, session: Session, message: Message, followup: bytes | Literal[True]
) -> None:
    """Sends a message and handles what follows it.

    After the end of a stream (``True``) its changes are stored. After the start of an error
    response, which replaces the application's, the response's body is sent. Later messages of the
    replaced response are dropped.
    """
    if followup is True:
        await send(message)
        _save_late(session)
    elif message["type"].endswith("http.response.start"):
        _log.warning("the session could not be stored: the response has status %d", message["status"])
        await send(message)
        await send({"type": message["type"].replace("start", "body"), "body": followup})


def _adopt_replacement(scope: Scope, session: Session, message: Message) -> None:
    """Handles a replaced ``scope["session"]`` when the response begins.

    Adopts a dict that the application set, or else warns of another middleware's cookie.
    """
    adopt(scope, session)
    found = scope["session"]
    if found is not session and not isinstance(found, Session):
        session._visit.look_for_foreign_cookie(message)


def _save_late(session: Session) -> None:
    """Stores changes that were made after the headers were sent.

    No response can report an error.
    """
    try:
        session._visit.save_late(session)
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    """Logs an error, once for each kind of error."""
    kind = f"{type(error).__name__}: {error}" if type(error) is RuntimeError else type(error).__name__
    if kind not in _reported:
        _reported.add(kind)
        _log.error("changes to a session after its response began cannot be stored: %s: %s", type(error).__name__, error)


_reported: set[str] = set()


def _warn_of_two_caches(name: str) -> None:
    global _has_warned_of_two_caches
    if not _has_warned_of_two_caches:
        _has_warned_of_two_caches = True
        warnings.warn(
            f"two session middlewares with different caches set the same cookie, {name!r}, in one request and end each "
            "other's sessions; give one of them another `session_cookie`, or both the same `cache=`",
            RuntimeWarning,
            stacklevel=3,
        )


_has_warned_of_two_caches = False


def install() -> None:
    """Replaces ``starlette.middleware.sessions.SessionMiddleware`` by :class:`SessionMiddleware`.

    For libraries that add Starlette's middleware. Call it before such a library is imported.
    Afterwards a middleware inside another of the same cookie name uses the outer one's session.

    Raises :exc:`RuntimeError` if a module has already imported Starlette's class, and names the
    modules.
    """
    _install.install(SessionMiddleware)
