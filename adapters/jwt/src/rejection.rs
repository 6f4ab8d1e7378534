//! The causes for which a token is rejected, and their counters.
//!
//! Owns the texts and the metric. No text contains a part of a token.

use core::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// A token was rejected.
///
/// Do not send the cause to the client: an attacker learns from it. With the feature `axum`, the
/// extractor answers 401, or 503 for [`Unavailable`](Self::Unavailable), and hides the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The token is longer than `max_token_len`.
    TooLong,
    /// The token does not have three parts in canonical base64url, or its header is not a JSON
    /// object without duplicates.
    Malformed,
    /// The algorithm in the header is not in `algorithms`.
    Algorithm,
    /// The header contains `crit`, `b64` or `zip`, or `typ` is not the `token_type`.
    Header,
    /// No key has the `kid` of the header and its algorithm.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// The payload is not a JSON object without duplicates, a registered claim has the wrong type,
    /// or the application's type cannot be read from it.
    Claims,
    /// A required claim is missing.
    MissingClaim(&'static str),
    /// `exp` is over.
    Expired,
    /// `nbf` or `iat` is in the future.
    NotYetValid,
    /// `iss` is not an `issuer`.
    Issuer,
    /// `aud` contains no `audience`.
    Audience,
    /// The token is valid for longer than the revocations' `max_lifetime`.
    Lifetime,
    /// The token, its subject or all tokens were revoked.
    Revoked,
    /// The revocations in the store are not known now. The token may be valid: try again.
    Unavailable,
}

impl Rejection {
    /// Returns the label of the cause in the metrics.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        CAUSES[self.index()]
    }

    fn index(self) -> usize {
        match self {
            Self::TooLong => 1,
            Self::Malformed => 2,
            Self::Algorithm => 3,
            Self::Header => 4,
            Self::UnknownKey => 5,
            Self::Signature => 6,
            Self::Claims => 7,
            Self::MissingClaim(_) => 8,
            Self::Expired => 9,
            Self::NotYetValid => 10,
            Self::Issuer => 11,
            Self::Audience => 12,
            Self::Lifetime => 13,
            Self::Revoked => 14,
            Self::Unavailable => 15,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "token is longer than `max_token_len`",
            Self::Malformed => "token is malformed",
            Self::Algorithm => "algorithm of the token is not in `algorithms`",
            Self::Header => "header of the token is not supported",
            Self::UnknownKey => "no key has the key id and the algorithm of the token",
            Self::Signature => "signature of the token is wrong",
            Self::Claims => "claims of the token are malformed or do not fit the type",
            Self::MissingClaim(name) => {
                return write!(f, "claim `{name}` of the token is missing");
            }
            Self::Expired => "token has expired",
            Self::NotYetValid => "token is not valid yet",
            Self::Issuer => "issuer of the token is not an `issuer`",
            Self::Audience => "audience of the token contains no `audience`",
            Self::Lifetime => "token is valid for longer than `max_lifetime`",
            Self::Revoked => "token was revoked",
            Self::Unavailable => "revocations cannot be read from the store now; try again",
        })
    }
}

impl core::error::Error for Rejection {}

/// The number of rejections by cause.
#[derive(Default)]
pub(crate) struct Counters([AtomicU64; CAUSES.len()]);

impl Counters {
    /// Counts a rejection.
    pub(crate) fn count(&self, rejection: Rejection) {
        // A counter orders nothing.
        self.0[rejection.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request without a token.
    #[cfg(feature = "axum")]
    pub(crate) fn count_missing(&self) {
        // A counter orders nothing.
        self.0[MISSING].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the counters in the text format of Prometheus.
    pub(crate) fn write(&self, out: &mut String) -> fmt::Result {
        let name = "sessile_jwt_rejections_total";
        writeln!(out, "# HELP {name} Rejected tokens by their cause.")?;
        writeln!(out, "# TYPE {name} counter")?;
        for (cause, count) in CAUSES.iter().zip(&self.0) {
            let count = count.load(Ordering::Relaxed);
            writeln!(out, "{name}{{cause=\"{cause}\"}} {count}")?;
        }
        Ok(())
    }
}

/// The place of requests without a token.
#[cfg(feature = "axum")]
const MISSING: usize = 0;
/// In the order of [`Rejection::index`].
const CAUSES: [&str; 16] = [
    "missing",
    "too_long",
    "malformed",
    "algorithm",
    "header",
    "unknown_key",
    "signature",
    "claims",
    "missing_claim",
    "expired",
    "not_yet_valid",
    "issuer",
    "audience",
    "lifetime",
    "revoked",
    "unavailable",
];
