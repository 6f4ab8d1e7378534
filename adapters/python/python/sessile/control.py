"""The verbs of a session: who is signed in, its id, and when it is stored.

They are not on ``request.session``, where they would hide the application's keys in templates.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from sessile._replaced import adopt
from sessile.session import Session

if TYPE_CHECKING:
    from sessile._sessile import Device

__all__ = ["SessionControl", "session_control"]

SESSION = "sessile.session"
"""Under this key of the scope is the session that the middleware put there."""


class SessionControl:
    """The verbs of one request's or websocket's session. Made by :func:`session_control`."""

    __slots__ = ("_scope", "_session")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        session = scope.get(SESSION)
        if session is None:
            raise RuntimeError("there is no session: app.add_middleware(sessile.starlette.SessionMiddleware, …)")
        session.mark_accessed()
        self._scope, self._session = scope, session

    @property
    def data(self) -> Session:
        """The session's dict: what ``request.session`` is."""
        session: Session = self._session
        return session

    @property
    def user(self) -> str | None:
        """The name of the user who is signed in; ``None`` without one."""
        return self.data._visit.user()

    def sign_in(
        self, user: str, *, label: str = "", assurance: int = 0, remember: float | None = None
    ) -> None:
        """Binds the session to a user and gives it a new id when the response begins: the old id opens
        nothing afterwards. The data stays.

        ``label`` is shown by :meth:`user_sessions`; ``assurance`` is how strongly the user was
        authenticated, on a scale of the application, up to 255; ``remember`` keeps the session for that
        many seconds, used or not.
        """
        self.data._visit.sign_in(user, label, assurance, remember)

    def sign_out(self) -> None:
        """Ends the session on the server, at once and whatever the response; the response removes the
        cookie. Values that are set afterwards begin a new session."""
        self.data.clear()

    def sign_out_others(self) -> int:
        """Ends the user's other sessions, at once. Returns their number."""
        return self.data._visit.sign_out_others()

    def sign_out_everywhere(self) -> int:
        """Ends all sessions of the user, this one too, at once. Returns their number."""
        ended = self.data._visit.sign_out_everywhere()
        dict.clear(self.data)
        return ended

    def rotate(self) -> None:
        """Gives the session a new id when the response begins: for any change of privilege."""
        self.data._visit.rotate()

    def save(self) -> None:
        """Stores the changes so far, now. A thread, a task and a ``def`` endpoint may call it, also after
        the response is complete.

        Raises :exc:`sessile.SessionError` if the session cannot be stored: the changes are still in the dict,
        except after :exc:`sessile.Gone`, which leaves it empty. A verb before it is performed when the response
        begins, or the response is an error.

        Raises :exc:`RuntimeError` if a session would have to be created after the response's headers have left.
        """
        adopt(self._scope, self.data)
        self.data._visit.save(self.data)

    async def asave(self) -> None:
        """As :meth:`save`, to be awaited."""
        self.save()

    def csrf_token(self) -> str:
        """Returns a text for a hidden field of a form, for :meth:`check_csrf`. It is valid as long as the
        session has its id. A visitor without a session gets one."""
        return self.data._visit.csrf_token(self.data)

    def check_csrf(self, token: str) -> None:
        """Raises :exc:`sessile.InvalidCSRFToken` unless the text comes from :meth:`csrf_token` of this
        session."""
        self.data._visit.check_csrf(token)

    def user_sessions(self) -> list[Device]:
        """Returns the user's sessions, the most recently used first; empty without a user."""
        return self.data._visit.devices()

    def is_alive(self) -> bool:
        """Returns true if the session still exists: false after it expired or was ended, here or
        elsewhere. One lookup; does not count as a use."""
        return self.data._visit.is_alive()


def session_control(connection: Any) -> SessionControl:
    """Returns the verbs of the session of a request or websocket, which counts as a use of it."""
    return SessionControl(connection.scope)
