"""The exceptions of :mod:`sessile.jwt`, under the names of python-jose and PyJWT.

Both libraries name some errors alike. Where a class exists in one of them only, it is below the
class that the other one raises, so that an ``except`` clause written for either library catches the
same tokens::

    JOSEError                       PyJWTError
    ├── JWTError                    InvalidTokenError; the token is rejected: respond with 401
    │   ├── ExpiredSignatureError
    │   ├── JWTClaimsError
    │   │   ├── ImmatureSignatureError
    │   │   ├── InvalidAudienceError
    │   │   ├── InvalidIssuerError
    │   │   ├── InvalidSubjectError
    │   │   ├── MalformedClaimsError    also a DecodeError
    │   │   └── MissingRequiredClaimError
    │   ├── DecodeError
    │   │   └── InvalidSignatureError
    │   ├── InvalidAlgorithmError
    │   └── RevokedTokenError
    ├── JWKError                    InvalidKeyError, also a ValueError; an error of the application
    └── RevocationsUnavailableError also a sessile.Unreachable: respond with 503
"""

from __future__ import annotations

from sessile._sessile import Unreachable


class JOSEError(Exception):
    """Base class of all errors of :mod:`sessile.jwt`."""


class JWTError(JOSEError):
    """The token is rejected. Respond with 401, and do not show the text to the client.

    ``cause`` is the name under which :meth:`sessile.fastapi.Bearer.rejections` counts it.
    """

    cause: str = "malformed"


class ExpiredSignatureError(JWTError):
    """The time of ``exp`` has passed."""

    cause = "expired"


class JWTClaimsError(JWTError):
    """A claim is missing, or has a value that is not accepted."""

    cause = "claims"


class ImmatureSignatureError(JWTClaimsError):
    """The time of ``nbf`` has not come yet."""

    cause = "not_yet_valid"


class InvalidAudienceError(JWTClaimsError):
    """``aud`` does not contain the expected audience."""

    cause = "audience"


class InvalidIssuerError(JWTClaimsError):
    """``iss`` is not the expected issuer."""

    cause = "issuer"


class InvalidSubjectError(JWTClaimsError):
    """``sub`` is not the expected subject."""

    cause = "subject"


class MissingRequiredClaimError(JWTClaimsError):
    """A claim that is required is missing."""

    cause = "missing_claim"

    claim: str | None = None
    """The name of the claim."""


class DecodeError(JWTError):
    """The token is not a signed JWT."""


class MalformedClaimsError(JWTClaimsError, DecodeError):
    """The claims are not a JSON object without duplicates, or one has the wrong type.

    python-jose raises ``JWTClaimsError`` for it, and PyJWT ``DecodeError``.
    """

    cause = "claims"


class InvalidSignatureError(DecodeError):
    """No key verifies the signature."""

    cause = "signature"


class InvalidAlgorithmError(JWTError):
    """The token's algorithm is not in ``algorithms``."""

    cause = "algorithm"


class RevokedTokenError(JWTError):
    """The token, its subject or all tokens were revoked."""

    cause = "revoked"


class JWKError(JOSEError, ValueError):
    """A key cannot be used with the algorithm. The text names the key that the algorithm needs."""


class RevocationsUnavailableError(JOSEError, Unreachable):
    """The revocations in the store are not known completely. Respond with 503.

    No token is accepted until the store can be reached again.
    """


PyJWTError = JOSEError
InvalidTokenError = JWTError
InvalidKeyError = JWKError
