//! JSON Web Tokens that can be revoked: strict verification, and a revocation list in memory that
//! is fixed at startup.
//!
//! ```
//! use serde::Deserialize;
//! use sessile_jwt::{Algorithm, Rejection, Revocations, VerificationKey, Verifier};
//!
//! #[derive(Deserialize)]
//! struct User {
//!     sub: String,
//! }
//!
//! let secret = b"32 bytes or more, from a secret store";
//! let revocations = Revocations::in_memory(1_000)?;
//! let verifier = Verifier::builder()
//!     .algorithms([Algorithm::Hs256])
//!     .key(VerificationKey::hmac(Algorithm::Hs256, secret)?)
//!     .revocations(revocations.clone())
//!     .build()?;
//!
//! # let header = jsonwebtoken::Header::default();
//! # let claims = serde_json::json!({"sub": "ada", "iat": jsonwebtoken::get_current_timestamp(),
//! #     "exp": jsonwebtoken::get_current_timestamp() + 60});
//! # let key = jsonwebtoken::EncodingKey::from_secret(secret)?;
//! # let token = &jsonwebtoken::encode(&header, &claims, &key)?;
//! let claims = verifier.verify::<User>(token)?;
//! assert_eq!(claims.sub, "ada");
//!
//! revocations.blocking().revoke_token(&claims)?;
//! assert!(matches!(verifier.verify::<User>(token), Err(Rejection::Revoked)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//!  verifier     settings, the order of the checks, counters
//!    ├─ token, header, claims   text to values, strictly; no cryptography
//!    ├─ key                     keys with their algorithm, from secrets, PEM and JWK
//!    └─ revocations             verbs, cut-offs, the mirror of a store
//!         └─ table, name        hashed names in fixed memory
//! ```
//!
//! **[`Revocations::in_memory`] forgets all revocations at a restart.** With a store they survive,
//! and all processes share them. The guide's page on JWTs describes the rules of verification.

mod algorithm;
#[cfg(feature = "axum")]
mod axum;
mod claims;
mod header;
mod key;
mod name;
mod rejection;
mod revocations;
mod table;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
#[cfg(feature = "axum")]
pub use axum::BearerRejection;
pub use claims::Claims;
pub use key::{VerificationKey, VerificationKeyError};
pub use rejection::Rejection;
pub use revocations::{
    Blocking, Revocations, RevocationsBuildError, RevocationsBuilder, RevokeError,
};
pub use verifier::{Verifier, VerifierBuildError, VerifierBuilder};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
