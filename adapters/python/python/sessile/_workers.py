"""Detects several worker processes, which do not share sessions."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import warnings
from typing import Any

_WARNING = (
    "several worker processes do not share sessions: a visitor whose request reaches another worker is signed out there. "
    "Set a store that they share (`store=\"redis://…\"`), run one worker (`--workers 1`), which serves many requests "
    "concurrently, or route each visitor to one worker"
)
_is_warned = False


def warn_of_several_workers() -> None:
    """Warns once per process if several workers are detected."""
    global _is_warned
    if not _is_warned and _has_several_workers():
        _is_warned = True
        warnings.warn(_WARNING, RuntimeWarning, stacklevel=3)


def is_preloading() -> bool:
    """Returns true if gunicorn loads the application before it forks its workers (``--preload``)."""
    is_in_arbiter, frame = False, sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("gunicorn.workers."):
            return False
        is_in_arbiter |= module == "gunicorn.arbiter"
        frame = frame.f_back  # type: ignore[assignment]
    return is_in_arbiter


def _has_several_workers() -> bool:
    workers = _workers_of_server()
    if workers is None:
        workers = _workers_of_command_line()
    if workers is not None:
        return workers > 1
    # A server that reloads has one child process at a time.
    return multiprocessing.parent_process() is not None and "--reload" not in sys.argv


def _workers_of_server() -> int | None:
    """Returns the number of workers in the configuration of the server that runs the application.

    The server's frames are on the stack while the application is built. Their variables have the
    final configuration, whatever its source.
    """
    found, frame = [], sys._getframe(1)
    while frame is not None:
        read = _SERVERS.get(frame.f_globals.get("__name__", "").partition(".")[0])
        if read is not None:
            found.append(read(frame.f_locals))
        frame = frame.f_back  # type: ignore[assignment]
    # A worker of gunicorn may run uvicorn, whose configuration has one worker.
    return max((workers for workers in found if workers is not None), default=None)


def _workers_of_uvicorn(names: dict[str, Any]) -> int | None:
    config = names.get("config") or getattr(names.get("self"), "config", None)
    workers = getattr(config, "workers", None)
    if not isinstance(workers, int):
        return None
    return 1 if getattr(config, "should_reload", False) else workers


def _workers_of_gunicorn(names: dict[str, Any]) -> int | None:
    cfg = getattr(names.get("self"), "cfg", None)
    workers = getattr(cfg, "workers", None)
    return workers if isinstance(workers, int) else None


def _workers_of_hypercorn(names: dict[str, Any]) -> int | None:
    workers = getattr(names.get("config"), "workers", None)
    return workers if isinstance(workers, int) else None


_SERVERS = {"uvicorn": _workers_of_uvicorn, "gunicorn": _workers_of_gunicorn, "hypercorn": _workers_of_hypercorn}


def _workers_of_command_line() -> int | None:
    """Returns the number of workers in the command line or the environment.

    Reads the options of uvicorn and gunicorn.
    """
    arguments = [*os.environ.get("GUNICORN_CMD_ARGS", "").split(), *sys.argv[1:]]
    for argument, following in zip(arguments, arguments[1:] + [""]):
        given = re.fullmatch(r"(?:--workers=|-w=?)(\d+)", argument)
        if given:
            return int(given[1])
        if argument in ("--workers", "-w") and following.isdecimal():
            return int(following)
    from_environment = os.environ.get("WEB_CONCURRENCY", "")
    return int(from_environment) if from_environment.isdecimal() else None
