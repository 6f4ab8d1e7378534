"""Reading a store's sessions with the clients of another program (`sessile.store`)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import valkey
from servers import KINDS, Server
from store_records import Writer
from test_keys import GOOD, SAME_NUMBER

from sessile.store import StoredSession, read, read_id, sessions

# Two keys whose numbers differ: random ones would agree once in 256 times.
KEY, OTHER_KEY = (hashlib.sha256(text).digest() for text in (b"one key of the tests", b"another key of the tests"))
RING = {"keys": base64.b64encode(KEY).decode()}
ID, TARGET = bytes(range(16)), bytes(range(16, 32))


@pytest.fixture(params=KINDS, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(request.param) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def writer(client: redis.Redis) -> Writer:
    writer = Writer(client, KEY)
    writer.begin()
    return writer


def commands(client: redis.Redis) -> int:
    """Returns the number of commands that the server has processed, without those of this function."""
    return int(client.info("stats")["total_commands_processed"])


def test_session_of_a_cookie_is_read(client: redis.Redis, writer: Writer) -> None:
    values = {"cart": ["tea", 2], "née": {"a": None}, "sessile:user": "ada"}
    writer.write(ID, values, user="ada", label="Firefox", created=writer.now() - 5_000)
    cookie = writer.token(ID, place=place_of(client))
    session = read(client, cookie, **RING)
    assert session is not None
    assert session.data == {"cart": ["tea", 2], "née": {"a": None}}, "names of the package are left out"
    assert (session.user, session.label, session.assurance_level) == ("ada", "Firefox", 2)
    assert session.authenticated == session.created
    assert 4 < session.last_used - session.created < 60 and 0 < session.expires_in <= 60
    assert read(client, cookie.encode(), **RING) is not None
    assert session.id not in repr(session) and "tea" not in repr(session)


def place_of(client: redis.Redis) -> int:
    [name] = client.keys("*:s:*")
    return int(name.split(b"{")[1][:2], 16)


def test_anonymous_session_has_no_user(client: redis.Redis, writer: Writer) -> None:
    writer.write(ID, {"sessile:user": "mallory"}, place=0x1203)
    session = read(client, writer.token(ID, place=0x1203), **RING)
    assert session is not None and session.user is None and session.authenticated is None and session.data == {}


@pytest.mark.parametrize("change", [lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), lambda token: token[:40], lambda _: "", lambda _: "é" * 24, lambda token: token[:-1] + "\udc80"])
def test_forged_cookie_sends_no_command(client: redis.Redis, writer: Writer, change: Any) -> None:
    writer.write(ID, {"a": 1})
    before = commands(client)
    assert read(client, change(writer.token(ID)), **RING) is None
    assert read(client, Writer(client, OTHER_KEY).token(ID), **RING) is None
    assert read(client, writer.token(ID), cookie_name="other", **RING) is None
    assert commands(client) - before == 1, "only this test's own"
    assert read(client, writer.token(ID), **RING) is not None


def test_older_key_of_the_ring_verifies(client: redis.Redis, writer: Writer) -> None:
    writer.write(ID, {"a": 1})
    assert read(client, writer.token(ID), secret_key=[OTHER_KEY, KEY]) is not None
    assert read(client, writer.token(ID), secret_key=OTHER_KEY) is None


def test_alias_is_followed_within_its_grace(client: redis.Redis, writer: Writer) -> None:
    writer.write_alias(ID, TARGET, target_place=0x0105)
    writer.write(TARGET, {"a": 1}, place=0x0105)
    session = read(client, writer.token(ID), **RING)
    assert session is not None and session.data == {"a": 1} and session.id == f"05:{TARGET.hex()}"
    writer.write_alias(ID, TARGET, target_place=0x0105, grace=-1)
    assert read(client, writer.token(ID), **RING) is None


def test_circle_of_aliases_is_left(client: redis.Redis, writer: Writer) -> None:
    writer.write_alias(ID, TARGET)
    writer.write_alias(TARGET, ID)
    assert read(client, writer.token(ID), **RING) is None


def test_session_that_ended_with_all_others_is_absent(client: redis.Redis, writer: Writer) -> None:
    writer.write(ID, {"a": 1}, created=writer.now() - 1)
    writer.end_all()
    assert read(client, writer.token(ID), **RING) is None
    writer.write(ID, {"a": 1}, created=writer.now() + 1_000)
    assert read(client, writer.token(ID), **RING) is not None


def test_record_that_this_build_cannot_read_is_absent(client: redis.Redis, writer: Writer) -> None:
    assert read(client, writer.token(ID), **RING) is None, "no record"
    writer.write(ID, {"a": 1}, format=2)
    assert read(client, writer.token(ID), **RING) is None
    writer.write(ID, {"a": 1})
    name = f"sessile:{{00}}:s:{ID.hex()}"
    for length in (0, 1, 63):
        client.set(name, client.getrange(name, 0, length - 1) if length else b"", px=60_000)
        assert read(client, writer.token(ID), **RING) is None
        writer.write(ID, {"a": 1})


def test_data_of_the_engine_is_bytes(client: redis.Redis, writer: Writer) -> None:
    writer.write(ID, b"a cart")
    session = read(client, writer.token(ID), **RING)
    assert session is not None and session.raw == b"a cart"
    with pytest.raises(ValueError, match="`SessionMiddleware` did not write"):
        _ = session.data


def test_encrypted_data_needs_the_keys(client: redis.Redis, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSILE_KEYS", raising=False)
    writer.write(ID, {"cart": ["tea"], "sessile:user": "ada"}, user="ada", label="Firefox", encrypted=True)
    session = read(client, writer.token(ID, place=place_of(client)), **RING)
    assert session is not None and session.data == {"cart": ["tea"]} and session.user == "ada"
    [listed] = sessions(client, "ada")
    assert listed.label == "Firefox"
    with pytest.raises(ValueError, match="`keys` or `secret_key` must be given"):
        _ = listed.data
    assert sessions(client, "ada", secret_key=[OTHER_KEY, KEY])[0].data == {"cart": ["tea"]}
    assert sessions(client, "ada", secret_key=OTHER_KEY) == [], "it cannot be decrypted"
    monkeypatch.setenv("SESSILE_KEYS", RING["keys"])
    assert sessions(client, "ada")[0].data == {"cart": ["tea"]}


def test_sessions_of_a_user_are_listed_and_read(client: redis.Redis, writer: Writer) -> None:
    ids = [bytes([at]) * 16 for at in range(1, 4)]
    for at, id in enumerate(ids):
        writer.write(id, {"at": at}, user="ada")
        writer.write(bytes([at + 100]) * 16, {}, user="bob")
    client.pexpire(client.keys(f"*{ids[0].hex()}")[0], 30_000)
    client.delete(client.keys(f"*{ids[2].hex()}")[0])
    found = sessions(client, "ada")
    assert [session.data for session in found] == [{"at": 1}, {"at": 0}], "the most recently used first"
    read_again = read_id(client, found[0].id)
    assert read_again is not None and read_again.data == {"at": 1}
    assert sessions(client, "eve") == []
    writer.end_all()
    assert sessions(client, "ada") == [] and read_id(client, found[0].id) is None


def test_server_without_a_node_has_no_sessions(client: redis.Redis) -> None:
    assert sessions(client, "ada") == []


def test_prefix_and_cookie_name_are_those_of_the_application(client: redis.Redis) -> None:
    writer = Writer(client, KEY, cookie_name="__Host-shop", prefix="shop")
    writer.begin()
    writer.write(ID, {"a": 1}, user="ada")
    cookie = writer.token(ID, place=place_of(client))
    names = {"cookie_name": "__Host-shop", "prefix": "shop"}
    session = read(client, cookie, **RING, **names)
    assert session is not None and session.data == {"a": 1}
    assert read(client, cookie, **RING, cookie_name="__Host-shop") is None
    assert len(sessions(client, "ada", prefix="shop")) == 1 and sessions(client, "ada") == []


@pytest.mark.parametrize("library", [redis, valkey])
@pytest.mark.parametrize("decodes", [False, True])
def test_clients_of_both_libraries_read(server: Server, writer: Writer, library: Any, decodes: bool) -> None:
    writer.write(ID, {"a": "ä"}, user="ada")
    kind = library.Redis if library is redis else library.Valkey
    cookie = writer.token(ID, place=place_of(writer.client))
    with kind(port=server.port, decode_responses=decodes) as client:
        session = read(client, cookie, **RING)
        assert session is not None and session.data == {"a": "ä"}
        assert [one.data for one in sessions(client, "ada")] == [{"a": "ä"}]


@pytest.mark.parametrize("library", [redis.asyncio, valkey.asyncio])
@pytest.mark.parametrize("decodes", [False, True])
def test_asyncio_clients_read(server: Server, writer: Writer, library: Any, decodes: bool) -> None:
    writer.write(ID, {"a": "ä"}, user="ada")
    cookie = writer.token(ID, place=place_of(writer.client))
    kind = library.Redis if library is redis.asyncio else library.Valkey

    async def use() -> tuple[Any, ...]:
        async with kind(port=server.port, decode_responses=decodes) as client:
            session = await read(client, cookie, **RING)
            return session, await read(client, "forged", **RING), await sessions(client, "ada"), await read_id(client, session.id)

    session, forged, listed, again = asyncio.run(use())
    assert isinstance(session, StoredSession) and session.data == {"a": "ä"}
    assert forged is None and [one.id for one in listed] == [session.id] == [again.id]


def test_bad_arguments_name_the_argument(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSILE_KEYS", raising=False)
    with pytest.raises(ValueError, match="`secret_key` or `keys` must be given"):
        read(client, "cookie")
    with pytest.raises(ValueError, match="`secret_key`"):
        read(client, "cookie", secret_key="short")
    with pytest.raises(ValueError, match="`secret_key`: key 2 has the key number of key 1"):
        read(client, "cookie", secret_key=[GOOD, SAME_NUMBER])
    for id in ("", "00", ID.hex(), f"0g:{ID.hex()}", f"00:{ID.hex().upper()}"):
        with pytest.raises(ValueError, match="`id` must be the id of a StoredSession"):
            read_id(client, id)
    with pytest.raises(TypeError, match="`user` must be a str, got 7"):
        sessions(client, 7)  # type: ignore[call-overload]


def test_server_that_does_not_answer_raises_the_clients_error(writer: Writer) -> None:
    with Server(KINDS[0]) as server, server.client() as client:
        server.kill()
        with pytest.raises(redis.ConnectionError):
            read(client, writer.token(ID), **RING)
