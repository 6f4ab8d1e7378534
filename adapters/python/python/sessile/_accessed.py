"""Has versions of Starlette before 1.0 report each access to ``request.session``, as later ones do themselves.

Code in C and Rust, such as that of orjson and pydantic, reads a dict without calling its methods. Without the report
such code would see a session that has not been read yet.

It is state of the process by nature: there is one class of requests in it.
"""

from __future__ import annotations

from typing import Any


def report_accesses() -> None:
    """Replaces the property of Starlette's requests, unless it reports accesses or is replaced already."""
    try:
        from starlette.requests import HTTPConnection
    except ImportError:
        return
    read = HTTPConnection.session.fget  # type: ignore[attr-defined]
    # Starlette's module of sessions is not imported to see it: that tells whether its middleware is in use.
    code = getattr(read, "__code__", None)
    if code is None or "mark_accessed" in code.co_names:
        return

    def session(self: Any) -> Any:
        found = read(self)
        if hasattr(found, "mark_accessed"):
            found.mark_accessed()
        return found

    HTTPConnection.session = property(session, doc=read.__doc__)  # type: ignore[assignment,method-assign]
