"""Requests that end in unusual ways, with a store behind the cache."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from in_process import request
from redis_server import wait_until
from servers import KINDS, Server
from starlette.testclient import TestClient
from workers import SECRET, Visitor, Workers, status_of

from sessile import RedisStore, SessionCache
from sessile.fastapi import CurrentUser, SessionDep, SessionMiddleware
from sessile.testing import test_client

pytestmark = [pytest.mark.newest, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Workers]:
    with Workers("uvicorn", server.url, 2) as site:
        yield site


@pytest.fixture
def caches(server: Server) -> Iterator[Callable[[], SessionCache]]:
    """Builds caches, as those of separate processes, and closes them."""
    built: list[SessionCache] = []

    def build() -> SessionCache:
        built.append(SessionCache(secret_key=SECRET, memory=4 << 20, store=RedisStore(server.url, timeout=5)))
        return built[-1]

    yield build
    for cache in built:
        cache.close()


def application(cache: SessionCache) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache)

    @app.get("/account")
    async def account(user: CurrentUser) -> str:
        return user

    @app.post("/cart/{item}")
    async def add_to_cart(session: SessionDep, item: str) -> list[str]:
        cart: list[str] = session.data.setdefault("cart", [])
        cart.append(item)
        return cart

    @app.post("/login/{user}")
    async def login(session: SessionDep, user: str) -> None:
        session.sign_in(user)

    return app


def test_exception_stores_nothing(site: Workers) -> None:
    one, two = site.connect()
    visitor = Visitor()
    visitor.send(one, "POST", "/count/before")
    # The server closes the connection of a request that failed.
    with contextlib.closing(site.open()) as failing:
        assert visitor.send(failing, "POST", "/fail").status == 500
    assert [visitor.send(worker, "GET", "/all").json() for worker in (one, two)] == [{"before": 1}] * 2


def test_streaming_response_stores_what_the_stream_changed(site: Workers) -> None:
    one, two = site.connect()
    visitor = Visitor()
    assert visitor.send(one, "GET", "/stream").body == b"onetwo"
    wait_until(lambda: visitor.send(two, "GET", "/all").json() == {"begun": True, "done": True}, "the late change is stored", 10)


def test_client_that_goes_leaves_the_session_usable(site: Workers) -> None:
    one, two = site.connect()
    visitor = Visitor()
    visitor.send(one, "POST", "/count/changes")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", site.port)) as gone:
            gone.sendall(f"POST /hold HTTP/1.1\r\nhost: a\r\ncookie: session={visitor.cookie}\r\n\r\n".encode())
    for connection in (one, two):
        visitor.send(connection, "POST", "/release")
    for count, connection in enumerate([one, two] * 3, start=2):
        wait_until(lambda: visitor.send(connection, "GET", "/all").json()["changes"] == count - 1, "the last change arrives", 10)
        assert visitor.send(connection, "POST", "/count/changes").json() == count


def test_requests_cancelled_while_they_wait_for_the_store(server: Server, caches: Callable[[], SessionCache]) -> None:
    """Cancelling a waiting request ends that request alone."""
    app, other = application(caches()), application(caches())
    with TestClient(other) as browser:
        browser.post("/login/ada")
        cookie = browser.cookies["session"]

    async def run() -> None:
        server.pause()
        try:
            waiting = [asyncio.create_task(request(app, "/account", cookie)) for _ in range(50)]
            # All of them have asked the store after one turn of the loop each.
            for _ in range(10):
                await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
        finally:
            server.resume()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
        assert {status for status, _ in results[1::2]} <= {200, 503}
        assert (await request(app, "/account", cookie))[0] == 200

    asyncio.run(run())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("has_lifespan", [True, False])
def test_test_client_works_with_a_store(caches: Callable[[], SessionCache], backend: Any, has_lifespan: bool) -> None:
    first, second = (TestClient(application(caches()), backend=backend) for _ in range(2))
    if has_lifespan:
        first.__enter__(), second.__enter__()
    first.post("/cart/tea")
    second.cookies = first.cookies
    assert second.post("/cart/cup").json() == ["tea", "cup"], "the other cache reads it from the store"
    second.post("/login/ada")
    first.cookies = second.cookies
    assert first.get("/account").json() == "ada"
    if has_lifespan:
        first.__exit__(), second.__exit__()


def test_recipe_of_the_guide_for_pytest_works_with_a_store(caches: Callable[[], SessionCache]) -> None:
    one, two = caches(), caches()
    client = test_client(application(one), one, user="ada", data={"cart": ["tea"]})
    assert client.get("/account").json() == "ada"
    elsewhere = TestClient(application(two), cookies=dict(client.cookies))
    assert elsewhere.post("/cart/cup").json() == ["tea", "cup"]


def test_websocket_saves_and_reads_over_two_processes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("SESSILE_STORE", server.url)
    monkeypatch.delitem(sys.modules, "store_app", raising=False)
    import store_app

    with TestClient(store_app.app) as client:
        client.post("/count/before")
        with client.websocket_connect("/ws") as socket_:
            socket_.send_text("hello")
            assert socket_.receive_json() == {"before": 1, "last": "hello"}
        assert client.get("/all").json() == {"before": 1, "last": "hello"}


EXIT = """
import sys, threading
from sessile import RedisStore, SessionCache
cache = SessionCache(secret_key={secret!r}, memory=4 << 20, store={url!r})
issued = cache.create(b"a cart")
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("is_stopped", [False, True])
def test_program_exits_in_time(server: Server, is_stopped: bool) -> None:
    program = EXIT.format(secret=SECRET, url=server.url)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if is_stopped:
            server.pause()
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait(10) == 0
        finally:
            server.resume()


def test_closed_caches_leave_no_thread_and_no_file(server: Server) -> None:
    def cycle() -> None:
        cache = SessionCache(secret_key=SECRET, memory=4 << 20, store=server.url)
        with TestClient(application(cache)) as client:
            client.post("/cart/tea")
        cache.close()

    def state() -> tuple[int, int, int]:
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd")), status_of(os.getpid(), "Threads")

    cycle()
    before = state()
    for _ in range(10):
        cycle()
    wait_until(lambda: all(count <= earlier for count, earlier in zip(state(), before, strict=True)), "threads and files are closed", 10)
