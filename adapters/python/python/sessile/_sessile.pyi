from collections.abc import Coroutine, Iterable, MutableMapping, Sequence
from typing import Any, Literal, final

from sessile._jwt_settings import Rules
from sessile._store import MemcachedStore, RedisStore
from sessile.jwt import Claims

__all__ = [
    "Conflict",
    "Event",
    "ForkedProcess",
    "Full",
    "Gone",
    "InvalidCSRFToken",
    "IssuedSession",
    "ManualClock",
    "Record",
    "SessionCache",
    "SessionError",
    "SessionId",
    "SessionInfo",
    "StoreHealth",
    "TooLarge",
    "Unreachable",
    "_Pending",
    "_Revocations",
    "_Sessions",
    "_StoreReader",
    "_TokenName",
    "_Verifier",
    "_Visit",
    "_Wakeups",
    "_close_all",
    "_from_json",
    "_jwt_read",
    "_jwt_sign",
    "_nothing",
    "_stored_alias",
    "_stored_session",
    "_to_json",
    "_unsign",
]

class SessionError(Exception):
    """An operation on a session failed. Except for :exc:`Unreachable`, it changed nothing."""

class Gone(SessionError):
    """The session does not exist: it was never created, ended or expired, or has a new id."""

class Conflict(SessionError):
    """Another request or thread saved the session since that version was read."""

class Full(SessionError):
    """The cache is full, and no session can be evicted."""

class TooLarge(SessionError):
    """The data is longer than ``max_session_size`` bytes."""

class Unreachable(SessionError):
    """The store of the sessions did not answer in time.

    A sign-out or a revocation is effective in this process, and is sent again. A save may have been
    stored.

    If the application does not handle it, the middleware responds with status 503 and
    ``Retry-After``.
    """

class ForkedProcess(SessionError):
    """The session was read before the process forked. It does not exist in the child process."""

class InvalidCSRFToken(SessionError):
    """The CSRF token was not created by this session.

    The request is forged, or the page is older than the session's id. If the application does not
    handle it, the middleware responds with status 403.
    """

@final
class SessionId:
    """The id of a session. It gives access to the session, so keep it out of logs and URLs."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class IssuedSession:
    """A session that was created, rotated or signed in to."""

    @property
    def id(self) -> SessionId:
        """The new id."""
    @property
    def token(self) -> str:
        """The value of the cookie to send."""
    @property
    def version(self) -> int:
        """The version of the data."""

@final
class Record:
    """A session that was read."""

    @property
    def id(self) -> SessionId:
        """The id of the session."""
    @property
    def version(self) -> int:
        """The version of the data, for ``save``."""
    @property
    def data(self) -> bytes:
        """The session's data."""
    @property
    def is_authenticated(self) -> bool:
        """True if a user is signed in."""
    @property
    def assurance_level(self) -> int:
        """The assurance level (NIST SP 800-63B AAL, OIDC ``acr``); 0 without a user."""
    @property
    def handle(self) -> str:
        """The name of the session in lists and events. It gives no access to the session."""
    @property
    def age(self) -> float:
        """Seconds since the session was created."""
    @property
    def expires_in(self) -> float:
        """Seconds until the session expires if it is not used again."""

@final
class SessionInfo:
    """A session in the list of a user's sessions."""

    @property
    def handle(self) -> str:
        """The name of the session, for ``end_by_handle``. It gives no access to the session."""
    @property
    def label(self) -> str:
        """The label that the application gave it at the sign-in; empty without one."""
    @property
    def assurance_level(self) -> int:
        """The authentication assurance level (NIST SP 800-63B AAL, OIDC ``acr``)."""
    @property
    def age(self) -> float:
        """Seconds since the session was created."""
    @property
    def authenticated_for(self) -> float:
        """Seconds since its user signed in."""
    @property
    def last_seen(self) -> float:
        """Seconds since its last use, at most a sixteenth of the idle timeout too large."""
    @property
    def is_current(self) -> bool:
        """True if it is the session of the request that listed them."""

@final
class StoreHealth:
    """The state of the store, for readiness probes."""

    @property
    def state(self) -> Literal["up", "down", "incompatible"]:
        """The state of the connection. If it is down, the cache connects again by itself."""
    @property
    def cause(self) -> str | None:
        """The reason why the store cannot be used with these settings; ``None`` in other states."""
    @property
    def lease_remaining(self) -> float:
        """Seconds for which sessions in memory are still opened if the store does not answer."""
    @property
    def ends_queued(self) -> int:
        """The number of ends that the store has not confirmed."""

@final
class Event:
    """An event of a session. It gives no access to the session, so it may be logged."""

    @property
    def kind(
        self,
    ) -> Literal["created", "signed_in", "rotated", "reused", "expired", "evicted", "ended", "conflict", "shard_reset"]:
        """The kind of the event."""
    @property
    def handle(self) -> str | None:
        """The session's handle; ``None`` if the event concerns all sessions."""
    @property
    def at(self) -> float:
        """The time of the event, in seconds since the cache's clock started."""

@final
class ManualClock:
    """A clock that only ``advance`` moves, for tests of expiry that do not wait."""

    def __new__(cls) -> ManualClock: ...
    def advance(self, seconds: float, /) -> None:
        """Moves the clock forward by ``seconds``."""

@final
class SessionCache:
    """A cache of sessions in memory whose size is fixed when it is built.

    With ``store`` it is in front of a store that processes share: the URL of a Redis, Valkey or
    memcached server, a :class:`sessile.RedisStore` or a :class:`sessile.MemcachedStore`. By default
    it is the environment variable ``SESSILE_STORE``; ``False`` ignores it.

    Pass it to a ``SessionMiddleware`` to use ``user_sessions``, ``end_user_sessions`` and the
    statistics, or use it alone. Times are in seconds. Any number of threads may use it.

    With a store, the methods that read or change sessions wait for it, without the interpreter
    lock. They raise :exc:`sessile.Unreachable` if it does not answer. Their awaitable variants,
    whose names start with ``a``, are for coroutines.
    """

    def __new__(
        cls,
        *,
        secret_key: object = None,
        keys: str | Sequence[str] | None = None,
        insecure_dev_key: bool = False,
        memory: int = 33554432,
        max_session_size: int = 16384,
        idle_timeout: float = 1800.0,
        lifetime: float = 43200.0,
        cookie_name: str = "session",
        max_sessions_per_user: int | None = 32,
        session_limit_policy: Literal["end_least_recently_used", "reject"] = "end_least_recently_used",
        reserved_for_authenticated: int = 0,
        end_reused: bool = False,
        verify_first: bool = False,
        events: int = 0,
        clock: ManualClock | None = None,
        store: str | RedisStore | MemcachedStore | Literal[False] | None = None,
    ) -> SessionCache: ...
    def create(self, data: bytes, *, idle_timeout: float | None = None, lifetime: float | None = None) -> IssuedSession:
        """Creates a session that holds ``data``.

        Raises ``Full`` if it could only evict sessions with a user, and ``TooLarge``.
        """
    def open(self, cookie: bytes | str) -> Record | None:
        """Returns the session whose token is in a ``Cookie`` header, or ``None``.

        Accepts any bytes.
        """
    def open_token(self, token: bytes | str) -> Record | None:
        """Returns the session of a token, the value of the cookie, or ``None``."""
    def load(self, id: SessionId) -> Record | None:
        """Returns the session of an id, or ``None``. Counts as a use, as ``open`` does."""
    def save(self, id: SessionId, version: int, data: bytes) -> int:
        """Replaces a session's data if its version is ``version``, and returns the new version.

        Raises ``Conflict``, ``Gone``, ``TooLarge`` and ``Full``.
        """
    def touch(self, id: SessionId) -> None:
        """Counts as a use of the session, and changes nothing else. Raises ``Gone``."""
    def set_timeouts(
        self, id: SessionId, version: int, *, idle_timeout: float | None = None, lifetime: float | None = None
    ) -> int:
        """Changes the timeouts of a session if its version is ``version``. Returns the new version.

        ``None`` keeps a timeout. A lifetime counts from the session's creation. Counts as a use.

        Raises ``Conflict`` and ``Gone``.
        """
    def sign_in(
        self,
        id: SessionId,
        user: str,
        *,
        label: str = "",
        assurance_level: int = 0,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
        renew_lifetime: bool = False,
    ) -> IssuedSession:
        """Atomically binds a session to a user and gives it a new id.

        Raises ``Gone`` and ``Full``.
        """
    def rotate(self, id: SessionId, *, grace: float = 0.0) -> IssuedSession:
        """Gives a session a new id.

        The old one is accepted for another ``grace`` seconds. Raises ``Gone`` and ``Full``.
        """
    def end(self, id: SessionId) -> bool:
        """Ends a session. Returns true if it existed."""
    def end_by_token(self, token: bytes | str) -> bool:
        """Ends the session of a token, which may be one that it had before.

        Returns true if it existed.
        """
    def end_if_unchanged(self, id: SessionId, version: int) -> None:
        """Ends a session if its version is ``version`` and it still has that id.

        Raises ``Conflict`` and ``Gone``.
        """
    def end_by_handle(self, handle: str) -> bool:
        """Ends the session of a handle from ``user_sessions``, of any user.

        Returns true if it existed. For a handle from a client call ``end_by_handle`` of the
        request's session, which ends only sessions of the signed-in user.

        Raises ``ValueError`` if the text is not a handle.
        """
    def end_user_sessions(self, user: str, *, except_id: SessionId | None = None) -> int:
        """Ends all sessions of a user, except that of ``except_id``, and returns their number."""
    def end_all(self) -> None:
        """Ends all sessions, in O(1)."""
    def user_sessions(self, user: str) -> list[SessionInfo]:
        """Returns the sessions of a user, the most recently used first."""
    def next_event(self) -> Event | None:
        """Returns the oldest event of the queue, or ``None`` if it is empty or ``events`` was not
        set."""
    def maintain(self, budget: int = 4096) -> int:
        """Frees the memory of expired sessions among at most ``budget`` entries.

        Returns their number.
        """
    def set_keys(self, *, secret_key: object = None, keys: str | Sequence[str] | None = None) -> None:
        """Replaces the keys. The first one signs; all verify."""
    def stats(self) -> dict[str, int]:
        """Returns counters and gauges: sizes in bytes, and numbers of sessions and events."""
    def prometheus(self) -> str:
        """Returns the statistics in the text format of Prometheus."""
    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
    @property
    def max_session_size(self) -> int:
        """The largest size of a session's data, in bytes."""
    @property
    def idle_timeout(self) -> float:
        """Seconds from its last use until a session expires."""
    @property
    def lifetime(self) -> float:
        """Seconds from its creation until a session expires."""
    @property
    def has_store(self) -> bool:
        """True if the sessions are in a store."""
    def store_health(self) -> StoreHealth | None:
        """Returns the state of the store, for readiness probes; ``None`` without one."""
    def close(self, deadline: float = 5.0) -> int:
        """Closes the connections to the store, after what is queued was sent.

        Returns the number of ends and revocations that the store has not confirmed after
        ``deadline`` seconds. A later use connects again. Without a store it does nothing. The
        interpreter calls it when it exits, and the middleware when the server shuts down.
        """
    def _open(self) -> None: ...
    def acreate(
        self,
        data: bytes,
        *,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
    ) -> Coroutine[Any, Any, IssuedSession]:
        """Awaitable variant of ``create``."""
    def aopen(self, cookie: bytes | str) -> Coroutine[Any, Any, Record | None]:
        """Awaitable variant of ``open``."""
    def aopen_token(self, token: bytes | str) -> Coroutine[Any, Any, Record | None]:
        """Awaitable variant of ``open_token``."""
    def aload(self, id: SessionId) -> Coroutine[Any, Any, Record | None]:
        """Awaitable variant of ``load``."""
    def asave(self, id: SessionId, version: int, data: bytes) -> Coroutine[Any, Any, int]:
        """Awaitable variant of ``save``."""
    def atouch(self, id: SessionId) -> Coroutine[Any, Any, None]:
        """Awaitable variant of ``touch``."""
    def aset_timeouts(
        self,
        id: SessionId,
        version: int,
        *,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
    ) -> Coroutine[Any, Any, int]:
        """Awaitable variant of ``set_timeouts``."""
    def asign_in(
        self,
        id: SessionId,
        user: str,
        *,
        label: str = "",
        assurance_level: int = 0,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
        renew_lifetime: bool = False,
    ) -> Coroutine[Any, Any, IssuedSession]:
        """Awaitable variant of ``sign_in``."""
    def arotate(self, id: SessionId, *, grace: float = 0.0) -> Coroutine[Any, Any, IssuedSession]:
        """Awaitable variant of ``rotate``."""
    def aend(self, id: SessionId) -> Coroutine[Any, Any, bool]:
        """Awaitable variant of ``end``."""
    def aend_by_token(self, token: bytes | str) -> Coroutine[Any, Any, bool]:
        """Awaitable variant of ``end_by_token``."""
    def aend_if_unchanged(self, id: SessionId, version: int) -> Coroutine[Any, Any, None]:
        """Awaitable variant of ``end_if_unchanged``."""
    def aend_by_handle(self, handle: str) -> Coroutine[Any, Any, bool]:
        """Awaitable variant of ``end_by_handle``."""
    def aend_user_sessions(self, user: str, *, except_id: SessionId | None = None) -> Coroutine[Any, Any, int]:
        """Awaitable variant of ``end_user_sessions``."""
    def aend_all(self) -> Coroutine[Any, Any, None]:
        """Awaitable variant of ``end_all``."""
    def auser_sessions(self, user: str) -> Coroutine[Any, Any, list[SessionInfo]]:
        """Awaitable variant of ``user_sessions``."""
    def aclose(self, deadline: float = 5.0) -> Coroutine[Any, Any, int]:
        """Awaitable variant of ``close``."""
    def __len__(self) -> int:
        """The number of sessions in memory. Expired ones count until their memory is freed."""
    def __bool__(self) -> Literal[True]: ...

@final
class _Sessions:
    """The sessions of a middleware. Private."""

    def __new__(
        cls,
        cache: SessionCache,
        *,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        max_age: int | None = None,
        rotate_every: float | None = None,
        identity_keys: Sequence[str] = ...,
        touch_always: bool = False,
        accept_starlette_cookies: object = None,
    ) -> _Sessions: ...
    def begin(self, headers: Iterable[Sequence[bytes]], is_websocket: bool, /) -> _Visit: ...
    def release(self) -> None: ...

@final
class _Pending:
    """Work that waits for a store. Private."""

    @property
    def is_queued(self) -> bool: ...
    def poll(self, wakeups: _Wakeups, ticket: int) -> bool: ...
    def result(self) -> Any: ...
    def block(self) -> Any: ...
    def cancel(self) -> None: ...

@final
class _Wakeups:
    """The wake-ups of an event loop. Private."""

    def __new__(cls) -> _Wakeups: ...
    def fileno(self) -> int: ...
    def take(self) -> list[int]: ...

@final
class _Visit:
    """The session of one request. Private."""

    def read(self, dict: dict[str, Any]) -> None: ...
    def touch(self) -> None: ...
    def load(self, touches: bool) -> _Pending | None: ...
    def respond(
        self, dict: dict[str, Any], message: MutableMapping[str, Any]
    ) -> dict[str, Any] | tuple[MutableMapping[str, Any], bytes | Literal[True]] | _Pending | None: ...
    def look_for_foreign_cookie(self, message: MutableMapping[str, Any]) -> None: ...
    def save(self, dict: dict[str, Any]) -> _Pending | None: ...
    def save_late(self, dict: dict[str, Any]) -> _Pending | None: ...
    def finish(self, dict: dict[str, Any]) -> _Pending | None: ...
    def fail(self, dict: dict[str, Any]) -> None: ...
    def has_store(self) -> bool: ...
    def is_open(self) -> bool: ...
    def is_over(self) -> bool: ...
    def is_of(self, cache: SessionCache) -> bool: ...
    def cookie_name(self) -> str: ...
    def differs(self, dict: dict[str, Any]) -> bool: ...
    def sign_in(self, user: str, label: str, assurance_level: int, remember: float | None) -> None: ...
    def sign_out(self, defers: bool) -> _Pending | None: ...
    def rotate(self) -> None: ...
    def user(self) -> str | None: ...
    def csrf_token(self, dict: dict[str, Any]) -> str: ...
    def check_csrf(self, token: str) -> None: ...
    def is_alive(self) -> bool | _Pending: ...
    def user_sessions(self) -> list[SessionInfo] | _Pending: ...
    def end_by_handle(self, dict: dict[str, Any], handle: str) -> bool | _Pending: ...
    def sign_out_others(self) -> int | _Pending: ...
    def sign_out_everywhere(self, dict: dict[str, Any]) -> int | _Pending: ...

@final
class _TokenName:
    """The name of a token in a list of revocations. Private."""

@final
class _Revocations:
    """The list of :class:`sessile.jwt.Revocations`. Private."""

    def __new__(cls, capacity: int, max_lifetime: float, cache: SessionCache | None) -> _Revocations: ...
    def revoke_token(self, token: _TokenName) -> _Pending | None: ...
    def revoke_id(self, id: str, expires_at: float) -> _Pending | None: ...
    def revoke_subject(self, subject: str) -> _Pending | None: ...
    def revoke_all(self) -> _Pending | None: ...
    def are_current(self) -> bool: ...
    @property
    def capacity(self) -> int: ...
    def __len__(self) -> int: ...

@final
class _Verifier:
    """The rules of :class:`sessile.jwt.Verifier`. Private."""

    def __new__(cls, rules: Rules, revocations: _Revocations | None) -> _Verifier: ...
    def decode(self, token: bytes | str, now: float | None) -> Claims: ...
    def count_missing(self) -> None: ...
    def rejections(self) -> dict[str, int]: ...
    def prometheus(self) -> str: ...

def _jwt_sign(header: bytes, claims: bytes, algorithm: str, key: tuple[str | None, str, bytes]) -> str: ...
def _jwt_read(token: bytes | str, is_payload: bool) -> dict[str, Any]: ...
def _close_all() -> None: ...
def _nothing() -> None: ...
def _to_json(value: object) -> bytes: ...
def _from_json(json: bytes) -> Any: ...
def _unsign(value: bytes, secret: bytes, *, max_age: int | None, now: int) -> bytes | None: ...

@final
class _StoreReader:
    """The keys of an application, for the cookies and the encrypted records of one cookie name."""

    def __new__(cls, *, secret_key: Any = None, keys: Any = None, cookie_name: str = "session") -> _StoreReader: ...
    def verify(self, token: bytes) -> tuple[int, str] | None:
        """Returns the partition and the id of a token, or ``None`` if its MAC is not valid."""

def _stored_session(partition: int, id: str, record: bytes, reader: _StoreReader | None) -> dict[str, Any] | None:
    """Returns the fields of a session's record, or ``None`` if it cannot be decoded or decrypted."""

def _stored_alias(record: bytes) -> tuple[int, str, int] | None:
    """Returns the partition and id that an alias leads to, and the end of its grace period."""
