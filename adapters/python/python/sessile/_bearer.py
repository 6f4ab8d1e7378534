"""The FastAPI dependency that verifies the token of a request.

Without ``from __future__ import annotations``: FastAPI 0.110 cannot resolve text annotations of an
instance's ``__call__``.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Optional, Union

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from sessile.jwt import Claims, JWTError, Revocations, RevocationsUnavailableError, Verifier


class Bearer(SecurityBase):
    """A dependency that returns the claims of the request's token. Created by :func:`bearer`."""

    def __init__(self, verifier: Verifier, scheme_name: str, description: Optional[str]) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description=description)
        self.scheme_name = scheme_name
        self._verifier = verifier

    async def __call__(self, connection: HTTPConnection) -> Claims:
        token = self._token(connection)
        try:
            return self._verifier.decode(token)
        except JWTError:
            raise unauthorized(connection, 'Bearer error="invalid_token"') from None
        except RevocationsUnavailableError:
            raise unavailable(connection) from None

    def rejections(self) -> dict[str, int]:
        """Returns the number of rejected tokens by cause."""
        return self._verifier.rejections()

    def prometheus(self) -> str:
        """Returns the numbers of rejections and revocations in the text format of Prometheus."""
        return self._verifier.prometheus()

    def _token(self, connection: HTTPConnection) -> bytes:
        """Returns the credentials of the only ``Authorization`` header."""
        found = [value for name, value in connection.scope["headers"] if name == b"authorization"]
        if len(found) > 1:
            return b""  # which is rejected, and counted
        scheme, _, token = found[0].partition(b" ") if found else (b"", b"", b"")
        if scheme.lower() == b"bearer":
            return bytes(token).strip(b" ")
        self._verifier._native.count_missing()
        raise unauthorized(connection, "Bearer")


def bearer(
    key: object,
    *,
    algorithms: Union[str, Iterable[str]],
    options: Optional[Mapping[str, Any]] = None,
    audience: Union[str, Iterable[str], None] = None,
    issuer: Union[str, Iterable[str], None] = None,
    leeway: Union[float, timedelta] = 0,
    token_type: Optional[str] = None,
    revocations: Optional[Revocations] = None,
    scheme_name: str = "Bearer",
    description: Optional[str] = None,
) -> Bearer:
    """Creates a dependency that verifies the request's token and returns its claims.

    ::

        verified = bearer(SECRET, algorithms=["HS256"], audience="api", revocations=revocations)

        @app.get("/me")
        async def me(claims: Annotated[Claims, Depends(verified)]) -> str:
            return claims["sub"]

    The arguments are those of :func:`sessile.jwt.decode`, without ``subject`` and ``now``.
    ``scheme_name`` and ``description`` are shown in the OpenAPI schema.

    Without a token, the response is 401 with ``WWW-Authenticate: Bearer``. With a token that is
    rejected, it is 401 with ``error="invalid_token"``, and only :meth:`Bearer.rejections` shows the
    cause. It is 503 with ``Retry-After`` while the store of the revocations cannot be reached. A
    websocket is rejected with code 1008, or 1013 for 503.
    """
    further: Any = {"leeway": leeway, "token_type": token_type, "revocations": revocations}
    verifier = Verifier(key, algorithms, options, audience, issuer, **further)
    return Bearer(verifier, scheme_name, description)


def unauthorized(connection: HTTPConnection, challenge: str) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(POLICY_VIOLATION)
    return HTTPException(401, "Please sign in.", {"WWW-Authenticate": challenge, "Cache-Control": "no-store"})


def unavailable(connection: HTTPConnection) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(TRY_AGAIN_LATER)
    return HTTPException(503, "Please try again in a moment.", {"Retry-After": RETRY_AFTER, "Cache-Control": "no-store"})


POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
"""Codes of RFC 6455 and of IANA. Before ``accept()`` the handshake is rejected with status 403."""

RETRY_AFTER = "5"
"""In seconds, as for sessions: a store that answers again renews the lease sooner."""
