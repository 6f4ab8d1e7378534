//! Verification of tokens.
//!
//! Owns the order of the checks: cheap ones first, the signature before the claims, the claims
//! before the revocations. It knows no framework.

mod build;
mod error;

use core::fmt;
use std::{sync::Arc, time::SystemTime};

use serde::de::DeserializeOwned;

pub use build::VerifierBuilder;
pub use error::VerifierBuildError;

use crate::{
    Algorithm, Claims, Rejection, Revocations, VerificationKey,
    claims::{Expected, Registered},
    header::Header,
    name::Name,
    rejection::Counters,
    revocations::{Clock, seconds},
    token::{self, Parts},
};

/// Verifies tokens. Cheap to clone; clones share the counters.
///
/// ```
/// use sessile_jwt::{Algorithm, Rejection, VerificationKey, Verifier};
///
/// let verifier = Verifier::builder()
///     .algorithms([Algorithm::Hs256])
///     .key(VerificationKey::hmac(Algorithm::Hs256, b"32 bytes or more, from a secret store")?)
///     .audience("api")
///     .build()?;
/// // `{"alg":"none"}` and `{}`
/// let forged = verifier.verify::<serde_json::Value>("eyJhbGciOiJub25lIn0.e30.");
/// assert_eq!(forged.unwrap_err(), Rejection::Algorithm);
/// assert!(verifier.prometheus().contains("{cause=\"algorithm\"} 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    algorithms: Vec<Algorithm>,
    keys: Vec<VerificationKey>,
    expected: Expected,
    token_type: Option<String>,
    max_token_len: usize,
    revocations: Option<Revocations>,
    clock: Clock,
    counters: Counters,
}

impl Verifier {
    /// Creates a builder without algorithms and keys.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    /// Verifies a token and reads its claims. Counts a rejection.
    ///
    /// # Errors
    /// [`Rejection`] names the first check that failed.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<Claims<T>, Rejection> {
        self.verify_at(token, (self.0.clock)())
    }

    /// Verifies a token as [`verify`](Self::verify) does, at another time than now.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify).
    pub fn verify_at<T: DeserializeOwned>(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Claims<T>, Rejection> {
        let verified = self.0.verify(token, seconds(now));
        if let Err(rejection) = &verified {
            self.0.counters.count(*rejection);
        }
        verified
    }

    /// Returns the list of revocations, or `None` if it has none.
    #[must_use]
    pub fn revocations(&self) -> Option<&Revocations> {
        self.0.revocations.as_ref()
    }

    /// Returns the rejections by cause and the use of the table of revocations, in the text format
    /// of Prometheus.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.0.write_metrics(&mut text);
        text
    }

    #[cfg(feature = "axum")]
    pub(crate) fn count_missing(&self) {
        self.0.counters.count_missing();
    }

    #[cfg(feature = "axum")]
    pub(crate) fn count(&self, rejection: Rejection) {
        self.0.counters.count(rejection);
    }
}

impl Inner {
    fn verify<T: DeserializeOwned>(&self, token: &str, now: f64) -> Result<Claims<T>, Rejection> {
        if token.len() > self.max_token_len {
            return Err(Rejection::TooLong);
        }
        let parts = Parts::split(token)?;
        self.verify_signature(&parts)?;
        // `serde_json` does not check the text of members that it skips.
        let payload = String::from_utf8(token::decode(parts.payload)?);
        let payload = payload.map_err(|_| Rejection::Claims)?;
        let registered = Registered::parse(&payload)?;
        registered.check(&self.expected, now)?;
        let name = Name::of_token(registered.id.as_deref(), parts.signed);
        if let Some(revocations) = &self.revocations {
            let subject = registered.subject.as_deref();
            revocations.check_token(name, subject, registered.issued_at, now as u64)?;
        }
        let custom = serde_json::from_str(&payload).map_err(|_| Rejection::Claims)?;
        Ok(Claims {
            name,
            subject: registered.subject.map(Into::into),
            issued_at: registered.issued_at,
            expires_at: registered.expires_at,
            custom,
        })
    }

    fn verify_signature(&self, parts: &Parts<'_>) -> Result<(), Rejection> {
        let json = String::from_utf8(token::decode(parts.header)?);
        let json = json.map_err(|_| Rejection::Malformed)?;
        let header = Header::parse(&json)?;
        let algorithm = header.algorithm.as_deref().and_then(Algorithm::named);
        let algorithm = algorithm.filter(|given| self.algorithms.contains(given));
        let algorithm = algorithm.ok_or(Rejection::Algorithm)?;
        let expected = self.token_type.as_deref();
        if expected.is_some_and(|expected| !header.is_type(expected)) {
            return Err(Rejection::Header);
        }
        let mut is_unknown = true;
        for key in self.keys_of(algorithm, header.key_id.as_deref()) {
            is_unknown = false;
            if key.verifies(parts.signed, parts.signature) {
                return Ok(());
            }
        }
        match is_unknown {
            true => Err(Rejection::UnknownKey),
            false if token::decode(parts.signature).is_err() => Err(Rejection::Malformed),
            false => Err(Rejection::Signature),
        }
    }

    /// Returns the keys of an algorithm: those with the id, or those without one if no key has it.
    fn keys_of(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &VerificationKey> {
        let id = id.map(|id| {
            let is_known = self.keys.iter().any(|key| key.id() == Some(id));
            is_known.then_some(id)
        });
        let keys = self.keys.iter();
        keys.filter(move |key| {
            key.algorithm() == algorithm && id.is_none_or(|expected| key.id() == expected)
        })
    }

    fn write_metrics(&self, out: &mut String) -> fmt::Result {
        use fmt::Write as _;
        self.counters.write(out)?;
        let Some(revocations) = &self.revocations else {
            return Ok(());
        };
        let gauges = [
            ("revocations", "Revocations in memory.", revocations.len()),
            (
                "revocations_capacity",
                "Revocations that fit into memory.",
                revocations.capacity(),
            ),
        ];
        for (name, help, value) in gauges {
            let name = format!("sessile_jwt_{name}");
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            writeln!(out, "{name} {value}")?;
        }
        Ok(())
    }
}

/// Shows the settings and no key.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.0.algorithms)
            .field("keys", &self.0.keys)
            .field("revocations", &self.0.revocations)
            .finish_non_exhaustive()
    }
}
