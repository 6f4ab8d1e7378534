"""Waiting for a store: event loops, threads, forks and the exit."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import KEY, control_of
from redis_server import RedisServer, wait_until

from sessile import ForkedProcess, RedisStore, SessionCache
from sessile.starlette import SessionMiddleware


def cache_of(redis: RedisServer, timeout: float = 5) -> SessionCache:
    return SessionCache(secret_key=KEY, memory=8 << 20, store=RedisStore(redis.url, timeout=timeout))


async def read(scope: Any, receive: Any, send: Any) -> None:
    body = repr(dict(scope["session"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def write(scope: Any, receive: Any, send: Any) -> None:
    scope["session"]["a"] = scope["session"].get("a", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def request(middleware: Any, cookie: bytes = b"") -> list[Any]:
    """Returns the messages of a response."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"cookie", cookie)] if cookie else []
    await middleware({"type": "http", "path": "/", "headers": headers}, None, send)
    return sent


def cookie_of(messages: list[Any]) -> bytes:
    set_cookie: bytes = dict(messages[0]["headers"])[b"set-cookie"]
    return set_cookie.split(b";")[0]


def visitors(cache: SessionCache, number: int) -> list[bytes]:
    async def create() -> list[bytes]:
        made = await asyncio.gather(*(request(SessionMiddleware(write, cache=cache)) for _ in range(number)))
        return [cookie_of(messages) for messages in made]

    return asyncio.run(create())


def test_many_misses_are_awaited_at_once_without_blocking_the_loop(redis: RedisServer) -> None:
    one, other = cache_of(redis), cache_of(redis)
    cookies = visitors(one, 300)
    middleware = SessionMiddleware(read, cache=other)

    async def run() -> list[list[Any]]:
        return await asyncio.gather(*(request(middleware, cookie) for cookie in cookies))

    for messages in asyncio.run(run(), debug=True):
        assert messages[1]["body"] == b"{'a': 1}"
    for cache in (one, other):
        cache.close()


def test_other_tasks_run_while_a_request_waits(redis: RedisServer) -> None:
    one, other = cache_of(redis), cache_of(redis)
    [cookie] = visitors(one, 1)
    middleware = SessionMiddleware(read, cache=other)

    async def run() -> None:
        redis.pause()
        waiting = asyncio.create_task(request(middleware, cookie))
        turns = 0
        while not waiting.done() and turns < 20:
            await asyncio.sleep(0.001)
            turns += 1
        assert turns == 20, "the loop stood still"
        redis.resume()
        assert (await waiting)[1]["body"] == b"{'a': 1}"

    try:
        asyncio.run(run())
    finally:
        redis.resume()
    for cache in (one, other):
        cache.close()


def test_a_cancelled_request_leaves_its_session_usable(redis: RedisServer) -> None:
    cache = cache_of(redis)
    [cookie] = visitors(cache, 1)
    middleware = SessionMiddleware(write, cache=cache)

    async def run() -> None:
        redis.pause()
        waiting = asyncio.create_task(request(middleware, cookie))
        for _ in range(10):
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        redis.resume()

    try:
        asyncio.run(run())
    finally:
        redis.resume()
    gc.collect()
    # The save that was sent may have been done, or not; later ones are done in any case.
    before = cache.open_token(cookie.partition(b"=")[2])
    assert before is not None
    wait_until(lambda: asyncio.run(request(middleware, cookie))[0]["status"] == 200, "a later request is stored")
    cache.close()


def test_trio_waits_in_a_thread(redis: RedisServer) -> None:
    trio = pytest.importorskip("trio")
    one, other = cache_of(redis), cache_of(redis)
    [cookie] = visitors(one, 1)

    async def run() -> None:
        assert (await request(SessionMiddleware(read, cache=other), cookie))[1]["body"] == b"{'a': 1}"
        messages = await request(SessionMiddleware(write, cache=other))
        record = await one.aopen_token(cookie_of(messages).partition(b"=")[2])
        assert record is not None

    trio.run(run)
    for cache in (one, other):
        cache.close()


def test_threads_wait_without_the_interpreter_lock(redis: RedisServer) -> None:
    cache = cache_of(redis)
    issued = cache.create(b"")
    redis.pause()
    try:
        thread = threading.Thread(target=lambda: cache.end(issued.id), daemon=True)
        thread.start()
        counted = 0
        began = time.monotonic()
        while thread.is_alive() and time.monotonic() - began < 0.3:
            counted += 1
        assert counted > 100
    finally:
        redis.resume()
    thread.join(20)
    assert not thread.is_alive()
    cache.close()


def threads_of_stores() -> int:
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        # A thread may end before its name is read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append(path.read_text().strip())
    return names.count("sessile-store")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts the threads in /proc")
def test_a_closed_cache_stops_its_thread_and_opens_again(redis: RedisServer) -> None:
    gc.collect()
    before = threads_of_stores()
    cache = cache_of(redis)
    issued = cache.create(b"kept")
    assert threads_of_stores() == before + 1
    for _ in range(2):
        assert cache.close() == 0
        wait_until(lambda: threads_of_stores() == before, "the thread ends")
        record = cache.open_token(issued.token)
        assert record is not None and record.data == b"kept"
    del cache
    gc.collect()
    wait_until(lambda: threads_of_stores() == before, "the thread ends")


def test_a_forked_child_opens_its_own_connections(redis: RedisServer) -> None:
    from test_fork import in_child

    cache = cache_of(redis)
    middleware = SessionMiddleware(write, cache=cache)
    issued = cache.create(b"the parent's")
    clients = connections(redis)

    def work(write_out: Callable[[bytes], None]) -> None:
        record = cache.open_token(issued.token)
        assert record is not None and record.data == b"the parent's"
        assert connections(redis) == clients + 3, "channel, reads, writes"
        messages = asyncio.run(request(middleware))
        assert cache.close() == 0
        write_out(cookie_of(messages))

    [childs] = in_child(work)
    record = cache.open_token(childs.partition(b"=")[2])
    assert record is not None, "the parent's connections still work"
    cache.close()


def connections(redis: RedisServer) -> int:
    # The command's own connection is one of them.
    return redis.command("CLIENT", "LIST").count(b"id=") - 1


def test_a_request_in_progress_during_a_fork_raises_forked_process(redis: RedisServer) -> None:
    from test_fork import in_child

    cache = cache_of(redis)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["a"] = 1

        def go_on(write_out: Callable[[bytes], None]) -> None:
            with pytest.raises(ForkedProcess, match="forked during a request"):
                control_of(session).save()

        assert list(in_child(go_on)) == []
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert cookie_of(asyncio.run(request(SessionMiddleware(app, cache=cache))))
    cache.close()


def test_a_process_that_is_about_to_fork_opens_no_connection(redis: RedisServer) -> None:
    """gunicorn with ``--preload`` loads the application in its arbiter."""
    from test_fork import in_child

    before = connections(redis)
    arbiter: dict[str, Any] = {"__name__": "gunicorn.arbiter", "build": lambda: cache_of(redis)}
    exec("def load():\n    return build()", arbiter)
    cache: SessionCache = arbiter["load"]()
    middleware = SessionMiddleware(write, cache=cache)
    assert repr(cache) == "SessionCache(cookie_name=\"session\", store=..)"
    assert connections(redis) == before and cache.cookie_name == "session"

    def work(write_out: Callable[[bytes], None]) -> None:
        write_out(cookie_of(asyncio.run(request(middleware))))
        assert connections(redis) == before + 3

    [cookie] = in_child(work)
    assert connections(redis) == before
    # A worker of gunicorn has frames of the arbiter on its stack, too.
    worker: dict[str, Any] = {"__name__": "gunicorn.workers.base", "load": arbiter["load"]}
    exec("def run():\n    return load()", worker)
    arbiter["build"] = lambda: worker_cache(redis)
    outer: dict[str, Any] = {"__name__": "gunicorn.arbiter", "run": worker["run"]}
    exec("def spawn():\n    return run()", outer)
    opened: SessionCache = outer["spawn"]()
    assert connections(redis) == before + 3
    opened.close()
    assert cache.open_token(cookie.partition(b"=")[2]) is not None
    cache.close()


def worker_cache(redis: RedisServer) -> SessionCache:
    frames = []
    frame = sys._getframe()
    while frame is not None:
        frames.append(frame.f_globals["__name__"])
        frame = frame.f_back  # type: ignore[assignment]
    assert "gunicorn.workers.base" in frames and "gunicorn.arbiter" in frames
    return cache_of(redis)


def test_a_server_connects_when_it_starts_and_closes_when_it_ends(redis: RedisServer) -> None:
    before = connections(redis)
    cache = cache_of(redis)
    cache.close()
    wait_until(lambda: connections(redis) == before, "the connections are closed")
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        seen.append(connections(redis))
        await send({"type": "lifespan.shutdown.complete"})

    async def run() -> None:
        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await SessionMiddleware(app, cache=cache)({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(run())
    assert seen == [before + 3]
    wait_until(lambda: connections(redis) == before, "the connections are closed")


PROGRAM = """
import os, signal, sys
from sessile import RedisStore, SessionCache, Unreachable
cache = SessionCache(secret_key="b1mVIDAzC1D1KMQv5lTSk8dPcCh8lIbbJx3zcwOWkk4", store=RedisStore(sys.argv[1], timeout=1))
issued = cache.create(b"")
os.kill(int(sys.argv[2]), signal.SIGSTOP)
try:
    cache.end(issued.id)
except Unreachable as error:
    print(error)
"""


def test_a_process_exits_in_time_and_reports_sign_outs_that_were_not_confirmed(redis: RedisServer) -> None:
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, redis.url, str(redis.pid)], capture_output=True, text=True, timeout=60
        )
    finally:
        redis.resume()
    assert done.returncode == 0 and "cannot be reached" in done.stdout, done
    assert "1 sign-outs and revocations were not confirmed by the store" in done.stderr
    # 10 s are promised; 5 more for a machine with other work.
    assert time.monotonic() - began < 15
