"""`request.session` is a plain dict, and its operations are on `SessionControl`."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from conftest import attributes, client_for
from fastapi import FastAPI
from jinja2 import Template
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessile import SessionCache
from sessile.fastapi import CurrentUser, SessionDep, SessionMiddleware
from sessile.session import Session
from sessile.starlette import SessionControl, session_control

STARLETTE_NAMES = {"accessed", "modified", "mark_accessed", "mark_modified"}


def public(of: object) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def put(request: Request) -> Response:
    request.session.update(dict(request.query_params))
    return Response()


def view(request: Request) -> Response:
    return JSONResponse(dict(request.session))


def test_session_has_names_of_dict_and_of_starlettes_session() -> None:
    seen: list[set[str]] = []

    def look(request: Request) -> Response:
        seen.append(public(request.scope["session"]))
        request.session.get("a")
        seen.append(public(request.session))
        return Response()

    client_for([Route("/", look)]).get("/")
    assert seen == [public(dict) | STARLETTE_NAMES] * 2


@pytest.mark.parametrize("name", sorted(public(SessionControl) | {"user", "devices", "csrf_token"}))
def test_template_renders_key_of_application(name: str) -> None:
    def show(request: Request) -> Response:
        return PlainTextResponse(Template(f"{{{{ request.session.{name} }}}}").render(request=request))

    client = client_for([Route("/put", put), Route("/show", show)])
    client.get("/put", params={name: "mine"})
    assert client.get("/show").text == "mine"


def test_no_attribute_printed_by_template_contains_data() -> None:
    def show(request: Request) -> Response:
        texts = {}
        for name in sorted(public(dict) | STARLETTE_NAMES):
            session = request.session
            len(session)
            texts[name] = Template(f"{{{{ session.{name} }}}}").render(session=session)
        return JSONResponse(texts)

    def show_unread(request: Request) -> Response:
        return PlainTextResponse(Template(f"{{{{ session.{request.query_params['name']} }}}}").render(session=request.scope["session"]))

    client = client_for([Route("/put", put), Route("/show", show), Route("/unread", show_unread)])
    client.get("/put", params={"secret": "hidden"})
    assert "hidden" not in client.get("/show").text
    for name in public(dict):
        assert "hidden" not in client.get("/unread", params={"name": name}).text


def test_standalone_session_is_a_dict_that_records_changes() -> None:
    session = Session({"a": 1})
    assert session == {"a": 1} and not session.accessed and not session.modified
    session.setdefault("a", 2), session.pop("b", None), session.get("a")
    assert not session.accessed and not session.modified
    for change in (
        lambda session: session.update(b=2),
        lambda session: session.clear(),
        lambda session: session.pop("a"),
        lambda session: session.popitem(),
        lambda session: session.setdefault("b", 2),
        lambda session: session.__setitem__("a", 1),
        lambda session: session.__delitem__("a"),
        lambda session: session.__ior__({"b": 2}),
        lambda session: session.mark_modified(),
    ):
        session = Session(a=1)
        change(session)
        assert session.accessed and session.modified
    session = Session()
    session.mark_accessed()
    assert session.accessed and not session.modified and type(session).__mro__[1] is Session


def test_error_without_middleware_names_add_middleware() -> None:
    with pytest.raises(RuntimeError, match="add_middleware"):
        session_control(Request({"type": "http", "session": {}}))


def test_dependencies_return_control_and_user(cache: SessionCache) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache)

    @app.post("/login")
    def login(session: SessionDep) -> str:
        session.sign_in("ada", label="phone")
        session.data["n"] = 1
        session.save()
        return session.user_sessions()[0].label

    @app.get("/me")
    async def me(user: CurrentUser, session: SessionDep) -> list[Any]:
        await session.asave()
        return [user, session.data["n"], session.is_alive()]

    client = TestClient(app)
    assert client.get("/me").status_code == 401
    assert client.post("/login").json() == "phone"
    assert client.get("/me").json() == ["ada", 1, True]


def test_methods_that_may_wait_have_awaitable_variants(cache: SessionCache) -> None:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, cache=cache)

    @app.post("/login")
    async def login(session: SessionDep, label: str) -> None:
        session.sign_in("ada", label=label)

    @app.post("/others")
    async def others(session: SessionDep) -> list[Any]:
        before = sorted(info.label for info in await session.auser_sessions())
        return [before, await session.asign_out_others(), [info.label for info in await session.auser_sessions()]]

    @app.post("/out")
    async def out(session: SessionDep) -> list[Any]:
        await session.asign_out()
        return [session.user, await session.auser_sessions()]

    @app.post("/everywhere")
    async def everywhere(session: SessionDep) -> list[Any]:
        return [await session.asign_out_everywhere(), session.user]

    phone, laptop = TestClient(app), TestClient(app)
    for client, label in ((phone, "phone"), (laptop, "laptop")):
        client.post("/login", params={"label": label})
    assert phone.post("/others").json() == [["laptop", "phone"], 1, ["phone"]]
    assert laptop.post("/others").json() == [[], 0, []]
    assert phone.post("/out").json() == [None, []] and len(cache) == 0
    for client, label in ((phone, "phone"), (laptop, "laptop")):
        client.post("/login", params={"label": label})
    assert laptop.post("/everywhere").json() == [2, None] and len(cache) == 0


def test_awaitable_variant_has_same_signature() -> None:
    variants = ["save", "sign_out", "sign_out_others", "sign_out_everywhere", "user_sessions", "end_by_handle", "is_alive"]
    for name in variants:
        method, variant = (inspect.signature(getattr(SessionControl, prefix + name)) for prefix in ("", "a"))
        assert method == variant and inspect.iscoroutinefunction(getattr(SessionControl, f"a{name}"))
    assert {name for name in public(SessionControl) if f"a{name}" in public(SessionControl)} == set(variants)


@pytest.mark.parametrize("way", ["sign_out", "sign_out_everywhere", "end_user_sessions", "sign_in"])
def test_is_alive_in_websocket_is_false_after_end_elsewhere(cache: SessionCache, way: str) -> None:
    async def socket(socket: WebSocket) -> None:
        session = session_control(socket)
        await socket.accept()
        async for _ in socket.iter_text():
            if not session.is_alive():
                await socket.close(4401)
                return
            await socket.send_text(session.user or "")

    def act(request: Request) -> Response:
        way = request.query_params["way"]
        if way == "end_user_sessions":
            cache.end_user_sessions("ada")
        else:
            getattr(session_control(request), way)(*["ada"] * (way == "sign_in"))
        return Response()

    client = client_for([Route("/act", act), WebSocketRoute("/socket", socket)], cache=cache)
    client.get("/act?way=sign_in")
    with client.websocket_connect("/socket") as connection:
        connection.send_text("who")
        assert connection.receive_text() == "ada"
        client.get("/act", params={"way": way})
        connection.send_text("who")
        assert connection.receive()["code"] == 4401


def test_is_alive_does_not_count_as_use(cache: SessionCache, clock: Any) -> None:
    controls: list[SessionControl] = []

    def keep(request: Request) -> Response:
        controls.append(session_control(request))
        request.session["n"] = 1
        return Response()

    client_for([Route("/", keep)], cache=cache).get("/")
    [control] = controls
    for _ in range(29):
        clock.advance(60)
        assert control.is_alive()
    clock.advance(120)
    assert not control.is_alive()


@pytest.mark.parametrize("saves", [True, False])
def test_changes_of_thread_after_response_need_save(saves: bool) -> None:
    finish = threading.Event()
    threads: list[threading.Thread] = []

    def start(request: Request) -> Response:
        control = session_control(request)

        def work() -> None:
            finish.wait()
            control.data["done"] = True
            if saves:
                control.save()

        threads.append(threading.Thread(target=work))
        threads[0].start()
        return Response()

    client = client_for([Route("/put", put), Route("/start", start), Route("/view", view)])
    client.get("/put?a=1")
    client.get("/start")
    finish.set()
    threads[0].join()
    assert client.get("/view").json() == ({"a": "1", "done": True} if saves else {"a": "1"})


@pytest.mark.parametrize("saves", [True, False])
def test_changes_of_task_after_response_need_save(cache: SessionCache, saves: bool) -> None:
    async def run() -> None:
        tasks: list[asyncio.Task[None]] = []
        finish = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            control = session_control(Request(scope))
            control.data.update(a=1)

            async def work() -> None:
                await finish.wait()
                control.data["done"] = True
                if saves:
                    await control.asave()

            tasks.append(asyncio.create_task(work()))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        async def send(message: Any) -> None: ...

        await SessionMiddleware(app, cache=cache)({"type": "http", "headers": []}, None, send)  # type: ignore[arg-type]
        finish.set()
        await tasks[0]

    asyncio.run(run())
    assert cache.stats()["saved"] == saves


def test_replaced_session_in_scope_is_adopted() -> None:
    def replace(request: Request) -> Response:
        request.scope["session"] = {"a": 1, "list": [1]}
        return Response()

    client = client_for([Route("/put", put), Route("/replace", replace), Route("/view", view)])
    client.get("/put?b=2")
    client.get("/replace")
    assert client.get("/view").json() == {"a": 1, "list": [1]}


@pytest.mark.parametrize("new", [{}, Session(a=1)])
def test_empty_dict_and_standalone_session_are_adopted(new: dict[str, Any]) -> None:
    def replace(request: Request) -> Response:
        request.scope["session"] = new
        return Response()

    client = client_for([Route("/put", put), Route("/replace", replace), Route("/view", view)])
    client.get("/put?b=2")
    client.get("/replace")
    assert client.get("/view").json() == new


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [({"a": object()}, TypeError, r"session\['a'\] must be text, a number, a list or a dict, got object"), ({(1, 2): 1}, TypeError, "keys of session must be text, got tuple")],
)
def test_replaced_session_is_validated(data: Any, error: type[Exception], text: str) -> None:
    def replace(request: Request) -> Response:
        request.scope["session"] = data
        return Response()

    with pytest.raises(error, match=text):
        client_for([Route("/replace", replace)]).get("/replace")


def test_save_stores_replaced_session() -> None:
    async def replace(request: Request) -> Response:
        request.scope["session"] = {"a": 1}
        session_control(request).save()
        assert request.session == {"a": 1}
        return Response(status_code=500)

    client = client_for([Route("/put", put), Route("/replace", replace), Route("/view", view)])
    client.get("/put?b=2")
    client.get("/replace")
    assert client.get("/view").json() == {"a": 1}


@pytest.mark.parametrize(
    ("first", "second", "is_new"),
    [
        ({}, {"user_id": "ada"}, True),
        ({"user_id": "eve"}, {"user_id": "ada"}, True),
        ({"user_id": "ada"}, {"user_id": "ada", "a": 1}, False),
        ({"user_id": "ada"}, {"user_id": None}, False),
        ({"user": {"id": 1, "theme": "dark"}}, {"user": {"id": 1, "theme": "light"}}, False),
        ({"user": {"id": 1}}, {"user": {"id": 2}}, True),
        ({"a": {"user_id": 1}}, {"a": {"user_id": 2}}, False),
        ({}, {"access_token": "t"}, False),
    ],
)
def test_change_of_identity_key_gives_new_id(
    cache: SessionCache, first: dict[str, Any], second: dict[str, Any], is_new: bool
) -> None:
    async def update(request: Request) -> Response:
        for key, value in (await request.json()).items():
            request.session[key] = value
        return Response()

    client = client_for([Route("/update", update, methods=["POST"])], cache=cache)
    old = attributes(client.post("/update", json={"cart": ["tea"], **first}))["session"]
    assert ("session" in attributes(client.post("/update", json=second))) is is_new
    assert (cache.open_token(old) is None) is is_new


def test_id_planted_before_login_is_not_accepted_after_it() -> None:
    client = client_for([Route("/put", put), Route("/view", view)])
    planted = attributes(client.get("/put?user_id=mallory"))["session"]
    client.get("/put?user_id=ada")
    assert client.get("/view").json() == {"user_id": "ada"}
    client.cookies.clear()
    assert client.get("/view", headers={"cookie": f"session={planted}"}).json() == {}


@pytest.mark.parametrize(("keys", "is_new"), [((), False), (("name",), False), (["user_id"], True)])
def test_identity_keys_are_a_setting(cache: SessionCache, keys: Any, is_new: bool) -> None:
    client = client_for([Route("/put", put)], cache=cache, identity_keys=keys)
    old = attributes(client.get("/put?a=1"))["session"]
    client.get("/put?user_id=ada")
    assert (cache.open_token(old) is None) is is_new


def test_change_of_identity_key_after_headers_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    def late(request: Request) -> Response:
        session = request.session
        return Response("ok", background=BackgroundTask(lambda: session.update(user_id="ada")))

    client = client_for([Route("/put", put), Route("/late", late), Route("/view", view)])
    client.get("/put?a=1")
    assert client.get("/late").text == "ok"
    assert client.get("/view").json() == {"a": "1"} and len(caplog.records) == 1
