"""A session engine: opens the session of a ``Cookie`` header, with bytes as its data.

FastAPI applications use :mod:`sessile.fastapi`, Starlette applications :mod:`sessile.starlette`.

>>> import secrets, sessile
>>> cache = sessile.SessionCache(memory=4 << 20, secret_key=secrets.token_urlsafe(32))
>>> issued = cache.create(b"a cart")
>>> record = cache.open(f"theme=dark; session={issued.token}")
>>> record.data
b'a cart'
>>> cache.save(record.id, record.version, b"a fuller cart") > record.version
True
>>> cache.end(record.id)
True
>>> cache.open(f"session={issued.token}") is None
True
"""

from sessile._sessile import (
    Conflict,
    Event,
    ForkedProcess,
    Full,
    Gone,
    InvalidCSRFToken,
    IssuedSession,
    Record,
    SessionCache,
    SessionError,
    SessionId,
    SessionInfo,
    StoreHealth,
    TooLarge,
    Unreachable,
)
from sessile._store import MemcachedStore, RedisStore

__all__ = [
    "Conflict",
    "Event",
    "ForkedProcess",
    "Full",
    "Gone",
    "InvalidCSRFToken",
    "IssuedSession",
    "MemcachedStore",
    "Record",
    "RedisStore",
    "SessionCache",
    "SessionError",
    "SessionId",
    "SessionInfo",
    "StoreHealth",
    "TooLarge",
    "Unreachable",
]
