"""`sessile.jwt.decode`: what is accepted, and every rejection with its exception and cause."""

from __future__ import annotations

import copy
import json
import pickle
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from jwt_tokens import CLAIMS, KEYS, LONG_SECRET, NOW, OTHER_SECRET, SECRET, SIGNING, VECTORS, VERIFYING, part, signature, token, with_claims

from sessile import jwt


def decode(text: Any, key: Any = SECRET, algorithms: Any = ("HS256",), **settings: Any) -> jwt.Claims:
    return jwt.decode(text, key, algorithms=algorithms, **{"now": NOW, **settings})


def rejection(text: Any, **settings: Any) -> jwt.JWTError:
    with pytest.raises(jwt.JWTError) as caught:
        decode(text, **settings)
    return caught.value


def test_claims_are_a_dict() -> None:
    claims = decode(token())
    assert claims == CLAIMS and isinstance(claims, dict) and json.loads(json.dumps(claims)) == CLAIMS
    assert decode(token().encode()) == CLAIMS


@pytest.mark.parametrize("algorithm", SIGNING)
def test_every_algorithm_verifies_what_it_signed(algorithm: str) -> None:
    text = jwt.encode(CLAIMS, SIGNING[algorithm], algorithm=algorithm)
    assert decode(text, VERIFYING[algorithm], [algorithm]) == CLAIMS
    assert jwt.get_unverified_header(text) == {"alg": algorithm, "typ": "JWT"}
    other = OTHER_SECRET + OTHER_SECRET if algorithm.startswith("HS") else KEYS[f"{algorithm}_other"]["public"]
    assert type(rejection(text, key=other, algorithms=[algorithm])) is jwt.InvalidSignatureError


def vectors() -> list[Any]:
    cases = json.loads((VECTORS / "jwt_cases.json").read_text(encoding="utf-8"))
    return [pytest.param(cases, case, id=case["id"]) for case in cases["cases"]]


# The decision of sessile where a case leaves it open.
OPEN = {"typ-wrong": "accept", "exp-missing": "reject", "exp-huge": "accept", "iat-future": "reject"}


@pytest.mark.parametrize(("about", "case"), vectors())
def test_vectors(about: dict[str, Any], case: dict[str, Any]) -> None:
    jwk = {"kty": "oct", "k": about["key_b64url"]}
    settings: dict[str, Any] = {"key": jwk, "issuer": "https://issuer.example", "audience": "api", "now": about["now"]}
    if OPEN.get(case["id"], case["expect"]) == "accept":
        assert decode(case["token"], **settings)["iss"] == "https://issuer.example"
    else:
        print(rejection(case["token"], **settings))


def test_there_are_vectors() -> None:
    assert len(vectors()) > 30


def spelled_differently() -> str:
    """A token whose last character has other unused bits, so that it decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = token()
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def header(**members: Any) -> str:
    return token(header={"alg": "HS256", **members})


def unsigned(alg: str) -> str:
    return f"{part(json.dumps({'alg': alg}).encode())}.{part(json.dumps(CLAIMS).encode())}."


MALFORMED = [
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "no token",
    "\ud800",
    token() + ".x",
    token() + "\n",
    " " + token(),
    token() + "=",
    token().replace(".", "=.", 1),
    token().rpartition(".")[0],
    spelled_differently(),
    "é" + token(),
    "x" * 100_000,
    token("[1]"),
    token("1"),
    token("{"),
    token(b'{"sub":"\xff"}'),
    token("[" * 10_000 + "]" * 10_000),
    token(header="[]"),
    token(header="{"),
    token(header='{"alg":1}'),
    token(header="{}"),
    token('{"exp":1700000300,"exp":1800000000}'),
    token('{"exp":1700000300,"sub":"a","sub":"b"}'),
    token(header='{"alg":"none","alg":"HS256"}'),
    header(crit=["x"], x=1),
    header(crit=[]),
    header(b64=False, crit=["b64"]),
    header(zip="DEF"),
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:40]))
def test_malformed_tokens(text: str) -> None:
    assert isinstance(rejection(text), (jwt.DecodeError, jwt.InvalidAlgorithmError))


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", ""])
def test_unsigned_tokens(alg: str) -> None:
    assert type(rejection(unsigned(alg))) is not jwt.InvalidSignatureError
    assert type(rejection(unsigned(alg) + part(b"x" * 32))) is not jwt.InvalidSignatureError


CLAIMS_REJECTED: list[tuple[str, dict[str, Any], type[jwt.JWTError], str]] = [
    (with_claims(exp=NOW), {}, jwt.ExpiredSignatureError, "expired"),
    (with_claims(exp=NOW - 60), {"leeway": 60}, jwt.ExpiredSignatureError, "expired"),
    (with_claims(exp=-1), {}, jwt.JWTError, ""),
    (with_claims(exp=None), {}, jwt.MissingRequiredClaimError, "missing_claim"),
    (with_claims(exp=str(NOW + 300)), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(exp=True), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(exp=[NOW + 300]), {}, jwt.JWTClaimsError, "claims"),
    (token('{"exp":null}'), {}, jwt.JWTError, ""),
    (token('{"exp":1e400}'), {}, jwt.JWTError, ""),
    (token('{"exp":NaN}'), {}, jwt.JWTError, ""),
    (with_claims(nbf=NOW + 1), {}, jwt.ImmatureSignatureError, "not_yet_valid"),
    (with_claims(nbf=NOW + 61), {"leeway": 60}, jwt.ImmatureSignatureError, "not_yet_valid"),
    (with_claims(nbf=str(NOW)), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(iat=str(NOW)), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(iat=NOW + 1), {}, jwt.ImmatureSignatureError, "not_yet_valid"),
    (with_claims(aud="other"), {"audience": "api"}, jwt.InvalidAudienceError, "audience"),
    (with_claims(aud="api2"), {"audience": "api"}, jwt.InvalidAudienceError, "audience"),
    (with_claims(aud=["other", "others"]), {"audience": ["api", "web"]}, jwt.InvalidAudienceError, "audience"),
    (with_claims(aud=[]), {"audience": "api"}, jwt.JWTClaimsError, ""),
    (with_claims(aud=1), {"audience": "api"}, jwt.JWTClaimsError, ""),
    (with_claims(aud="api"), {}, jwt.InvalidAudienceError, "audience"),
    (with_claims(), {"audience": "api"}, jwt.JWTClaimsError, ""),
    (with_claims(iss="https://a.example/"), {"issuer": "https://a.example"}, jwt.InvalidIssuerError, "issuer"),
    (with_claims(iss=["https://a.example"]), {"issuer": "https://a.example"}, jwt.JWTClaimsError, ""),
    (with_claims(), {"issuer": "https://a.example"}, jwt.JWTClaimsError, ""),
    (with_claims(), {"subject": "eve"}, jwt.InvalidSubjectError, "subject"),
    (with_claims(sub=None), {"subject": "eve"}, jwt.MissingRequiredClaimError, "missing_claim"),
    (with_claims(sub=1), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(jti=1), {}, jwt.JWTClaimsError, "claims"),
    (with_claims(), {"options": {"require": ["nbf"]}}, jwt.MissingRequiredClaimError, "missing_claim"),
    (with_claims(), {"options": {"require_nbf": True}}, jwt.MissingRequiredClaimError, "missing_claim"),
]


@pytest.mark.parametrize(("text", "settings", "error", "cause"), CLAIMS_REJECTED)
def test_rejected_claims(text: str, settings: dict[str, Any], error: type[jwt.JWTError], cause: str) -> None:
    found = rejection(text, **settings)
    print(repr(found), found.cause)
    assert isinstance(found, error) and found.cause == (cause or found.cause)
    assert isinstance(found, jwt.InvalidTokenError) and isinstance(found, jwt.PyJWTError)


CLAIMS_ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    (with_claims(exp=NOW + 0.5), {}),
    (with_claims(exp=NOW + 1), {}),
    (with_claims(exp=NOW - 59), {"leeway": 60}),
    (with_claims(exp=NOW - 59), {"leeway": timedelta(minutes=1)}),
    (with_claims(exp=NOW - 59), {"options": {"leeway": 60}}),
    (with_claims(exp=None), {"options": {"require_exp": False}}),
    (with_claims(nbf=NOW), {}),
    (with_claims(nbf=NOW + 60), {"leeway": 60}),
    (with_claims(aud="api"), {"audience": "api"}),
    (with_claims(aud=["web", "api"]), {"audience": ["api", "other"]}),
    (with_claims(aud="api"), {"options": {"verify_aud": False}}),
    (with_claims(iss="https://a.example"), {"issuer": ["https://b.example", "https://a.example"]}),
    (with_claims(), {"subject": "ada", "options": {"verify_exp": True, "require": ["exp", "sub", "jti"]}}),
    (with_claims(), {"now": datetime.fromtimestamp(NOW, timezone.utc)}),
    (with_claims(n=2**70, nested={"a": [1.5, None, "\u00e9"]}), {}),
]


@pytest.mark.parametrize(("text", "settings"), CLAIMS_ACCEPTED)
def test_accepted_claims(text: str, settings: dict[str, Any]) -> None:
    claims = decode(text, **settings)
    assert claims == jwt.get_unverified_claims(text) and claims["sub"] == "ada"


def test_expiry_uses_the_system_clock_without_now() -> None:
    assert type(rejection(token(), now=None)) is jwt.ExpiredSignatureError


def test_datetime_without_a_time_zone_is_utc_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        expiry = datetime(2040, 1, 1, 12)
        text = jwt.encode({"exp": expiry}, SECRET)
        assert jwt.decode(text, SECRET, ["HS256"], now=expiry - timedelta(minutes=1))
        with pytest.raises(jwt.ExpiredSignatureError):
            jwt.decode(text, SECRET, ["HS256"], now=expiry)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_error_does_not_show_a_secret_in_place_of_an_algorithm() -> None:
    for call in (lambda: jwt.encode({}, "HS256", SECRET), lambda: jwt.decode(token(), "HS256", SECRET)):
        with pytest.raises(ValueError, match=r"must be HS256, .* got a text of \d+ bytes") as error:
            call()
        assert SECRET not in str(error.value)


def test_token_does_not_choose_its_algorithm() -> None:
    public = KEYS["RS256"]["public"]
    confused = token(header='{"alg":"HS256"}', secret=public)
    assert type(rejection(confused, key=public, algorithms=["RS256"])) is jwt.InvalidAlgorithmError
    hs512 = jwt.encode(CLAIMS, LONG_SECRET, algorithm="HS512")
    assert type(rejection(hs512, key=LONG_SECRET)) is jwt.InvalidAlgorithmError
    assert type(rejection(unsigned("none"))) is jwt.InvalidAlgorithmError
    with pytest.raises(jwt.JWKError, match="HS256"):
        decode(confused, key=public, algorithms=["RS256", "HS256"])


@pytest.mark.parametrize("algorithms", [None, [], "", (), [1], b"HS256", 1, ["none"], ["HS1"], [""]])
def test_algorithms_are_required(algorithms: Any) -> None:
    with pytest.raises(ValueError, match="algorithm"):
        decode(token(), algorithms=algorithms)


def test_keys_are_rotated_by_list_and_by_kid() -> None:
    assert decode(token(secret=OTHER_SECRET), [SECRET, OTHER_SECRET]) == CLAIMS
    by_kid = {"old": OTHER_SECRET, "new": SECRET}
    assert decode(header(kid="new"), by_kid) == CLAIMS
    assert decode(token(secret=OTHER_SECRET), by_kid) == CLAIMS
    assert isinstance(rejection(header(kid="old"), key=by_kid), jwt.InvalidSignatureError)
    unknown = rejection(header(kid="../../etc/passwd"), key=by_kid)
    assert isinstance(unknown, jwt.InvalidSignatureError) and unknown.cause == "unknown_key"
    mixed = {"keys": [KEYS["RS256"]["jwk"] | {"kid": "r"}, KEYS["ES256"]["jwk"] | {"kid": "e"}, KEYS["EdDSA"]["jwk"]]}
    for algorithm, kid in (("RS256", "r"), ("ES256", "e"), ("EdDSA", None)):
        text = jwt.encode(CLAIMS, SIGNING[algorithm], algorithm, headers={"kid": kid} if kid else None)
        assert decode(text, mixed, ["RS256", "ES256", "EdDSA"]) == CLAIMS
        # Keys of other algorithms, and keys for other purposes, are skipped in a set.
        other = {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}
        assert decode(text, {"keys": [other, *mixed["keys"]]}, [algorithm]) == CLAIMS
    assert decode(token(), {"keys": [OTHER_SECRET, SECRET]}) == CLAIMS


def test_jwk_of_every_type() -> None:
    secret = {"kty": "oct", "k": part(SECRET.encode())}
    assert decode(jwt.encode(CLAIMS, secret), secret) == CLAIMS
    for algorithm in ("RS256", "ES256", "EdDSA"):
        text = jwt.encode(CLAIMS, SIGNING[algorithm], algorithm)
        assert decode(text, KEYS[algorithm]["jwk"], [algorithm]) == CLAIMS


UNFIT_KEYS: list[tuple[Any, str, str]] = [
    ("", "HS256", "32"),
    (b"", "HS256", "32"),
    ("secret", "HS256", "32"),
    (SECRET, "HS512", "64"),
    (KEYS["RS256"]["public"], "HS256", "HS256"),
    ("\n" + KEYS["ES256"]["public"], "HS256", "HS256"),
    (SECRET, "RS256", "RS256"),
    (KEYS["ES256"]["public"], "RS256", "RS256"),
    (KEYS["RS256"]["public"], "ES256", "ES256"),
    (KEYS["P384"]["public"], "ES256", "ES256"),
    (KEYS["RSA1024"]["public"], "RS256", "2,?048"),
    (KEYS["EdDSA"]["public"], "ES256", "ES256"),
    ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "RS256", "RS256"),
    ({"kty": "oct", "k": "AAAA"}, "HS256", "32"),
    ({"kty": "oct", "k": part(SECRET.encode())}, "RS256", "RS256"),
    ({"kty": "what"}, "HS256", "JWK"),
    ([], "HS256", "at least one"),
    ({}, "HS256", "at least one"),
    ({"keys": []}, "HS256", "at least one"),
    ({"keys": [{"kty": "oct", "k": "AAAA"}]}, "HS256", "no key of the JWK set can be used.*32"),
    ({"keys": [KEYS["RS256"]["jwk"]]}, "ES256", "no key of the JWK set can be used.*RS256"),
    ("\ud800" * 40, "HS256", "lone surrogate"),
    ({1: SECRET}, "HS256", "`kid` must be a str"),
    (None, "HS256", "`key` must be"),
    (1, "HS256", "`key` must be"),
    ([[SECRET]], "HS256", "`key` must be"),
]


@pytest.mark.parametrize(("key", "algorithm", "needed"), UNFIT_KEYS)
def test_unfit_keys_are_an_error_of_the_application(key: Any, algorithm: str, needed: str) -> None:
    with pytest.raises(jwt.InvalidKeyError, match=needed) as caught:
        decode(token(), key, [algorithm])
    print(caught.value)
    assert not isinstance(caught.value, jwt.JWTError) and isinstance(caught.value, ValueError)
    assert SECRET not in str(caught.value) and "AAAA" not in str(caught.value)


UNFIT_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"options": {"verify_signature": False}}, "`verify_signature` must be True"),
    ({"options": {"verify_exp": False}}, "`verify_exp` must be True"),
    ({"options": {"verify_exp": 0}}, "must be True or False, got 0"),
    ({"options": {"require": "exp"}}, "`require` must be a list"),
    ({"options": {"verify_everything": True}}, "'verify_everything'"),
    ({"audience": 1}, "`audience` must be a str"),
    ({"audience": []}, "`audience` must be a str"),
    ({"audience": "api", "options": {"verify_aud": False}}, "`verify_aud`"),
    ({"issuer": [b"x"]}, "`issuer` must be a str"),
    ({"subject": 1}, "`subject` must be a str or None, got 1"),
    ({"token_type": 1}, "`token_type` must be a str or None, got 1"),
    ({"leeway": "60"}, "`leeway` must be a number of seconds"),
    ({"leeway": -1}, "`leeway`"),
    ({"leeway": 301}, "`leeway`.*300"),
    ({"leeway": float("nan")}, "`leeway`"),
    ({"now": "today"}, "`now` must be"),
    ({"now": float("inf")}, "`now` must be"),
    ({"now": -1}, "`now` must be"),
]


@pytest.mark.parametrize(("settings", "text"), UNFIT_SETTINGS)
def test_unfit_settings_are_named(settings: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text) as caught:
        decode(token(), **settings)
    print(caught.value)
    assert not isinstance(caught.value, jwt.JOSEError)


@pytest.mark.parametrize("text", [None, 1, [], {}])
def test_token_must_be_text(text: Any) -> None:
    for act in (decode, jwt.get_unverified_header, jwt.get_unverified_claims):
        with pytest.raises(TypeError, match="`token` must be a str or bytes"):
            act(text)


def test_verifier_counts_rejections_by_cause() -> None:
    verifier = jwt.Verifier(SECRET, ["HS256"], {"require": ["nbf"]}, "api", subject="ada")
    for text in (with_claims(aud="api", nbf=1), with_claims(aud="x", nbf=1), with_claims(aud="api"), "x"):
        for _ in range(2):
            try:
                verifier.decode(text, now=NOW)
            except jwt.JWTError as error:
                print(error.cause)
    counts = verifier.rejections()
    assert {name: count for name, count in counts.items() if count} == {"audience": 2, "missing_claim": 2, "malformed": 2}
    assert "subject" in counts and "revoked" in counts
    assert 'sessile_jwt_rejections_total{cause="audience"} 2' in verifier.prometheus()


def test_nothing_shows_keys_or_tokens() -> None:
    verifier = jwt.Verifier(SECRET, ["HS256"])
    texts = [repr(verifier), str(rejection(token() + "x")), str(rejection(with_claims(aud="a"), audience="b"))]
    assert not any(SECRET in text or token()[:20] in text for text in texts)


def test_unverified_parts() -> None:
    text = token(header={"alg": "HS256", "kid": "k"}, secret="unknown")
    assert jwt.get_unverified_header(text) == jwt.get_unverified_headers(text) == {"alg": "HS256", "kid": "k"}
    assert jwt.get_unverified_claims(text) == CLAIMS
    for broken in ("", "a.b", "a.b.c", token("[]")):
        with pytest.raises(jwt.DecodeError):
            jwt.get_unverified_claims(broken)


def test_token_type_is_compared() -> None:
    for given in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert decode(header(typ=given), token_type="at+jwt") == CLAIMS
    for text in (header(typ="JWT"), token()):
        found = rejection(text, token_type="at+jwt")
        assert type(found) is jwt.DecodeError and found.cause == "header"


def test_copies_of_claims_are_plain_dicts() -> None:
    claims = decode(token())
    for other in (claims.copy(), copy.copy(claims), copy.deepcopy(claims), pickle.loads(pickle.dumps(claims))):
        assert type(other) is dict and other == CLAIMS


def test_changed_key_of_the_same_dict_is_used() -> None:
    keys = {"a": OTHER_SECRET}
    with pytest.raises(jwt.InvalidSignatureError):
        decode(token(), keys)
    keys["a"] = SECRET
    assert decode(token(), keys) == CLAIMS


def test_wrong_signature_of_the_right_length() -> None:
    message = token().rpartition(".")[0]
    assert type(rejection(f"{message}.{signature(message, OTHER_SECRET)}")) is jwt.InvalidSignatureError
