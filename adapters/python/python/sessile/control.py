"""The operations of a session: signing in and out, rotating the id, saving.

They are not methods of ``request.session``, where they would hide the application's keys in
templates.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from sessile._replaced import adopt
from sessile._waiting import block, settle
from sessile.session import Session

if TYPE_CHECKING:
    from sessile._sessile import SessionInfo

__all__ = ["SessionControl", "session_control"]

SESSION = "sessile.session"
"""The scope's key for the middleware's session."""


class SessionControl:
    """The operations of the session of a request or websocket. Created by :func:`session_control`.

    Methods that may wait for a store have awaitable variants, whose names start with ``a``. With a
    store a coroutine awaits those, because the plain ones stop all other coroutines while they
    wait. A ``def`` endpoint and a thread call the plain variant. Without a store both finish
    immediately, so a coroutine may call either.

    With a store each of them raises :exc:`sessile.Unreachable` if it does not answer.
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

        With a store, the end of the session is repeated until the store confirms it. In a coroutine
        this method does not wait: the response does, and a missing confirmation is logged. A thread
        waits, and :exc:`sessile.Unreachable` is raised without a confirmation.
        """
        self.data.clear()

    async def asign_out(self) -> None:
        """Awaitable variant of :meth:`sign_out`.

        Raises :exc:`sessile.Unreachable` if the store does not confirm the end of the session. The
        session has ended in this process even so, and the response removes the cookie.
        """
        try:
            answer = self.data._visit.sign_out(False)
        finally:
            dict.clear(self.data)
        await settle(answer)

    def sign_out_others(self) -> int:
        """Ends the user's other sessions immediately. Returns their number."""
        ended: int = block(self.data._visit.sign_out_others())
        return ended

    async def asign_out_others(self) -> int:
        """Awaitable variant of :meth:`sign_out_others`."""
        ended: int = await settle(self.data._visit.sign_out_others())
        return ended

    def sign_out_everywhere(self) -> int:
        """Ends all sessions of the user immediately, including this one. Returns their number."""
        ended: int = block(self.data._visit.sign_out_everywhere(self.data))
        return ended

    async def asign_out_everywhere(self) -> int:
        """Awaitable variant of :meth:`sign_out_everywhere`."""
        ended: int = await settle(self.data._visit.sign_out_everywhere(self.data))
        return ended

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
        block(self.data._visit.save(self.data))

    async def asave(self) -> None:
        """Awaitable variant of :meth:`save`."""
        adopt(self._scope, self.data)
        await settle(self.data._visit.save(self.data))

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
        sessions: list[SessionInfo] = block(self.data._visit.user_sessions())
        return sessions

    async def auser_sessions(self) -> list[SessionInfo]:
        """Awaitable variant of :meth:`user_sessions`."""
        sessions: list[SessionInfo] = await settle(self.data._visit.user_sessions())
        return sessions

    def end_by_handle(self, handle: str) -> bool:
        """Ends one of the user's sessions immediately, by its ``handle`` in :meth:`user_sessions`.

        Returns true if it existed. Returns false for a session of another user, for a text that is
        not a handle, and without a user. The handle may come from a client. For this session it
        does what :meth:`sign_out` does.
        """
        is_ended: bool = block(self.data._visit.end_by_handle(self.data, handle))
        return is_ended

    async def aend_by_handle(self, handle: str) -> bool:
        """Awaitable variant of :meth:`end_by_handle`."""
        is_ended: bool = await settle(self.data._visit.end_by_handle(self.data, handle))
        return is_ended

    def is_alive(self) -> bool:
        """Returns true if the session exists, and false after it expired or was ended.

        It costs one lookup and does not count as a use. A sign-in or :meth:`rotate` in another
        request gives the session a new id, so this returns false then, too. With a store it also
        returns false if the session is not in memory and the store does not answer.
        """
        is_alive: bool = block(self.data._visit.is_alive())
        return is_alive

    async def ais_alive(self) -> bool:
        """Awaitable variant of :meth:`is_alive`."""
        is_alive: bool = await settle(self.data._visit.is_alive())
        return is_alive


def session_control(connection: Any) -> SessionControl:
    """Returns the :class:`SessionControl` of a request or websocket.

    Counts as a use of the session.
    """
    return SessionControl(connection.scope)
