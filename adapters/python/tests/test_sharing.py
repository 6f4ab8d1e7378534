"""Several session middlewares in one process, and in one request."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from conftest import KEY, attributes
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from sessile import SessionCache
from sessile.starlette import SessionMiddleware

SMALL = 4 << 20


def put(key: str) -> Route:
    def handler(request: Request) -> Response:
        request.session[key] = 1
        return JSONResponse(dict(request.session))

    return Route("/", handler)


def app(*routes: BaseRoute, middleware: Any = SessionMiddleware, **settings: Any) -> Starlette:
    if "cache" not in settings:
        settings = {"secret_key": KEY, **settings}
    if middleware is SessionMiddleware and "cache" not in settings:
        settings = {"memory": SMALL, **settings}
    return Starlette(routes=list(routes), middleware=[Middleware(middleware, **settings)])


def middleware(**settings: Any) -> SessionMiddleware:
    return SessionMiddleware(None, **{"secret_key": KEY, "memory": SMALL, **settings})  # type: ignore[arg-type]


def test_applications_mounted_side_by_side_share_session() -> None:
    client = TestClient(Starlette(routes=[Mount("/a", app(put("a"))), Mount("/b", app(put("b")))]))
    assert [client.get(path).json() for path in ("/a/", "/b/", "/a/")] == [{"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 1}]


def test_nested_application_uses_outer_session_with_one_load_and_save() -> None:
    outer = app(put("a"), Mount("/b", app(put("b"))))
    client = TestClient(outer)
    assert client.get("/").json() == {"a": 1}
    cache = middleware().cache
    before = cache.stats()
    response = client.get("/b/")
    assert response.json() == {"a": 1, "b": 1} and attributes(response) == {}
    after = cache.stats()
    assert [after[name] - before[name] for name in ("hits", "saved", "created")] == [1, 1, 0]
    assert client.get("/").json() == {"a": 1, "b": 1}


def test_websocket_of_nested_application_uses_outer_session() -> None:
    async def socket(socket: WebSocket) -> None:
        socket.session["b"] = 1
        await socket.accept()
        await socket.send_json(dict(socket.session))
        await socket.close()

    client = TestClient(app(put("a"), Mount("/b", app(WebSocketRoute("/", socket)))))
    client.get("/")
    with client.websocket_connect("/b/") as connection:
        assert connection.receive_json() == {"a": 1, "b": 1} and connection.extra_headers == []
    assert client.get("/").json() == {"a": 1, "b": 1}


def test_equal_middlewares_share_memory_and_free_it_with_the_last() -> None:
    settings = {"secret_key": KEY + "memory", "max_age": 1_800}
    built = [middleware(**settings) for _ in range(40)]
    [cache] = {id(one.cache): one.cache for one in built}.values()
    freed = weakref.ref(cache)
    del cache
    while built:
        assert freed() is not None
        built.pop()
    gc.collect()
    assert freed() is None


@pytest.mark.parametrize("secret", [KEY.encode(), Secret(KEY), [KEY], (KEY,)])
def test_equal_secrets_of_different_types_share_cache(secret: Any) -> None:
    one = middleware()
    assert middleware(secret_key=secret).cache is one.cache


@pytest.mark.parametrize(
    "settings",
    [
        {"secret_key": KEY[::-1]}, {"secret_key": [KEY, KEY[::-1]]}, {"session_cookie": "sid"}, {"max_age": 60},
        {"lifetime": 14 * 86_400 + 1}, {"memory": SMALL * 2}, {"max_session_size": 100}, {"max_sessions_per_user": 1},
    ],
)  # fmt: skip
def test_different_settings_have_different_caches(settings: dict[str, Any]) -> None:
    one = middleware()
    assert middleware(**settings).cache is not one.cache


def test_two_caches_in_one_request_warn_under_one_cookie_name() -> None:
    def nested(**settings: Any) -> TestClient:
        return TestClient(app(put("a"), Mount("/b", app(put("b"), **settings))))

    client = nested(session_cookie="sid")
    assert [client.get(path).json() for path in ("/", "/b/", "/", "/b/")] == [{"a": 1}, {"b": 1}, {"a": 1}, {"b": 1}]
    client = nested(secret_key=KEY[::-1])
    with pytest.warns(RuntimeWarning, match=r"`session_cookie`.*`cache=`"):
        client.get("/b/")
    # Once per process.
    nested(secret_key=KEY[::-1]).get("/b/")


def test_one_cache_for_two_middlewares_is_one_session() -> None:
    cache = SessionCache(secret_key=KEY, memory=SMALL)
    client = TestClient(app(put("a"), Mount("/b", app(put("b"), cache=cache, max_age=60)), cache=cache))
    assert [client.get(path).json() for path in ("/", "/b/")] == [{"a": 1}, {"a": 1, "b": 1}]


def test_reused_scope_has_a_new_session() -> None:
    import asyncio

    sent: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["n"] = scope["session"].get("n", 0) + 1
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(dict(message["headers"])[b"set-cookie"])

    scope = {"type": "http", "headers": []}
    one = SessionMiddleware(inner, secret_key=KEY, memory=SMALL)
    for _ in range(2):
        asyncio.run(one(scope, None, send))  # type: ignore[arg-type]
    assert len(set(sent)) == 2


def in_a_process(code: str) -> list[str]:
    """Runs a program in a new process and returns the lines that it prints."""
    program = f"KEY = {KEY!r}\nSMALL = {SMALL}\n{code}"
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


APPLICATIONS = """
import sys, warnings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

def put(key):
    def handler(request):
        request.session[key] = 1
        return JSONResponse(dict(request.session))
    return Route("/", handler)

def library(secret=KEY, **settings):
    from starlette.middleware.sessions import SessionMiddleware
    return Starlette(routes=[put("admin")], middleware=[Middleware(SessionMiddleware, secret_key=secret, **settings)])

def site(library):
    from sessile.starlette import SessionMiddleware
    routes = [put("user"), Mount("/admin", library)]
    middleware = [Middleware(SessionMiddleware, secret_key=KEY, memory=SMALL, max_age=1_800)]
    return TestClient(Starlette(routes=routes, middleware=middleware))

def paths(client, *paths):
    for path in paths:
        print(*sorted(client.get(path).json()))
"""


def test_library_with_starlettes_middleware_of_same_name_warns_once() -> None:
    lines = in_a_process(
        APPLICATIONS
        + """
client = site(library())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RuntimeWarning)
    for _ in range(3):
        paths(client, "/", "/admin/")
for warning in caught:
    print(warning.category.__name__, "session_cookie" in str(warning.message), "install()" in str(warning.message))
"""
    )
    assert lines[6:] == ["RuntimeWarning True True"]


def test_library_with_starlettes_middleware_of_another_name_has_own_session() -> None:
    lines = in_a_process(APPLICATIONS + 'paths(site(library(session_cookie="admin")), "/", "/admin/", "/", "/admin/")')
    assert lines == ["user", "admin", "user", "admin"]


@pytest.mark.parametrize("between", ["", "class Between(BaseHTTPMiddleware): dispatch = lambda self, request, call_next: call_next(request)"])
def test_empty_session_of_library_does_not_replace_session_of_site(between: str) -> None:
    lines = in_a_process(
        APPLICATIONS
        + f"""
from starlette.middleware.base import BaseHTTPMiddleware
class Between:
    def __init__(self, app): self.app = app
    async def __call__(self, *all): await self.app(*all)
{between}
from sessile.starlette import SessionMiddleware
from starlette.middleware.sessions import SessionMiddleware as Starlettes
look = Route("/", lambda request: JSONResponse(dict(request.session)))
admin = Starlette(routes=[look], middleware=[Middleware(Starlettes, secret_key=KEY, session_cookie="admin")])
middleware = [Middleware(SessionMiddleware, secret_key=KEY, memory=SMALL), Middleware(Between)]
client = TestClient(Starlette(routes=[put("user"), Mount("/admin", admin), Mount("/look", look)], middleware=middleware))
paths(client, "/", "/admin/", "/admin/", "/")
"""
    )
    assert lines == ["user", "", "", "user"]


def test_dict_of_application_is_adopted_beside_starlettes_middleware() -> None:
    lines = in_a_process(
        APPLICATIONS
        + """
def replace(request):
    request.scope["session"] = {"mine": 1}
    return JSONResponse({})
from sessile.starlette import SessionMiddleware
middleware = [Middleware(SessionMiddleware, secret_key=KEY, memory=SMALL)]
routes = [put("user"), Route("/replace", replace), Mount("/admin", library(session_cookie="admin"))]
client = TestClient(Starlette(routes=routes, middleware=middleware))
paths(client, "/", "/admin/", "/replace", "/")
"""
    )
    assert lines == ["user", "admin", "", "mine user"]


def test_removal_of_cookie_by_application_does_not_warn() -> None:
    def leave(request: Request) -> Response:
        request.session.clear()
        request.session["flash"] = "bye"
        response = Response()
        response.delete_cookie("session")
        return response

    client = TestClient(app(put("a"), Route("/leave", leave)))
    client.get("/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.get("/leave")


@pytest.mark.parametrize("settings", ["", "secret='another secret of the library, long enough'", "max_age=60"])
def test_libraries_share_session_of_site_after_install(settings: str) -> None:
    lines = in_a_process(
        APPLICATIONS
        + f"""
import sessile.starlette
sessile.starlette.install()
sessile.starlette.install()
import starlette.middleware.sessions
assert starlette.middleware.sessions.SessionMiddleware is sessile.starlette.SessionMiddleware
warnings.simplefilter("error", RuntimeWarning)
paths(site(library({settings})), "/", "/admin/", "/")
"""
    )
    assert lines == ["user", "admin user", "admin user"]


def test_install_names_modules_imported_before_it() -> None:
    lines = in_a_process(
        """
import sys, types
module = sys.modules["a_library"] = types.ModuleType("a_library")
exec("from starlette.middleware.sessions import SessionMiddleware", vars(module))
import sessile.starlette, starlette.middleware.sessions
try:
    sessile.starlette.install()
except RuntimeError as error:
    print("a_library" in str(error), "before" in str(error))
print(starlette.middleware.sessions.SessionMiddleware is module.SessionMiddleware)
"""
    )
    assert lines == ["True True", "True"]


def test_child_builds_middleware_while_registry_of_parent_was_locked() -> None:
    lines = in_a_process(
        """
import os
import sessile._registry
from sessile.starlette import SessionMiddleware
sessile._registry._lock.acquire()
child = os.fork()
if child == 0:
    SessionMiddleware(None, secret_key=KEY, memory=SMALL)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert lines == ["7"]
