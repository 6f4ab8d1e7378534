"""``request.session`` for Starlette and FastAPI, kept on the server.

Replace the import of Starlette's middleware::

    from sessile.starlette import SessionMiddleware

    app.add_middleware(SessionMiddleware, secret_key=secret_key, max_age=1_800)
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Literal, NamedTuple

from sessile import _install, _settings
from sessile._access import mark_access_in_request_session
from sessile._replaced import adopt
from sessile._sessile import Conflict, Full, InvalidCSRFToken, SessionCache, Unreachable, _Pending
from sessile._store import MemcachedStore, RedisStore
from sessile._waiting import wait
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
        Counts each request with a valid cookie as a use, except those that ``skip`` exempts. By
        default a request is a use if a handler, a middleware or a dependency reads or writes the
        session.
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
        A :class:`sessile.SessionCache`, in place of the settings of the sessions, the cookie's name
        and the store. It provides ``user_sessions``, ``end_user_sessions`` and statistics. Its
        ``idle_timeout`` applies: ``max_age`` only selects whether the browser keeps the cookie when
        it closes.
    ``store``
        The URL of a Redis or Valkey server, ``"redis://…"``, or of a memcached,
        ``"memcached://…"``, or a :class:`sessile.RedisStore` or :class:`sessile.MemcachedStore`, so
        that several processes share the sessions, and a restart keeps them. By default the
        environment variable ``SESSILE_STORE``; ``False`` ignores it. The session of each request
        with a cookie is then loaded before the application runs.
    ``skip``
        Prefixes of paths, such as ``("/static/", "/health")``, or a function of the scope that
        returns true: requests whose session is not loaded before the application runs. Only with a
        store.
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
        store: str | RedisStore | MemcachedStore | Literal[False] | None = None,
        skip: str | Iterable[str] | Callable[[Scope], bool] | None = None,
    ) -> None:
        name = _settings.cookie_name(session_cookie, cookie_name)
        max_age = _settings.age("max_age", max_age)
        of_cache: dict[str, object] = {
            "secret_key": secret_key,
            "keys": keys,
            "insecure_dev_key": insecure_dev_key,
            "memory": memory,
            "max_session_size": max_session_size,
            "max_sessions_per_user": max_sessions_per_user,
            "idle_timeout": idle_timeout,
            "lifetime": lifetime,
        }
        if cache is None:
            cache = _settings.cache_for(**of_cache, max_age=max_age, cookie_name=name, store=store)
        else:
            _settings.check_beside_cache(cache, name[1], store=store or None, **of_cache)
        if accept_starlette_cookies is not None:
            warnings.warn(
                "`accept_starlette_cookies` is set: a cookie that Starlette signed is accepted, even if its user has "
                "signed out. Remove the setting once `max_age` has passed",
                stacklevel=2,
            )
        self._has_store = cache.has_store
        if not self._has_store:
            warn_of_several_workers()
        mark_access_in_request_session()
        self.app = app
        self.cache = cache
        self._touch_always = bool(touch_always)
        self._skips = _settings.skipping(skip)
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
        if (kind != "http" or SESSION in scope) and await self._call_without(scope, receive, send):
            return
        visit = self._sessions.begin(scope["headers"], kind == "websocket")
        session = scope["session"] = scope[SESSION] = unread(visit)
        if self._has_store:
            # Requests without a cookie, and sessions in memory, do not wait.
            if not self._skips(scope) and (loading := visit.load(self._touch_always)) is not None:
                await wait(loading)
        elif self._touch_always:
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
            if type(response) is _Pending:
                return _send_when_stored(send, session, response)
            return send(response)  # type: ignore[arg-type]

        responding: Send = respond
        if kind == "websocket":
            receive, responding = _websocket(scope, session, receive, send)
        try:
            await self.app(scope, receive, responding)
        except (InvalidCSRFToken, Unreachable) as error:
            await _reject(error, scope, session, responding)
        except BaseException:
            visit.fail(session)
            raise
        try:
            pending = visit.finish(session)
        except Exception as error:
            _report(error)
        else:
            if pending is not None:
                await _wait_late(pending)

    async def _call_without(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Handles a scope for which no session begins here. Returns false if one must begin."""
        if scope["type"] == "lifespan" and self._has_store:
            await self._call_lifespan(scope, receive, send)
        elif not self._needs_session(scope):
            await self.app(scope, receive, send)
        elif SESSION in scope:
            await self._call_inside(scope, receive, send)
        else:
            return False
        return True

    async def _call_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Connects to the store at the start of the server, and closes the connections at its end.

        They are open already, unless the process was forked after the middleware was built.
        """
        try:
            self.cache._open()
        except ValueError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                self._sessions.release()
                if unconfirmed := await self.cache.aclose(_CLOSE_SECONDS):
                    _log.warning("%d sign-outs and revocations were not confirmed by the store of the sessions", unconfirmed)
            await send(message)

        await self.app(scope, receive, send_and_close)

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
            scope[_IS_CLOSED] = True
            if (pending := _save_late(session)) is not None:
                await _wait_late(pending)
        return message

    async def respond(message: Message) -> None:
        if message["type"] in _ENDS:
            scope[_IS_CLOSED] = True
        if scope["session"] is not session and message["type"] in _HANDSHAKES:
            _adopt_replacement(scope, session, message)
        response: Any = session._visit.respond(session, message)
        if type(response) is _Pending:
            response = await wait(response)
        # Before the message: a client that has received it may send its next request.
        if message["type"] == "websocket.close" and (pending := _save_late(session)) is not None:
            await _wait_late(pending)
        if type(response) is tuple:
            await _send_with_followup(send, session, *response)
        else:
            await send(message if response is None else response)

    return receive_and_save, respond


_HANDSHAKES = ("websocket.accept", "websocket.http.response.start")
_ENDS = ("websocket.close", "websocket.http.response.start")
_IS_CLOSED = "sessile.is_closed"
"""The scope's key for a websocket that no message can close any more."""


async def _reject(error: InvalidCSRFToken | Unreachable, scope: Scope, session: Session, send: Send) -> None:
    """Responds to a failed CSRF check, or an unreachable store, that the application did not handle.

    Raises the error if the response has begun or the websocket is closed.
    """
    is_websocket = scope["type"] == "websocket"
    try:
        if _IS_CLOSED in scope if is_websocket else not session._visit.is_open():
            raise error
        rejection = _UNREACHABLE if isinstance(error, Unreachable) else _FORGED
        result = f"websocket is closed with code {rejection.code}" if is_websocket else f"response has status {rejection.status}"
        _log.warning("%s: the %s", rejection.cause, result)
        for message in rejection.messages(is_websocket):
            await send(message)
    except BaseException:
        session._visit.fail(session)
        raise


class _Rejection(NamedTuple):
    """The response to an exception of this package that the application did not handle."""

    cause: str
    status: int
    code: int
    reason: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def messages(self, is_websocket: bool) -> list[Message]:
        """Returns the messages that reject a request or websocket.

        They are new ones, because outer middlewares may change them.
        """
        if is_websocket:
            # Before the handshake the server turns it into status 403.
            return [{"type": "websocket.close", "code": self.code, "reason": self.reason}]
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(self.body)), *self.headers]
        return [
            {"type": "http.response.start", "status": self.status, "headers": headers},
            {"type": "http.response.body", "body": self.body},
        ]


_FORGED = _Rejection(
    "the CSRF token is not valid for the session",
    403,
    1008,
    "The CSRF token is not valid.",
    b"This form is out of date. Go back, reload the page and try again.",
)
_UNREACHABLE = _Rejection(
    "the store of the sessions cannot be reached",
    503,
    1013,
    "The session could not be read.",
    b"The session could not be read. Please try again in a moment.",
    ((b"retry-after", b"5"), (b"cache-control", b"no-store")),
)


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
        if (pending := _save_late(session)) is not None:
            await _wait_late(pending)
    elif message["type"].endswith("http.response.start"):
        _log.warning("the session could not be stored: the response has status %d", message["status"])
        await send(message)
        await send({"type": message["type"].replace("start", "body"), "body": followup})


async def _send_when_stored(send: Send, session: Session, pending: _Pending) -> None:
    """Waits until the store has the session, and sends the message that results."""
    response = await wait(pending)
    if type(response) is tuple:
        await _send_with_followup(send, session, *response)
    else:
        await send(response)


def _adopt_replacement(scope: Scope, session: Session, message: Message) -> None:
    """Handles a replaced ``scope["session"]`` when the response begins.

    Adopts a dict that the application set, or else warns of another middleware's cookie.
    """
    adopt(scope, session)
    found = scope["session"]
    if found is not session and not isinstance(found, Session):
        session._visit.look_for_foreign_cookie(message)


def _save_late(session: Session) -> _Pending | None:
    """Stores changes that were made after the headers were sent.

    No response can report an error.
    """
    try:
        return session._visit.save_late(session)
    except Exception as error:
        _report(error)
        return None


async def _wait_late(pending: _Pending) -> None:
    """Waits until the store has changes that were made after the headers were sent."""
    try:
        answer: Any = pending
        while answer is not None:
            answer = await wait(answer)
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    """Logs an error: those of the application once for each kind, those of the store each time."""
    kind = f"{type(error).__name__}: {error}" if type(error) is RuntimeError else type(error).__name__
    if isinstance(error, (Unreachable, Conflict, Full)) or kind not in _reported:
        _reported.add(kind)
        _log.error("changes to a session after its response began cannot be stored: %s: %s", type(error).__name__, error)


_reported: set[str] = set()

_CLOSE_SECONDS = 3.0
"""The time for queued sign-outs when the server shuts down."""


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
