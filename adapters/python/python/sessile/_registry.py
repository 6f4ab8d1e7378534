"""One cache for all middlewares of a process that have equal secrets, cookie name and settings.

Mounted applications thus share their sessions, and the memory is allocated once. The registry holds
weak references only: a cache is freed with the last middleware that uses it. Global state, because
separately built applications have nothing else in common.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from typing import Any

from sessile._sessile import SessionCache
from sessile._store import Store

_caches: weakref.WeakValueDictionary[bytes, SessionCache] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _after_fork() -> None:
    """Replaces the lock, which another thread of the parent may have held."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def shared_cache(*, secret_key: object, keys: object, store: Store | None, **settings: Any) -> SessionCache:
    """Returns the cache with these settings. Builds it if there is none."""
    digest = _digest(secret_key, keys, store, settings)
    with _lock:
        cache = _caches.get(digest)
        if cache is None:
            cache = SessionCache(secret_key=secret_key, keys=keys, store=store or False, **settings)  # type: ignore[arg-type]
            _caches[digest] = cache
        return cache


def _digest(secret_key: object, keys: object, store: Store | None, settings: dict[str, Any]) -> bytes:
    """Returns a digest of the settings, so that the registry does not hold the secret."""
    from_environment = os.environ.get("SESSILE_KEYS") if secret_key is None and keys is None else None
    server = None if store is None else store._settings()
    named = (_secrets(secret_key), _secrets(keys), from_environment, server, sorted(settings.items()))
    return hashlib.sha256(repr(named).encode(errors="surrogatepass")).digest()


def _secrets(given: object) -> list[object]:
    items = given if isinstance(given, (list, tuple)) else [given]
    return [_secret(item) for item in items]


def _secret(given: object) -> object:
    """Returns the bytes of a secret, so that equal secrets of different types are equal."""
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str) or type(given).__name__ == "Secret":
        return str(given).encode(errors="surrogatepass")
    # Another type, which the cache rejects.
    return id(given)
