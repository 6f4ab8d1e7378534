"""The operations of a session: signing in and out, rotating the id, saving.

They are not methods of ``request.session``, where they would hide the application's keys in
templates.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from sessile._replaced import adopt
from sessile.session import Session

if TYPE_CHECKING:
    from sessile._sessile import SessionInfo

__all__ = ["SessionControl", "session_control"]

SESSION = "sessile.session"
"""The scope's key for the middleware's session."""


class SessionControl:
    """The operations of the session of a request or websocket. Created by :func:`session_control`.

    Methods that may wait for a store have awaitable variants, whose names start with ``a``. Without
    a store both finish immediately, so a coroutine may call either. A ``def`` endpoint and a thread
    call the plain variant.
    """

    __slots__ = ("_scope", "_session")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        session = scope.get(SESSION)
        if session is None:
            raise RuntimeError("the scope has no session; call app.add_middleware(sessile.starlette.SessionMiddleware, …)")
        session.mark_accessed()
        self._scope, self._session = scope, session

    @property
    def data(self) -> Session:
        """The session's dict, as in ``request.session``."""
        session: Session = self._session
        return session

    @property
    def user(self) -> str | None:
        """The name of the signed-in user; ``None`` without one."""
        return self.data._visit.user()

    def sign_in(
        self, user: str, *, label: str = "", assurance_level: int = 0, remember: float | None = None
    ) -> None:
        """Binds the session to a user and rotates its id when the response begins.

        The old id is not accepted afterwards. The data is kept.

        ``label`` is returned by :meth:`user_sessions`. ``assurance_level`` is the authentication
        assurance level (NIST SP 800-63B AAL, OIDC ``acr``), 0 to 255. ``remember`` keeps the
        session for that number of seconds, used or not.
        """
        self.data._visit.sign_in(user, label, assurance_level, remember)

    def sign_out(self) -> None:
        """Ends the session on the server immediately, even if the response is an error.

        The response removes the cookie. Values that are set afterwards start a new session.
        """
        self.data.clear()

    async def asign_out(self) -> None:
        """Awaitable variant of :meth:`sign_out`."""
        self.sign_out()

    def sign_out_others(self) -> int:
        """Ends the user's other sessions immediately. Returns their number."""
        return self.data._visit.sign_out_others()

    async def asign_out_others(self) -> int:
        """Awaitable variant of :meth:`sign_out_others`."""
        return self.sign_out_others()

    def sign_out_everywhere(self) -> int:
        """Ends all sessions of the user immediately, including this one. Returns their number."""
        ended = self.data._visit.sign_out_everywhere()
        dict.clear(self.data)
        return ended

    async def asign_out_everywhere(self) -> int:
        """Awaitable variant of :meth:`sign_out_everywhere`."""
        return self.sign_out_everywhere()

    def rotate(self) -> None:
        """Rotates the session's id when the response begins.

        Call it after any change of privilege.
        """
        self.data._visit.rotate()

    def save(self) -> None:
        """Stores the changes immediately.

        A thread, a task and a ``def`` endpoint may call it, also after the response is complete.

        Raises :exc:`sessile.SessionError` if the session cannot be stored. The changes are kept in
        the dict, except after :exc:`sessile.Gone`, which empties it. A pending :meth:`sign_in` or
        :meth:`rotate` is performed when the response begins, or the response is an error.

        Raises :exc:`RuntimeError` if a session would have to be created after the response's
        headers were sent.
        """
        adopt(self._scope, self.data)
        self.data._visit.save(self.data)

    async def asave(self) -> None:
        """Awaitable variant of :meth:`save`."""
        self.save()

    def csrf_token(self) -> str:
        """Returns a token for a hidden field of a form, to be checked by :meth:`check_csrf`.

        It is valid until the session's id changes. Creates a session if there is none.
        """
        return self.data._visit.csrf_token(self.data)

    def check_csrf(self, token: str) -> None:
        """Verifies a token of :meth:`csrf_token`.

        Raises :exc:`sessile.InvalidCSRFToken` unless this session created it. If the application
        does not handle the exception, the response has status 403; a websocket is closed with code
        1008, or rejected with status 403 before ``accept()``.
        """
        self.data._visit.check_csrf(token)

    def user_sessions(self) -> list[SessionInfo]:
        """Returns the user's sessions, the most recently used first; empty without a user."""
        return self.data._visit.user_sessions()

    async def auser_sessions(self) -> list[SessionInfo]:
        """Awaitable variant of :meth:`user_sessions`."""
        return self.user_sessions()

    def end_by_handle(self, handle: str) -> bool:
        """Ends one of the user's sessions immediately, by its ``handle`` in :meth:`user_sessions`.

        Returns true if it existed. Returns false for a session of another user, for a text that is
        not a handle, and without a user. The handle may come from a client. For this session it
        does what :meth:`sign_out` does.
        """
        return self.data._visit.end_by_handle(self.data, handle)

    async def aend_by_handle(self, handle: str) -> bool:
        """Awaitable variant of :meth:`end_by_handle`."""
        return self.end_by_handle(handle)

    def is_alive(self) -> bool:
        """Returns true if the session exists, and false after it expired or was ended.

        It costs one lookup and does not count as a use. A sign-in or :meth:`rotate` in another
        request gives the session a new id, so this returns false then, too.
        """
        return self.data._visit.is_alive()


def session_control(connection: Any) -> SessionControl:
    """Returns the :class:`SessionControl` of a request or websocket.

    Counts as a use of the session.
    """
    return SessionControl(connection.scope)
