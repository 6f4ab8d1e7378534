"""`sessile.jwt.Revocations` in a store that processes share. Two caches stand for two processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import KEY
from fastapi import Depends, FastAPI
from jwt_tokens import SECRET
from redis_server import DEADLINE, RedisServer, wait_until
from starlette.testclient import TestClient

from sessile import RedisStore, SessionCache, Unreachable, jwt
from sessile.fastapi import bearer

LEASE = 3.0


def token(sub: str = "ada", jti: str = "1") -> str:
    now = int(time.time())
    return jwt.encode({"sub": sub, "jti": jti, "iat": now - 10, "exp": now + 600}, SECRET)


class Node:
    """A process's cache and list of revocations."""

    def __init__(self, redis: RedisServer, capacity: int = 1_000) -> None:
        store = RedisStore(redis.url, lease=LEASE)
        self.cache = SessionCache(secret_key=KEY, memory=4 << 20, store=store)
        self.revocations = jwt.Revocations.with_store(self.cache, capacity=capacity)

    def decode(self, text: str) -> jwt.Claims:
        return jwt.decode(text, SECRET, algorithms=["HS256"], revocations=self.revocations)

    def accepts(self, text: str) -> bool:
        """Returns true if a token is accepted, also if the list is not loaded yet."""
        try:
            self.decode(text)
        except (jwt.RevokedTokenError, jwt.RevocationsUnavailableError):
            return False
        return True

    def rejects_as_revoked(self, text: str) -> bool:
        try:
            self.decode(text)
        except jwt.RevocationsUnavailableError:
            return False
        except jwt.RevokedTokenError:
            return True
        return False

    def wait(self) -> Node:
        wait_until(self.revocations.are_current, "the list is loaded")
        return self


@pytest.fixture
def nodes(redis: RedisServer) -> Iterator[tuple[Node, Node]]:
    first, second = Node(redis).wait(), Node(redis).wait()
    yield first, second
    first.cache.close()
    second.cache.close()


def test_revocation_reaches_the_other_process(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    ada, bob = token(), token("bob", "2")
    assert second.accepts(ada) and second.accepts(bob)
    first.revocations.revoke_token(first.decode(ada))
    assert first.rejects_as_revoked(ada)
    wait_until(lambda: second.rejects_as_revoked(ada), "the token is revoked", LEASE + 1)
    second.revocations.revoke_subject("bob")
    assert second.rejects_as_revoked(bob)
    wait_until(lambda: first.rejects_as_revoked(bob), "the subject is revoked", LEASE + 1)
    assert first.accepts(token("eve", "3"))
    first.revocations.revoke_all()
    wait_until(lambda: second.rejects_as_revoked(token("eve", "3")), "all tokens are revoked", LEASE + 1)


def test_awaitable_variants_do_not_block_the_loop(nodes: tuple[Node, Node], redis: RedisServer) -> None:
    first, second = nodes

    async def revoke() -> int:
        turns = 0
        redis.pause()
        try:
            task = asyncio.create_task(first.revocations.arevoke_token(first.decode(token())))
            while not task.done():
                turns += 1
                if turns == 3:
                    assert first.rejects_as_revoked(token())
                    redis.resume()
                await asyncio.sleep(0.01)
        finally:
            redis.resume()
        await task
        return turns

    assert asyncio.run(revoke()) >= 3
    wait_until(lambda: second.rejects_as_revoked(token()), "the token is revoked", DEADLINE)


def test_unreachable_store(redis: RedisServer, nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    ada = token()
    claims = first.decode(ada)
    redis.kill()
    begin = time.monotonic()
    with pytest.raises(Unreachable, match="queued"):
        first.revocations.revoke_token(claims)
    assert not first.accepts(ada)
    # The other process accepts the token until its lease is over, and then none.
    wait_until(lambda: not second.accepts(ada), "the lease is over", DEADLINE)
    assert time.monotonic() - begin < DEADLINE and not second.revocations.are_current()
    with pytest.raises(jwt.RevocationsUnavailableError):
        second.decode(token("bob", "2"))
    redis.start()
    wait_until(lambda: second.rejects_as_revoked(ada), "the queued revocation arrives", DEADLINE)
    wait_until(lambda: second.accepts(token("bob", "2")), "tokens are accepted again", DEADLINE)


def test_restarted_process_remembers(redis: RedisServer, nodes: tuple[Node, Node]) -> None:
    nodes[0].revocations.revoke_token(nodes[0].decode(token()))
    restarted = Node(redis)
    wait_until(lambda: restarted.rejects_as_revoked(token()), "the list is loaded", DEADLINE)
    assert restarted.wait().accepts(token("bob", "2"))
    restarted.cache.close()


@pytest.mark.filterwarnings("ignore")
def test_process_that_starts_without_the_store_accepts_nothing(redis: RedisServer) -> None:
    redis.kill()
    node = Node(redis)
    with pytest.raises(jwt.RevocationsUnavailableError) as caught:
        node.decode(token())
    assert isinstance(caught.value, Unreachable) and not isinstance(caught.value, jwt.JWTError)
    redis.start()
    wait_until(lambda: node.accepts(token()), "the list is loaded", DEADLINE)
    node.cache.close()


def test_closed_cache_is_opened_again(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    first.revocations.revoke_token(first.decode(token()))
    first.cache.close()
    wait_until(lambda: first.rejects_as_revoked(token()), "the list is loaded", DEADLINE)
    assert first.wait().accepts(token("bob", "2"))


def test_bearer_responds_with_503_while_the_store_is_down(redis: RedisServer, nodes: tuple[Node, Node]) -> None:
    verified = bearer(SECRET, algorithms=["HS256"], revocations=nodes[0].revocations)
    app = FastAPI()

    @app.get("/me")
    async def me(claims: Any = Depends(verified)) -> Any:
        return claims["sub"]

    @app.post("/logout")
    async def logout(claims: Any = Depends(verified)) -> None:
        await nodes[0].revocations.arevoke_token(claims)

    client = TestClient(app)
    headers = {"Authorization": f"Bearer {token()}"}
    assert client.get("/me", headers=headers).json() == "ada"
    redis.kill()
    wait_until(lambda: client.get("/me", headers=headers).status_code == 503, "the lease is over", DEADLINE)
    response = client.get("/me", headers=headers)
    assert response.headers["retry-after"] == "5" and verified.rejections()["unavailable"] >= 2
    assert client.get("/me").status_code == 401
    redis.start()
    wait_until(lambda: client.get("/me", headers=headers).status_code == 200, "the list is loaded", DEADLINE)
    assert client.post("/logout", headers=headers).status_code == 200
    assert client.get("/me", headers=headers).status_code == 401


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_opens_its_own_list(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.revocations.revoke_token(first.decode(token()))
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            wait_until(lambda: first.rejects_as_revoked(token()), "the list is loaded", DEADLINE)
            first.revocations.revoke_subject("bob")
            os.write(writer, b"revoked")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"revoked"
    assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: second.rejects_as_revoked(token("bob", "2")), "the subject is revoked", DEADLINE)
    assert first.rejects_as_revoked(token())


def test_unfit_caches_are_named(redis: RedisServer, nodes: tuple[Node, Node], cache: SessionCache) -> None:
    with pytest.raises(ValueError, match="`cache` must have a store.*in_memory"):
        jwt.Revocations.with_store(cache, capacity=10)
    with pytest.raises(ValueError, match="`cache` must have one list"):
        jwt.Revocations.with_store(nodes[0].cache, capacity=10)
    with pytest.raises(TypeError, match="`cache` must be a SessionCache"):
        jwt.Revocations.with_store(redis.url, capacity=10)  # type: ignore[arg-type]


def test_list_without_room_accepts_nothing(redis: RedisServer, nodes: tuple[Node, Node]) -> None:
    for at in range(20):
        nodes[0].revocations.revoke_token({"jti": str(at), "exp": time.time() + 600})
    small = Node(redis, capacity=8)
    text = token("bob", "none of them")
    wait_until(lambda: nodes[1].accepts(text), "the others accept it", DEADLINE)
    assert not small.accepts(text) and not small.revocations.are_current()
    small.cache.close()
