"""The session engine: opens the session of a ``Cookie`` header, with bytes as its data.

Applications in FastAPI and Starlette use :mod:`sessile.fastapi` and :mod:`sessile.starlette`.

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
    TooLarge,
)

__all__ = [
    "Conflict",
    "Event",
    "ForkedProcess",
    "Full",
    "Gone",
    "InvalidCSRFToken",
    "IssuedSession",
    "Record",
    "SessionCache",
    "SessionError",
    "SessionId",
    "SessionInfo",
    "TooLarge",
]
