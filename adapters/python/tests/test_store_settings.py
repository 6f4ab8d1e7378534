"""The settings of a store, and the errors of wrong ones."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import itsdangerous
import pytest
from conftest import KEY, visitor
from redis_server import RedisServer, free_port, wait_until
from starlette.requests import Request
from starlette.responses import Response
from test_keys import GOOD, SAME_NUMBER

from sessile import RedisStore, SessionCache, StoreHealth
from sessile.starlette import SessionMiddleware
from sessile.testing import ManualClock

OTHER_KEY = "p3OyGGnQwCmC0g0zEEvOQnWJk7GgI9mIZp4lXyQCeLM"
NOWHERE = "redis://127.0.0.1:1"


def small(store: Any, **settings: Any) -> SessionCache:
    return SessionCache(**{"secret_key": KEY, "memory": 4 << 20, "store": store, **settings})


def store_of(redis: RedisServer, **settings: Any) -> RedisStore:
    """Returns a store that waits long enough on a machine with other work."""
    return RedisStore(redis.url, timeout=5, **settings)


def state_of(cache: SessionCache) -> StoreHealth:
    found = cache.store_health()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("store", "error", "text"),
    [
        ("http://127.0.0.1", ValueError, "`store`: the URL of the store must begin with `redis://`"),
        ("rediss:/127.0.0.1", ValueError, "got `rediss`"),
        ("127.0.0.1:6379", ValueError, "got `127.0.0.1`"),
        ("redis://127.0.0.1:port", ValueError, "`store`: the URL of the store is not valid"),
        ("redis+sentinel://127.0.0.1", ValueError, "it must name the service"),
        (True, TypeError, "`store` must be a URL, a RedisStore, a MemcachedStore, None or False, got bool"),
        (6379, TypeError, "`store` must be a URL, a RedisStore, a MemcachedStore, None or False, got int"),
        (RedisStore(NOWHERE, prefix=""), ValueError, "`store`: `prefix` must be 1 to 64"),
        (RedisStore(NOWHERE, timeout=0), ValueError, "`store`: `timeout` must be between 10ms"),
        (RedisStore(NOWHERE, timeout=-1), ValueError, "`timeout` must be a number of seconds, 0 or more"),
        (RedisStore(NOWHERE, lease=1), ValueError, "`store`: `lease` must be between 3s and 60s, got 1s"),
        (RedisStore(NOWHERE, stale_while_down=10**5), ValueError, "`store`: `stale_while_down` must be between"),
        (RedisStore(NOWHERE, timeout=5, wait=(1, 2.0)), ValueError, "`store`: `wait` must take at most 1.25s, a quarter"),
        (RedisStore(NOWHERE, wait=(1, 0.0)), ValueError, "`wait` must name at least 1 replica and take at least 1ms"),
        (RedisStore(NOWHERE, ssl_ca_certs="/nowhere.pem"), ValueError, "`ssl_ca_certs` must be the path of a PEM file"),
        (RedisStore(NOWHERE, ssl_ca_certs=__file__), ValueError, "certificates need a `rediss://` URL"),
    ],
)
def test_errors_name_the_setting(store: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        small(store)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"url": 1}, TypeError, "`url` must be a str, got int"),
        ({"timeout": "1"}, TypeError, "`timeout` must be a number of seconds or None, got '1'"),
        ({"lease": True}, TypeError, "`lease` must be a number of seconds or None, got True"),
        ({"wait": 1}, TypeError, "`wait` must be a number of replicas and a number of seconds"),
        ({"wait": (0, 0.1)}, ValueError, "`wait` must name at least 1 replica, got 0"),
        ({"encrypt": 1}, TypeError, "`encrypt` must be True or False, got 1"),
        ({"prefix": b"a"}, TypeError, "`prefix` must be a str, got bytes"),
        ({"ssl_certfile": "a.pem"}, ValueError, "`ssl_certfile` and `ssl_keyfile` must be given together"),
        ({"ssl_ca_certs": 1}, TypeError, "`ssl_ca_certs` must be the path of a PEM file, got int"),
        ({"sentinel_username": "a"}, ValueError, "`sentinel_password` must be given with `sentinel_username`"),
    ],
)
def test_errors_of_a_store_name_the_setting(settings: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        RedisStore(**{"url": NOWHERE, **settings})
    assert text in str(raised.value)


def test_no_password_is_shown() -> None:
    url = "redis+sentinel://ada:hunter2@one/main"
    store = RedisStore(url, sentinel_username="bob", sentinel_password="hunter3")
    assert repr(store) == "RedisStore('redis+sentinel://…@one/main')"
    for wrong in ("hunter2@one:6379", "ada:hunter2@one:6379", "//ada:hunter2@one:6379"):
        assert repr(RedisStore(wrong)) == "RedisStore('…@one:6379')"
        with pytest.raises(ValueError) as raised:
            small(wrong)
        assert "hunter2" not in str(raised.value)
    with pytest.raises(ValueError) as raised:
        small("redis://ada:hunter2@[::1")
    assert "hunter2" not in str(raised.value)
    assert store == RedisStore(url, sentinel_username="bob", sentinel_password="hunter3") != RedisStore(url)


@pytest.mark.parametrize("skip", [1, b"/static", ["/static", 1]])
def test_skip_must_be_prefixes_or_a_function(skip: Any) -> None:
    with pytest.raises(TypeError, match="`skip` must be prefixes of paths"):
        SessionMiddleware(None, secret_key=KEY, memory=4 << 20, skip=skip)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`skip`: a prefix must begin with `/`, got 'static'"):
        SessionMiddleware(None, secret_key=KEY, memory=4 << 20, skip="static")  # type: ignore[arg-type]


def test_a_cache_and_a_store_are_rejected_together(redis: RedisServer) -> None:
    cache = small(redis.url)
    for store in (redis.url, RedisStore(redis.url)):
        with pytest.raises(ValueError, match="`store` must not be given with `cache`"):
            SessionMiddleware(None, cache=cache, store=store)  # type: ignore[arg-type]
    SessionMiddleware(None, cache=cache, store=False)  # type: ignore[arg-type]
    cache.close()


def test_a_clock_and_a_store_are_rejected_together() -> None:
    with pytest.raises(ValueError, match="`clock` must not be given with a store"):
        small(NOWHERE, clock=ManualClock())


def test_the_environment_sets_the_store_and_false_ignores_it(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSILE_STORE", redis.url)
    cache = small(None)
    assert cache.has_store
    wait_until(lambda: state_of(cache).state == "up", "the cache connects")
    cache.close()
    assert not small(False).has_store and small(False).store_health() is None
    middleware = SessionMiddleware(None, secret_key=KEY, memory=4 << 20)  # type: ignore[arg-type]
    assert middleware.cache.has_store
    middleware.cache.close()
    local = SessionMiddleware(None, secret_key=KEY, memory=4 << 20, store=False)  # type: ignore[arg-type]
    assert not local.cache.has_store
    monkeypatch.setenv("SESSILE_STORE", "")
    assert not small(None).has_store


def test_a_cache_starts_without_its_server_and_connects_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with caplog.at_level(logging.WARNING, "sessile"):
        client = visitor(put, store=RedisStore(f"redis://127.0.0.1:{port}", timeout=1))
        assert client.get("/view").json() == {}
    assert "does not answer" in caplog.text
    assert client.get("/put").status_code == 503
    server = RedisServer(tmp_path)
    server.port = port
    with server:
        wait_until(lambda: client.get("/put").status_code == 200, "the cache connects")
        assert client.get("/view").json() == {"a": 1}
        client.app.middleware_stack.app.cache.close()  # type: ignore[attr-defined]


def put(request: Request) -> Response:
    request.session["a"] = 1
    return Response()


def test_another_secret_than_the_other_workers_is_rejected(redis: RedisServer) -> None:
    first = small(store_of(redis))
    first.create(b"")
    with pytest.raises(ValueError, match="`store`: `secret_key` has no key in common"):
        small(store_of(redis), secret_key=OTHER_KEY)
    with pytest.raises(ValueError, match="`store`: `keys` has no key in common"):
        small(store_of(redis), secret_key=None, keys=b64encode(OTHER_KEY.encode()).decode())
    # A list that shares one is accepted: that is how secrets are rotated.
    second = small(store_of(redis), secret_key=[OTHER_KEY, KEY])
    assert state_of(second).state == "up"
    for cache in (first, second):
        cache.close()


def test_error_of_two_keys_with_one_number_names_the_setting(redis: RedisServer) -> None:
    with pytest.raises(ValueError, match="^`secret_key`: key 2 has the key number of key 1"):
        small(store_of(redis), secret_key=[GOOD, SAME_NUMBER])


def test_cause_of_an_incompatible_store_names_the_setting(redis: RedisServer) -> None:
    first = small(store_of(redis))
    # Without an answer it starts, and sees the other keys later.
    redis.pause()
    second = small(RedisStore(redis.url, timeout=0.1), secret_key=OTHER_KEY)
    assert (state_of(second).state, state_of(second).cause) == ("down", None)
    redis.resume()
    wait_until(lambda: state_of(second).state == "incompatible", "the second worker sees the other keys")
    assert str(state_of(second).cause).startswith("`secret_key` has no key in common")
    second.set_keys(keys=b64encode(OTHER_KEY.encode()).decode())
    assert str(state_of(second).cause).startswith("`keys` has no key in common")
    for cache in (first, second):
        cache.close()


def test_other_prefixes_share_no_session(redis: RedisServer) -> None:
    one, other = small(store_of(redis, prefix="one")), small(store_of(redis, prefix="other"))
    assert other.open_token(one.create(b"a").token) is None
    assert b"one:{meta}" in redis.command("KEYS", "one:*meta*")
    for cache in (one, other):
        cache.close()


def test_data_is_encrypted_if_the_store_is_told_so(redis: RedisServer) -> None:
    plain, secret = small(store_of(redis)), small(store_of(redis, encrypt=True))
    contents = {}
    for cache in (plain, secret):
        issued = cache.create(b"the marker")
        record = secret.open_token(issued.token)
        assert record is not None and record.data == b"the marker"
        contents[cache] = redis.command("EVAL", SUM_OF_MARKERS, "0")
    assert contents[plain].startswith(b":1") and contents[secret].startswith(b":1")
    for cache in (plain, secret):
        cache.close()


SUM_OF_MARKERS = """
local found = 0
for _, key in ipairs(redis.call('KEYS', 'sessile:*:s:*')) do
    if string.find(redis.call('GET', key), 'the marker', 1, true) then found = found + 1 end
end
return found
"""


def test_a_store_and_starlettes_cookies_work_together(redis: RedisServer) -> None:
    old = "old secret"
    signed = itsdangerous.TimestampSigner(old).sign(b64encode(json.dumps({"user_id": 7}).encode())).decode()

    def client() -> Any:
        with pytest.warns(UserWarning, match="accept_starlette_cookies"):
            made = visitor(put, store=store_of(redis), accept_starlette_cookies=old)
            made.get("/unused")
        return made

    one, other = client(), client()
    moved = one.get("/put", headers={"cookie": f"session={signed}"})
    assert moved.status_code == 200 and one.cookies["session"] != signed
    other.cookies = one.cookies
    assert other.get("/view").json() == {"user_id": 7, "a": 1}
    # A client that ignores `Set-Cookie` finds its session again.
    again = one.get("/view", headers={"cookie": f"session={signed}"})
    assert again.json() == {"user_id": 7, "a": 1}


def test_no_warning_of_several_workers_with_a_store(redis: RedisServer) -> None:
    program = "import sessile.starlette as s; s.SessionMiddleware(None, secret_key=%r, memory=4 << 20)" % KEY
    environment = {**os.environ, "WEB_CONCURRENCY": "4", "SESSILE_STORE": redis.url}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-W", "error::RuntimeWarning", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_equal_stores_share_one_cache_and_others_do_not(redis: RedisServer) -> None:
    def cache_of(store: Any) -> SessionCache:
        return SessionMiddleware(None, secret_key=KEY, memory=4 << 20, store=store).cache  # type: ignore[arg-type]

    one = cache_of(redis.url)
    assert one is cache_of(RedisStore(redis.url))
    other = cache_of(RedisStore(redis.url, prefix="other"))
    assert one is not other and cache_of(False) is not one
    for cache in (one, other):
        cache.close()


