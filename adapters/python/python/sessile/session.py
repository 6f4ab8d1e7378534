"""What a handler sees as ``request.session``: a dict that is kept on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from sessile._sessile import Device, Visit

__all__ = ["Session"]


class Session(dict[str, Any]):
    """The session of one visitor: a dict, and verbs for who is signed in.

    Keys are text; values are what JSON holds. It is read when a handler first asks for it. What was changed, at
    any depth, is found and stored when the response begins, unless that is a 500 or above; what changed after
    that, in a stream or a background task, is stored when that is over. Two requests that change
    different keys at the same time do not undo each other.
    """

    __slots__ = ("_visit",)
    _visit: Visit

    def clear(self) -> None:
        """Removes everything. Who was signed in is signed out, at once; a session that is still empty when the
        response begins is ended, and the cookie removed."""
        self._visit.clear()
        super().clear()

    def sign_in(
        self, user: str, *, label: str = "", assurance: int = 0, remember: float | None = None
    ) -> None:
        """Binds the session to a user and gives it a new id, when the response begins: whoever knew the old one
        has nothing. The data stays.

        ``label`` is shown by :meth:`devices`; ``assurance`` is how sure you are, on a scale of your own, up to
        255; ``remember`` keeps the session for that many seconds, whether it is used or not.
        """
        self._visit.sign_in(user, label, assurance, remember)

    def sign_out(self) -> None:
        """Ends the session on the server, at once and whatever the response will be, and has the response remove
        the cookie. What is put into it afterwards begins a new one."""
        self._visit.sign_out()
        super().clear()

    def rotate(self) -> None:
        """Gives the session a new id when the response begins: for any change of privilege."""
        self._visit.rotate()

    def save(self) -> None:
        """Stores what was changed so far, now.

        Raises :exc:`sessile.SessionError` if that cannot be done.
        """
        self._visit.save(self)

    @property
    def user(self) -> str | None:
        """The name of who is signed in; ``None`` if nobody is."""
        return self._visit.user()

    @property
    def csrf_token(self) -> str:
        """A text for a hidden field of a form, for :meth:`check_csrf` when the form comes back. It counts as long
        as the session has its id. A visitor without a session gets one by asking."""
        return self._visit.csrf_token()

    def check_csrf(self, token: str) -> bool:
        """Whether a form is this visitor's: that :attr:`csrf_token` gave the text that came with it."""
        return self._visit.check_csrf(token)

    def devices(self) -> list[Device]:
        """Where else, and here, the user is signed in, the most recently seen first; nowhere if nobody is."""
        return self._visit.devices()

    def sign_out_others(self) -> int:
        """Signs the user out everywhere but here, at once. Says on how many devices."""
        return self._visit.sign_out_others()

    def sign_out_everywhere(self) -> int:
        """Signs the user out everywhere, here too, at once. Says on how many devices."""
        ended = self._visit.sign_out_everywhere()
        super().clear()
        return ended

    @property
    def accessed(self) -> bool:
        """Whether a handler asked for it."""
        return True

    @property
    def modified(self) -> bool:
        """Whether it differs, at any depth, from what was read."""
        return self._visit.differs(self)

    def mark_accessed(self) -> None:
        """What Starlette calls when a handler asks for ``request.session``."""

    def mark_modified(self) -> None:
        """Does nothing: changes are found."""

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return deepcopy(dict(self), memo)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session belongs to its request: pickle dict(session)")


class Unread(Session):
    """A session that nobody has asked for. Whatever is done to it, it is read first and becomes a
    :class:`Session`, so that later uses cost what a dict costs.

    Make one with :func:`unread`. It holds one item until it is read: the C code of ``json`` takes an empty dict
    for what it seems to be.
    """

    __slots__ = ()

    def mark_accessed(self) -> None:
        self._visit.read(self)
        self.__class__ = Session  # type: ignore[assignment]

    @property
    def accessed(self) -> bool:
        return False

    @property
    def modified(self) -> bool:
        return False


def unread(visit: Visit) -> Session:
    """The session of a request, before anybody asked for it."""
    session = Unread(_ONE_ITEM)
    session._visit = visit
    return session


_ONE_ITEM = {"": None}


def _reading(name: str) -> Callable[..., Any]:
    """A method that reads the session, which makes it a :class:`Session`, and then does what is asked of that."""

    def method(self: Unread, *args: Any, **kwargs: Any) -> Any:
        self.mark_accessed()
        return getattr(self, name)(*args, **kwargs)

    return method


def _reading_property(name: str) -> property:
    def value(self: Unread) -> Any:
        self.mark_accessed()
        return getattr(self, name)

    return property(value)


_OF_A_DICT = """
    __contains__ __delitem__ __eq__ __ge__ __getitem__ __gt__ __ior__ __iter__ __le__ __len__ __lt__ __ne__ __or__
    __repr__ __reversed__ __ror__ __setitem__ copy get items keys pop popitem setdefault update values
"""
_OF_A_SESSION = """
    __copy__ __deepcopy__ check_csrf clear devices rotate save sign_in sign_out sign_out_everywhere sign_out_others
"""
for _name in (_OF_A_DICT + _OF_A_SESSION).split():
    setattr(Unread, _name, _reading(_name))
for _name in ("csrf_token", "user"):
    setattr(Unread, _name, _reading_property(_name))
