"""What the middleware does that Starlette's does not, and where a request does not go the plain way."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from conftest import KEY, attributes, client_for, control_of, fill
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from sessile import InvalidCSRFToken, SessionCache
from sessile.starlette import SessionMiddleware, session_control
from sessile.testing import ManualClock

Handler = Callable[[Request], Any]


def view(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


def visitor(*handlers: Handler, **settings: Any) -> TestClient:
    """A browser at an application with a route for each handler, by its name."""
    return client_for([Route(f"/{handler.__name__}", handler, methods=["GET", "POST"]) for handler in (*handlers, view)], **settings)


def test_it_is_a_real_dict() -> None:
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
def test_cook_6_whatever_comes_first_reads_the_session_and_says_so(first: str) -> None:
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
def test_what_is_made_of_the_same_is_not_written_and_what_is_not_is_compared(
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


def test_an_object_that_lies_where_another_did_is_not_taken_for_it(cache: SessionCache) -> None:
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


def test_a_session_that_was_put_into_itself_is_refused_and_collected() -> None:
    import gc
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
    with pytest.raises(ValueError, match="holds itself"):
        client.get("/loop")
    # The thread in which the handler ran may still hold the exception.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=5)
    gc.collect()
    assert witnesses[0]() is None


def test_nested_changes_last_and_what_did_not_change_is_not_written(cache: SessionCache) -> None:
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


def test_life_4_who_stores_nothing_costs_nothing(cache: SessionCache) -> None:
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


def test_life_1_signing_in_gives_a_new_id_and_keeps_the_data(cache: SessionCache) -> None:
    def cart(request: Request) -> Response:
        request.session["cart"] = ["tea"]
        return Response()

    def sign_in(request: Request) -> Response:
        session_control(request).sign_in("ada", label="Firefox", assurance=1)
        return Response()

    def who(request: Request) -> Response:
        return JSONResponse([session_control(request).user, request.session])

    client = visitor(cart, sign_in, who, cache=cache)
    old = attributes(client.get("/cart"))["session"]
    new = attributes(client.get("/sign_in"))["session"]
    assert client.get("/who").json() == ["ada", {"cart": ["tea"]}]
    assert cache.open_token(old) is None and cache.open_token(new) is not None
    assert [device.label for device in cache.sessions_of("ada")] == ["Firefox"]
    cache.end_user("ada")
    assert client.get("/who").json() == [None, {}]


@pytest.mark.parametrize("way", ["clear", "sign_out", "sign_out_everywhere"])
def test_term_1_signing_out_ends_it_at_once_whatever_the_response(cache: SessionCache, way: str) -> None:
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
        assert cache.open_token(token) is None and len(cache.sessions_of("ada")) == 0


def test_after_a_clear_what_is_put_in_is_all_there_is() -> None:
    def begin(request: Request) -> Response:
        request.session.update(a=1, b=2)
        return Response()

    def anew(request: Request) -> Response:
        request.session.clear()
        request.session["b"] = 2
        return Response()

    client = visitor(begin, anew)
    client.get("/begin")
    client.get("/anew")
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
    assert cache.open_token(tokens[1]) is not None, "within the grace"
    clock.advance(10)
    assert cache.open_token(tokens[1]) is None and cache.open_token(tokens[2]) is not None
    assert len(set(tokens)) == 3


def test_csrf_tokens_count_for_one_session() -> None:
    def form(request: Request) -> Response:
        return PlainTextResponse(session_control(request).csrf_token())

    def sent(request: Request) -> Response:
        try:
            session_control(request).check_csrf(request.query_params["token"])
        except InvalidCSRFToken:
            return JSONResponse(False)
        return JSONResponse(True)

    client, other = visitor(form, sent), visitor(form, sent)
    mine, theirs = client.get("/form").text, other.get("/form").text
    assert mine != client.get("/form").text
    assert client.get("/sent", params={"token": mine}).json() is True
    for token in (theirs, "", "x", mine[:-1], mine + "A"):
        assert client.get("/sent", params={"token": token}).json() is False


def test_devices_are_listed_and_ended_from_each_other(cache: SessionCache) -> None:
    def sign_in(request: Request) -> Response:
        session_control(request).sign_in("ada", label=request.query_params["label"])
        return Response()

    def devices(request: Request) -> Response:
        return JSONResponse([[one.label, one.is_this] for one in session_control(request).user_sessions()])

    def others(request: Request) -> Response:
        return JSONResponse(session_control(request).sign_out_others())

    phone = visitor(sign_in, devices, others, cache=cache)
    laptop = visitor(sign_in, devices, others, cache=cache)
    phone.get("/sign_in?label=phone")
    laptop.get("/sign_in?label=laptop")
    assert sorted(phone.get("/devices").json()) == [["laptop", False], ["phone", True]]
    assert phone.get("/others").json() == 1
    assert laptop.get("/devices").json() == [] and phone.get("/devices").json() == [["phone", True]]


def test_several_cookies_and_headers_of_the_handler_stay() -> None:
    def several(request: Request) -> Response:
        request.session["a"] = 1
        response = Response(headers={"vary": "accept-encoding", "x-own": "1", "cache-control": "public"})
        response.set_cookie("theme", "dark")
        response.set_cookie("session", "mine")
        response.set_cookie("lang", "en")
        return response

    with warnings.catch_warnings():
        # The first one in a process warns of the cookie.
        warnings.simplefilter("ignore", RuntimeWarning)
        response = visitor(several).get("/several")
    names = [line.split("=")[0] for line in response.headers.get_list("set-cookie")]
    assert names == ["theme", "lang", "session"]
    assert response.headers.get_list("vary") == ["accept-encoding", "Cookie"]
    assert response.headers["cache-control"] == "no-store" and response.headers["x-own"] == "1"


def test_a_response_that_is_sent_twice_is_not_changed() -> None:
    shared = Response("same")

    def same(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return shared

    client = visitor(same)
    for _ in range(3):
        assert client.get("/same").headers["vary"] == "Cookie"
    assert len(shared.raw_headers) == 1


def test_what_a_stream_or_a_background_task_changes_is_stored(cache: SessionCache) -> None:
    def stream(request: Request) -> Response:
        session = request.session
        session["begun"] = True

        async def body() -> Any:
            yield b"one"
            session["streamed"] = True
            yield b"two"

        return StreamingResponse(body())

    def background(request: Request) -> Response:
        session = request.session
        return Response("ok", background=BackgroundTask(lambda: session.setdefault("list", []).append(1)))

    client = visitor(stream, background, cache=cache)
    assert client.get("/stream").text == "onetwo"
    assert client.get("/view").json() == {"begun": True, "streamed": True}
    client.get("/background")
    assert client.get("/view").json() == {"begun": True, "list": [1], "streamed": True}
    saved = cache.stats()["saved"]
    client.get("/view")
    assert cache.stats()["saved"] == saved


def test_what_comes_too_late_to_make_a_session_is_an_error_and_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    def late(request: Request) -> Response:
        session = request.session

        async def write() -> None:
            session["a"] = 1

        return Response("ok", background=BackgroundTask(write))

    def late_sign_in(request: Request) -> Response:
        control = session_control(request)
        control.data["a"] = 1
        return Response("ok", background=BackgroundTask(lambda: control.sign_in("ada")))

    client = visitor(late, late_sign_in)
    with caplog.at_level(logging.ERROR, "sessile"):
        assert client.get("/late").text == "ok"
    assert ["headers have left" in record.message for record in caplog.records] == [True]
    with pytest.raises(RuntimeError, match="headers have left"):
        client.get("/late_sign_in")


@pytest.mark.parametrize("status", [200, 204, 302, 404, 422, 451])
def test_what_was_changed_before_a_refusal_is_stored(status: int) -> None:
    def refuse(request: Request) -> Response:
        request.session["a"] = 1
        if status < 400:
            return Response(status_code=status)
        raise HTTPException(status)

    client = visitor(refuse)
    client.get("/refuse", follow_redirects=False)
    assert client.get("/view").json() == {"a": 1}


def test_a_handler_that_fails_leaves_nothing_behind(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def fail(request: Request) -> Response:
        request.session["a"] = 2
        raise ZeroDivisionError

    def answer_500(request: Request) -> Response:
        request.session["a"] = 3
        return Response(status_code=500, background=BackgroundTask(lambda: request.session.update(b=1)))

    client = visitor(begin, fail, answer_500, cache=cache)
    client.get("/begin")
    with pytest.raises(ZeroDivisionError):
        client.get("/fail")
    assert client.get("/answer_500").headers["vary"] == "Cookie"
    assert client.get("/view").json() == {"a": 1}


def test_a_value_that_json_cannot_hold_is_an_error_before_the_response(cache: SessionCache) -> None:
    def store(request: Request) -> Response:
        request.session["user"] = {"seen": [object()]}
        return Response()

    def fine(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    client = visitor(store, fine, cache=cache)
    client.get("/fine")
    with pytest.raises(TypeError, match=r"session\['user'\]\['seen'\]\[0\] is a object, which JSON cannot hold"):
        client.get("/store")
    assert client.get("/view").json() == {"a": 1}


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ({"sessile:user": "ada"}, ValueError, "begins with `sessile:`"),
        ({"k" * 70_000: 1}, ValueError, "a key of 70000 bytes"),
        ({(1, 2): 1}, TypeError, "a key that is a tuple"),
        ({"x": float("nan")}, ValueError, r"session\['x'\] is not a finite number"),
    ],
)
def test_what_no_session_holds_is_refused(data: Any, error: type[Exception], text: str) -> None:
    def store(request: Request) -> Response:
        request.session.update(data)
        return Response()

    with pytest.raises(error, match=text):
        visitor(store).get("/store")


def test_ops_2_a_full_cache_is_503_and_those_who_are_signed_in_stay(caplog: pytest.LogCaptureFixture) -> None:
    def store(request: Request) -> Response:
        request.session["order"] = "x" * 16_300
        response = PlainTextResponse("stored", headers={"etag": "1"})
        response.set_cookie("theme", "dark")
        return response

    cache = SessionCache(secret_key=KEY, memory=1 << 20)
    fill(cache)
    users = cache.stats()["sessions_authenticated"]
    with caplog.at_level(logging.WARNING, "sessile"):
        response = visitor(store, cache=cache).get("/store")
    assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
    assert "try again" in response.text and response.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in response.headers and "etag" not in response.headers
    assert cache.stats()["sessions_authenticated"] == users
    assert [record.name for record in caplog.records] == ["sessile"]


def test_numbers_as_keys_become_text_as_in_json() -> None:
    def store(request: Request) -> Response:
        request.session.update({1: {2: None}, True: 1.5})  # type: ignore[dict-item]
        return Response()

    client = visitor(store)
    client.get("/store")
    # In Python, `True` is the key 1.
    assert client.get("/view").json() == {"1": 1.5}


def test_other_scopes_pass_through(cache: SessionCache) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "lifespan"}
    asyncio.run(SessionMiddleware(app, cache=cache)(scope, "receive", "send"))  # type: ignore[arg-type]
    assert seen == [(scope, "receive", "send")] and "session" not in scope


def test_what_is_first_asked_for_when_the_headers_have_left(cache: SessionCache) -> None:
    def begin(request: Request) -> Response:
        request.session["a"] = 1
        return Response()

    def late(request: Request) -> Response:
        def task() -> None:
            request.session["a"] += 1

        return Response("ok", status_code=int(request.query_params["status"]), background=BackgroundTask(task))

    client = visitor(begin, late, cache=cache)
    with pytest.raises(KeyError):
        client.get("/late?status=200")
    client.get("/begin")
    client.get("/late?status=200")
    assert client.get("/view").json() == {"a": 2}
    client.get("/late?status=500")
    assert client.get("/view").json() == {"a": 2}


def test_a_stream_that_is_told_that_it_is_too_late_may_go_on() -> None:
    def stream(request: Request) -> Response:
        control = session_control(request)
        session = control.data

        async def body() -> Any:
            yield "begun"
            session["a"] = 1
            with pytest.raises(RuntimeError, match="headers have left"):
                control.save()
            del session["a"]
            yield ", refused"

        return StreamingResponse(body())

    assert visitor(stream).get("/stream").text == "begun, refused"
