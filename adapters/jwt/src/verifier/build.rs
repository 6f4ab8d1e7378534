//! Building a verifier.

use core::fmt;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Inner, Verifier, VerifierBuildError};
use crate::{
    Algorithm, Revocations, VerificationKey,
    claims::Expected,
    rejection::Counters,
    revocations::{Clock, MAX_LEEWAY},
};

/// The settings of a [`Verifier`], from [`Verifier::builder`].
#[derive(Clone)]
#[must_use]
pub struct VerifierBuilder {
    algorithms: Vec<Algorithm>,
    keys: Vec<VerificationKey>,
    expected: Expected,
    leeway: Duration,
    token_type: Option<String>,
    max_token_len: usize,
    revocations: Option<Revocations>,
    clock: Clock,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            algorithms: Vec::new(),
            keys: Vec::new(),
            expected: Expected {
                requires_exp: true,
                ..Expected::default()
            },
            leeway: Duration::ZERO,
            token_type: None,
            max_token_len: DEFAULT_TOKEN_LEN,
            revocations: None,
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl VerifierBuilder {
    /// Sets the algorithms that are accepted. Each needs a key.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Adds a key.
    pub fn key(mut self, key: VerificationKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds keys, such as the old and the new one, or those of a JWK set.
    pub fn keys(mut self, keys: impl IntoIterator<Item = VerificationKey>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// Adds an accepted audience. If there is one, the claim `aud` is required.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.expected.audiences.push(audience.into());
        self
    }

    /// Adds an accepted issuer. If there is one, the claim `iss` is required.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.expected.issuers.push(issuer.into());
        self
    }

    /// Sets the type that the header must have as `typ`, such as `at+jwt`; any unless set.
    pub fn token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_type = Some(token_type.into());
        self
    }

    /// Sets the difference of clocks that is tolerated for `exp`, `nbf` and `iat`; zero unless set,
    /// at most 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Rejects tokens without `exp` if `is_required`; true unless set. It must be true with
    /// [`revocations`](Self::revocations).
    pub fn require_exp(mut self, is_required: bool) -> Self {
        self.expected.requires_exp = is_required;
        self
    }

    /// Rejects tokens without `iat` if `is_required`; false unless set. Without `iat`, a token of a
    /// subject that was revoked is rejected, even if it was issued later.
    pub fn require_iat(mut self, is_required: bool) -> Self {
        self.expected.requires_iat = is_required;
        self
    }

    /// Sets the maximum length of a token in bytes; 16 KiB unless set, between 64 bytes and 1 MiB.
    pub fn max_token_len(mut self, len: usize) -> Self {
        self.max_token_len = len;
        self
    }

    /// Sets the list of revocations that each token is checked against; none unless set.
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Sets the clock; the system's unless set. For tests.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the verifier.
    ///
    /// # Errors
    /// [`VerifierBuildError`] names the setting that cannot be used.
    pub fn build(mut self) -> Result<Verifier, VerifierBuildError> {
        self.check_keys()?;
        self.check_limits()?;
        let max_lifetime = self.revocations.as_ref().map(Revocations::max_lifetime);
        self.expected.max_lifetime_seconds = max_lifetime.map(|max| max.as_secs_f64());
        self.expected.leeway_seconds = self.leeway.as_secs_f64();
        Ok(Verifier(Arc::new(Inner {
            algorithms: self.algorithms,
            keys: self.keys,
            expected: self.expected,
            token_type: self.token_type,
            max_token_len: self.max_token_len,
            revocations: self.revocations,
            clock: self.clock,
            counters: Counters::default(),
        })))
    }

    fn check_keys(&self) -> Result<(), VerifierBuildError> {
        if self.algorithms.is_empty() {
            return Err(VerifierBuildError::NoAlgorithm);
        }
        if self.keys.len() > MAX_KEYS {
            return Err(VerifierBuildError::TooManyKeys {
                given: self.keys.len(),
                max: MAX_KEYS,
            });
        }
        for &algorithm in &self.algorithms {
            if !self.keys.iter().any(|key| key.algorithm() == algorithm) {
                return Err(VerifierBuildError::NoKey { algorithm });
            }
        }
        for (at, key) in self.keys.iter().enumerate() {
            let algorithm = key.algorithm();
            if !self.algorithms.contains(&algorithm) {
                return Err(VerifierBuildError::UnusedKey { algorithm });
            }
            let repeated = key.id().filter(|id| {
                let earlier = &self.keys[..at];
                earlier.iter().any(|other| other.id() == Some(id))
            });
            if let Some(id) = repeated {
                return Err(VerifierBuildError::RepeatedKeyId { id: id.into() });
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), VerifierBuildError> {
        if self.leeway > MAX_LEEWAY {
            return Err(VerifierBuildError::Leeway {
                given: self.leeway,
                max: MAX_LEEWAY,
            });
        }
        if !(MIN_TOKEN_LEN..=MAX_TOKEN_LEN).contains(&self.max_token_len) {
            return Err(VerifierBuildError::MaxTokenLen {
                given: self.max_token_len,
                min: MIN_TOKEN_LEN,
                max: MAX_TOKEN_LEN,
            });
        }
        match self.revocations.is_some() && !self.expected.requires_exp {
            true => Err(VerifierBuildError::Contradiction),
            false => Ok(()),
        }
    }
}

/// Shows no key.
impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("algorithms", &self.algorithms)
            .field("keys", &self.keys)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// A token without a key id is tried with every key of its algorithm.
const MAX_KEYS: usize = 32;
const DEFAULT_TOKEN_LEN: usize = 16 << 10;
const MIN_TOKEN_LEN: usize = 64;
const MAX_TOKEN_LEN: usize = 1 << 20;
