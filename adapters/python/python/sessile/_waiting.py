"""Waits for the store: event loops without blocking, threads without the interpreter lock.

asyncio: the store's thread adds a ticket to a queue and writes to a socket that the loop watches,
one of each per loop. So it needs no interpreter lock, and many answers cause one wake-up. Other
event loops, such as trio's, wait in a thread of anyio.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from typing import Any

from sessile._sessile import _Pending, _Wakeups

_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
"""The watched socket of each loop. Global state, because loops belong to the process."""


def block(answer: Any) -> Any:
    """Returns an answer. A thread waits for it if the store has to be asked.

    Raises :exc:`RuntimeError` in a coroutine whose event loop has to finish another operation of
    the session first.
    """
    if type(answer) is not _Pending:
        return answer
    if answer.is_queued and is_in_event_loop():
        answer.cancel()
        raise RuntimeError("another task awaits an operation of this session; await the variant of this method with the prefix `a`")
    return answer.block()


async def settle(answer: Any) -> Any:
    """Returns an answer. An event loop waits for it if the store has to be asked."""
    return await wait(answer) if type(answer) is _Pending else answer


async def fail(error: BaseException) -> Any:
    """Raises an error when it is awaited."""
    raise error


async def wait(pending: _Pending) -> Any:
    """Waits for the store, and returns or raises the result."""
    loop = _running_loop()
    watched = None if loop is None else _watched(loop)
    if watched is None:
        return await _in_thread(pending)
    try:
        await watched.until_ready(pending)
    except BaseException:
        pending.cancel()
        raise
    return pending.result()


def is_in_event_loop() -> bool:
    """Returns true in a coroutine, where waiting would stop all others."""
    return _running_loop() is not None or _is_in_trio()


class _Loop:
    """The tasks of one event loop that wait for the store."""

    __slots__ = ("_next", "_waiting", "_wakeups")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wakeups = _Wakeups()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._next = 0
        loop.add_reader(self._wakeups.fileno(), self._wake)

    async def until_ready(self, pending: _Pending) -> None:
        self._next = ticket = self._next + 1
        while not pending.poll(self._wakeups, ticket):
            # A ticket that is added from now on is taken after this task has paused.
            woken = self._waiting[ticket] = asyncio.get_running_loop().create_future()
            try:
                await woken
            finally:
                del self._waiting[ticket]

    def _wake(self) -> None:
        for ticket in self._wakeups.take():
            woken = self._waiting.get(ticket)
            if woken is not None and not woken.done():
                woken.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the loop of the current task. A guest of the loop, such as trio, has none."""
    try:
        return asyncio.get_running_loop() if asyncio.current_task() is not None else None
    except RuntimeError:
        return None


def _watched(loop: asyncio.AbstractEventLoop) -> _Loop | None:
    """Returns the watched socket of a loop; ``None`` if the loop watches none, as on Windows."""
    watched = _loops.get(loop)
    if watched is None:
        try:
            watched = _loops[loop] = _Loop(loop)
        except NotImplementedError:
            return None
    return watched


def _is_in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and trio.lowlevel.in_trio_run()


async def _in_thread(pending: _Pending) -> Any:
    from anyio.to_thread import run_sync

    return await run_sync(pending.block, abandon_on_cancel=True)


os.register_at_fork(after_in_child=_loops.clear)
