"""Detects other worker processes that serve the same visitors. They do not share sessions."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import warnings
from typing import Any

_TEXT = (
    "several worker processes do not share sessions: a visitor whose request reaches another worker is signed out there. "
    "Run one (`--workers 1`), which serves many requests concurrently, or have a proxy route each visitor to one worker"
)
_is_warned = False


def warn_of_several() -> None:
    """Warns once per process if several workers are detected."""
    global _is_warned
    if not _is_warned and _are_several():
        _is_warned = True
        warnings.warn(_TEXT, RuntimeWarning, stacklevel=3)


def _are_several() -> bool:
    workers = _of_the_server()
    if workers is None:
        workers = _of_the_settings()
    if workers is not None:
        return workers > 1
    # A server that reloads has one child at a time.
    return multiprocessing.parent_process() is not None and "--reload" not in sys.argv


def _of_the_server() -> int | None:
    """Returns the number of workers in the configuration of the server that runs the application. The server's
    frames are on the stack when the application is built, so that any source of the configuration is found."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        read = _SERVERS.get(frame.f_globals.get("__name__", "").partition(".")[0])
        if read is not None:
            found.append(read(frame.f_locals))
        frame = frame.f_back  # type: ignore[assignment]
    # A worker of gunicorn may run uvicorn, which knows of itself alone.
    return max((workers for workers in found if workers is not None), default=None)


def _of_uvicorn(names: dict[str, Any]) -> int | None:
    config = names.get("config") or getattr(names.get("self"), "config", None)
    workers = getattr(config, "workers", None)
    if not isinstance(workers, int):
        return None
    return 1 if getattr(config, "should_reload", False) else workers


def _of_gunicorn(names: dict[str, Any]) -> int | None:
    cfg = getattr(names.get("self"), "cfg", None)
    workers = getattr(cfg, "workers", None)
    return workers if isinstance(workers, int) else None


def _of_hypercorn(names: dict[str, Any]) -> int | None:
    workers = getattr(names.get("config"), "workers", None)
    return workers if isinstance(workers, int) else None


_SERVERS = {"uvicorn": _of_uvicorn, "gunicorn": _of_gunicorn, "hypercorn": _of_hypercorn}


def _of_the_settings() -> int | None:
    """Returns the number of workers of the command line or the environment, as uvicorn and gunicorn read them."""
    arguments = [*os.environ.get("GUNICORN_CMD_ARGS", "").split(), *sys.argv[1:]]
    for argument, following in zip(arguments, arguments[1:] + [""]):
        given = re.fullmatch(r"(?:--workers=|-w=?)(\d+)", argument)
        if given:
            return int(given[1])
        if argument in ("--workers", "-w") and following.isdecimal():
            return int(following)
    by_environment = os.environ.get("WEB_CONCURRENCY", "")
    return int(by_environment) if by_environment.isdecimal() else None
