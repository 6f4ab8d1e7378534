"""The dict that a handler sees, and the keys and values that it may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import control_of, visitor
from starlette.requests import Request
from starlette.responses import Response

from sessile import SessionCache


def test_session_behaves_as_a_dict() -> None:
    import copy
    import pickle

    async def look(request: Request) -> Response:
        for unread in (False, True):
            session = request.scope["session"] if unread else request.session
            assert isinstance(session, dict) and session == {"a": [1], "b": 2} and {"a": [1], "b": 2} == session
            assert json.loads(json.dumps(session)) == session.copy() == dict(session) == {**session}
            assert session | {"c": 3} == {"a": [1], "b": 2, "c": 3} and {"a": 0} | session == session
            assert sorted(session) == ["a", "b"] and len(session) == 2 and "a" in session and session
            assert copy.deepcopy(session) == session and copy.copy(session) == session
            with pytest.raises(TypeError, match="pickle dict"):
                pickle.dumps(session)
        return Response()

    def write(request: Request) -> Response:
        session = request.session
        session |= {"a": [1], "b": 2}
        return Response()

    client = visitor(write, look)
    client.get("/write")
    assert client.get("/look").status_code == 200


@pytest.mark.parametrize(
    "first",
    [
        "session['a']", "session.get('a')", "'a' in session", "len(session)", "bool(session)", "list(session)",
        "session.keys()", "session.items()", "session.values()", "session == {}", "session != {}", "repr(session)",
        "session | {}", "{} | session", "dict(session)", "{**session}", "session.copy()", "session.pop('a')",
        "session.popitem()", "session.setdefault('b', 1)", "session.update(b=1)", "session.clear()",
        "session.__setitem__('b', 1)", "session.__delitem__('a')", "control(session)", "list(reversed(session))",
        "json.dumps(session)", "copy.copy(session)", "(lambda **all: all)(**session)",
    ],
)  # fmt: skip
# COOK-6: docs/security-checklist.md
def test_every_accessor_sets_vary(first: str) -> None:
    import copy
    import json

    def write(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def look(request: Request) -> Response:
        session = request.scope["session"]
        assert not session.accessed
        eval(first, {"session": session, "json": json, "copy": copy, "control": control_of})
        assert session.accessed and "" not in session
        return Response()

    client = visitor(write, look)
    client.get("/write")
    assert client.get("/look").headers["vary"] == "Cookie"


def test_value_that_json_cannot_hold_raises_before_response(cache: SessionCache) -> None:
    def store(request: Request) -> Response:
        request.session["user"] = {"seen": [object()]}
        return Response()

    def fine(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    client = visitor(store, fine, cache=cache)
    client.get("/fine")
    with pytest.raises(TypeError, match=r"session\['user'\]\['seen'\]\[0\] must be text, a number, a list or a dict, got object"):
        client.get("/store")
    assert client.get("/view").json() == {"a": 1}


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ({"sessile:user": "ada"}, ValueError, "key must not begin with `sessile:`, got"),
        ({"k" * 70_000: 1}, ValueError, "key must be at most 65535 bytes, got 70000"),
        ({(1, 2): 1}, TypeError, "keys of session must be text, got tuple"),
        ({"x": float("nan")}, ValueError, r"session\['x'\] must be a finite number"),
    ],
)
def test_invalid_keys_and_values_are_rejected(data: Any, error: type[Exception], text: str) -> None:
    def store(request: Request) -> Response:
        request.session.update(data)
        return Response()

    with pytest.raises(error, match=text):
        visitor(store).get("/store")


def test_numbers_as_keys_become_text() -> None:
    def store(request: Request) -> Response:
        request.session.update({1: {2: None}, True: 1.5})  # type: ignore[dict-item]
        return Response()

    client = visitor(store)
    client.get("/store")
    # In Python, `True` is the key 1.
    assert client.get("/view").json() == {"1": 1.5}
