"""Replaces Starlette's session middleware by sessile's, for libraries that add it.

Global state, because a process has one module ``starlette.middleware.sessions``.
"""

from __future__ import annotations

import sys

_MODULE = "starlette.middleware.sessions"
_is_installed = False


def is_installed() -> bool:
    return _is_installed


def install(middleware: type) -> None:
    """Implements :func:`sessile.starlette.install`."""
    global _is_installed
    import starlette.middleware.sessions as module

    if module.SessionMiddleware is middleware:
        return
    if importers := _modules_with(module.SessionMiddleware):
        raise RuntimeError(
            f"sessile.starlette.install() must be called before {', '.join(importers)} "
            f"{'is' if len(importers) == 1 else 'are'} imported, which already uses Starlette's SessionMiddleware"
        )
    module.SessionMiddleware = middleware  # type: ignore[misc,assignment]
    _is_installed = True


def _modules_with(middleware: type) -> list[str]:
    """Returns the names of the modules that have imported a class."""
    modules = [(name, _values_of(module)) for name, module in list(sys.modules.items()) if name != _MODULE]
    return sorted(name for name, values in modules if any(value is middleware for value in values))


def _values_of(module: object) -> list[object]:
    """Returns the values of a module's names, without triggering lazy loading."""
    try:
        return list(object.__getattribute__(module, "__dict__").values())
    except AttributeError:
        return []
