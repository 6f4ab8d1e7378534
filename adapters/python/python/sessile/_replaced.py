"""A ``scope["session"]`` that is not what the middleware put there.

Owns the question who replaced it. A dict of the application's is the session's new content. The
session of another middleware is left alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import MutableMapping
from typing import Any, TypeGuard

from sessile.session import Session

STARLETTES = "starlette.middleware.sessions"

_CUTS_THE_STACK = "starlette.middleware.base"
"""Sends the messages of the layers inside it from a task of its own, without their frames."""
_OURS = "sessile.starlette"

_UNCLEAR = (
    '`scope["session"]` was replaced, by the application or by another session middleware, and is not stored: change '
    "the session in place, with `clear()` and `update()`"
)
_is_warned = False


def adopt(scope: MutableMapping[str, Any], session: Session) -> None:
    """Takes a dict that the application put in the session's place over as its content."""
    found = scope.get("session")
    if found is session or not _is_of_the_application(found):
        return
    session.mark_accessed()
    dict.clear(session)
    dict.update(session, found)
    scope["session"] = session


def _is_of_the_application(found: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(found, dict) or _is_of_a_middleware(found):
        return False
    # A plain dict may come from Starlette before 1.0, whose middleware has one too.
    if STARLETTES not in sys.modules or type(found) is not dict:
        return True
    passed = _modules_on_the_stack()
    if STARLETTES in passed:
        return False
    if _starlette_has_plain_dicts() and (_CUTS_THE_STACK in passed or _OURS not in passed):
        _warn_unclear()
        return False
    return True


def _is_of_a_middleware(found: Any) -> bool:
    if isinstance(found, Session):
        return hasattr(found, "_visit")
    theirs = getattr(sys.modules.get(STARLETTES), "Session", None)
    return theirs is not None and isinstance(found, theirs)


def _starlette_has_plain_dicts() -> bool:
    return not hasattr(sys.modules[STARLETTES], "Session")


def _modules_on_the_stack() -> set[str]:
    """The modules that a message passed on its way here."""
    names, frame = set(), sys._getframe(1)
    while frame is not None:
        names.add(frame.f_globals.get("__name__", ""))
        frame = frame.f_back  # type: ignore[assignment]
    return names


def _warn_unclear() -> None:
    global _is_warned
    if not _is_warned:
        _is_warned = True
        warnings.warn(_UNCLEAR, RuntimeWarning, stacklevel=2)
