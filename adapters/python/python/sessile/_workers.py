"""Whether other processes may serve the same visitors, who would find no sessions there."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings

_TEXT = (
    "several worker processes share no sessions: a visitor who meets another one is signed out there. Run one "
    "(`--workers 1`), which serves many requests at once, or have a proxy send each visitor to always the same"
)
_is_said = False


def warn_of_several() -> None:
    """Warns, once in a process, if there are signs of several."""
    global _is_said
    if not _is_said and _are_several():
        _is_said = True
        warnings.warn(_TEXT, RuntimeWarning, stacklevel=3)


def _are_several() -> bool:
    said = _said_in_arguments() or os.environ.get("WEB_CONCURRENCY", "")
    if said:
        return said.isdecimal() and int(said) > 1
    # A server that reloads has one child at a time.
    return multiprocessing.parent_process() is not None and "--reload" not in sys.argv


def _said_in_arguments() -> str:
    """How many workers the command line asks for, as uvicorn and gunicorn read it."""
    for argument, following in zip(sys.argv, sys.argv[1:] + [""]):
        if argument in ("--workers", "-w"):
            return following
        if argument.startswith("--workers="):
            return argument.partition("=")[2]
    return ""
