"""JSON Web Tokens that can be revoked, with the functions of python-jose and PyJWT.

>>> import time
>>> from sessile import jwt
>>> secret = "32 bytes or more, from a secret store"
>>> token = jwt.encode({"sub": "ada", "exp": time.time() + 900}, secret, algorithm="HS256")
>>> revocations = jwt.Revocations.in_memory(capacity=1_000)
>>> claims = jwt.decode(token, secret, algorithms=["HS256"], revocations=revocations)
>>> claims["sub"]
'ada'
>>> revocations.revoke_token(claims)
>>> try:
...     jwt.decode(token, secret, algorithms=["HS256"], revocations=revocations)
... except jwt.RevokedTokenError as error:
...     error.cause
'revoked'

:func:`sessile.fastapi.bearer` verifies the token of a request. The exceptions have the names of both
libraries; :exc:`JWTError` is the base class of those that reject a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sessile import _jwt_settings as settings
from sessile._jwt_errors import (
    DecodeError,
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAlgorithmError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidKeyError,
    InvalidSignatureError,
    InvalidSubjectError,
    InvalidTokenError,
    JOSEError,
    JWKError,
    JWTClaimsError,
    JWTError,
    MalformedClaimsError,
    MissingRequiredClaimError,
    PyJWTError,
    RevocationsUnavailableError,
    RevokedTokenError,
)
from sessile._sessile import SessionCache, _jwt_read, _jwt_sign, _Pending, _Revocations, _Verifier
from sessile._waiting import block, settle

__all__ = [
    "Claims",
    "DecodeError",
    "ExpiredSignatureError",
    "ImmatureSignatureError",
    "InvalidAlgorithmError",
    "InvalidAudienceError",
    "InvalidIssuerError",
    "InvalidKeyError",
    "InvalidSignatureError",
    "InvalidSubjectError",
    "InvalidTokenError",
    "JOSEError",
    "JWKError",
    "JWTClaimsError",
    "JWTError",
    "MalformedClaimsError",
    "MissingRequiredClaimError",
    "PyJWTError",
    "Revocations",
    "RevocationsUnavailableError",
    "RevokedTokenError",
    "Verifier",
    "decode",
    "encode",
    "get_unverified_claims",
    "get_unverified_header",
    "get_unverified_headers",
]

THIRTY_DAYS = 30 * 24 * 60 * 60


class Claims(dict[str, Any]):
    """The claims of a verified token. :meth:`Revocations.revoke_token` accepts them.

    A copy is a plain dict, which identifies its token by ``jti`` and ``exp``.
    """

    __slots__ = ("_token",)

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


def encode(
    claims: Mapping[str, Any],
    key: object,
    algorithm: str = "HS256",
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Returns a signed token.

    ``exp``, ``iat`` and ``nbf`` may be a ``datetime``; without a time zone it is UTC. ``key`` is a
    secret for HS256, HS384 and HS512, and a private key in PEM for RS256, ES256 and EdDSA.
    ``headers`` adds members of the header, such as ``kid``.

    The signature of RS256 takes a time that depends on the private key (RUSTSEC-2023-0071). Sign
    with ES256 or EdDSA where an attacker can measure it.

    Raises :exc:`JWKError` if the key cannot sign with the algorithm, and :exc:`TypeError` or
    :exc:`ValueError` for claims that :func:`decode` would not accept.
    """
    payload = settings.payload(claims)
    header = settings.header(algorithm, headers)
    return _jwt_sign(header, payload, algorithm, settings.key(None, key))


def decode(
    token: str | bytes,
    key: object,
    algorithms: str | Iterable[str] | None = None,
    options: Mapping[str, Any] | None = None,
    audience: str | Iterable[str] | None = None,
    issuer: str | Iterable[str] | None = None,
    subject: str | None = None,
    *,
    leeway: float | timedelta = 0,
    token_type: str | None = None,
    now: float | datetime | None = None,
    revocations: Revocations | None = None,
) -> Claims:
    """Verifies a token, and returns its claims.

    ``key`` is a secret, a public key in PEM, a JWK as a dict, a JWK set, a list of keys, or a dict
    of keys by ``kid``. ``algorithms`` is required. ``exp`` is required unless ``options`` contains
    ``{"require_exp": False}``. ``token_type`` is the ``typ`` that the header must have, such as
    ``at+jwt``. ``now`` is the time for tests, in seconds since 1970 or as a ``datetime``, which is
    UTC without a time zone.

    Raises :exc:`JWTError` if the token is rejected, :exc:`RevocationsUnavailableError` if the store
    of ``revocations`` cannot be reached, and :exc:`JWKError`, :exc:`TypeError` or
    :exc:`ValueError` for an argument that is not accepted.
    """
    verifiers = _verifiers if revocations is None else revocations._verifiers
    verifier = verifiers.find(key, algorithms, options, audience, issuer, subject, leeway, token_type)
    return verifier.decode(token, None if now is None else settings.now(now))


class Verifier:
    """Verifies tokens with one key and one set of rules, and counts rejections by their cause.

    The arguments are those of :func:`decode`, without ``now``, which :meth:`decode` takes.
    """

    __slots__ = ("_native",)

    def __init__(
        self,
        key: object,
        algorithms: str | Iterable[str] | None = None,
        options: Mapping[str, Any] | None = None,
        audience: str | Iterable[str] | None = None,
        issuer: str | Iterable[str] | None = None,
        subject: str | None = None,
        *,
        leeway: float | timedelta = 0,
        token_type: str | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        rules = settings.rules(key, algorithms, options, audience, issuer, subject, leeway, token_type)
        self._native = _Verifier(rules, None if revocations is None else revocations._native)

    def decode(self, token: str | bytes, *, now: float | datetime | None = None) -> Claims:
        """Verifies a token, and returns its claims. Raises what :func:`decode` raises."""
        return self._native.decode(token, settings.now(now))

    def rejections(self) -> dict[str, int]:
        """Returns the number of rejected tokens by cause."""
        return self._native.rejections()

    def prometheus(self) -> str:
        """Returns the numbers of rejections and revocations in the text format of Prometheus."""
        return self._native.prometheus()


class Revocations:
    """Tokens that are rejected before they expire, in memory that is fixed at startup.

    Created by :meth:`in_memory` or :meth:`with_store`. Methods that may wait for a store have
    awaitable variants, whose names start with ``a``. Without a store both finish immediately.
    """

    __slots__ = ("__weakref__", "_native", "_verifiers")
    _native: _Revocations
    _verifiers: _Verifiers

    def __init__(self) -> None:
        raise TypeError("call Revocations.in_memory(capacity=…), which a restart empties, or Revocations.with_store(…)")

    @classmethod
    def in_memory(cls, *, capacity: int, max_lifetime: float | timedelta = THIRTY_DAYS) -> Revocations:
        """Creates a list in the memory of this process.

        **A restart forgets it**, and other processes do not know it. ``capacity`` is the maximum
        number of revocations, of 36 bytes each. ``max_lifetime`` is the longest lifetime of an
        accepted token, in seconds: a revoked subject is remembered for as long.
        """
        return cls._of(_Revocations(capacity, settings.seconds("max_lifetime", max_lifetime), None))

    @classmethod
    def with_store(
        cls, cache: SessionCache, *, capacity: int, max_lifetime: float | timedelta = THIRTY_DAYS
    ) -> Revocations:
        """Creates a list that is kept in the store of a cache, and shared with all its processes.

        Each process has the whole list in memory, so a check does not ask the store. ``capacity``
        and ``max_lifetime`` are those of :meth:`in_memory`, and must be equal in all processes. A
        cache has one list.
        """
        if not isinstance(cache, SessionCache):
            raise TypeError(f"`cache` must be a SessionCache with a store, got {type(cache).__name__}")
        return cls._of(_Revocations(capacity, settings.seconds("max_lifetime", max_lifetime), cache))

    @classmethod
    def _of(cls, native: _Revocations) -> Revocations:
        self = cls.__new__(cls)
        self._native = native
        self._verifiers = _Verifiers(native)
        return self

    def revoke_token(self, claims: Mapping[str, Any]) -> None:
        """Revokes one token until its ``exp``.

        ``claims`` are those that :func:`decode` or :func:`sessile.fastapi.bearer` returned. Another
        mapping must have ``jti`` and ``exp``.

        Raises :exc:`sessile.Full` if ``capacity`` revocations are stored: nothing is evicted.
        Raises :exc:`sessile.Unreachable` if the store does not confirm the revocation. Then the
        token is revoked in this process, and the revocation is queued for the store.
        """
        block(self._revoke_token(claims))

    async def arevoke_token(self, claims: Mapping[str, Any]) -> None:
        """Awaitable variant of :meth:`revoke_token`."""
        await settle(self._revoke_token(claims))

    def revoke_subject(self, subject: str) -> None:
        """Revokes the tokens of a subject, ``sub``, that were issued up to this second.

        A token without ``iat`` is rejected as long as its subject is revoked, for ``max_lifetime``.
        Raises what :meth:`revoke_token` raises.
        """
        block(self._native.revoke_subject(subject))

    async def arevoke_subject(self, subject: str) -> None:
        """Awaitable variant of :meth:`revoke_subject`."""
        await settle(self._native.revoke_subject(subject))

    def revoke_all(self) -> None:
        """Revokes all tokens that were issued up to this second. It takes no room in the list.

        Raises :exc:`sessile.Unreachable` as :meth:`revoke_token` does.
        """
        block(self._native.revoke_all())

    async def arevoke_all(self) -> None:
        """Awaitable variant of :meth:`revoke_all`."""
        await settle(self._native.revoke_all())

    def _revoke_token(self, claims: Mapping[str, Any]) -> _Pending | None:
        token = getattr(claims, "_token", None)
        if token is not None:
            return self._native.revoke_token(token)
        return self._native.revoke_id(*settings.token_id(claims))

    def are_current(self) -> bool:
        """Returns true if tokens can be accepted. For readiness probes.

        Without a store it is always true. With one, the list must be loaded, and the store must
        have answered within its lease.
        """
        return self._native.are_current()

    @property
    def capacity(self) -> int:
        """The maximum number of revocations."""
        return self._native.capacity

    def __len__(self) -> int:
        """The number of revocations. Expired ones count until their entry is used again."""
        return len(self._native)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Revocations {len(self)} of {self.capacity}>"


def get_unverified_header(token: str | bytes) -> dict[str, Any]:
    """Returns the header of a token **without verifying it**: an attacker may have written it.

    Raises :exc:`DecodeError` if the text is not a token.
    """
    return _jwt_read(token, False)


def get_unverified_headers(token: str | bytes) -> dict[str, Any]:
    """The same as :func:`get_unverified_header`, under python-jose's other name."""
    return get_unverified_header(token)


def get_unverified_claims(token: str | bytes) -> dict[str, Any]:
    """Returns the claims of a token **without verifying it**: an attacker may have written them.

    Raises :exc:`DecodeError` if the text is not a token.
    """
    return _jwt_read(token, True)


class _Verifiers:
    """The verifiers that :func:`decode` used last, which receives its key with each call.

    Parsing a key takes longer than verifying a signature. A verifier depends only on the arguments,
    which contain the keys that the application holds anyway.
    """

    __slots__ = ("_by_arguments", "_by_rules")

    def __init__(self, revocations: _Revocations | None) -> None:
        by_rules = lru_cache(MAX_VERIFIERS)(lambda rules: _Verifier(rules, revocations))

        def by_arguments(kind: str, key: object, algorithms: object, *rest: Any) -> _Verifier:
            return by_rules(settings.rules(key, algorithms, None, *rest))

        self._by_rules = by_rules
        self._by_arguments = lru_cache(MAX_VERIFIERS, typed=True)(by_arguments)

    def find(self, key: Any, algorithms: Any, options: Mapping[str, Any] | None, *rest: Any) -> _Verifier:
        """Returns the verifier of these arguments. Only immutable ones are compared as they are."""
        if not options and type(key) in (str, bytes) and type(algorithms) in (list, tuple):
            try:
                return self._by_arguments(type(key).__name__, key, tuple(algorithms), *rest)
            except TypeError:
                pass  # An argument is a list, or has a wrong type, which is reported below.
        return self._by_rules(settings.rules(key, algorithms, options, *rest))


MAX_VERIFIERS = 16

_verifiers = _Verifiers(None)
"""Verifiers without revocations. Global, because the functions of the libraries are."""
