"""The settings of a store, and where they come from.

Each error names the setting and what it must be. No error contains a password.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Union

_VARIABLE = "SESSILE_STORE"


class _Settings:
    """The settings of a server. Equal settings are equal."""

    __slots__: tuple[str, ...] = ()
    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_without_login(self.url)!r})"

    def __eq__(self, other: object) -> bool:
        return self._settings() == other._settings() if isinstance(other, _Settings) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._settings())

    def _settings(self) -> tuple[Any, ...]:
        return (type(self).__name__, *(getattr(self, name) for name in self.__slots__))


class RedisStore(_Settings):
    """A Redis or Valkey server that keeps the sessions of several processes.

    Pass it as ``store=`` to a ``SessionMiddleware`` or a :class:`sessile.SessionCache`. If the URL
    is all there is to set, pass the URL itself. It opens no connection.

    ``url``
        ``redis://host:port/database``, ``rediss://…`` for TLS, or
        ``redis+sentinel://host:port,host:port/service/database``. User name and password precede
        the host: ``redis://user:password@host``.
    ``prefix``
        The prefix of all keys and channels, ``sessile`` unless set. Applications with different
        prefixes share a server and no session.
    ``timeout``
        Seconds that one operation waits for the server: 0.5, between 0.01 and 10.
    ``lease``
        Seconds for which a process answers from its memory after its connection was lost: 5,
        between 3 and 60. A sign-out elsewhere takes effect after ``lease`` + 1 seconds at the
        latest.
    ``stale_while_down``
        Further seconds for which a process answers from its memory while the server does not
        answer: 0, at most 3,600. A sign-out takes effect that much later then.
    ``wait``
        A number of replicas and a number of seconds, such as ``(1, 0.05)``: sign-ins and sign-outs
        wait until that many replicas have them. Concurrent ones share one ``WAIT`` command of at
        most that time: at least 0.001, and at most a quarter of ``timeout``. Off by default.
    ``encrypt``
        True encrypts the data of sessions in the server. The keys are derived from ``secret_key``
        or ``keys``.
    ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``
        Paths of PEM files, for ``rediss://``: the authority that signed the server's certificate,
        and the certificate and key of this client. By default the authorities of the system.
    ``sentinel_username``, ``sentinel_password``
        The login of the Sentinels. That in the URL is for the servers.
    """

    __slots__ = (
        "encrypt",
        "lease",
        "prefix",
        "sentinel_password",
        "sentinel_username",
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "stale_while_down",
        "timeout",
        "url",
        "wait",
    )

    def __init__(
        self,
        url: str,
        *,
        prefix: str | None = None,
        timeout: float | None = None,
        lease: float | None = None,
        stale_while_down: float | None = None,
        wait: tuple[int, float] | None = None,
        encrypt: bool = False,
        ssl_ca_certs: str | os.PathLike[str] | None = None,
        ssl_certfile: str | os.PathLike[str] | None = None,
        ssl_keyfile: str | os.PathLike[str] | None = None,
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
    ) -> None:
        self.url = _text("url", url)
        self.prefix = _text_or_none("prefix", prefix)
        self.timeout = _seconds("timeout", timeout)
        self.lease = _seconds("lease", lease)
        self.stale_while_down = _seconds("stale_while_down", stale_while_down)
        self.wait = _replicas(wait)
        if not isinstance(encrypt, bool):
            raise TypeError(f"`encrypt` must be True or False, got {encrypt!r}")
        self.encrypt = encrypt
        self.ssl_ca_certs = _path("ssl_ca_certs", ssl_ca_certs)
        self.ssl_certfile = _path("ssl_certfile", ssl_certfile)
        self.ssl_keyfile = _path("ssl_keyfile", ssl_keyfile)
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("`ssl_certfile` and `ssl_keyfile` must be given together, got one of them")
        self.sentinel_username = _text_or_none("sentinel_username", sentinel_username)
        self.sentinel_password = _text_or_none("sentinel_password", sentinel_password)
        if sentinel_username is not None and sentinel_password is None:
            raise ValueError("`sentinel_password` must be given with `sentinel_username`, got None")

    def _read_files(self) -> list[bytes | None]:
        """Returns the contents of the PEM files."""
        return [_content(name, getattr(self, name)) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")]


class MemcachedStore(_Settings):
    """A memcached server that keeps the sessions of several processes.

    Pass it as ``store=`` to a ``SessionMiddleware`` or a :class:`sessile.SessionCache`. If the URL
    is all there is to set, pass the URL itself. It opens no connection.

    The server cannot list or limit the sessions of a user: ``max_sessions_per_user`` must be
    ``None``, and ``user_sessions`` raises a :exc:`sessile.SessionError`.

    ``url``
        ``memcached://host:port``; the port is 11211 unless it is given.
    ``prefix``
        The prefix of all keys, ``sessile`` unless set. Applications with different prefixes share a
        server and no session.
    ``timeout``
        Seconds that one operation waits for the server: 0.5, between 0.01 and 10.
    ``lease``
        Seconds for which a process answers from its memory before it asks the server again: 2,
        between 1 and 60. A sign-out elsewhere takes effect after ``lease`` seconds at the latest.
    ``stale_while_down``
        Further seconds for which a process answers from its memory while the server does not
        answer: 0, at most 3,600. A sign-out takes effect that much later then.
    ``encrypt``
        True encrypts the data of sessions in the server. The keys are derived from ``secret_key``
        or ``keys``.
    """

    __slots__ = ("encrypt", "lease", "prefix", "stale_while_down", "timeout", "url")

    def __init__(
        self,
        url: str,
        *,
        prefix: str | None = None,
        timeout: float | None = None,
        lease: float | None = None,
        stale_while_down: float | None = None,
        encrypt: bool = False,
    ) -> None:
        self.url = _text("url", url)
        self.prefix = _text_or_none("prefix", prefix)
        self.timeout = _seconds("timeout", timeout)
        self.lease = _seconds("lease", lease)
        self.stale_while_down = _seconds("stale_while_down", stale_while_down)
        if not isinstance(encrypt, bool):
            raise TypeError(f"`encrypt` must be True or False, got {encrypt!r}")
        self.encrypt = encrypt


Store = Union[RedisStore, MemcachedStore]


def resolve(store: Any) -> Store | None:
    """Returns the settings of ``store``, or of ``SESSILE_STORE`` if it is ``None``.

    Returns ``None`` without a store. ``False`` ignores the variable.
    """
    if store is False:
        return None
    if store is None:
        url = os.environ.get(_VARIABLE)
        return _of_url(url) if url else None
    if isinstance(store, str):
        return _of_url(store)
    if not isinstance(store, (RedisStore, MemcachedStore)):
        raise TypeError(f"`store` must be a URL, a RedisStore, a MemcachedStore, None or False, got {type(store).__name__}")
    return store


def _of_url(url: str) -> Store:
    return MemcachedStore(url) if url.startswith("memcached:") else RedisStore(url)


def is_before_fork() -> bool:
    """Returns true in a process that is about to fork workers, which open their own connections."""
    from sessile._workers import is_preloading

    return is_preloading()


def _text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"`{name}` must be a str, got {type(given).__name__}")
    return given


def _text_or_none(name: str, given: Any) -> str | None:
    return None if given is None else _text(name, given)


def _seconds(name: str, given: Any) -> float | None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise TypeError(f"`{name}` must be a number of seconds or None, got {given!r}")
    return None if given is None else float(given)


def _replicas(given: Any) -> tuple[int, float] | None:
    if given is None:
        return None
    is_pair = isinstance(given, (tuple, list)) and len(given) == 2
    if not is_pair or any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in given):
        raise TypeError(f"`wait` must be a number of replicas and a number of seconds, such as (1, 0.05), got {given!r}")
    replicas, seconds = given
    if not isinstance(replicas, int) or replicas < 1:
        raise ValueError(f"`wait` must name at least 1 replica, got {replicas!r}")
    return replicas, float(seconds)


def _path(name: str, given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be the path of a PEM file, got {type(given).__name__}")
    return os.fspath(given)


def _content(name: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"`{name}` must be the path of a PEM file that can be read, got {path!r}: {error.strerror}") from None


def _without_login(url: str) -> str:
    """Hides what precedes the last `@`, which may be a password even if the URL lacks its scheme."""
    login, at, host = url.rpartition("@")
    scheme = re.match(r"[a-z+]+://", login)
    return f"{scheme[0] if scheme else ''}…@{host}" if at else url
