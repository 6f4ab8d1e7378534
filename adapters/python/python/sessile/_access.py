"""The access to a session by ``request.session``, with a Starlette before 1.0.

Since 1.0 Starlette calls the session's ``mark_accessed`` there. Before, a session that is handed to code in C as it
is, such as pydantic's in ``return request.session``, would look unread to it: that code calls no method of a dict.
"""

from __future__ import annotations

from typing import Any


def tell_sessions_of_access() -> None:
    """Has ``request.session`` call ``mark_accessed`` where Starlette does not. Starlette's own sessions have none."""
    try:
        from starlette.requests import HTTPConnection
    except ImportError:
        return
    get = HTTPConnection.session.fget  # type: ignore[attr-defined]
    if "mark_accessed" in getattr(get, "__code__", tell_sessions_of_access.__code__).co_names:
        return

    def session(self: Any) -> Any:
        found = get(self)
        if hasattr(found, "mark_accessed"):
            found.mark_accessed()
        return found

    HTTPConnection.session = property(session, doc=get.__doc__)  # type: ignore[assignment,method-assign]
