"""`sessile.jwt.encode`: claims, headers and keys."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from jwt_tokens import CLAIMS, KEYS, LONG_SECRET, NOW, SECRET

from sessile import jwt


def test_token_is_that_of_the_libraries() -> None:
    # The output of PyJWT 2.15.1 and python-jose 3.5.0 for the same claims and secret.
    expected = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJpYXQiOjE2OTk5OTk5OTAsImV4cCI6MTcwMDAwMDMwMCwianRpIjoiMSJ9."
        "5iQ50UMDWJk4i4AWCHJQpbOqQ-mUqvsHOgBivhXyCUM"
    )
    assert jwt.encode(CLAIMS, SECRET) == expected


def test_dates_may_be_datetimes() -> None:
    at = datetime.fromtimestamp(NOW, timezone.utc)
    elsewhere = at.astimezone(timezone(timedelta(hours=5)))
    claims = {"exp": at + timedelta(hours=1), "iat": elsewhere, "nbf": at.replace(tzinfo=None)}
    before = dict(claims)
    expected = {"exp": NOW + 3600, "iat": NOW, "nbf": NOW}
    assert jwt.decode(jwt.encode(claims, SECRET), SECRET, ["HS256"], now=NOW) == expected
    assert claims == before


def test_headers_are_added() -> None:
    text = jwt.encode(CLAIMS, SECRET, headers={"kid": "k1", "typ": "at+jwt", "x": [1]})
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "typ": "at+jwt", "kid": "k1", "x": [1]}
    assert jwt.decode(text, {"k1": SECRET}, ["HS256"], now=NOW) == CLAIMS


UNFIT_ARGUMENTS: list[tuple[Any, dict[str, Any], str]] = [
    ("x", {}, "`claims` must be a dict, got str"),
    ({"a": {1, 2}}, {}, "`claims` must be what JSON can hold"),
    ({"a": float("nan")}, {}, "`claims` must be what JSON can hold"),
    ({"exp": "tomorrow"}, {}, "`exp` must be a datetime, or seconds since 1970, got 'tomorrow'"),
    ({"iat": True}, {}, "`iat` must be"),
    ({"nbf": None}, {}, "`nbf` must be"),
    ({"sub": 1}, {}, "`sub` must be a str, got 1"),
    ({"iss": ["x"]}, {}, "`iss` must be a str"),
    ({"jti": 1}, {}, "`jti` must be a str"),
    (CLAIMS, {"algorithm": "none"}, "`algorithm"),
    (CLAIMS, {"algorithm": "PS256"}, "`algorithm"),
    (CLAIMS, {"headers": [1]}, "`headers` must be a dict, got list"),
    (CLAIMS, {"headers": {"alg": "none"}}, "`alg` must be that of `algorithm`, 'HS256', got 'none'"),
    (CLAIMS, {"headers": {"crit": ["x"]}}, "must not contain 'crit'"),
    (CLAIMS, {"headers": {"b64": False}}, "must not contain 'b64'"),
    (CLAIMS, {"headers": {"x": object()}}, "`headers` must be what JSON can hold"),
]


@pytest.mark.parametrize(("claims", "settings", "text"), UNFIT_ARGUMENTS)
def test_unfit_arguments_are_named(claims: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        jwt.encode(claims, SECRET, **settings)
    print(caught.value)


UNFIT_KEYS: list[tuple[Any, str, str]] = [
    ("", "HS256", "32"),
    ("secret", "HS256", "32"),
    (SECRET, "HS512", "64"),
    (KEYS["RS256"]["private"], "HS256", "HS256"),
    (SECRET, "RS256", "private RSA key"),
    (KEYS["RS256"]["public"], "RS256", "private RSA key"),
    (KEYS["ES256"]["private"], "RS256", "private RSA key"),
    (KEYS["ES256"]["public"], "ES256", "PKCS #8"),
    (KEYS["ES256"]["sec1"], "ES256", "PKCS #8"),
    (KEYS["P384"]["private"], "ES256", "P-256"),
    (KEYS["EdDSA"]["public"], "EdDSA", "Ed25519"),
    (KEYS["RS256"]["jwk"], "RS256", "PEM"),
    ([SECRET], "HS256", "`key` must be"),
    (None, "HS256", "`key` must be"),
]


@pytest.mark.parametrize(("key", "algorithm", "needed"), UNFIT_KEYS)
def test_unfit_keys_are_named(key: Any, algorithm: str, needed: str) -> None:
    with pytest.raises(jwt.JWKError, match=needed) as caught:
        jwt.encode(CLAIMS, key, algorithm)
    print(caught.value)
    assert SECRET not in str(caught.value) and "MII" not in str(caught.value)


def test_secrets_as_bytes_text_and_starlette_secret() -> None:
    from starlette.datastructures import Secret

    tokens = {jwt.encode(CLAIMS, key, "HS512") for key in (LONG_SECRET, LONG_SECRET.encode(), Secret(LONG_SECRET))}
    assert len(tokens) == 1
    assert jwt.decode(tokens.pop(), Secret(LONG_SECRET), ["HS512"], now=NOW) == CLAIMS
