"""`sessile.fastapi.bearer`: FastAPI with a `TestClient`, and with uvicorn."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from jwt_tokens import LONG_SECRET, SECRET, part, signature
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from sessile import jwt
from sessile.fastapi import Bearer, bearer

SERVER = Path(__file__).parent / "jwt_server.py"


def token(**claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": "ada", "aud": "api", "iat": now - 10, "exp": now + 600, "jti": "1"} | claims, SECRET)


@pytest.fixture
def revocations() -> jwt.Revocations:
    return jwt.Revocations.in_memory(capacity=100)


@pytest.fixture
def verified(revocations: jwt.Revocations) -> Bearer:
    return bearer(SECRET, algorithms=["HS256"], audience="api", revocations=revocations)


@pytest.fixture
def client(verified: Bearer, revocations: jwt.Revocations) -> TestClient:
    app = FastAPI()

    @app.get("/me")
    async def me(claims: Any = Depends(verified)) -> Any:
        return claims["sub"]

    @app.get("/everything")
    async def everything(claims: Any = Depends(verified)) -> dict[str, Any]:
        return dict(claims)

    @app.post("/logout")
    async def logout(claims: Any = Depends(verified)) -> None:
        await revocations.arevoke_token(claims)

    @app.post("/logout_everywhere")
    def logout_everywhere(claims: Any = Depends(verified)) -> None:
        revocations.revoke_subject(claims["sub"])

    return TestClient(app)


def headers(text: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {text}"}


def test_claims_reach_the_endpoint(client: TestClient) -> None:
    response = client.get("/me", headers=headers(token()))
    assert response.status_code == 200 and response.json() == "ada"
    assert client.get("/everything", headers=headers(token())).json()["jti"] == "1"
    assert client.get("/me", headers=headers(token(), "bEARER")).json() == "ada"


@pytest.mark.parametrize("sent", [{}, {"Authorization": ""}, headers("YTpi", "Basic")])
def test_request_without_a_token(client: TestClient, verified: Bearer, sent: dict[str, str]) -> None:
    response = client.get("/me", headers=sent)
    assert response.status_code == 401 and response.json() == {"detail": "Please sign in."}
    assert response.headers["www-authenticate"] == "Bearer"
    assert verified.rejections()["missing"] == 1


def unsigned() -> str:
    return f"{part(json.dumps({'alg': 'none'}).encode())}.{token().split('.')[1]}."


def signed_by_another_key() -> str:
    message = token().rpartition(".")[0]
    return f"{message}.{signature(message, LONG_SECRET)}"


REJECTED = {
    "malformed": lambda: "x",
    "signature": signed_by_another_key,
    "algorithm": unsigned,
    "expired": lambda: token(exp=1),
    "not_yet_valid": lambda: token(nbf=1 << 33),
    "audience": lambda: token(aud="other"),
    "missing_claim": lambda: jwt.encode({"sub": "ada"}, SECRET),
    "claims": lambda: jwt.encode({"aud": 1}, SECRET),
    "too_long": lambda: "x" * 20_000,
}


def test_client_learns_nothing_of_the_cause(client: TestClient, verified: Bearer) -> None:
    responses = set()
    for cause, make in REJECTED.items():
        response = client.get("/me", headers=headers(make()))
        responses.add((response.status_code, response.content, str(sorted(response.headers.items()))))
        assert verified.rejections()[cause] == 1, verified.rejections()
    [(status, body, sent)] = responses
    assert status == 401 and body == b'{"detail":"Please sign in."}' and 'Bearer error="invalid_token"' in sent
    assert 'sessile_jwt_rejections_total{cause="expired"} 1' in verified.prometheus()


def test_revoked_token_is_rejected_by_the_next_request(client: TestClient, verified: Bearer) -> None:
    first, second = headers(token()), headers(token(jti="2"))
    assert client.post("/logout", headers=first).status_code == 200
    assert client.get("/me", headers=first).status_code == 401 and client.get("/me", headers=second).status_code == 200
    assert client.post("/logout_everywhere", headers=second).status_code == 200
    assert client.get("/me", headers=second).status_code == 401
    assert client.get("/me", headers=headers(token(sub="bob", jti="3"))).json() == "bob"
    assert verified.rejections()["revoked"] == 2


@pytest.mark.parametrize("sent", [[token()] * 2, [""], [f" {token()} x"]], ids=["two headers", "no token", "two words"])
def test_malformed_credentials(client: TestClient, verified: Bearer, sent: list[str]) -> None:
    response = client.get("/me", headers=[("Authorization", f"Bearer {each}".strip()) for each in sent])  # type: ignore[arg-type]
    assert response.status_code == 401 and "error" in response.headers["www-authenticate"]
    assert verified.rejections()["malformed"] == 1


def test_unreachable_store_is_503(client: TestClient, verified: Bearer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unavailable:
        def decode(self, token: bytes) -> jwt.Claims:
            raise jwt.RevocationsUnavailableError("the store cannot be reached")

    monkeypatch.setattr(verified, "_verifier", Unavailable())
    response = client.get("/me", headers=headers(token()))
    assert response.status_code == 503 and response.headers["retry-after"] == "5"
    assert "store" not in response.text and "www-authenticate" not in response.headers


def test_websocket(verified: Bearer) -> None:
    app = FastAPI()

    @app.websocket("/chat")
    async def chat(socket: WebSocket, claims: Any = Depends(verified)) -> None:
        await socket.accept()
        await socket.send_text(claims["sub"])
        await socket.close()

    client = TestClient(app)
    with client.websocket_connect("/chat", headers=headers(token())) as socket:
        assert socket.receive_text() == "ada"
    for sent in ({}, headers("x")):
        with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/chat", headers=sent):
            pass
        assert caught.value.code == 1008
    assert verified.rejections()["malformed"] == verified.rejections()["missing"] == 1


def test_openapi_shows_the_scheme(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["Bearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert schema["paths"]["/me"]["get"]["security"] == [{"Bearer": []}]
    assert not schema["paths"]["/me"]["get"].get("parameters")


def test_openapi_name_and_description() -> None:
    app = FastAPI()
    api = bearer(SECRET, algorithms=["HS256"], scheme_name="Partners", description="Tokens of partners.")
    app.get("/", dependencies=[Depends(api)])(lambda: None)
    scheme = app.openapi()["components"]["securitySchemes"]["Partners"]
    assert scheme["description"] == "Tokens of partners."


@pytest.mark.parametrize("settings", [{"algorithms": []}, {"algorithms": ["none"]}, {"algorithms": ["HS512"]}])
def test_unfit_settings_are_an_error_at_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="HS512|algorithm"):
        bearer(SECRET, **settings)


def test_nothing_shows_the_key(verified: Bearer) -> None:
    assert SECRET not in repr(verified) and SECRET not in repr(vars(verified))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            # The server prints its port when it listens.
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def fetch(port: int, method: str, path: str, text: str | None = None) -> tuple[int, str, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, headers={} if text is None else headers(text))
        response = connection.getresponse()
        return response.status, response.read().decode(), response.getheader("www-authenticate")


def test_login_and_logout_over_http(port: int) -> None:
    assert fetch(port, "GET", "/me") == (401, '{"detail":"Please sign in."}', "Bearer")
    first, second = (json.loads(fetch(port, "POST", f"/login?user={user}")[1]) for user in ("ada", "bob"))
    assert fetch(port, "GET", "/me", first)[:2] == (200, '"ada"')
    assert fetch(port, "POST", "/logout", first)[0] == 200
    assert fetch(port, "GET", "/me", first) == (401, '{"detail":"Please sign in."}', 'Bearer error="invalid_token"')
    assert fetch(port, "GET", "/me", second)[:2] == (200, '"bob"')
    assert fetch(port, "POST", "/revoke?user=bob")[0] == 200
    assert fetch(port, "GET", "/me", second)[0] == 401
    assert json.loads(fetch(port, "GET", "/rejections")[1])["revoked"] == 2
