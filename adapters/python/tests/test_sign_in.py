"""Signing in and out, rotation, CSRF tokens, and the list of a user's sessions."""

from __future__ import annotations


import pytest
from conftest import KEY, attributes, visitor
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sessile import InvalidCSRFToken, SessionCache
from sessile.starlette import session_control
from sessile.testing import ManualClock


# LIFE-1: docs/security-checklist.md
def test_sign_in_gives_new_id_and_keeps_data(cache: SessionCache) -> None:
    def cart(request: Request) -> Response:
        request.session["cart"] = ["tea"]
        return Response()

    def sign_in(request: Request) -> Response:
        session_control(request).sign_in("ada", label="Firefox", assurance_level=1)
        return Response()

    def who(request: Request) -> Response:
        return JSONResponse([session_control(request).user, request.session])

    client = visitor(cart, sign_in, who, cache=cache)
    old = attributes(client.get("/cart"))["session"]
    new = attributes(client.get("/sign_in"))["session"]
    assert client.get("/who").json() == ["ada", {"cart": ["tea"]}]
    assert cache.open_token(old) is None and cache.open_token(new) is not None
    assert [device.label for device in cache.user_sessions("ada")] == ["Firefox"]
    cache.end_user_sessions("ada")
    assert client.get("/who").json() == [None, {}]


@pytest.mark.parametrize("way", ["clear", "sign_out", "sign_out_everywhere"])
# TERM-1: docs/security-checklist.md
def test_sign_out_ends_session_immediately_for_any_response(cache: SessionCache, way: str) -> None:
    def sign_in(request: Request) -> Response:
        request.session["cart"] = 1
        session_control(request).sign_in("ada")
        return Response()

    def leave(request: Request) -> Response:
        getattr(request.session if way == "clear" else session_control(request), way)()
        assert request.session == {}
        return Response(status_code=int(request.query_params["status"]))

    for status in (200, 500):
        client = visitor(sign_in, leave, cache=cache)
        token = attributes(client.get("/sign_in"))["session"]
        assert attributes(client.get(f"/leave?status={status}"))["max-age"] == "0"
        assert cache.open_token(token) is None and len(cache.user_sessions("ada")) == 0


def test_values_set_after_clear_are_the_only_ones() -> None:
    def begin(request: Request) -> Response:
        request.session.update(a=1, b=2)
        return Response()

    def restart(request: Request) -> Response:
        request.session.clear()
        request.session["b"] = 2
        return Response()

    client = visitor(begin, restart)
    client.get("/begin")
    client.get("/restart")
    assert client.get("/view").json() == {"b": 2}


def test_rotation_on_demand_and_by_age(clock: ManualClock) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def rotate(request: Request) -> Response:
        session_control(request).rotate()
        return Response()

    cache = SessionCache(secret_key=KEY, memory=4 << 20, clock=clock)
    client = visitor(begin, rotate, cache=cache, rotate_every=60)
    tokens = [attributes(client.get(path))["session"] for path in ("/begin", "/rotate")]
    assert cache.open_token(tokens[0]) is None
    clock.advance(59)
    assert attributes(client.get("/view")) == {}
    clock.advance(2)
    tokens.append(attributes(client.get("/view"))["session"])
    assert cache.open_token(tokens[1]) is not None, "within the grace period"
    clock.advance(10)
    assert cache.open_token(tokens[1]) is None and cache.open_token(tokens[2]) is not None
    assert len(set(tokens)) == 3


def test_csrf_token_is_valid_for_one_session() -> None:
    def form(request: Request) -> Response:
        return PlainTextResponse(session_control(request).csrf_token())

    def sent(request: Request) -> Response:
        try:
            session_control(request).check_csrf(request.query_params["token"])
        except InvalidCSRFToken:
            return JSONResponse(False)
        return JSONResponse(True)

    client, other = visitor(form, sent), visitor(form, sent)
    token, other_token = client.get("/form").text, other.get("/form").text
    assert token != client.get("/form").text
    assert client.get("/sent", params={"token": token}).json() is True
    for invalid in (other_token, "", "x", token[:-1], token + "A"):
        assert client.get("/sent", params={"token": invalid}).json() is False


def test_sessions_of_user_are_listed_and_ended_by_each_other(cache: SessionCache) -> None:
    def sign_in(request: Request) -> Response:
        session_control(request).sign_in("ada", label=request.query_params["label"])
        return Response()

    def devices(request: Request) -> Response:
        return JSONResponse([[one.label, one.is_current] for one in session_control(request).user_sessions()])

    def others(request: Request) -> Response:
        return JSONResponse(session_control(request).sign_out_others())

    phone = visitor(sign_in, devices, others, cache=cache)
    laptop = visitor(sign_in, devices, others, cache=cache)
    phone.get("/sign_in?label=phone")
    laptop.get("/sign_in?label=laptop")
    assert sorted(phone.get("/devices").json()) == [["laptop", False], ["phone", True]]
    assert phone.get("/others").json() == 1
    assert laptop.get("/devices").json() == [] and phone.get("/devices").json() == [["phone", True]]
