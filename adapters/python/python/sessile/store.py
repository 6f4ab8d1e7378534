"""Sessions that an application keeps in Redis or Valkey, read by another program.

>>> import redis, sessile.store  # doctest: +SKIP
>>> client = redis.Redis()  # doctest: +SKIP
>>> session = sessile.store.read(client, cookie, secret_key=secret)  # doctest: +SKIP
>>> session.user, session.data["cart"]  # doctest: +SKIP
('ada', ['tea'])

The client is one of redis-py or valkey-py. With its asyncio variant each function returns an
awaitable. The client must be allowed to run ``GET``, ``HGET``, ``PTTL``, ``TIME`` and ``ZRANGE``
under the prefix. Nothing is written, and reading does not count as a use of the session.
"""

from __future__ import annotations

import hmac
import inspect
import os
import re
from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, overload

from sessile._sessile import _stored_alias, _stored_session, _StoreReader

__all__ = ["AsyncClient", "Client", "StoredSession", "read", "read_id", "sessions"]


class Client(Protocol):
    """A client of redis-py or valkey-py."""

    def execute_command(self, *command: Any, **options: Any) -> Any: ...
    def pipeline(self, transaction: bool = True) -> Any: ...


class AsyncClient(Client, Protocol):
    """An asyncio client of redis-py or valkey-py."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class StoredSession:
    """A session as the server kept it when it was read. Times are in seconds since 1970."""

    user: str | None
    """The name of the signed-in user. ``None`` without one, and for encrypted data without its keys."""
    label: str
    """The label of the sign-in; empty without one."""
    assurance_level: int
    """The authentication assurance level (NIST SP 800-63B AAL, OIDC ``acr``); 0 without a user."""
    created: float
    """The time of the creation."""
    authenticated: float | None
    """The time of the sign-in; ``None`` without a user."""
    last_used: float
    """The time of the last use, exact to a sixteenth of the idle timeout."""
    expires_in: float
    """Seconds until the session expires if it is not used again."""
    id: str = field(repr=False)
    """The id, for :func:`read_id`. Keep it out of logs and URLs."""
    _data: dict[str, Any] | None = field(repr=False)
    _raw: bytes | None = field(repr=False)

    @property
    def data(self) -> dict[str, Any]:
        """The values of ``request.session``. Changes of the dict change nothing on the server.

        Raises :exc:`ValueError` if the data is encrypted and was read without keys, and if
        it was written with ``SessionCache.create``: then see :attr:`raw`.
        """
        _ = self.raw
        if self._data is None:
            raise ValueError("the session holds data that `SessionMiddleware` did not write; use `raw`")
        return self._data

    @property
    def raw(self) -> bytes:
        """The data as bytes, as ``SessionCache.create`` takes it.

        Raises :exc:`ValueError` if the data is encrypted and was read without keys.
        """
        if self._raw is None:
            raise ValueError("`keys` or `secret_key` must be given: the data of the session is encrypted")
        return self._raw


@overload
def read(  # type: ignore[overload-overlap]
    client: AsyncClient, cookie: str | bytes, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Awaitable[StoredSession | None]: ...
@overload
def read(
    client: Client, cookie: str | bytes, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> StoredSession | None: ...
def read(
    client: Any, cookie: str | bytes, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Any:
    """Returns the session of a cookie, or ``None`` if there is none.

    ``cookie`` is the cookie's value. ``secret_key`` or ``keys`` and ``cookie_name`` are those of the
    application, ``keys`` by default those of ``SESSILE_KEYS``; ``prefix`` is that of its store. A
    cookie whose signature is not valid sends no command to the server.

    Raises :exc:`ValueError` for keys that cannot be used, and what the client raises.
    """
    reader = _StoreReader(secret_key=secret_key, keys=keys, cookie_name=cookie_name)
    name = reader.verify(cookie.encode(errors="replace") if isinstance(cookie, str) else cookie)
    return _run(client, _open(name, reader, prefix) if name else _nothing())


@overload
def read_id(  # type: ignore[overload-overlap]
    client: AsyncClient, id: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Awaitable[StoredSession | None]: ...
@overload
def read_id(
    client: Client, id: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> StoredSession | None: ...
def read_id(
    client: Any, id: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Any:
    """Returns the session of the ``id`` of a :class:`StoredSession`, or ``None`` if there is none.

    The keys are needed only for encrypted data.

    Raises :exc:`ValueError` for a text that is not an id, and as :func:`read` does.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise ValueError("`id` must be the id of a StoredSession: 2 hexadecimal digits, a colon and 32 more")
    reader = _reader(secret_key, keys, cookie_name)
    return _run(client, _open((int(match[1], 16), match[2]), reader, prefix))


@overload
def sessions(  # type: ignore[overload-overlap]
    client: AsyncClient, user: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Awaitable[list[StoredSession]]: ...
@overload
def sessions(
    client: Client, user: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> list[StoredSession]: ...
def sessions(
    client: Any, user: str, *,
    secret_key: Any = None, keys: Any = None, cookie_name: str = "session", prefix: str = "sessile",
) -> Any:
    """Returns the sessions of a user, the most recently used first; empty without one.

    ``user`` is the name that ``sign_in`` was given. The keys are needed only for encrypted data. The
    list is not a snapshot: sessions may end and begin while it is read.

    Raises as :func:`read` does.
    """
    if not isinstance(user, str):
        raise TypeError(f"`user` must be a str, got {user!r}")
    return _run(client, _list(user, _reader(secret_key, keys, cookie_name), prefix))


_Result = TypeVar("_Result")
_Command = tuple[Any, ...]
# Yields commands that are sent together, and is sent their replies.
_Steps = Generator[list[_Command], list[Any], _Result]
# The partition of an id, and its hexadecimal digits.
_Name = tuple[int, str]


def _reader(secret_key: Any, keys: Any, cookie_name: str) -> _StoreReader | None:
    """Returns the reader of the keys, or ``None`` if there are none."""
    if secret_key is None and keys is None and "SESSILE_KEYS" not in os.environ:
        return None
    return _StoreReader(secret_key=secret_key, keys=keys, cookie_name=cookie_name)


def _nothing() -> _Steps[None]:
    return None
    yield []


def _open(name: _Name, reader: _StoreReader | None, prefix: str) -> _Steps[StoredSession | None]:
    """Reads a session, and follows aliases within their grace period."""
    meta = _meta(prefix)
    for _ in range(_MAX_HOPS):
        key = _key(prefix, name[0], "s", name[1])
        record, left, cutoff, now = yield [("GET", key), ("PTTL", key), ("HGET", meta, "ended_before"), ("TIME",)]
        if record is None:
            return None
        alias = _stored_alias(record)
        if alias is None:
            return _decoded(name, record, left, _millis(now), int(cutoff or 0), reader)
        if _millis(now) >= alias[2]:
            return None
        name = alias[:2]
    return None


def _list(user: str, reader: _StoreReader | None, prefix: str) -> _Steps[list[StoredSession]]:
    meta = _meta(prefix)
    user_key, cutoff, time = yield [("HGET", meta, "user_key"), ("HGET", meta, "ended_before"), ("TIME",)]
    if user_key is None:
        return []
    # The keyed hash of the engine: the first half of an HMAC, whose first byte is the partition.
    user_hash = hmac.digest(user_key, user.encode(), "sha256")[:16]
    partition = user_hash[0]
    [ids] = yield [("ZRANGE", _key(prefix, partition, "u", user_hash.hex()), 0, -1)]
    names = [(partition, id.decode()) for id in ids]
    found = []
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        keys = [_key(prefix, partition, "s", id) for _, id in batch]
        replies = yield [(command, key) for key in keys for command in ("GET", "PTTL")]
        for name, record, left in zip(batch, replies[::2], replies[1::2], strict=True):
            if record is not None and (session := _decoded(name, record, left, _millis(time), int(cutoff or 0), reader)):
                found.append(session)
    return sorted(found, key=lambda session: session.last_used, reverse=True)


def _decoded(name: _Name, record: bytes, left: int, now: int, cutoff: int, reader: _StoreReader | None) -> StoredSession | None:
    """Returns the session of a record; ``None`` if it ended with all others or cannot be read."""
    fields = _stored_session(*name, record, reader)
    if fields is None or left <= 0:
        return None
    signed_in = fields["user_hash"] is not None
    if cutoff and (fields["created"] <= cutoff or (signed_in and fields["authenticated"] <= cutoff)):
        return None
    return StoredSession(
        user=fields["user"] if signed_in else None,
        label=fields["label"],
        assurance_level=fields["assurance_level"],
        created=fields["created"] / 1_000,
        authenticated=fields["authenticated"] / 1_000 if signed_in else None,
        last_used=(now + left - fields["idle_timeout"]) / 1_000,
        expires_in=left / 1_000,
        id=f"{name[0]:02x}:{name[1]}",
        _data=fields["data"],
        _raw=fields["raw"],
    )


def _run(client: Any, steps: _Steps[_Result]) -> _Result | Awaitable[_Result]:
    """Sends the commands of ``steps`` with a client of either kind, and returns their result."""
    if inspect.iscoroutinefunction(client.execute_command):
        return _arun(client, steps)
    replies: Any = None
    while True:
        try:
            commands = steps.send(replies)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        with _pipeline(client, commands) as pipeline:
            replies = pipeline.execute()


async def _arun(client: Any, steps: _Steps[_Result]) -> _Result:
    replies: Any = None
    while True:
        try:
            commands = steps.send(replies)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        async with _pipeline(client, commands) as pipeline:
            replies = await pipeline.execute()


def _pipeline(client: Any, commands: list[_Command]) -> Any:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        # Records are not text, also for a client that decodes its replies.
        pipeline.execute_command(*command, NEVER_DECODE=True)
    return pipeline


def _meta(prefix: str) -> str:
    return f"{prefix}:{{meta}}"


def _key(prefix: str, partition: int, kind: Literal["s", "u"], digits: str) -> str:
    return f"{prefix}:{{{partition:02x}}}:{kind}:{digits}"


def _millis(time: tuple[Any, Any]) -> int:
    return int(time[0]) * 1_000 + int(time[1]) // 1_000


_ID = re.compile("([0-9a-f]{2}):([0-9a-f]{32})")
_MAX_HOPS = 8
_BATCH = 100
