"""Detects that ``scope["session"]`` was replaced after the middleware set it, and by which code.

If the application replaced it, its dict becomes the session's new content. The session of another
middleware is not touched.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import MutableMapping
from typing import Any, TypeGuard

from sessile.session import Session

STARLETTE_MODULE = "starlette.middleware.sessions"

_BASE_MIDDLEWARE_MODULE = "starlette.middleware.base"
"""It sends the messages of inner layers from a separate task, whose stack lacks their frames."""
_SESSILE_MODULE = "sessile.starlette"

_WARNING = (
    '`scope["session"]` was replaced, by the application or by another session middleware, and is not stored; change '
    "the session in place, with `clear()` and `update()`"
)
_is_warned = False


def adopt(scope: MutableMapping[str, Any], session: Session) -> None:
    """Replaces the session's content by that of a dict which the application set in the scope."""
    found = scope.get("session")
    if found is session or not _is_set_by_application(found):
        return
    session.mark_accessed()
    dict.clear(session)
    dict.update(session, found)
    scope["session"] = session


def _is_set_by_application(found: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(found, dict) or _is_set_by_middleware(found):
        return False
    # Before 1.0 the session of Starlette's middleware is a plain dict, too.
    if STARLETTE_MODULE not in sys.modules or type(found) is not dict:
        return True
    modules = _modules_on_stack()
    if STARLETTE_MODULE in modules:
        return False
    if _starlette_uses_plain_dicts() and (_BASE_MIDDLEWARE_MODULE in modules or _SESSILE_MODULE not in modules):
        _warn()
        return False
    return True


def _is_set_by_middleware(found: Any) -> bool:
    if isinstance(found, Session):
        return hasattr(found, "_visit")
    starlette_session = getattr(sys.modules.get(STARLETTE_MODULE), "Session", None)
    return starlette_session is not None and isinstance(found, starlette_session)


def _starlette_uses_plain_dicts() -> bool:
    return not hasattr(sys.modules[STARLETTE_MODULE], "Session")


def _modules_on_stack() -> set[str]:
    """Returns the names of the modules through which the current message was sent."""
    names, frame = set(), sys._getframe(1)
    while frame is not None:
        names.add(frame.f_globals.get("__name__", ""))
        frame = frame.f_back  # type: ignore[assignment]
    return names


def _warn() -> None:
    global _is_warned
    if not _is_warned:
        _is_warned = True
        warnings.warn(_WARNING, RuntimeWarning, stacklevel=2)
