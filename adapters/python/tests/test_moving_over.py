"""Sessions of Starlette's middleware are moved, and their users stay signed in."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import itsdangerous
import pytest
from conftest import KEY, attributes, client_for, control_of, fill_partially
from starlette.middleware.sessions import SessionMiddleware as Starlettes
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessile import SessionCache
from sessile._sessile import _Sessions, _unsign
from sessile.session import Session, unread
from sessile.starlette import SessionMiddleware, session_control

VECTORS = json.loads((Path(__file__).parent / "vectors/itsdangerous.json").read_text())
NOW = VECTORS["now"]
OLD_SECRET = "example"

pytestmark = pytest.mark.filterwarnings("ignore:.*accept_starlette_cookies")


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_only_cookies_signed_by_starlette_are_accepted(case: dict[str, Any]) -> None:
    is_starlettes = case["kind"] == "TimestampSigner"
    for key in case.get("keys", [case.get("key")]):
        for signed in (case["signed"], *case.get("also_accept", ()), *case.get("reject", ())):
            value = _unsign(signed.encode(), key.encode(), max_age=None, now=NOW)
            assert value == (case["value"].encode() if is_starlettes else None)


@pytest.mark.parametrize("case", VECTORS["negatives"], ids=lambda case: case["name"])
# SIGN-6: docs/security-checklist.md
def test_signature_has_one_valid_encoding(case: dict[str, str]) -> None:
    assert case["want"] == "reject"
    assert _unsign(case["token"].encode(), b"secret-key", max_age=None, now=NOW) is None
    assert _unsign(VECTORS["base_token"].encode(), b"secret-key", max_age=None, now=NOW) == b"value"


def test_change_of_any_character_is_rejected() -> None:
    good = VECTORS["base_token"].encode()
    for at in range(len(good)):
        for byte in b"AZaz09-_.=+/ \x00\xff":
            changed = good[:at] + bytes([byte]) + good[at + 1 :]
            assert changed == good or _unsign(changed, b"secret-key", max_age=None, now=NOW) is None
        assert _unsign(good[:at], b"secret-key", max_age=None, now=NOW) is None


def test_age_is_checked_at_both_limits() -> None:
    token = VECTORS["base_token"].encode()
    for now, max_age, is_good in [
        (NOW, 0, True), (NOW + 60, 60, True), (NOW + 61, 60, False), (NOW - 1, 60, False),
        (NOW - 1, None, True), (2**63, None, True), (0, None, True), (2**64 - 1, 2**64 - 1, True),
    ]:  # fmt: skip
        assert (_unsign(token, b"secret-key", max_age=max_age, now=now) is not None) is is_good


def test_published_cookie_of_starlette_is_accepted() -> None:
    value = b"eyJ1c2VyX2lkIjogNDIsICJjYXJ0IjogWyJhIiwgImIiXX0=.ZVPxAA.ydz72yBdqnlHPwJb5zGy1WVWbhU"
    payload = _unsign(value, b"secret-key-0123456789", max_age=60, now=NOW)
    assert payload and json.loads(base64.b64decode(payload)) == {"user_id": 42, "cart": ["a", "b"]}


def view(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


async def update(request: Request) -> JSONResponse:
    request.session.update(await request.json())
    return JSONResponse(dict(request.session))


def clear(request: Request) -> Response:
    request.session.clear()
    return Response()


def take_all(request: Request) -> Response:
    for key in list(request.session):
        del request.session[key]
    return Response()


def sign_in(request: Request) -> Response:
    session_control(request).sign_in("ada")
    return Response()


def change_and_fail(request: Request) -> Response:
    request.session["b"] = 2
    return Response(status_code=500)


async def socket(socket: WebSocket) -> None:
    session = socket.session
    await socket.accept()
    if await socket.receive_text() == "write":
        session["a"] = 1
    await socket.send_json(dict(session))
    await socket.close()


HANDLERS = [view, update, clear, take_all, sign_in, change_and_fail]
ROUTES = [*(Route(f"/{one.__name__}", one, methods=["GET", "POST"]) for one in HANDLERS), WebSocketRoute("/socket", socket)]


def old_cookie(data: object, secret: str = OLD_SECRET, raw: bytes | None = None, age: float = 0) -> str:
    """Returns the cookie that Starlette's middleware would send."""

    class Then(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age)

    payload = base64.b64encode(json.dumps(data).encode() if raw is None else raw)
    return Then(secret).sign(payload).decode()


def browser(cookie: str, **settings: Any) -> TestClient:
    client = client_for(ROUTES, accept_starlette_cookies=OLD_SECRET, **settings)
    client.cookies.set("session", cookie, domain="testserver.local", path="/")
    return client


def test_visitor_of_old_middleware_keeps_session() -> None:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    client = TestClient(Starlette(routes=ROUTES, middleware=[Middleware(Starlettes, secret_key=OLD_SECRET)]))
    client.post("/update", json={"user": "Ä", "cart": [1, {"n": 2.5}], "none": None})
    moved = browser(client.cookies["session"])
    with pytest.warns(UserWarning, match="`accept_starlette_cookies` is set"):
        response = moved.get("/view")
    assert response.json() == {"user": "Ä", "cart": [1, {"n": 2.5}], "none": None}
    assert len(attributes(response)["session"]) == 48
    assert response.headers["cache-control"] == "no-store"
    second = moved.get("/view")
    assert second.json() == response.json() and "set-cookie" not in second.headers


def test_moved_session_has_changes_of_first_request(cache: SessionCache) -> None:
    client = browser(old_cookie({"a": 1, "b": 2}), cache=cache)
    assert client.post("/update", json={"b": 3}).json() == {"a": 1, "b": 3}
    assert client.get("/view").json() == {"a": 1, "b": 3} and len(cache) == 1
    client = browser(old_cookie({"cart": 1}), cache=cache)
    client.get("/sign_in")
    assert len(cache.user_sessions("ada")) == 1 and client.get("/view").json() == {"cart": 1}


@pytest.mark.parametrize("path", ["/clear", "/take_all"])
def test_sign_out_in_first_request_is_permanent(cache: SessionCache, path: str) -> None:
    client = browser(old_cookie({"user": "ada"}), cache=cache)
    assert attributes(client.get(path))["max-age"] == "0"
    assert client.get("/view").json() == {} and len(cache) == 0


def test_failed_response_moves_data_without_changes(cache: SessionCache) -> None:
    client = browser(old_cookie({"a": 1}), cache=cache)
    assert len(attributes(client.get("/change_and_fail"))["session"]) == 48
    assert client.get("/view").json() == {"a": 1} and len(cache) == 1


def importing_sessions(cache: SessionCache, **settings: Any) -> _Sessions:
    return _Sessions(cache, accept_starlette_cookies=OLD_SECRET, **settings)


def begun(sessions: _Sessions, cookie: str) -> Session:
    return unread(sessions.begin([(b"cookie", f"session={cookie}".encode())], False))


def end(session: Session) -> str:
    """Returns the cookie that the response sets."""
    message: Any = {"type": "http.response.start", "status": 200, "headers": []}
    message = session._visit.respond(session, message)
    assert type(message) is dict
    return str(dict(message["headers"]).get(b"set-cookie", b"").decode().partition(";")[0])


def test_client_that_keeps_old_cookie_has_one_session(cache: SessionCache) -> None:
    client, cookie = client_for(ROUTES, accept_starlette_cookies=OLD_SECRET, cache=cache), old_cookie({"a": 1})
    answers = []
    for at in range(500):
        client.cookies.clear()
        answers.append(attributes(client.post("/update", json={"n": at}, headers={"cookie": f"session={cookie}"})))
    assert len(cache) == cache.stats()["created"] == 1
    assert len({answer["session"] for answer in answers}) == 1
    client.cookies.clear()
    assert client.get("/view", headers={"cookie": f"session={cookie}"}).json() == {"a": 1, "n": 499}


def test_parallel_requests_with_one_old_cookie_keep_both_changes(cache: SessionCache) -> None:
    sessions, cookie = importing_sessions(cache), old_cookie({"a": 1})
    one, other = begun(sessions, cookie), begun(importing_sessions(cache), cookie)
    one["one"], other["other"] = 1, 2
    new = end(one)
    assert new == end(other) and len(cache) == 1
    assert begun(sessions, new.removeprefix("session=")) == {"a": 1, "one": 1, "other": 2}


def test_threads_with_one_old_cookie_create_one_session(cache: SessionCache) -> None:
    sessions, cookie, barrier = importing_sessions(cache), old_cookie({"a": 1}), threading.Barrier(8)
    read: list[dict[str, Any]] = []

    def request() -> None:
        barrier.wait()
        read.append(dict(begun(sessions, cookie)))

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [{"a": 1}] * 8 and cache.stats()["created"] == 1


@pytest.mark.parametrize("how", ["clear", "end_all"])
def test_old_cookie_does_not_reopen_ended_session(cache: SessionCache, how: str) -> None:
    sessions, cookie = importing_sessions(cache), old_cookie({"user": "ada"})
    session = begun(sessions, cookie)
    assert session == {"user": "ada"}
    if how == "clear":
        session.clear()
        assert end(session) == "session="
    else:
        cache.end_all()
    assert begun(sessions, cookie) == {} and len(cache) == 0


@pytest.mark.parametrize("sign_in", [lambda session: control_of(session).sign_in("ada"), lambda session: session.update(user_id=7)])
def test_old_cookie_planted_before_sign_in_is_not_accepted_after_it(cache: SessionCache, sign_in: Any) -> None:
    sessions, cookie = importing_sessions(cache, identity_keys=["user_id"]), old_cookie({"cart": 1})
    session = begun(sessions, cookie)
    sign_in(session)
    new = end(session).removeprefix("session=")
    assert begun(sessions, cookie) == {} and begun(sessions, new)["cart"] == 1


def test_values_that_a_session_cannot_hold_are_omitted_and_logged_once(
    cache: SessionCache, caplog: pytest.LogCaptureFixture
) -> None:
    deep = b"[" * 200 + b"]" * 200
    raw = (
        b'{"nan": NaN, "in": [Infinity, -Infinity, 1e999, 1.5, 12345678901234567890123], "deep": ' + deep
        + b', "\\ud800": 1, "sessile:user": "mallory", "sur": {"\\ud800": 1}, "text": "\\ud800", "large": "' + b"x" * 20_000
        + b'", "half": "' + b"x" * 9_000 + b'", "other half": "' + b"x" * 9_001 + b'", "user": "ada"}'
    )
    sessions, cookie = importing_sessions(cache), old_cookie(None, raw=raw)
    for _ in range(3):
        session = begun(sessions, cookie)
        kept = dict(session)
        assert end(session) != ""
    assert kept.pop("half") == "x" * 9_000
    assert kept == {
        "nan": None, "in": [None, None, None, 1.5, 12345678901234567890123], "text": "\ud800", "user": "ada",
    }  # fmt: skip
    assert len([record for record in caplog.records if "is omitted" in record.getMessage()]) == 1


def test_cookie_without_storable_data_creates_no_session(cache: SessionCache) -> None:
    response = browser(old_cookie({"sessile:user": "mallory"}), cache=cache).get("/view")
    assert (response.status_code, response.json(), len(cache)) == (200, {}, 0)


def test_full_cache_moves_data_with_a_later_request() -> None:
    cache = SessionCache(secret_key=KEY, memory=1 << 20)
    fill_partially(cache)
    client = browser(old_cookie({"large": "x" * 16_000}), cache=cache)
    assert client.get("/view").status_code == 503
    cache.end_all()
    assert len(client.get("/view").json()["large"]) == 16_000 and len(cache) == 1


def test_at_most_16384_old_cookies_are_remembered() -> None:
    cache = SessionCache(secret_key=KEY, memory=8 << 20)
    sessions = importing_sessions(cache)
    cookies = [old_cookie({"n": at}) for at in range(16_384 + 1)]
    for at, cookie in enumerate(cookies):
        assert begun(sessions, cookie) == {"n": at}
    assert begun(sessions, cookies[-1]) == {"n": 16_384} and cache.stats()["created"] == 16_385
    assert begun(sessions, cookies[0]) == {"n": 0} and cache.stats()["created"] == 16_386


def test_websocket_that_reads_before_accept_moves_session(cache: SessionCache) -> None:
    client = browser(old_cookie({"b": 1}), cache=cache)
    with client.websocket_connect("/socket") as connection:
        connection.send_text("read")
        assert connection.receive_json() == {"b": 1}
        [(name, cookie)] = connection.extra_headers
    assert name == b"set-cookie" and len(cache) == 1
    assert client.get("/view", headers={"cookie": cookie.decode().split(";")[0]}).json() == {"b": 1}


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"1", b'"text"', b"[1]", b"{", b"\xff", b'{"a":' * 3000, b"{1: 2}", b"[" * 9999]
)
def test_payload_other_than_json_object_creates_no_session(raw: bytes) -> None:
    response = browser(old_cookie(None, raw=raw)).get("/view")
    assert (response.status_code, response.json()) == (200, {})
    assert "set-cookie" not in response.headers


def test_cookie_of_another_secret_or_too_old_creates_no_session() -> None:
    for cookie in (old_cookie({"a": 1}, secret="other"), old_cookie({"a": 1}, age=100), old_cookie({"a": 1}, age=-100)):
        assert browser(cookie, max_age=60).get("/view").json() == {}
    assert browser(old_cookie({"a": 1}, age=50), max_age=60).get("/view").json() == {"a": 1}
    assert client_for(ROUTES).get("/view", headers={"cookie": f"session={old_cookie({'a': 1})}"}).json() == {}


def test_own_session_takes_precedence_over_old_cookie() -> None:
    client = browser("")
    token = attributes(client.post("/update", json={"new": 1}))["session"]
    for cookies in ([token, old_cookie({"old": 1})], [old_cookie({"old": 1}), token]):
        header = "; ".join(f"session={cookie}" for cookie in cookies)
        client.cookies.clear()
        assert client.get("/view", headers={"cookie": header}).json() == {"new": 1}


def test_list_of_old_secrets_is_accepted() -> None:
    middleware = {"accept_starlette_cookies": ["one", b"two"]}
    for secret in ("one", "two"):
        client = client_for(ROUTES, **middleware)
        assert client.get("/view", headers={"cookie": f"session={old_cookie({'a': secret}, secret)}"}).json() == {"a": secret}


def test_setting_warns_at_construction() -> None:
    with pytest.warns(UserWarning, match="Remove the setting once `max_age` has passed"):
        SessionMiddleware(lambda *_: None, secret_key=KEY, accept_starlette_cookies="x", memory=4 << 20)  # type: ignore[arg-type,return-value]
