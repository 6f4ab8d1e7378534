"""Tokens of python-jose and PyJWT are accepted, and they accept those of sessile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from jwt_tokens import KEYS, LONG_SECRET, SECRET, SIGNING, VERIFYING

from sessile import jwt

pyjwt: Any = pytest.importorskip("jwt", reason="PyJWT is not installed")
jose: Any = pytest.importorskip("jose.jwt", reason="python-jose is not installed")
jose_exceptions: Any = pytest.importorskip("jose.exceptions")

LIBRARIES = {"python-jose": jose, "PyJWT": pyjwt}
# python-jose has no EdDSA.
PAIRS = [(name, algorithm) for name in LIBRARIES for algorithm in SIGNING if (name, algorithm) != ("python-jose", "EdDSA")]


def claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "https://issuer.example",
        "aud": ["api", "web"],
        "sub": "ada",
        "iat": now,
        "nbf": now - 1,
        "exp": now + 600,
        "jti": "a1",
        "roles": ["admin", {"né": 1.5, "none": None, "yes": True}],
    }


RULES: Any = {"audience": "api", "issuer": "https://issuer.example"}


@pytest.mark.parametrize(("name", "algorithm"), PAIRS)
def test_round_trips(name: str, algorithm: str) -> None:
    library, expected = LIBRARIES[name], claims()
    theirs = library.encode(expected, SIGNING[algorithm], algorithm=algorithm, headers={"kid": "a"})
    assert jwt.decode(theirs, VERIFYING[algorithm], algorithms=[algorithm], **RULES) == expected
    ours = jwt.encode(expected, SIGNING[algorithm], algorithm=algorithm, headers={"kid": "a"})
    assert library.decode(ours, VERIFYING[algorithm], algorithms=[algorithm], **RULES) == expected
    assert library.get_unverified_header(ours) == jwt.get_unverified_header(ours) == jwt.get_unverified_header(theirs)


@pytest.mark.parametrize("name", LIBRARIES)
def test_changed_tokens_are_rejected_by_both(name: str) -> None:
    library, text = LIBRARIES[name], jwt.encode(claims(), SECRET)
    for broken in (text[:-8] + "AAAAAAAA", text.replace(".", ".A", 1), text + "."):
        with pytest.raises((pyjwt.PyJWTError, jose_exceptions.JOSEError)):
            library.decode(broken, SECRET, algorithms=["HS256"], **RULES)
        with pytest.raises(jwt.JWTError):
            jwt.decode(broken, SECRET, algorithms=["HS256"], **RULES)


def raised(decode: Callable[..., Any], text: str, rules: Mapping[str, Any]) -> type[BaseException]:
    with pytest.raises(Exception) as caught:
        decode(text, SECRET, algorithms=["HS256"], **rules)
    return caught.type


REJECTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired": ({"exp": 1}, {}),
    "not yet valid": ({"nbf": 1 << 33}, {}),
    "audience": ({"aud": "other"}, {}),
    "unexpected audience": ({}, {"audience": None}),
    "issuer": ({"iss": "https://other.example"}, {}),
    "subject": ({}, {"subject": "eve"}),
}


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("case", REJECTIONS)
def test_exceptions_have_the_names_of_the_library(name: str, case: str) -> None:
    changes, rules = REJECTIONS[case]
    text = jwt.encode(claims() | changes, SECRET)
    theirs = raised(LIBRARIES[name].decode, text, RULES | rules)
    ours = raised(jwt.decode, text, RULES | rules)
    assert issubclass(ours, getattr(jwt, theirs.__name__)), (ours, theirs)


@pytest.mark.parametrize("name", LIBRARIES)
def test_requirements_have_the_names_of_the_library(name: str) -> None:
    given = claims()
    del given["jti"]
    text = jwt.encode(given, SECRET)
    options = {"require": ["jti"]} if name == "PyJWT" else {"require_jti": True}
    theirs = raised(LIBRARIES[name].decode, text, {**RULES, "options": options})
    ours = raised(jwt.decode, text, {**RULES, "options": options})
    assert issubclass(ours, getattr(jwt, theirs.__name__))


@pytest.mark.parametrize("name", ["JOSEError", "JWTError", "JWTClaimsError", "ExpiredSignatureError", "JWKError"])
def test_hierarchy_of_python_jose(name: str) -> None:
    bases = {base.__name__ for base in getattr(jose_exceptions, name).__mro__}
    assert bases <= {base.__name__ for base in getattr(jwt, name).__mro__}


def names(error: type[BaseException]) -> set[str]:
    """The names under which `sessile.jwt` has the classes of an exception."""
    return {name for name in dir(jwt) if isinstance(found := getattr(jwt, name), type) and found in error.__mro__}


def test_hierarchy_of_pyjwt() -> None:
    shared = [name for name in dir(pyjwt.exceptions) if name.endswith("Error") and hasattr(jwt, name)]
    assert len(shared) > 10
    for name in shared:
        bases = {base.__name__ for base in getattr(pyjwt.exceptions, name).__mro__[:-3]}
        assert bases <= names(getattr(jwt, name)), name


def test_public_keys_as_jwk_of_pyjwt() -> None:
    text = pyjwt.encode(claims(), SIGNING["ES256"], algorithm="ES256")
    jwk = pyjwt.algorithms.ECAlgorithm.to_jwk(
        pyjwt.algorithms.ECAlgorithm(None).prepare_key(KEYS["ES256"]["public"]), as_dict=True
    )
    assert jwt.decode(text, jwk, algorithms=["ES256"], **RULES)["sub"] == "ada"


def test_long_secrets_of_every_hash() -> None:
    for algorithm in ("HS256", "HS384", "HS512"):
        text = pyjwt.encode(claims(), LONG_SECRET * 3, algorithm=algorithm)
        assert jwt.decode(text, LONG_SECRET * 3, algorithms=[algorithm], **RULES)["sub"] == "ada"
