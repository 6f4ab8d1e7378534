"""Forks and several processes."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
from conftest import KEY, control_of

import sessile._workers
from sessile import ForkedProcess, SessionCache
from sessile._sessile import _Sessions
from sessile.session import Session, unread
from sessile.starlette import SessionMiddleware

CHILDREN = 8
IDS = 100_000
SECONDS = 60


def in_child(act: Callable[[Callable[[bytes], None]], None]) -> Iterator[bytes]:
    """Returns the output of a forked child. Fails if the child fails or exceeds the time limit."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks in a process with threads, which are tested here.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            warnings.simplefilter("ignore")
            act(lambda data: (os.write(writer, data), None)[1])
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    return follow(child, reader)


def follow(child: int, reader: int) -> Iterator[bytes]:
    deadline = time.monotonic() + SECONDS
    while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        if not (data := os.read(reader, 1 << 16)):
            break
        yield data
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed or timed out"


# ID-3: docs/security-checklist.md
@pytest.mark.newest
def test_forked_children_create_distinct_ids() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20)
    cache.create(b"")

    def draw(write: Callable[[bytes], None]) -> None:
        for _ in range(IDS // 100):
            tokens = [cache.create(b"").token for _ in range(100)]
            write("".join(tokens).encode())

    running = [in_child(draw) for _ in range(CHILDREN)]
    ids: set[bytes] = set()
    for child in running:
        data = b"".join(child)
        # The first four bytes are the format, the key and the place. Equal ids have equal tags.
        ids.update(data[at + 5 : at + 27] for at in range(0, len(data), 48))
    assert len(ids) == CHILDREN * IDS


def test_child_starts_with_empty_cache_of_same_settings() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20, cookie_name="sid", idle_timeout=77)
    old = cache.create(b"parent's")

    def look(write: Callable[[bytes], None]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert len(cache) == 0 and cache.open_token(old.token) is None and cache.load(old.id) is None
            assert cache.cookie_name == "sid" and cache.idle_timeout == 77
            issued = cache.create(b"child's")
            assert cache.open_token(issued.token) is not None
            assert cache.stats()["rejected_forged"] == 0, "parent and child have equal keys"
        write("\n".join(str(warning.message) for warning in caught).encode())

    said = b"".join(in_child(look)).decode()
    assert said.count("processes do not share sessions") == 1 and "Run one worker process" in said
    assert len(cache) == 1 and cache.open_token(old.token) is not None


def test_child_does_not_wait_for_lock_of_parents_thread() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20)
    stop = threading.Event()

    def hammer() -> None:
        issued = cache.create(b"x" * 1000)
        while not stop.is_set():
            version = issued.version
            for _ in range(100):
                version = cache.save(issued.id, version, b"x" * (version % 4000))
            cache.end(issued.id)
            issued = cache.create(b"")

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):

            def work(write: Callable[[bytes], None]) -> None:
                issued = cache.create(b"data")
                cache.save(issued.id, issued.version, b"more")
                assert cache.load(issued.id) is not None and cache.end(issued.id)

            assert list(in_child(work)) == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_request_in_progress_during_fork_raises_forked_process() -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20)

    async def app(scope: object, receive: object, send: object) -> None:
        session = scope["session"]  # type: ignore[index]
        session["a"] = 1

        def go_on(write: Callable[[bytes], None]) -> None:
            with pytest.raises(ForkedProcess, match="forked during a request"):
                control_of(session).save()
            with pytest.raises(ForkedProcess):
                control_of(session).sign_in("ada")

        assert list(in_child(go_on)) == []
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    async def send(message: object) -> None: ...

    asyncio.run(SessionMiddleware(app, cache=cache)({"type": "http", "headers": []}, None, send))  # type: ignore[arg-type]
    assert len(cache) == 1


def test_middleware_works_in_child() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        scope["session"]["a"] = 1  # type: ignore[index]
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    middleware = SessionMiddleware(app, cache=SessionCache(secret_key=KEY, memory=4 << 20))

    def request() -> bytes:
        sent: list[dict[str, list[tuple[bytes, bytes]]]] = []

        async def send(message: dict[str, list[tuple[bytes, bytes]]]) -> None:
            sent.append(message)

        asyncio.run(middleware({"type": "http", "headers": []}, None, send))  # type: ignore[arg-type]
        return dict(sent[0]["headers"])[b"set-cookie"]

    first = request()
    [childs] = in_child(lambda write: write(request()))
    assert childs.startswith(b"session=") and childs != first
    assert len(middleware.cache) == 1


PROGRAM = """
import warnings
from sessile.starlette import SessionMiddleware
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        SessionMiddleware(None, secret_key="b1mVIDAzC1D1KMQv5lTSk8dPcCh8lIbbJx3zcwOWkk4", memory=4 << 20)
print(sum("several worker processes do not share sessions" in str(warning.message) for warning in caught))
"""


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, 0),
        ([], {"WEB_CONCURRENCY": "4"}, 1),
        ([], {"WEB_CONCURRENCY": "1"}, 0),
        ([], {"WEB_CONCURRENCY": "many"}, 0),
        (["--workers", "4"], {}, 1),
        (["-w", "2"], {}, 1),
        (["--workers=3"], {}, 1),
        (["--workers", "1"], {"WEB_CONCURRENCY": "4"}, 0),
        (["--reload"], {}, 0),
    ],
)
def test_several_workers_are_warned_of_once(
    arguments: list[str], environment: dict[str, str], expected: int
) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=clean | environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == expected


def test_parent_in_multiprocessing_counts_as_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(sys, "argv", ["app"])
    monkeypatch.setattr("multiprocessing.parent_process", lambda: object())
    for argv, expected in ((["app"], True), (["app", "--reload"], False), (["app", "--workers", "1"], False)):
        monkeypatch.setattr(sys, "argv", argv)
        assert sessile._workers._has_several_workers() is expected


@pytest.mark.newest
def test_child_drops_sessions_of_parent_without_touching_the_engine() -> None:
    """Dropping a session whose cookie was not sent ends it.

    In a child its lock may be held forever.
    """
    cache = SessionCache(secret_key=KEY, memory=4 << 20)
    sessions = _Sessions(cache)
    stop = threading.Event()
    held = threading.local()

    def saved() -> Session:
        session = unread(sessions.begin([], False))
        session["a"] = "x" * 1000
        control_of(session).save()
        return session

    def hammer() -> None:
        while not stop.is_set():
            issued = cache.create(b"x" * 1000)
            version = issued.version
            for _ in range(50):
                version = cache.save(issued.id, version, b"x" * (version % 4000))
            cache.end(issued.id)

    def hold() -> None:
        # The child's interpreter frees this session before any hook of a module runs.
        held.unsent = [saved() for _ in range(20)]
        stop.wait()

    threads = [threading.Thread(target=act, daemon=True) for act in (hammer, hold)]
    for thread in threads:
        thread.start()
    try:
        unsent = [saved() for _ in range(20)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(1_000):
                child = os.fork()
                if child == 0:
                    # Ends a child that hangs.
                    signal.alarm(10)
                    unsent.clear()
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
