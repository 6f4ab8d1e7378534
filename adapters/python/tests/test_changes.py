"""Changes of the session: detected, stored, and detected again if they could not be stored."""

from __future__ import annotations

import copy
import gc
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import control_of
from test_concurrent import ConcurrentClient

from sessile import SessionCache, SessionError, TooLarge
from sessile._sessile import _Sessions
from sessile.session import Session, unread

CART = [{"sku": f"item-{at}", "count": at, "of": {"colours": ["red", at]}} for at in range(4)]


def stored(client: ConcurrentClient) -> dict[str, Any]:
    data: dict[str, Any] = client.run(lambda session: dict(session))
    return data


def client_with(cache: SessionCache, data: dict[Any, Any]) -> ConcurrentClient:
    client = ConcurrentClient(cache)
    client.run(lambda session: session.update(data))
    return client


def test_number_as_key_replaces_its_text(cache: SessionCache) -> None:
    client = client_with(cache, {7: 1})
    before = cache.stats()["saved"]
    client.run(lambda session: session.__setitem__(7, 2))
    assert cache.stats()["saved"] == before + 1 and stored(client) == {"7": 2}


def test_removal_beside_number_as_key_is_stored(cache: SessionCache) -> None:
    client = client_with(cache, {"user": "ada", "7": 1})

    def leave(session: Session) -> None:
        session[7] = 1  # type: ignore[index]
        session.pop("user")

    client.run(leave)
    assert stored(client) == {"7": 1}


def test_number_as_key_is_kept_after_earlier_save(cache: SessionCache) -> None:
    client = client_with(cache, {"x": 0})

    def save(session: Session) -> None:
        session[1] = "new"  # type: ignore[index]
        control_of(session).save()
        del session["x"]

    client.run(save)
    assert stored(client) == {"1": "new"}


def test_keys_with_equal_text_in_a_value_are_one_key(cache: SessionCache) -> None:
    client = client_with(cache, {"v": [{1: 1, "1": 2}, "x", "y"]})
    before = cache.stats()["saved"]
    assert stored(client) == {"v": [{"1": 2}, "x", "y"]}
    assert cache.stats()["saved"] == before

    def swap(session: Session) -> None:
        value = session["v"]
        value[1] = next(iter(value[0]))
        value[2] = value[0][value[1]]

    client.run(swap)
    assert stored(client) == {"v": [{"1": 2}, "1", 2]}


def test_nested_numbers_as_keys_are_encoded_in_one_pass(cache: SessionCache) -> None:
    value: dict[Any, Any] = {}
    for _ in range(100):
        value = {"inner": value, 1: 0}
    client = client_with(cache, {"v": value})
    assert stored(client)["v"]["inner"]["inner"]["1"] == 0


@pytest.mark.parametrize("data", [{}, {"k": "v"}])
def test_failed_save_keeps_the_change(cache: SessionCache, data: dict[str, Any]) -> None:
    client = client_with(cache, data)
    half = "x" * 9_000

    def save(session: Session) -> None:
        session.update(a=half, b=half)
        with pytest.raises(SessionError):
            control_of(session).save()
        del session["b"]

    client.run(save)
    assert stored(client) == data | {"a": half}


def test_too_long_key_prevents_storing_earlier_keys(cache: SessionCache) -> None:
    client = client_with(cache, {"k": "v"})

    def save(session: Session) -> None:
        session.update({"a": 1, "z" * 70_000: 2})
        with pytest.raises(ValueError, match="70000"):
            control_of(session).save()
        del session["a"]
        del session["z" * 70_000]

    client.run(save)
    assert stored(client) == {"k": "v"}


def test_rejected_changes_keep_concurrent_changes(cache: SessionCache) -> None:
    client = client_with(cache, {"a": 1})
    other = ConcurrentClient(cache)
    other.cookie = client.cookie

    def save(session: Session) -> None:
        session.update({"a": 3, "z" * 70_000: 0})
        thread = threading.Thread(target=other.run, args=(lambda session: session.__setitem__("a", 2),))
        thread.start()
        thread.join()
        with pytest.raises(ValueError, match="70000"):
            control_of(session).save()
        session.update(a=1, b=1)
        del session["z" * 70_000]

    client.run(save)
    assert stored(client) == {"a": 2, "b": 1}


def test_decoded_values_are_not_shared_between_requests(cache: SessionCache) -> None:
    client = client_with(cache, {"cart": CART})
    for at in range(5):
        session = ConcurrentClient(cache)
        session.cookie = client.cookie
        seen: list[Any] = []
        session.run(lambda values: seen.append(values["cart"]))
        assert seen[0] == CART
        # A change after the request is not visible to other requests.
        seen[0][0]["of"]["colours"].append("blue")
        seen[0].append(at)


def test_changes_at_any_depth_are_detected_after_several_reads(cache: SessionCache) -> None:
    client, expected = client_with(cache, {"cart": CART}), copy.deepcopy(CART)
    for at in range(12):
        for _ in range(3):
            assert stored(client) == {"cart": expected}

        def change(session: Session, at: int = at) -> None:
            session["cart"][at % 4]["of"]["colours"][1] = at

        client.run(change)
        expected[at % 4]["of"]["colours"][1] = at  # type: ignore[index]
    assert stored(client) == {"cart": expected}


def test_thread_can_save_while_another_sends_response(cache: SessionCache) -> None:
    client = client_with(cache, {"n": 0})
    assert client.cookie is not None
    visit = _Sessions(cache).begin([(b"cookie", client.cookie.encode())], False)
    session = unread(visit)
    session.mark_accessed()
    visit.respond(session, {"type": "http.response.start", "status": 200, "headers": []})
    raised: list[BaseException] = []

    def save() -> None:
        try:
            for at in range(2_000):
                session["n"] = at
                control_of(session).save()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=save)
    thread.start()
    while thread.is_alive():
        visit.respond(session, {"type": "http.response.body", "body": b"x", "more_body": True})
    thread.join()
    assert raised == []
    assert stored(client) == {"n": 1_999}


def test_decoded_values_are_freed_after_request(cache: SessionCache) -> None:
    client = client_with(cache, {"card": ["the number of a card", "and more than a few bytes of it"]})
    assert client.cookie is not None
    headers, sessions = [(b"cookie", client.cookie.encode())], _Sessions(cache)
    for _ in range(4):
        assert len(unread(sessions.begin(headers, False))["card"]) == 2
    client.run(lambda session: session.clear())
    gc.collect()
    kept = [found for found in gc.get_objects() if type(found) is list and found[:1] == ["the number of a card"]]
    assert kept == []


def test_order_of_ordered_dict_is_kept_and_move_is_a_change(cache: SessionCache) -> None:
    client = client_with(cache, {"history": OrderedDict(a=1, b=2, c=3)})

    def move(session: Session) -> None:
        session["history"] = OrderedDict(session["history"])
        control_of(session).save()
        session["history"].move_to_end("a")
        assert session.modified

    client.run(move)
    assert list(stored(client)["history"]) == ["b", "c", "a"]


def test_value_that_changes_session_during_iteration_raises_at_most(cache: SessionCache) -> None:
    client = client_with(cache, {"k": "v"})

    def put(session: Session) -> None:
        class Greedy(list[int]):
            def __iter__(self) -> Iterator[int]:
                session.update(dict.fromkeys(map(str, range(100))))
                return iter([1])

        session["greedy"] = Greedy()
        control_of(session).save()
        assert session["99"] is None

    client.run(put)
    assert stored(client) == {"k": "v", "greedy": [1]} | dict.fromkeys(map(str, range(100)))


def test_huge_value_is_encoded_up_to_limit_only(cache: SessionCache) -> None:
    def save(session: Session) -> None:
        value: Any = "x" * 100
        for _ in range(60):
            value = [value, value]
        session["more than a computer has room for"] = value
        assert session.modified
        with pytest.raises(TooLarge, match="must be at most 16384 bytes"):
            control_of(session).save()
        del session["more than a computer has room for"]

    client_with(cache, {"k": "v"}).run(save)


def test_error_names_key_with_lone_surrogate(cache: SessionCache) -> None:
    def save(session: Session) -> None:
        for data in ({"\ud800": 1}, {"in": {"\ud800": 1}}):
            session.update(data)
            with pytest.raises(ValueError, match="keys of session.*got a lone surrogate"):
                control_of(session).save()
            for key in data:
                del session[key]

    client_with(cache, {"k": "v"}).run(save)
