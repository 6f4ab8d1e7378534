from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Literal, final

__all__ = [
    "Conflict",
    "Device",
    "Event",
    "Forked",
    "Full",
    "Gone",
    "InvalidCSRFToken",
    "IssuedSession",
    "ManualClock",
    "Record",
    "SessionCache",
    "SessionError",
    "SessionId",
    "_Sessions",
    "TooLarge",
    "_Visit",
    "_from_json",
    "_nothing",
    "_to_json",
    "_unsign",
]

class SessionError(Exception):
    """Why something was not done to a session. Nothing was changed."""

class Gone(SessionError):
    """There is no such session: it never was, it ended, it expired, or it has a new id."""

class Conflict(SessionError):
    """Somebody else saved the session since that version was read."""

class Full(SessionError):
    """No room, and nothing there that may go."""

class TooLarge(SessionError):
    """The data is longer than ``max_session_size``, in bytes."""

class Forked(SessionError):
    """The session was found before the process forked; in this one it does not exist."""

class InvalidCSRFToken(SessionError):
    """The token of a form is not one of this session's pages: the request was made elsewhere, or the page is older
    than the session's id."""

@final
class SessionId:
    """Which session. Whoever holds one can read and end it: keep it out of logs and addresses."""

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
    """A session that was found."""

    @property
    def id(self) -> SessionId:
        """The id."""
    @property
    def version(self) -> int:
        """The version of the data, for ``save``."""
    @property
    def data(self) -> bytes:
        """The data."""
    @property
    def is_authenticated(self) -> bool:
        """Whether a user is signed in."""
    @property
    def assurance_level(self) -> int:
        """How sure the application was of the user, on its own scale; 0 without one."""
    @property
    def handle(self) -> str:
        """The name of the session for lists and events. It opens nothing."""
    @property
    def age(self) -> float:
        """How old the session is, in seconds."""
    @property
    def expires_in(self) -> float:
        """How long until the session is refused if it is not used again, in seconds."""

@final
class Device:
    """A session in the list of its user's."""

    @property
    def handle(self) -> str:
        """Its name, for ``end_by_handle``. It opens nothing."""
    @property
    def label(self) -> str:
        """What the application called it at the sign-in; empty if nothing."""
    @property
    def assurance_level(self) -> int:
        """How sure the application was of the user, on its own scale."""
    @property
    def age(self) -> float:
        """How old the session is, in seconds."""
    @property
    def authenticated_for(self) -> float:
        """How long ago its user signed in, in seconds."""
    @property
    def last_seen(self) -> float:
        """How long ago it was last used, in seconds: that long, or less by at most a sixteenth of its idle timeout."""
    @property
    def is_current(self) -> bool:
        """Whether it is the session that asked, where one did."""

@final
class Event:
    """Something that happened to a session. It opens nothing, so it may be logged."""

    @property
    def what(
        self,
    ) -> Literal["created", "signed_in", "rotated", "reused", "expired", "evicted", "ended", "conflict", "emptied"]:
        """What happened."""
    @property
    def handle(self) -> str | None:
        """To which session; ``None`` if it happened to all of them."""
    @property
    def at(self) -> float:
        """When it happened, in seconds since the cache's clock began to run."""

@final
class ManualClock:
    """A clock that stands still until ``advance`` moves it: for tests of expiry that do not wait."""

    def __new__(cls) -> ManualClock: ...
    def advance(self, seconds: float, /) -> None:
        """Moves the clock on by that many seconds."""

@final
class SessionCache:
    """A cache of sessions in memory that was fixed when it was built.

    Give it to a ``SessionMiddleware`` to have the handle for ``user_sessions``, ``end_user_sessions`` and statistics, or use
    it alone. Times are seconds. May be used by any number of threads.
    """

    def __new__(
        cls,
        *,
        secret_key: object = None,
        keys: str | Sequence[str] | None = None,
        insecure_dev_key: bool = False,
        memory: int = ...,
        max_session_size: int = ...,
        idle_timeout: float = 1800.0,
        lifetime: float = 43200.0,
        cookie_name: str = "session",
        max_sessions_per_user: int = 32,
        session_limit_policy: Literal["end_stalest", "refuse"] = "end_stalest",
        reserved_for_authenticated: int = 0,
        end_reused: bool = False,
        verify_first: bool = False,
        events: int = 0,
        clock: ManualClock | None = None,
    ) -> SessionCache: ...
    def create(self, data: bytes, *, idle_timeout: float | None = None, lifetime: float | None = None) -> IssuedSession:
        """Makes a new session of ``data``.

        Raises ``Full`` if it could only displace sessions with a user, and ``TooLarge``.
        """
    def open(self, cookie: bytes | str) -> Record | None:
        """The session whose token is in a ``Cookie`` header; ``None`` if there is none, whatever the bytes are."""
    def open_token(self, token: bytes | str) -> Record | None:
        """The session that the bare value of a cookie opens; ``None`` if it opens none."""
    def load(self, id: SessionId) -> Record | None:
        """The session of that id; ``None`` if there is none. Counts as activity, as ``open`` does."""
    def save(self, id: SessionId, version: int, data: bytes) -> int:
        """Stores data in place of a session's own, if nobody did since that version, and gives the new version.

        Raises ``Conflict``, ``Gone``, ``TooLarge`` and ``Full``.
        """
    def touch(self, id: SessionId) -> None:
        """Counts as activity, and changes nothing else. Raises ``Gone``."""
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
        """Binds a session to a user and gives it a new id, in one. Raises ``Gone`` and ``Full``."""
    def rotate(self, id: SessionId, *, grace: float = 0.0) -> IssuedSession:
        """Gives a session a new id; the old one opens it for ``grace`` more seconds. Raises ``Gone`` and ``Full``."""
    def end(self, id: SessionId) -> bool:
        """Destroys a session. Says whether there was one."""
    def end_by_handle(self, handle: str) -> bool:
        """Destroys the session that a handle names, of ``user_sessions``. Says whether there was one."""
    def end_user_sessions(self, user: str, *, keep: SessionId | None = None) -> int:
        """Destroys all sessions of a user, but for one if it is named, and says how many."""
    def end_all(self) -> None:
        """Destroys all sessions."""
    def user_sessions(self, user: str) -> list[Device]:
        """Where a user is signed in, the most recently seen first."""
    def next_event(self) -> Event | None:
        """The oldest event that was not taken yet; ``None`` if there is none, or ``events`` was not set."""
    def maintain(self, budget: int = 4096) -> int:
        """Gives the memory of expired sessions back, looking at no more than ``budget`` entries. Says how many."""
    def set_keys(self, *, secret_key: object = None, keys: str | Sequence[str] | None = None) -> None:
        """Replaces the keys: the first signs from now on, all verify."""
    def stats(self) -> dict[str, int]:
        """What the cache holds, and what has happened in it: sizes in bytes, and numbers of sessions and events."""
    def prometheus(self) -> str:
        """The statistics in the text format that Prometheus reads."""
    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
    @property
    def max_session_size(self) -> int:
        """The most bytes of data in a session."""
    @property
    def idle_timeout(self) -> float:
        """How long after its last use a session is refused, in seconds."""
    @property
    def lifetime(self) -> float:
        """How long after its creation a session is refused, in seconds."""
    def __len__(self) -> int:
        """How many sessions there are. Expired ones count until their memory is given back."""
    def __bool__(self) -> Literal[True]: ...

@final
class _Sessions:
    """What the middleware holds."""

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

@final
class _Visit:
    """The session of one request."""

    def read(self, dict: dict[str, Any]) -> None: ...
    def touch(self) -> None: ...
    def respond(
        self, dict: dict[str, Any], message: MutableMapping[str, Any]
    ) -> dict[str, Any] | tuple[MutableMapping[str, Any], bytes | Literal[True]] | None: ...
    def look_for_foreign_cookie(self, message: MutableMapping[str, Any]) -> None: ...
    def save(self, dict: dict[str, Any]) -> None: ...
    def save_late(self, dict: dict[str, Any]) -> None: ...
    def finish(self, dict: dict[str, Any]) -> None: ...
    def fail(self, dict: dict[str, Any]) -> None: ...
    def is_over(self) -> bool: ...
    def is_of(self, cache: SessionCache) -> bool: ...
    def cookie_name(self) -> str: ...
    def differs(self, dict: dict[str, Any]) -> bool: ...
    def sign_in(self, user: str, label: str, assurance_level: int, remember: float | None) -> None: ...
    def sign_out(self) -> None: ...
    def rotate(self) -> None: ...
    def user(self) -> str | None: ...
    def csrf_token(self, dict: dict[str, Any]) -> str: ...
    def check_csrf(self, token: str) -> None: ...
    def is_alive(self) -> bool: ...
    def devices(self) -> list[Device]: ...
    def sign_out_others(self) -> int: ...
    def sign_out_everywhere(self) -> int: ...

def _nothing() -> None: ...
def _to_json(value: object) -> bytes: ...
def _from_json(json: bytes) -> Any: ...
def _unsign(value: bytes, secret: bytes, *, max_age: int | None, now: int) -> bytes | None: ...
