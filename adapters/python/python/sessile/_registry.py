"""One cache for all middlewares of a process that have equal secrets, cookie name and settings.

Mounted applications share their sessions by it, and memory is taken once. Owns weak references only:
a cache is freed with the last middleware that uses it. It is state of the process by nature: which
middlewares there are is known nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from typing import Any

from sessile._sessile import SessionCache

_caches: weakref.WeakValueDictionary[bytes, SessionCache] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def shared_cache(*, secret_key: object, keys: object, **settings: Any) -> SessionCache:
    """Returns the cache of these settings, built if there is none."""
    which = _digest(secret_key, keys, settings)
    with _lock:
        cache = _caches.get(which)
        if cache is None:
            cache = SessionCache(secret_key=secret_key, keys=keys, **settings)  # type: ignore[arg-type]
            _caches[which] = cache
        return cache


def _digest(secret_key: object, keys: object, settings: dict[str, Any]) -> bytes:
    """A name for settings that does not hold the secret."""
    from_environment = os.environ.get("SESSILE_KEYS") if secret_key is None and keys is None else None
    named = (_secrets(secret_key), _secrets(keys), from_environment, sorted(settings.items()))
    return hashlib.sha256(repr(named).encode(errors="surrogatepass")).digest()


def _secrets(given: object) -> list[object]:
    items = given if isinstance(given, (list, tuple)) else [given]
    return [_secret(item) for item in items]


def _secret(given: object) -> object:
    """A secret as it signs: the bytes of a text, and the text of a ``Secret``."""
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str) or type(given).__name__ == "Secret":
        return str(given).encode(errors="surrogatepass")
    # The cache rejects it.
    return id(given)
