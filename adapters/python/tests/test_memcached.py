"""Four workers over one memcached, and what it cannot do."""

from __future__ import annotations

import contextlib
import getpass
import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from conftest import KEY
from redis_server import free_port, wait_until
from workers import Visitor, Workers

from sessile import MemcachedStore, RedisStore, SessionCache, SessionError, Unreachable, jwt

LEASE = 2.0
BOUND = LEASE + 1.0

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not shutil.which("memcached"), reason="memcached is not installed"),
]


@contextlib.contextmanager
def memcached() -> Iterator[str]:
    """Runs a server on a free port of the loopback interface, and returns its URL."""
    port = free_port()
    command = ["memcached", "-l", "127.0.0.1", "-U", "0", "-p", str(port), "-u", getpass.getuser()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: listens(port), "the server listens")
            yield f"memcached://127.0.0.1:{port}"
        finally:
            server.kill()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@pytest.fixture
def url() -> Iterator[str]:
    with memcached() as url:
        yield url


def connections_of(server: Workers) -> list[http.client.HTTPConnection]:
    """Returns a connection to each worker, once the store of each is up."""
    connections = server.connect_to_others()
    for connection in connections:
        wait_until(lambda c=connection: Visitor().send(c, "POST", "/login/guest").status == 200, "the store is up")
    return connections


def is_up(cache: SessionCache) -> bool:
    health = cache.store_health()
    return health is not None and health.state == "up"


def status(connection: http.client.HTTPConnection, visitor: Visitor, path: str) -> int:
    return Visitor(visitor.cookie).send(connection, "GET", path).status


def test_four_workers_share_sign_in_cart_and_sign_out(url: str) -> None:
    with Workers("uvicorn", url, application="memcached_app:app") as server:
        first, *others = connections_of(server)
        visitor, other = Visitor(), Visitor()
        for each in (visitor, other):
            assert each.send(first, "POST", "/login/ada").status == 200
        for connection in others:
            assert visitor.send(connection, "GET", "/me").json() == "ada"
            assert status(connection, other, "/me") == 200
        assert visitor.send(others[0], "POST", "/cart/tea").json() == ["tea"]
        for connection in (first, *others):
            wait_until(lambda c=connection: visitor.send(c, "GET", "/cart").json() == ["tea"], "the save is seen", BOUND)
        # Saves that follow each other on different workers are all kept.
        for at, connection in enumerate((first, *others)):
            wait_until(lambda c=connection, n=at + 1: len(visitor.send(c, "GET", "/cart").json()) == n, "the save is seen", BOUND)
            visitor.send(connection, "POST", f"/cart/{at}")
        assert visitor.send(others[-1], "GET", "/cart").json() == ["tea", "0", "1", "2", "3"]

        signed_in = Visitor(visitor.cookie)
        assert visitor.send(first, "POST", "/logout").status == 200
        assert status(first, signed_in, "/me") == 401, "the own worker at once"
        for connection in others:
            wait_until(lambda c=connection: status(c, signed_in, "/me") == 401, "the sign-out is seen", BOUND)
            assert status(connection, other, "/me") == 200
        third = Visitor()
        third.send(first, "POST", "/login/ada")
        assert other.send(others[0], "POST", "/everywhere").status == 200
        for connection in (first, *others):
            wait_until(lambda c=connection: status(c, third, "/me") == 401, "the end of all is seen", BOUND)


def test_the_list_of_a_users_sessions_is_an_error_that_says_so(url: str) -> None:
    with Workers("uvicorn", url, workers=1, application="memcached_app:app") as server:
        [connection] = connections_of(server)
        visitor = Visitor()
        visitor.send(connection, "POST", "/login/ada")
        answer = visitor.send(connection, "GET", "/devices")
        assert (answer.status, answer.json()["detail"]) == (501, "session store does not support the list of a user's sessions")
    # The workers have another secret, so their prefix cannot be used.
    store = MemcachedStore(url, prefix="own")
    cache = SessionCache(secret_key=KEY, memory=4 << 20, store=store, max_sessions_per_user=None)
    wait_until(lambda: is_up(cache), "the store is up")
    with pytest.raises(SessionError, match="does not support the list of a user's sessions"):
        cache.user_sessions("ada")
    assert cache.end_user_sessions("ada") == 0
    cache.close(1)


def test_settings_of_a_memcached(url: str) -> None:
    with pytest.raises(ValueError, match="`max_sessions_per_user` must be `None` with this store, .* got 32"):
        SessionCache(secret_key=KEY, store=url)
    settings = {"secret_key": KEY, "memory": 4 << 20, "max_sessions_per_user": None}
    with pytest.raises(ValueError, match="`store`: `prefix` must be 1 to 215 .* got 216 bytes"):
        SessionCache(**settings, store=MemcachedStore(url, prefix="p" * 216))
    with pytest.raises(ValueError, match="`store`: `lease` must be between 1s and 60s, got 500ms"):
        SessionCache(**settings, store=MemcachedStore(url, lease=0.5))
    with pytest.raises(ValueError, match="no user and no password") as error:
        SessionCache(**settings, store="memcached://ada:hunter2@localhost")
    assert "hunter2" not in str(error.value)
    with pytest.raises(TypeError, match="`timeout` must be a number of seconds"):
        MemcachedStore(url, timeout="1")  # type: ignore[arg-type]
    store = MemcachedStore(url, prefix="shop", timeout=0.2, lease=1, encrypt=True)
    assert store == MemcachedStore(url, prefix="shop", timeout=0.2, lease=1.0, encrypt=True)
    assert store != MemcachedStore(url) and MemcachedStore(url) != RedisStore(url)
    one, other = (SessionCache(**settings, store=store) for _ in range(2))
    wait_until(lambda: is_up(one) and is_up(other), "the store is up")
    issued = one.create(b"a cart")
    found = other.open_token(issued.token)
    assert found is not None and found.data == b"a cart"
    other.end(issued.id)
    wait_until(lambda: one.open_token(issued.token) is None, "the end is seen", BOUND)
    for cache in (one, other):
        cache.close(1)


def test_a_memcached_keeps_no_revocations(url: str) -> None:
    cache = SessionCache(secret_key=KEY, memory=4 << 20, store=url, max_sessions_per_user=None)
    with pytest.raises(ValueError, match="`store` must be one that keeps revocations, such as Redis or Valkey"):
        jwt.Revocations.with_store(cache, capacity=8)
    cache.close(1)


def test_a_memcached_that_is_gone_is_unreachable() -> None:
    with memcached() as url:
        cache = SessionCache(secret_key=KEY, memory=4 << 20, store=url, max_sessions_per_user=None)
        wait_until(lambda: is_up(cache), "the store is up")
        cache.create(b"")
    with pytest.raises(Unreachable):
        for _ in range(10):
            cache.create(b"")
    cache.close(0.1)
