"""The arguments of :mod:`sessile.jwt`: keys, algorithms and options of python-jose and PyJWT.

Each error names the argument, the given value unless it is a key, and the expected values.
"""

from __future__ import annotations

import json
from calendar import timegm
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sessile._jwt_errors import JWKError

Keys = tuple[tuple[str | None, str, bytes], ...]
"""Keys with their ``kid`` and kind: ``secret``, ``pem``, ``jwk`` or ``jwk_of_set``."""


class Options(NamedTuple):
    """The options of a ``decode``."""

    leeway: float
    require_exp: bool
    verify_aud: bool
    required: tuple[str, ...]


class Rules(NamedTuple):
    """All rules by which a token is verified. Hashable, and read by name in Rust."""

    keys: Keys
    algorithms: tuple[str, ...]
    audience: tuple[str, ...]
    issuer: tuple[str, ...]
    subject: str | None
    token_type: str | None
    leeway: float
    require_exp: bool
    verify_aud: bool
    required: tuple[str, ...]


def rules(
    key: Any,
    algorithms_: Any,
    options_: Mapping[str, Any] | None,
    audience: Any,
    issuer: Any,
    subject: Any,
    leeway: Any,
    token_type: Any,
) -> Rules:
    return Rules(
        keys(key),
        algorithms(algorithms_),
        names("audience", audience),
        names("issuer", issuer),
        text_or_none("subject", subject),
        text_or_none("token_type", token_type),
        *options(options_, leeway),
    )


def keys(given: Any) -> Keys:
    """Returns the keys of one key, a list, a JWK set, or a dict of keys by ``kid``."""
    kind, pairs = "", [(None, given)]
    if isinstance(given, Mapping) and isinstance(given.get("keys"), (list, tuple)):
        kind, pairs = "jwk_of_set", [(None, each) for each in given["keys"]]
    elif isinstance(given, Mapping) and "kty" not in given:
        pairs = list(given.items())
    elif isinstance(given, (list, tuple)):
        pairs = [(None, each) for each in given]
    if not pairs:
        raise JWKError("`key` must be a key, or a list or dict of at least one, got an empty one")
    found = (key(kid, each) for kid, each in pairs)
    return tuple((kid, kind if kind and own_kind == "jwk" else own_kind, data) for kid, own_kind, data in found)


def key(kid: Any, given: Any) -> tuple[str | None, str, bytes]:
    if kid is not None and not isinstance(kid, str):
        raise JWKError(f"a `kid` must be a str, got {type(kid).__name__}")
    if isinstance(given, Mapping):
        return jwk(kid, given)
    if isinstance(given, str) or type(given).__name__ == "Secret":
        try:
            given = str(given).encode()
        except UnicodeEncodeError:
            raise JWKError("`key` must be valid Unicode, got a lone surrogate") from None
    if not isinstance(given, bytes):
        raise JWKError(
            "`key` must be a str or bytes (a secret, or a key in PEM), a JWK as a dict, or a list or dict of those, "
            f"got {type(given).__name__}"
        )
    return (kid, "pem" if given.lstrip().startswith(b"-----BEGIN ") else "secret", given)


def jwk(kid: str | None, given: Mapping[str, Any]) -> tuple[str | None, str, bytes]:
    if kid is None:
        kid = given.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise JWKError(f"the member `kid` of a JWK must be a str, got {type(kid).__name__}")
    try:
        return (kid, "jwk", json.dumps(dict(given), sort_keys=True).encode())
    except (TypeError, ValueError):
        raise JWKError("a JWK must be a dict of text") from None


def algorithms(given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            '`algorithms` must be a list of the accepted algorithms, such as ["HS256"], because a token must not '
            f"choose its own, got {given!r}"
        )
    return names


def names(setting: str, given: Any) -> tuple[str, ...]:
    """Checks an audience, an issuer or a list of those."""
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    found = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else ()
    if not found or not all(isinstance(name, str) for name in found):
        raise TypeError(f"`{setting}` must be a str, or a list of at least one, got {given!r}")
    return tuple(sorted(found))


def text_or_none(setting: str, given: Any) -> str | None:
    if given is not None and not isinstance(given, str):
        raise TypeError(f"`{setting}` must be a str or None, got {given!r}")
    return given


def seconds(setting: str, given: Any) -> float:
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"`{setting}` must be a number of seconds or a timedelta, got {given!r}")
    return float(given)


def options(given: Mapping[str, Any] | None, leeway: Any) -> Options:
    """Reads the options of both libraries.

    A check that cannot be disabled is an error, so that no setting is ignored.
    """
    if not given:
        return Options(seconds("leeway", leeway), True, True, ())
    required: set[str] = set()
    verify_aud = require_exp = True
    for name, value in given.items():
        if name == "leeway":
            leeway = value
        elif name == "require":
            required |= claims(value)
        elif name == "require_exp":
            require_exp = flag(name, value)
        elif name.startswith("require_") and name[8:] in REQUIRABLE:
            required |= {name[8:]} if flag(name, value) else set()
        elif name == "verify_aud":
            verify_aud = flag(name, value)
        elif name in ALWAYS_ON:
            if not flag(name, value):
                raise ValueError(f"`options`: `{name}` must be True, got False; {ALWAYS_ON[name]}")
        else:
            raise ValueError(f"`options` has no {name!r}; see the options in docs/reference.md")
    return Options(seconds("leeway", leeway), require_exp, verify_aud, tuple(sorted(required - {"exp"})))


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"`options`: `{name}` must be True or False, got {value!r}")
    return value


def claims(value: Any) -> set[str]:
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"`options`: `require` must be a list of names of claims, got {value!r}")
    return set(value)


def now(given: Any) -> float | None:
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=timezone.utc)).timestamp()
    return None if given is None else number("now", given)


def number(setting: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"`{setting}` must be a number of seconds since 1970, got {given!r}")
    return float(given)


def token_id(claims: Any) -> tuple[str, float]:
    """Returns ``jti`` and ``exp`` of claims that do not know their token."""
    if not isinstance(claims, Mapping):
        raise TypeError(f"`claims` must be the claims of a verified token, got {type(claims).__name__}")
    if not isinstance(claims.get("jti"), str) or "exp" not in claims:
        raise ValueError("`claims` must be those that `decode` returned, or have `jti`, a str, and `exp`")
    return (claims["jti"], number("exp", claims["exp"]))


def payload(claims: Any) -> bytes:
    """Returns the JSON of the claims of a new token."""
    if not isinstance(claims, Mapping):
        raise TypeError(f"`claims` must be a dict, got {type(claims).__name__}")
    given = dict(claims)
    for name in DATES & given.keys():
        date = given[name]
        if isinstance(date, datetime):
            given[name] = timegm(date.utctimetuple())
        elif isinstance(date, bool) or not isinstance(date, (int, float)):
            raise TypeError(f"`claims`: `{name}` must be a datetime, or seconds since 1970, got {date!r}")
    for name in TEXTS & given.keys():
        if not isinstance(given[name], str):
            raise TypeError(f"`claims`: `{name}` must be a str, got {given[name]!r}")
    return to_json("claims", given)


def header(algorithm: str, headers: Any) -> bytes:
    """Returns the JSON of the header of a new token."""
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"`headers` must be a dict, got {type(headers).__name__}")
    given: dict[str, Any] = {"alg": algorithm, "typ": "JWT", **(headers or {})}
    if given["alg"] != algorithm:
        raise ValueError(f"`headers`: `alg` must be that of `algorithm`, {algorithm!r}, got {given['alg']!r}")
    if unsupported := UNSUPPORTED & given.keys():
        raise ValueError(f"`headers` must not contain {min(unsupported)!r}, which `decode` rejects")
    return to_json("headers", given)


def to_json(setting: str, given: dict[str, Any]) -> bytes:
    try:
        return json.dumps(given, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"`{setting}` must be what JSON can hold: {error}") from None


DATES = {"exp", "iat", "nbf"}

TEXTS = {"iss", "jti", "sub"}

UNSUPPORTED = {"b64", "crit", "zip"}

REQUIRABLE = {"iat", "iss", "jti", "nbf", "aud", "sub"}

CHECKED = "a claim that is present is always checked"

ALWAYS_ON = {
    "verify_signature": "`get_unverified_claims` reads a token without verifying it",
    "verify_exp": "`require_exp` accepts a token without `exp`, and `leeway` one that expired recently",
    "verify_nbf": CHECKED,
    "verify_iat": CHECKED,
    "verify_iss": CHECKED,
    "verify_sub": CHECKED,
    "verify_jti": CHECKED,
    "enforce_minimum_key_length": "a short secret can be guessed",
}
