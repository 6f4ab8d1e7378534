"""Access to a session through ``request.session``, with versions of Starlette before 1.0.

Since 1.0, ``request.session`` calls the session's ``mark_accessed``. Before, a session that is
passed directly to C code, such as pydantic's in ``return request.session``, would appear unread,
because that code calls no method of the dict.
"""

from __future__ import annotations

from typing import Any


def mark_access_in_request_session() -> None:
    """Makes ``request.session`` call ``mark_accessed`` if Starlette does not.

    Sessions of Starlette's own middleware have no such method in these versions.
    """
    try:
        from starlette.requests import HTTPConnection
    except ImportError:
        return
    get = HTTPConnection.session.fget  # type: ignore[attr-defined]
    if "mark_accessed" in getattr(get, "__code__", mark_access_in_request_session.__code__).co_names:
        return

    def session(self: Any) -> Any:
        found = get(self)
        if hasattr(found, "mark_accessed"):
            found.mark_accessed()
        return found

    HTTPConnection.session = property(session, doc=get.__doc__)  # type: ignore[assignment,method-assign]
