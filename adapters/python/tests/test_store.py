"""Sessions in a store: shared by caches, loaded before the application, answered 503 without it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import KEY, Handler, client_for, view, visitor
from redis_server import RedisServer, wait_until
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from sessile import Gone, RedisStore, SessionCache, Unreachable
from sessile.starlette import session_control
from sessile.testing import test_client

LEASE = 3.0
TIMEOUT = 1.0


@pytest.fixture
def shared(redis: RedisServer) -> Iterator[Callable[[], SessionCache]]:
    """Builds caches that share the sessions of one server."""
    built: list[SessionCache] = []

    def build() -> SessionCache:
        store = RedisStore(redis.url, lease=LEASE, timeout=TIMEOUT)
        cache = SessionCache(secret_key=KEY, memory=8 << 20, store=store)
        built.append(cache)
        wait_until(lambda: health(cache) == "up", "the cache connects")
        return cache

    yield build
    for cache in built:
        cache.close(0.5)


async def add(request: Request) -> Response:
    request.session["n"] = request.session.get("n", 0) + 1
    return Response()


async def login(request: Request) -> Response:
    session_control(request).sign_in("ada", label="phone")
    request.session["cart"] = ["tea"]
    return Response()


async def user(request: Request) -> Response:
    return JSONResponse(session_control(request).user)


async def clear(request: Request) -> Response:
    request.session.clear()
    return Response()


async def sign_out(request: Request) -> Response:
    await session_control(request).asign_out()
    return Response()


def sign_out_in_thread(request: Request) -> Response:
    session_control(request).sign_out()
    return Response()


async def unused(request: Request) -> Response:
    return Response("not used")


HANDLERS: tuple[Handler, ...] = (add, login, user, clear, sign_out, sign_out_in_thread, unused)


def client(cache: SessionCache, *handlers: Handler, **settings: Any) -> TestClient:
    return visitor(*HANDLERS, *handlers, cache=cache, **settings)


def with_cookies_of(one: TestClient, other: TestClient) -> TestClient:
    one.cookies = other.cookies
    return one


def lose(redis: RedisServer, cache: SessionCache) -> None:
    """Kills the server, and waits until the cache has noticed."""
    redis.kill()
    wait_until(lambda: health(cache) == "down", "the cache notices")


def health(cache: SessionCache) -> str:
    found = cache.store_health()
    assert found is not None
    return found.state


def test_two_processes_share_data_sign_in_and_sign_out(shared: Callable[[], SessionCache]) -> None:
    one = client(shared())
    other = client(shared())
    one.get("/add")
    assert with_cookies_of(other, one).get("/view").json() == {"n": 1}
    # Both have the session in memory now: each save reaches the other one.
    for at in range(2, 6):
        (one if at % 2 else other).get("/add")
        expected = {"n": at}
        for each in (one, other):
            wait_until(lambda each=each, expected=expected: each.get("/view").json() == expected, "the save arrives")
    one.get("/login")
    assert with_cookies_of(other, one).get("/user").json() == "ada"
    cookie = dict(one.cookies)
    other.get("/sign_out")
    assert not other.cookies
    assert cookie == dict(one.cookies)
    wait_until(lambda: one.get("/user").json() is None, "the sign-out arrives")


@pytest.mark.parametrize("path", ["/clear", "/sign_out", "/sign_out_in_thread"])
def test_sign_out_ends_the_session_on_the_server(shared: Callable[[], SessionCache], path: str) -> None:
    cache = shared()
    ada = client(cache)
    ada.get("/login")
    before = dict(ada.cookies)
    assert ada.get(path).status_code == 200 and not ada.cookies
    # Confirmed before the response was sent: another cache that never saw the session agrees.
    assert shared().open_token(before["session"]) is None


def test_a_restarted_process_keeps_the_sessions(shared: Callable[[], SessionCache]) -> None:
    first = shared()
    ada = client(first)
    ada.get("/login")
    assert first.close() == 0
    assert with_cookies_of(client(shared()), ada).get("/view").json() == {"cart": ["tea"]}


def test_a_request_that_only_loads_its_session_neither_uses_it_nor_gets_headers(
    shared: Callable[[], SessionCache],
) -> None:
    ada = client(shared())
    ada.get("/login")
    other = with_cookies_of(client(shared()), ada)
    for _ in range(2):
        response = other.get("/unused")
        assert response.status_code == 200
        assert "vary" not in response.headers and "set-cookie" not in response.headers
    assert other.get("/view").headers["vary"] == "Cookie"


def test_two_requests_that_change_different_keys_in_two_processes_keep_both(
    shared: Callable[[], SessionCache],
) -> None:
    barrier = threading.Barrier(2, timeout=20)

    def put(request: Request) -> Response:
        session = request.session
        barrier.wait()
        session[request.query_params["key"]] = 1
        return Response()

    one, other = client(shared(), put), client(shared(), put)
    one.get("/login")
    with_cookies_of(other, one)
    threads = [
        threading.Thread(target=each.get, args=(f"/put?key={key}",)) for each, key in ((one, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert with_cookies_of(client(shared()), one).get("/view").json() == {"cart": ["tea"], "a": 1, "b": 1}


def test_an_unreachable_store_is_503_where_it_is_needed(
    redis: RedisServer, shared: Callable[[], SessionCache]
) -> None:
    cache, other = shared(), shared()
    ada = client(cache)
    ada.get("/login")
    stranger = with_cookies_of(client(other), ada)
    lose(redis, other)
    # The other process never had the session.
    response = stranger.get("/view")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5" and response.headers["cache-control"] == "no-store"
    assert stranger.get("/unused").text == "not used"
    assert stranger.get("/add").status_code == 503
    # Visitors without a cookie are served, unless something is to be stored.
    visitor = client(other)
    assert visitor.get("/view").json() == {}
    assert visitor.get("/add").status_code == 503 and not visitor.cookies
    # Forged cookies never reach the store.
    visitor.cookies.set("session", "A" * 48)
    assert visitor.get("/view").json() == {}


def test_a_process_answers_from_its_memory_until_the_lease_is_over(
    redis: RedisServer, shared: Callable[[], SessionCache]
) -> None:
    cache = shared()
    ada = client(cache)
    ada.get("/login")
    redis.kill()
    assert ada.get("/view").json() == {"cart": ["tea"]}
    wait_until(lambda: ada.get("/view").status_code == 503, "the lease is over", LEASE + 3)
    began = time.monotonic()
    assert ada.get("/view").status_code == 503
    assert time.monotonic() - began < TIMEOUT / 2, "it does not wait for a store that is known to be down"
    redis.start()
    # The data is gone with the server, and the cookie opens nothing.
    wait_until(lambda: ada.get("/view").status_code == 200, "the store is back")
    assert ada.get("/view").json() == {}


def test_no_request_waits_longer_than_three_timeouts_for_a_server_that_does_not_answer(
    redis: RedisServer, shared: Callable[[], SessionCache]
) -> None:
    cache, other = shared(), shared()
    ada, bob = client(cache), client(cache)
    for each in (ada, bob):
        each.get("/login")
    stranger = with_cookies_of(client(other), ada)
    redis.pause()
    try:
        for each, path in ((ada, "/sign_out"), (bob, "/add"), (stranger, "/view")):
            began = time.monotonic()
            assert each.get(path).status_code == 503
            # 3 × the timeout, and time for a machine with other work.
            assert time.monotonic() - began < 3 * TIMEOUT + 5
    finally:
        redis.resume()
    # The sign-out is sent as soon as the server answers.
    wait_until(lambda: stranger.get("/user").status_code == 200 and stranger.get("/user").json() is None, "the end")


def test_a_handler_may_catch_the_error(redis: RedisServer, shared: Callable[[], SessionCache]) -> None:
    async def lenient(request: Request) -> Response:
        try:
            return JSONResponse(dict(request.session))
        except Unreachable:
            return JSONResponse("a visitor")

    ada = client(shared(), lenient)
    ada.get("/login")
    other = shared()
    stranger = with_cookies_of(client(other, lenient), ada)
    assert stranger.get("/lenient").json() == {"cart": ["tea"]}
    third = shared()
    stranger = with_cookies_of(client(third, lenient), ada)
    lose(redis, third)
    response = stranger.get("/lenient")
    assert (response.status_code, response.json()) == (200, "a visitor")


def test_a_sign_out_that_is_not_confirmed_removes_the_cookie(
    redis: RedisServer, shared: Callable[[], SessionCache]
) -> None:
    async def leave(request: Request) -> Response:
        control = session_control(request)
        redis.pause()
        try:
            with pytest.raises(Unreachable):
                await control.asign_out()
        finally:
            redis.resume()
        return Response()

    ada = client(shared(), leave)
    ada.get("/login")
    assert ada.get("/leave").status_code == 200 and not ada.cookies


@pytest.mark.parametrize("skip", ["/unused", ("/static/", "/unused"), lambda scope: scope["path"] == "/unused"])
def test_skipped_requests_do_not_load_their_session(shared: Callable[[], SessionCache], skip: Any) -> None:
    ada = client(shared())
    ada.get("/login")
    cache = shared()
    stranger = with_cookies_of(client(cache, skip=skip), ada)
    stranger.get("/unused")
    assert reads(cache) == 0
    stranger.get("/user")
    assert reads(cache) == 1


def reads(cache: SessionCache) -> int:
    """Returns the number of times the store was asked for a session."""
    lines = cache.prometheus().splitlines()
    [line] = [line for line in lines if line.startswith("sessile_store_reads_total")]
    return int(float(line.split()[-1]))


def test_a_skipped_request_that_reads_its_session_even_so_gets_it(shared: Callable[[], SessionCache]) -> None:
    ada = client(shared())
    ada.get("/login")
    assert with_cookies_of(client(shared(), skip="/"), ada).get("/view").json() == {"cart": ["tea"]}


@pytest.mark.parametrize("touch_always", [False, True])
def test_touch_always_works_with_a_store(shared: Callable[[], SessionCache], touch_always: bool) -> None:
    ada = client(shared())
    ada.get("/login")
    stranger = with_cookies_of(client(shared(), touch_always=touch_always), ada)
    assert stranger.get("/unused").status_code == 200
    assert stranger.get("/view").json() == {"cart": ["tea"]}


def test_identity_keys_that_a_failed_request_removed_stay_removed(shared: Callable[[], SessionCache]) -> None:
    async def set_user(request: Request) -> Response:
        request.session["user_id"] = 7
        return Response()

    async def drop_user(request: Request) -> Response:
        del request.session["user_id"]
        raise RuntimeError("after the sign-out")

    one = client(shared(), set_user, drop_user)
    one.get("/set_user")
    other = with_cookies_of(client(shared()), one)
    assert other.get("/view").json() == {"user_id": 7}
    with pytest.raises(RuntimeError, match="after the sign-out"):
        one.get("/drop_user")
    wait_until(lambda: other.get("/view").json() == {}, "the removal is stored")


def test_websockets_share_their_session_and_sign_out(shared: Callable[[], SessionCache]) -> None:
    async def talk(socket: WebSocket) -> None:
        session = socket.session
        if await socket_text(socket) == "sign out":
            session.clear()
        await socket.accept()
        if session:
            session["said"] = 1
        await socket.send_json(session_control(socket).user)
        await socket.close()

    async def socket_text(socket: WebSocket) -> str:
        return socket.query_params.get("say", "")

    routes = [WebSocketRoute("/talk", talk), *(Route(f"/{act.__name__}", act) for act in (login, user, view))]
    one, other = client_for(routes, cache=shared()), client_for(routes, cache=shared())
    one.get("/login")
    before = dict(one.cookies)
    with_cookies_of(other, one)
    with other.websocket_connect("/talk") as socket:
        assert socket.receive_json() == "ada"
        assert socket.receive()["type"] == "websocket.close"
    assert with_cookies_of(client_for(routes, cache=shared()), one).get("/view").json() == {"cart": ["tea"], "said": 1}
    with other.websocket_connect("/talk?say=sign out") as socket:
        assert socket.receive_json() is None
    assert shared().open_token(before["session"]) is None


def test_a_websocket_is_closed_if_its_session_cannot_be_read(
    redis: RedisServer, shared: Callable[[], SessionCache]
) -> None:
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(dict(socket.session))

    routes = [WebSocketRoute("/talk", talk), Route("/login", login)]
    one, cache = client_for(routes, cache=shared()), shared()
    one.get("/login")
    other = with_cookies_of(client_for(routes, cache=cache), one)
    lose(redis, cache)
    with other.websocket_connect("/talk") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == 1013


def test_client_helper_of_the_guide_works_with_a_store(shared: Callable[[], SessionCache]) -> None:
    cache = shared()
    app = client(cache).app
    ada = test_client(app, cache, user="ada", data={"cart": ["cup"]})
    assert ada.get("/user").json() == "ada" and ada.get("/view").json() == {"cart": ["cup"]}


def test_the_application_may_be_started_again_after_its_shutdown(shared: Callable[[], SessionCache]) -> None:
    cache = shared()
    ada = client(cache)
    for _ in range(2):
        with ada:
            ada.get("/add")
    assert ada.get("/view").json() == {"n": 2}


def test_plain_methods_of_a_cache_work_in_threads(shared: Callable[[], SessionCache]) -> None:
    one, other = shared(), shared()
    issued = one.create(b"a cart")
    record = other.open(f"theme=dark; session={issued.token}")
    assert record is not None and record.data == b"a cart"
    version = other.save(record.id, record.version, b"fuller")
    assert version > record.version
    signed_in = other.sign_in(record.id, "ada", label="phone")
    wait_until(lambda: one.open_token(issued.token) is None, "the message arrives")
    assert [info.label for info in one.user_sessions("ada")] == ["phone"]
    loaded = one.load(signed_in.id)
    assert loaded is not None and loaded.data == b"fuller" and loaded.is_authenticated
    one.touch(signed_in.id)
    one.set_timeouts(signed_in.id, loaded.version, idle_timeout=60)
    rotated = one.rotate(signed_in.id)
    assert other.end_user_sessions("ada", except_id=rotated.id) == 0
    assert other.end(rotated.id) is True and other.end(rotated.id) is False
    assert other.end_by_token(issued.token) is False
    one.end_all()


def test_awaitable_methods_of_a_cache(shared: Callable[[], SessionCache]) -> None:
    async def use(one: SessionCache, other: SessionCache) -> None:
        issued = await one.acreate(b"a cart")
        record = await other.aopen(f"session={issued.token}")
        assert record is not None and record.data == b"a cart"
        version = await other.asave(record.id, record.version, b"fuller")
        signed_in = await other.asign_in(record.id, "ada")
        assert version > record.version and await other.aopen_token(issued.token) is None
        [info] = await one.auser_sessions("ada")
        loaded = await one.aload(signed_in.id)
        assert loaded is not None
        await one.atouch(signed_in.id)
        await one.aset_timeouts(signed_in.id, loaded.version, idle_timeout=60)
        rotated = await one.arotate(signed_in.id)
        assert await one.aend_by_handle(info.handle) is True and await one.aend(rotated.id) is False
        assert await one.aend_by_token(issued.token) is False
        assert await one.aend_user_sessions("ada") == 0
        other_issued = await one.acreate(b"")
        await one.aend_if_unchanged(other_issued.id, other_issued.version)
        failing = one.atouch(issued.id)
        with pytest.raises(Gone):
            await failing
        await one.aend_all()

    asyncio.run(use(shared(), shared()))
    local = SessionCache(secret_key=KEY, memory=4 << 20, store=False)
    asyncio.run(use(local, local))


