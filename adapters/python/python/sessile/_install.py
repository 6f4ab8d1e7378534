"""Sessile's middleware in the place of Starlette's, for libraries that add that one.

It is state of the process by nature: there is one module of Starlette's in it.
"""

from __future__ import annotations

import sys

_MODULE = "starlette.middleware.sessions"
_is_installed = False


def is_installed() -> bool:
    return _is_installed


def install(ours: type) -> None:
    """See :func:`sessile.starlette.install`."""
    global _is_installed
    import starlette.middleware.sessions as theirs

    if theirs.SessionMiddleware is ours:
        return
    if early := _modules_with(theirs.SessionMiddleware):
        raise RuntimeError(
            f"sessile.starlette.install() must be called before {', '.join(early)} "
            f"{'is' if len(early) == 1 else 'are'} imported: Starlette's SessionMiddleware is in use there"
        )
    theirs.SessionMiddleware = ours  # type: ignore[misc,assignment]
    _is_installed = True


def _modules_with(middleware: type) -> list[str]:
    """Returns the names of the modules that have imported a class."""
    modules = [(name, _names_of(module)) for name, module in list(sys.modules.items()) if name != _MODULE]
    return sorted(name for name, names in modules if any(value is middleware for value in names))


def _names_of(module: object) -> list[object]:
    """The values of a module's names, without loading one that loads itself on first access."""
    try:
        return list(object.__getattribute__(module, "__dict__").values())
    except AttributeError:
        return []
