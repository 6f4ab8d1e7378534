"""Web sessions at memory speed: a ``Cookie`` header goes in, the session comes out.

For FastAPI and Starlette there is :mod:`sessile.starlette`. This module is the engine: bytes in, bytes out.

>>> import secrets, sessile
>>> cache = sessile.SessionCache(memory=4 << 20, secret_key=secrets.token_urlsafe(32))
>>> made = cache.create(b"a cart")
>>> record = cache.open(f"theme=dark; session={made.token}")
>>> record.data
b'a cart'
>>> cache.save(record.id, record.version, b"a fuller cart") > record.version
True
>>> cache.end(record.id)
True
>>> cache.open(f"session={made.token}") is None
True
"""

from sessile._sessile import (
    Conflict,
    Device,
    Event,
    Forked,
    Full,
    Gone,
    InvalidCSRFToken,
    IssuedSession,
    Record,
    SessionCache,
    SessionError,
    SessionId,
    TooLarge,
)

__all__ = [
    "Conflict",
    "Device",
    "Event",
    "Forked",
    "Full",
    "Gone",
    "InvalidCSRFToken",
    "IssuedSession",
    "Record",
    "SessionCache",
    "SessionError",
    "SessionId",
    "TooLarge",
]
