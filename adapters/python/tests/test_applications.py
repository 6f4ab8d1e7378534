"""Uses of ``request.session``, each in a complete application."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
import pytest
from conftest import KEY
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, TypeAdapter
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from sessile.starlette import SessionMiddleware


def application(**settings: Any) -> FastAPI:
    """Returns an application with a sign-in, a cart and a view of the session."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, **{"secret_key": KEY, **settings})

    @app.get("/login")
    async def login(request: Request, name: str) -> None:
        request.session["user"] = name

    @app.get("/logout")
    async def logout(request: Request) -> None:
        request.session.clear()

    @app.get("/cart/{item}")
    async def put(request: Request, item: str) -> None:
        request.session.setdefault("cart", []).append(item)

    @app.get("/view")
    async def view(request: Request) -> Any:
        return dict(request.session)

    return app


def test_redirect_by_exception_stores_changes() -> None:
    app = application()

    @app.get("/members")
    async def members(request: Request) -> None:
        request.session["next"] = "/members"
        raise HTTPException(303, headers={"location": "/view"})

    assert TestClient(app).get("/members").json() == {"next": "/members"}


def test_exception_handler_can_write_to_session() -> None:
    class OutOfTea(Exception):
        pass

    app = application()

    @app.exception_handler(OutOfTea)
    async def explain(request: Request, error: OutOfTea) -> Response:
        request.session["flash"] = "There is no tea."
        return RedirectResponse("/view")

    @app.get("/order")
    async def order(request: Request) -> None:
        request.session["ordered"] = True
        raise OutOfTea

    assert TestClient(app).get("/order").json() == {"flash": "There is no tea.", "ordered": True}


@pytest.fixture
def leaks_of_old_versions() -> Iterator[None]:
    """Collects streams that old versions of Starlette leave open, without their warnings."""
    yield
    gc.collect()


@pytest.mark.usefixtures("leaks_of_old_versions")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_inner_middleware_writes_before_and_after_handler() -> None:
    app = FastAPI()

    @app.middleware("http")
    async def count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        request.session["begun"] = request.session.get("begun", 0) + 1
        response = await call_next(request)
        request.session["done"] = request.session.get("done", 0) + 1
        return response

    @app.get("/view")
    async def view(request: Request) -> Any:
        return dict(request.session)

    app.add_middleware(SessionMiddleware, secret_key=KEY)
    client = TestClient(app)
    assert [client.get("/view").json() for _ in range(3)] == [
        {"begun": 1},
        {"begun": 2, "done": 1},
        {"begun": 3, "done": 2},
    ]


async def recorded(request: Request) -> AsyncIterator[None]:
    yield
    request.session["after the yield"] = True


def test_changes_of_existing_session_after_response_are_stored() -> None:
    app = application()

    @app.get("/report")
    async def report(request: Request, _: Annotated[None, Depends(recorded)]) -> None:
        request.session["report"] = 1

    client = TestClient(app)
    client.get("/cart/tea")
    client.get("/report")
    assert client.get("/view").json() == {"cart": ["tea"], "report": 1, "after the yield": True}


class FromTheSession(AuthenticationBackend):
    async def authenticate(self, connection: HTTPConnection) -> Any:
        user = connection.session.get("user")
        return (AuthCredentials(["member"]), SimpleUser(user)) if user else None


def test_starlette_authentication_reads_user_from_session() -> None:
    app = application()

    @app.get("/members")
    @requires("member")
    async def members(request: Request) -> str:
        return request.user.display_name

    # The middleware that is added last is the outermost.
    app.user_middleware.append(Middleware(AuthenticationMiddleware, backend=FromTheSession()))
    client = TestClient(app)
    assert client.get("/members").status_code == 403
    client.get("/login?name=ada")
    assert client.get("/members").json() == "ada"
    client.get("/logout")
    assert client.get("/members").status_code == 403


@pytest.mark.usefixtures("leaks_of_old_versions")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_middleware_that_wraps_request_finds_session() -> None:
    class Inside(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            if "user" not in request.session:
                request.session["rejected"] = request.session.get("rejected", 0) + 1
                return JSONResponse({"rejected": request.session["rejected"]}, 401)
            return await call_next(request)

    app = application()
    app.user_middleware.append(Middleware(Inside))
    client = TestClient(app)
    assert [client.get("/view").json() for _ in range(2)] == [{"rejected": 1}, {"rejected": 2}]


class Cart(BaseModel):
    cart: list[str] = []
    user: str | None = None


@pytest.mark.parametrize(
    "encode",
    [
        orjson.dumps,
        lambda session: Cart.model_validate(session).model_dump_json(exclude_none=True).encode(),
        lambda session: TypeAdapter(dict[str, Any]).dump_json(session),
    ],
    ids=["orjson", "a model of pydantic", "an adapter of pydantic"],
)
def test_serializers_in_c_and_rust_see_whole_session(encode: Callable[[Any], bytes]) -> None:
    app = application()

    @app.get("/encoded")
    async def encoded(request: Request) -> Response:
        return Response(encode(request.session), media_type="application/json")

    client = TestClient(app)
    client.get("/cart/tea")
    client.get("/cart/pot")
    assert client.get("/encoded").json() == client.get("/view").json() == {"cart": ["tea", "pot"]}


def test_session_is_returned_as_response_model() -> None:
    app = application()

    @app.get("/model", response_model=Cart)
    async def model(request: Request) -> Any:
        return request.session

    client = TestClient(app)
    client.get("/cart/tea")
    assert client.get("/model").json() == {"cart": ["tea"], "user": None}


@pytest.mark.parametrize("domain", ["example.org", ".example.org"])
def test_sign_out_removes_cookie_of_all_subdomains(domain: str) -> None:
    app = application(domain=domain)
    shop, account = (TestClient(app, base_url=f"http://{name}.example.org") for name in ("shop", "account"))
    shop.get("/login?name=ada")
    account.cookies = shop.cookies
    assert account.get("/view").json() == {"user": "ada"}
    shop.get("/logout")
    assert not list(shop.cookies.jar)
    assert account.get("/view").json() == {}


def test_page_of_another_origin_uses_session_with_cors() -> None:
    app = application(same_site="none", https_only=True)
    app.add_middleware(
        CORSMiddleware, allow_origins=["https://front.example"], allow_credentials=True, allow_methods=["*"]
    )
    client = TestClient(app, base_url="https://api.example", headers={"origin": "https://front.example"})
    before = client.options("/login", headers={"access-control-request-method": "GET"})
    assert before.status_code == 200 and "set-cookie" not in before.headers
    for path, expected in (("/login?name=ada", None), ("/view", {"user": "ada"})):
        response = client.get(path)
        assert response.json() == expected
        assert response.headers["access-control-allow-origin"] == "https://front.example"


@pytest.mark.usefixtures("leaks_of_old_versions")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_sessions_work_on_each_event_loop(backend: Any) -> None:
    if backend == "trio":
        pytest.importorskip("trio")
    with TestClient(application(), backend=backend) as client:
        client.get("/cart/tea")
        assert client.get("/view").json() == {"cart": ["tea"]}


def test_concurrent_requests_keep_all_changes() -> None:
    app = application()

    @app.get("/set/{key}")
    async def put(request: Request, key: str) -> None:
        request.session[key] = True
        await asyncio.sleep(0)

    client = TestClient(app)
    client.get("/cart/tea")
    cookie = f"session={client.cookies['session']}".encode()

    async def call(path: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200

        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"cookie", cookie)], "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        await app(scope, receive, send)

    async def all_at_once() -> None:
        await asyncio.gather(*(call(f"/set/{place}") for place in range(20)))

    asyncio.run(all_at_once())
    assert client.get("/view").json() == {"cart": ["tea"], **{str(place): True for place in range(20)}}


@pytest.mark.usefixtures("leaks_of_old_versions")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_lifespan_is_passed_on() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        events.append("begin")
        yield
        events.append("end")

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=KEY)
    with TestClient(app):
        assert events == ["begin"]
    assert events == ["begin", "end"]
