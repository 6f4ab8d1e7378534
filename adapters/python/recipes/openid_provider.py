"""An OpenID provider for tests: the authorization code flow with PKCE.

The ID tokens are signed with a key that is generated at the start. Nothing is stored. It signs in the
user named by ``Provider.user`` without asking.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


class Provider:
    """A provider with one client, whose application is ``app``."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.client_id = secrets.token_urlsafe(8)
        self.client_secret = secrets.token_urlsafe(16)
        self.user = "ada"
        self.forged_nonce: str | None = None
        self._key = ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"})
        self._grants: dict[str, dict[str, str]] = {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        if (
            asked.get("response_type") != "code"
            or asked.get("client_id") != self.client_id
            or asked.get("code_challenge_method", "S256") != "S256"
            or not {"state", "nonce", "redirect_uri"} <= asked.keys()
        ):
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self._grants[code] = {**asked, "user": self.user}
        answer = urlencode({"code": code, "state": asked["state"]})
        separator = "&" if "?" in asked["redirect_uri"] else "?"
        return RedirectResponse(asked["redirect_uri"] + separator + answer, 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        if request.headers.get("authorization") != self._credentials():
            return JSONResponse({"error": "invalid_client"}, 401)
        # A code is valid once.
        grant = self._grants.pop(str(form.get("code")), None)
        if (
            grant is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != grant["redirect_uri"]
            or not _proves_possession(str(form.get("code_verifier")), grant)
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(16),
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self._id_token(grant),
            }
        )

    def _id_token(self, grant: dict[str, str]) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": grant["user"],
            "name": grant["user"].title(),
            "preferred_username": grant["user"],
            "profile": f"{self.issuer}/{grant['user']}",
            "picture": f"{self.issuer}/{grant['user']}.png",
            "nonce": self.forged_nonce or grant["nonce"],
            "iat": now,
            "exp": now + 300,
        }
        return jwt.encode({"alg": "ES256", "kid": "1"}, claims, self._key)

    def _credentials(self) -> str:
        pair = f"{self.client_id}:{self.client_secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def _proves_possession(verifier: str, grant: dict[str, str]) -> bool:
    """Checks PKCE, for clients that use it."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return grant.get("code_challenge") in (None, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
