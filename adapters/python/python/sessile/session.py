"""The value of ``request.session``: a dict that is kept on the server.

Its public names are those of ``dict`` and the four of Starlette's ``Session``, so templates see the
application's keys. The operations are in :mod:`sessile.control`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from sessile._sessile import _nothing
from sessile._waiting import is_in_event_loop

if TYPE_CHECKING:
    from sessile._sessile import _Visit

__all__ = ["Session"]


class _Method:
    """A method whose bound form has a ``repr`` without the session's data.

    A template prints that ``repr`` if it names an attribute where a key was meant.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, session: Any, owner: type | None = None) -> Any:
        return self if session is None else _Bound(self._function, session)


class _Bound:
    __slots__ = ("_function", "_session")

    def __init__(self, function: Callable[..., Any], session: Any) -> None:
        self._function, self._session = function, session

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self._session, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<method {self._function.__name__!r} of a session>"


class Session(dict[str, Any]):
    """The session of one visitor: a plain dict.

    Keys are text; values are those of JSON. The session is loaded on the first access. Changes at
    any depth are detected and stored when the response begins, unless its status is 500 or above.
    Changes in a stream or a background task are stored when it has ended. Concurrent requests that
    change different keys both keep their changes.

    A session built by hand, ``Session({"a": 1})``, is a plain dict too, for tests; ``accessed`` and
    ``modified`` behave as in Starlette.
    """

    __slots__ = ("__dict__", "__weakref__", "_visit")
    _visit: _Visit

    if TYPE_CHECKING:

        def clear(self) -> None: ...
        def mark_accessed(self) -> None: ...
        def mark_modified(self) -> None: ...

    else:

        def __init__(self, *args, **kwargs):
            dict.__init__(self, *args, **kwargs)
            self.__class__ = _Standalone

        @_Method
        def clear(self) -> None:
            """Clears the dict and signs out.

            Ends the session on the server immediately, even if the response is an error. Values
            that are set afterwards start a new session.

            In Rust ``Session::clear`` removes the keys only, and the user stays signed in. To
            remove the keys only, delete them one by one."""
            # In a coroutine the response waits for the store. A thread waits here.
            try:
                answer = self._visit.sign_out(self._visit.has_store() and is_in_event_loop())
            finally:
                dict.clear(self)
            if answer is not None:
                answer.block()

        # Starlette calls it at each `request.session`. This session was loaded before.
        mark_accessed = staticmethod(_nothing)
        # Does nothing, because changes are detected.
        mark_modified = staticmethod(_nothing)

    @property
    def accessed(self) -> bool:
        """True if a handler, a middleware or a dependency read or wrote the session."""
        return True

    @property
    def modified(self) -> bool:
        """True if the session differs from what was loaded or last saved, at any depth."""
        return self._visit.differs(self)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return deepcopy(dict(self), memo)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session belongs to its request and cannot be pickled; pickle dict(session)")


class _Unread(Session):
    """A session before its first access.

    Any operation loads the session and changes the object's class to :class:`Session`, so that
    later operations are as fast as those of a dict. It holds one item until then, because the C
    code of ``json`` writes an empty dict without calling a method.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        __init__ = dict.__init__

        def mark_accessed(self) -> None:
            self._visit.read(self)
            self.__class__ = Session

    @property
    def accessed(self) -> bool:
        return False

    @property
    def modified(self) -> bool:
        return False


def unread(visit: _Visit) -> Session:
    """Returns the session of a request, before its first access."""
    session = _Unread(_ONE_ITEM)
    session._visit = visit
    return session


_ONE_ITEM = {"": None}


def _load_and_call(name: str) -> Callable[..., Any]:
    """Returns a method that loads the session and then calls the method of :class:`Session`."""

    def method(self: _Unread, *args: Any, **kwargs: Any) -> Any:
        self.mark_accessed()
        return getattr(self, name)(*args, **kwargs)

    method.__name__ = name
    return method


_SPECIAL = """
    __contains__ __copy__ __deepcopy__ __delitem__ __eq__ __ge__ __getitem__ __gt__ __ior__ __iter__ __le__ __len__
    __lt__ __ne__ __or__ __repr__ __reversed__ __ror__ __setitem__
"""
_NAMED = "clear copy get items keys mark_modified pop popitem setdefault update values"
for _name in _SPECIAL.split():
    setattr(_Unread, _name, _load_and_call(_name))
for _name in _NAMED.split():
    setattr(_Unread, _name, _Method(_load_and_call(_name)))


class _Standalone(Session):
    """A session without a request, which records its changes as Starlette's does."""

    __slots__ = ()
    _accessed = _modified = False

    if not TYPE_CHECKING:
        __init__ = dict.__init__

        @_Method
        def mark_accessed(self) -> None:
            self._accessed = True

        @_Method
        def mark_modified(self) -> None:
            self._accessed = self._modified = True

    @property
    def accessed(self) -> bool:
        return self._accessed

    @property
    def modified(self) -> bool:
        return self._modified


def _marking(name: str) -> Callable[..., Any]:
    """Returns a method of ``dict`` that marks the session as modified.

    ``pop`` and ``setdefault`` do so only if they change the length.
    """
    method_of_dict = getattr(dict, name)
    is_change = name not in ("pop", "setdefault")

    def method(self: _Standalone, *args: Any, **kwargs: Any) -> Any:
        before = len(self)
        result = method_of_dict(self, *args, **kwargs)
        if is_change or len(self) != before:
            self.mark_modified()
        return result

    method.__name__ = name
    return method


for _name in ("__setitem__", "__delitem__", "__ior__"):
    setattr(_Standalone, _name, _marking(_name))
for _name in ("clear", "pop", "popitem", "setdefault", "update"):
    setattr(_Standalone, _name, _Method(_marking(_name)))
