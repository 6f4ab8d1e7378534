"""Has versions of Starlette before 1.0 report each access to ``request.session``, as later ones do themselves.

Code in C and Rust, such as that of orjson and pydantic, reads a dict without calling its methods. Without the report
such code would see a session that has not been read yet.

It is state of the process by nature: there is one class of requests in it.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection

from sessile.session import Session

_is_installed = False


def report_accesses() -> None:
    """Replaces the property of Starlette's requests, unless it reports accesses or is replaced already."""
    global _is_installed
    if not _is_installed and not _reports_itself():
        reading = HTTPConnection.session

        def session(self: HTTPConnection) -> Any:
            found = reading.__get__(self)
            if isinstance(found, Session):
                found.mark_accessed()
            return found

        HTTPConnection.session = property(session, doc=reading.__doc__)  # type: ignore[assignment]
    _is_installed = True


def _reports_itself() -> bool:
    try:
        from starlette.middleware.sessions import Session as Starlettes
    except ImportError:
        return False
    return hasattr(Starlettes, "mark_accessed")
