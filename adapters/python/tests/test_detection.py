"""Detection of changes, and of sessions without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import collect_requests, visitor
from starlette.requests import Request
from starlette.responses import Response

from sessile import SessionCache


@pytest.mark.parametrize(
    ("change", "is_change"),
    [
        (lambda data: data["items"].reverse(), True),
        (lambda data: data["items"].append(data["items"].pop(0)), True),
        (lambda data: data["items"][0].update(n=data["items"][0]["n"]), False),
        (lambda data: data["items"][0].update(n=1.5 + data["items"][0]["n"] - 1.5), False),
        (lambda data: data["items"][0].update(n=data["items"][0]["n"] + 1), True),
        (lambda data: data["items"][0].update(more=data["items"][0].pop("n")), True),
        (lambda data: data.update(items=list(data["items"])), False),
        (lambda data: data.update(items=tuple(data["items"])), False),
        (lambda data: data["items"].__setitem__(1, data["items"][0]), True),
        (lambda data: data["items"].clear(), True),
        (lambda data: data.pop("name"), True),
        (lambda data: data["empty"].append([]), True),
    ],
)
def test_unchanged_values_are_not_written(
    cache: SessionCache, change: Callable[[dict[str, Any]], Any], is_change: bool
) -> None:
    data = {"items": [{"n": 2.5}, {"n": 7, "text": "a"}, "b"], "name": "alice", "empty": []}
    expected = json.loads(json.dumps(data))
    change(expected)

    def begin(request: Request) -> Response:
        request.session.update(data)
        return Response()

    def act(request: Request) -> Response:
        change(request.session)
        assert request.session.modified is is_change
        return Response()

    client = visitor(begin, act, cache=cache)
    client.get("/begin")
    saved = cache.stats()["saved"]
    client.get("/act")
    assert cache.stats()["saved"] == saved + is_change
    assert client.get("/view").json() == json.loads(json.dumps(expected))


def test_object_at_reused_address_is_detected_as_change(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session["list"] = [float(n) for n in range(100)]
        return Response()

    def replace(request: Request) -> Response:
        numbers = request.session["list"]
        for at in range(len(numbers)):
            numbers[at] = None
            numbers[at] = float(at) + 1000
        return Response()

    client = visitor(begin, replace, cache=cache)
    client.get("/begin")
    client.get("/replace")
    assert client.get("/view").json() == {"list": [float(n) + 1000 for n in range(100)]}


def test_session_inside_itself_is_rejected_and_collected() -> None:
    import weakref

    class Witness(dict[str, Any]):
        pass

    witnesses = []

    def begin(request: Request) -> Response:
        request.session["list"] = []
        return Response()

    def loop(request: Request) -> Response:
        witness = Witness(session=request.session)
        witnesses.append(weakref.ref(witness))
        request.session["list"].append(witness)
        return Response()

    client = visitor(begin, loop)
    client.get("/begin")
    with pytest.raises(ValueError, match="contains itself"):
        client.get("/loop")
    collect_requests()
    assert witnesses[0]() is None


def test_nested_changes_are_stored_and_equal_values_are_not_written(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session.update({"cart": {"items": [{"n": 1}]}, "seen": 1.5, "name": "Ä"})
        return Response()

    def nested(request: Request) -> Response:
        request.session["cart"]["items"][0]["n"] += 1
        return Response()

    def same(request: Request) -> Response:
        request.session["cart"] = {"items": [{"n": 2}]}
        request.session["seen"] = 1.5
        return Response()

    client = visitor(begin, nested, same, cache=cache)
    client.get("/begin")
    saved = cache.stats()["saved"]
    client.get("/nested")
    assert client.get("/view").json()["cart"] == {"items": [{"n": 2}]}
    assert cache.stats()["saved"] == saved + 1
    client.get("/same")
    assert cache.stats()["saved"] == saved + 1


# LIFE-4: docs/security-checklist.md
def test_request_that_stores_nothing_creates_no_session(cache: SessionCache) -> None:
    def empty(request: Request) -> Response:
        request.session.update({})
        request.session.pop("a", None)
        return Response()

    def undone(request: Request) -> Response:
        request.session["a"] = 1
        del request.session["a"]
        return Response()

    client = visitor(empty, undone, cache=cache)
    for path in ("/empty", "/undone", "/view"):
        assert "set-cookie" not in client.get(path).headers
    assert cache.stats()["created"] == 0
