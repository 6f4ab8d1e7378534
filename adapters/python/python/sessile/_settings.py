"""The settings of the middleware: their types, and the settings of the cache that result.

Each error names the setting as the application wrote it, its limits and its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal

from sessile._registry import shared_cache
from sessile._sessile import SessionCache, _Sessions
from sessile._store import resolve

FOURTEEN_DAYS = 14 * 24 * 60 * 60
TWELVE_HOURS = 12 * 60 * 60

IDENTITY_KEYS = ("user", "user_id", "userid", "uid", "username", "sub", "account_id", "_user_id", "_auth_user_id")


def age(name: str, given: Any) -> int | None:
    """Checks a whole number of seconds, or ``None``."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given % 1 != 0:
        raise TypeError(f"`{name}` must be a whole number of seconds or None, got {given!r}")
    return int(given)


def seconds(name: str, given: Any) -> float | None:
    """Checks a number of seconds, or ``None``."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise TypeError(f"`{name}` must be a number of seconds or None, got {given!r}")
    return None if given is None else float(given)


def whole(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"`{name}` must be a whole number, got {given!r}")
    return given


def whole_or_none(name: str, given: Any) -> int | None:
    return None if given is None else whole(name, given)


def text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"`{name}` must be a str, got {given!r}")
    return given


def _same_site(given: Any) -> Literal["lax", "strict", "none"]:
    if not isinstance(given, str) or given.lower() not in ("lax", "strict", "none"):
        raise ValueError(f'`same_site` must be "lax", "strict" or "none", got {given!r}')
    return given.lower()  # type: ignore[return-value]


def _identity_keys(given: Any) -> list[str]:
    is_names = isinstance(given, Iterable) and not isinstance(given, (str, bytes))
    names = list(given) if is_names else []
    if not is_names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`identity_keys` must be a tuple of str, got {given!r}")
    return names


def skipping(given: Any) -> Callable[[MutableMapping[str, Any]], bool]:
    """Returns a function that returns true for the scopes whose session is not loaded ahead."""
    if given is None:
        return lambda scope: False
    if callable(given):
        return given  # type: ignore[no-any-return]
    prefixes = (given,) if isinstance(given, str) else given
    is_paths = isinstance(prefixes, Iterable) and not isinstance(prefixes, bytes)
    names = tuple(prefixes) if is_paths else ()
    if not is_paths or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`skip` must be prefixes of paths, such as (\"/static/\",), or a function of the scope, got {given!r}")
    if wrong := [name for name in names if not name.startswith("/")]:
        raise ValueError(f"`skip`: a prefix must begin with `/`, got {wrong[0]!r}")
    return lambda scope: bool(scope["path"].startswith(names))


def cookie_name(session_cookie: Any, name: Any) -> tuple[str, str | None]:
    """Returns the name of the setting that was used, and the name of the cookie."""
    for setting, given in (("session_cookie", session_cookie), ("cookie_name", name)):
        if given is not None:
            text(setting, given)
    if None not in (session_cookie, name) and session_cookie != name:
        raise ValueError(f"`session_cookie` and `cookie_name` must be equal, or one of them given, got {session_cookie!r} and {name!r}")
    return ("session_cookie", session_cookie) if name is None else ("cookie_name", name)


def cache_for(
    *,
    secret_key: object,
    keys: object,
    insecure_dev_key: object,
    memory: object,
    max_session_size: object,
    max_sessions_per_user: object,
    max_age: int | None,
    idle_timeout: object,
    lifetime: object,
    cookie_name: tuple[str, str | None],
    store: object,
) -> SessionCache:
    """Returns the cache of a middleware with these settings."""
    idle = _idle_timeout(max_age, seconds("idle_timeout", idle_timeout))
    lifetime_seconds = seconds("lifetime", lifetime)
    names = {"`cookie_name`: `name`": f"`{cookie_name[0]}`", "`cookie_name`": f"`{cookie_name[0]}`"}
    if idle_timeout is None:
        names["`idle_timeout`"] = "`max_age`"
    try:
        return shared_cache(
            secret_key=secret_key,
            keys=keys,
            insecure_dev_key=bool(insecure_dev_key),
            memory=whole("memory", memory),
            max_session_size=whole("max_session_size", max_session_size),
            max_sessions_per_user=whole_or_none("max_sessions_per_user", max_sessions_per_user),
            idle_timeout=idle,
            lifetime=max(TWELVE_HOURS, idle) if lifetime_seconds is None else lifetime_seconds,
            cookie_name="session" if cookie_name[1] is None else cookie_name[1],
            store=resolve(store),
        )
    except ValueError as error:
        raise ValueError(_renamed(str(error), names)) from None


def check_beside_cache(cache: SessionCache, cookie_name: str | None, **given: object) -> None:
    """Rejects settings that a cache defines."""
    wrong = [setting for setting, value in given.items() if value != _BESIDE_CACHE.get(setting)]
    if cookie_name not in (None, cache.cookie_name):
        wrong.append("cookie_name")
    if wrong:
        raise ValueError(f"`{wrong[0]}` must not be given with `cache`, which has its own; pass it to the SessionCache")


_BESIDE_CACHE: dict[str, object] = {
    "insecure_dev_key": False,
    "memory": 32 << 20,
    "max_session_size": 16 << 10,
    "max_sessions_per_user": 32,
}
"""The defaults of the settings that a cache defines, unless they are ``None``."""


def sessions_for(
    cache: SessionCache,
    *,
    path: object,
    same_site: object,
    https_only: object,
    domain: object,
    partitioned: object,
    max_age: int | None,
    rotate_every: object,
    identity_keys: object,
    touch_always: object,
    accept_starlette_cookies: object,
) -> _Sessions:
    """Returns the sessions of a middleware with these settings."""
    return _Sessions(
        cache,
        path=text("path", path),
        same_site=_same_site(same_site),
        https_only=bool(https_only),
        domain=None if domain is None else text("domain", domain),
        partitioned=bool(partitioned),
        max_age=max_age,
        rotate_every=seconds("rotate_every", rotate_every),
        identity_keys=_identity_keys(identity_keys),
        touch_always=bool(touch_always),
        accept_starlette_cookies=accept_starlette_cookies,
    )


def _idle_timeout(max_age: int | None, idle_timeout: float | None) -> float:
    if idle_timeout is None:
        # With a `max_age` of 0 or less the browser never returns the cookie.
        return float(FOURTEEN_DAYS if max_age is None or max_age <= 0 else max_age)
    if max_age not in (None, FOURTEEN_DAYS, idle_timeout):
        raise ValueError(
            f"`max_age` and `idle_timeout` must be equal, or one of them given, got {max_age} and {idle_timeout}; "
            "`max_age=None` makes a cookie that the browser removes when it closes"
        )
    return idle_timeout


def _renamed(error: str, names: dict[str, str]) -> str:
    """Replaces the names of settings in an error by those that the application used."""
    for setting, given in names.items():
        error = error.replace(setting, given)
    return error
