"""Keys and tokens of the tests of `sessile.jwt`. `token` writes parts that `encode` does not write."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"
KEYS = json.loads((VECTORS / "jwt_keys.json").read_text(encoding="utf-8"))

SECRET = "a secret of the tests, 32 bytes or more"
OTHER_SECRET = "another secret of the tests, 32 bytes or more"
LONG_SECRET = SECRET + OTHER_SECRET
NOW = 1_700_000_000
CLAIMS = {"sub": "ada", "iat": NOW - 10, "exp": NOW + 300, "jti": "1"}

SIGNING = {
    "HS256": SECRET,
    "HS384": LONG_SECRET,
    "HS512": LONG_SECRET,
    "RS256": KEYS["RS256"]["private"],
    "ES256": KEYS["ES256"]["private"],
    "EdDSA": KEYS["EdDSA"]["private"],
}
VERIFYING = {**SIGNING, **{name: KEYS[name]["public"] for name in ("RS256", "ES256", "EdDSA")}}


def part(data: bytes) -> str:
    """Encodes a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature(message: str, secret: str = SECRET) -> str:
    return part(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest())


def token(payload: Any = CLAIMS, header: Any = '{"alg":"HS256"}', secret: str = SECRET) -> str:
    """Returns a token with a signature of HS256. A `str` and `bytes` are taken as they are."""
    message = ".".join(part(raw(each)) for each in (header, payload))
    return f"{message}.{signature(message, secret)}"


def raw(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def with_claims(**claims: Any) -> str:
    """Returns a token with changed claims; `None` removes one."""
    return token({name: value for name, value in (CLAIMS | claims).items() if value is not None})
