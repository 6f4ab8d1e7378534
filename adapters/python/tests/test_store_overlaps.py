"""Operations of one session that overlap in an event loop, while the store does not answer yet."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from conftest import KEY, control_of
from redis_server import RedisServer, wait_until
from test_store_waiting import cookie_of, read, request, visitors

from sessile import RedisStore, SessionCache, Unreachable
from sessile.session import Session
from sessile.starlette import SessionMiddleware

Respond = Callable[..., Awaitable[None]]


@pytest.fixture
def cache(redis: RedisServer) -> Iterator[SessionCache]:
    cache = SessionCache(secret_key=KEY, memory=8 << 20, store=RedisStore(redis.url, timeout=5))
    yield cache
    redis.resume()
    cache.close()


async def begin_save(redis: RedisServer, session: Session) -> asyncio.Task[None]:
    """Begins to store a change, which the server answers 0.1 s later."""
    session["a"] = 2
    redis.pause()
    saving = asyncio.create_task(control_of(session).asave())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, redis.resume)
    return saving


def respond_with(cache: SessionCache, handler: Callable[[Session, Respond], Awaitable[None]]) -> tuple[bytes, list[Any]]:
    """Returns the cookie of a visitor, and the messages of their request.

    Another thread runs the event loop, so that the test fails if the loop is blocked.
    """
    [cookie] = visitors(cache, 1)
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def respond(more: bool = False) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": more})

        await handler(scope["session"], respond)

    async def run() -> None:
        try:
            sent.extend(await request(SessionMiddleware(app, cache=cache), cookie))
        except ArithmeticError:
            sent.append("failed")
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the event loop is blocked"
    return cookie, sent


def stored(cache: SessionCache, cookie: bytes) -> bytes | None:
    """Returns the values of a session as text; ``None`` if it has ended."""
    if cache.open_token(cookie.partition(b"=")[2]) is None:
        return None
    body: bytes = asyncio.run(request(SessionMiddleware(read, cache=cache), cookie))[1]["body"]
    return body


def test_too_large_value_is_rejected_without_blocking_the_loop(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        await begin_save(redis, session)
        session["b"] = "x" * 20_000
        await respond()

    cookie, sent = respond_with(cache, handler)
    assert sent[0]["status"] == 500 and b"max_session_size" in sent[1]["body"]
    assert stored(cache, cookie) == b"{'a': 2}"


def test_plain_method_that_would_block_the_loop_for_ever_raises(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        await begin_save(redis, session)
        session["b"] = 3
        with pytest.raises(RuntimeError, match="the prefix `a`"):
            control_of(session).save()
        await respond()

    cookie, sent = respond_with(cache, handler)
    assert sent[0]["status"] == 200 and stored(cache, cookie) == b"{'a': 2, 'b': 3}"


def test_sign_out_survives_an_exception(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        await begin_save(redis, session)
        session.clear()
        raise ArithmeticError

    cookie, sent = respond_with(cache, handler)
    assert sent == ["failed"]
    wait_until(lambda: stored(cache, cookie) is None, "the session has ended")


def test_sign_out_survives_a_replaced_response(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        await begin_save(redis, session)
        session.clear()
        session["b"] = "x" * 20_000
        await respond()

    cookie, sent = respond_with(cache, handler)
    assert sent[0]["status"] == 500 and stored(cache, cookie) is None


def test_sign_out_in_a_stream_is_awaited(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        session["a"] = 1
        await respond(more=True)
        await begin_save(redis, session)
        session.clear()

    cookie, sent = respond_with(cache, handler)
    assert sent[0]["status"] == 200 and stored(cache, cookie) is None


def test_failed_sign_out_leaves_no_values(redis: RedisServer, cache: SessionCache) -> None:
    async def handler(session: Session, respond: Respond) -> None:
        assert session["a"] == 1
        redis.kill()
        while cache.store_health().state == "up":
            await asyncio.sleep(0.01)
        with pytest.raises(Unreachable):
            await control_of(session).asign_out()
        assert not session
        redis.start()
        await respond()

    _, sent = respond_with(cache, handler)
    assert sent[0]["status"] == 200
    assert b"Max-Age=0" in dict(sent[0]["headers"])[b"set-cookie"], "no new session has the old values"
    assert cookie_of(sent) == b"session=" or cookie_of(sent) == b'session=""'
