//! Signs tokens, for `sessile.jwt.encode`.
//!
//! Owns the choice of the key for an algorithm: a secret for HMAC, a private key in PEM for the
//! other algorithms. Header and claims are JSON, which the caller has checked.

use base64_simd::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use pyo3::prelude::*;
use sessile_jwt::{Algorithm, VerificationKey};

use super::{key_error, keys::GivenKey};

/// Returns the token of a header and claims.
#[pyfunction]
#[pyo3(name = "_jwt_sign")]
pub(crate) fn sign(
    py: Python<'_>,
    header: &[u8],
    claims: &[u8],
    algorithm: &str,
    key: &Bound<'_, PyAny>,
) -> PyResult<String> {
    let algorithm = super::algorithm("algorithm", algorithm)?;
    let key: GivenKey = key.extract()?;
    py.detach(|| {
        let (key, name) = signing_key(algorithm, &key)?;
        let mut token = URL_SAFE_NO_PAD.encode_to_string(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_append(claims, &mut token);
        let signature = crypto::sign(token.as_bytes(), &key, name);
        let signature = signature.map_err(|_| unfit(algorithm))?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    })
}

/// Returns the key for an algorithm. HMAC secrets have the rules of verification.
fn signing_key(
    algorithm: Algorithm,
    key: &GivenKey,
) -> PyResult<(EncodingKey, jsonwebtoken::Algorithm)> {
    use jsonwebtoken::Algorithm as Name;
    let pem = || key.pem().ok_or_else(|| unfit(algorithm));
    let (found, name) = match algorithm {
        Algorithm::Rs256 => (EncodingKey::from_rsa_pem(pem()?), Name::RS256),
        Algorithm::Es256 => (EncodingKey::from_ec_pem(pem()?), Name::ES256),
        Algorithm::EdDsa => (EncodingKey::from_ed_pem(pem()?), Name::EdDSA),
        hmac => {
            let secret = key.secret();
            VerificationKey::hmac(hmac, &secret).map_err(key_error)?;
            let name = match hmac {
                Algorithm::Hs384 => Name::HS384,
                Algorithm::Hs512 => Name::HS512,
                _ => Name::HS256,
            };
            (EncodingKey::from_secret(&secret), name)
        }
    };
    Ok((found.map_err(|_| unfit(algorithm))?, name))
}

/// Returns the error of a key that cannot sign.
fn unfit(algorithm: Algorithm) -> PyErr {
    let needed = match algorithm {
        Algorithm::Rs256 => "a private RSA key in PEM",
        Algorithm::Es256 => "a private key on P-256 in PEM (PKCS #8, \"BEGIN PRIVATE KEY\")",
        Algorithm::EdDsa => "a private Ed25519 key in PEM (PKCS #8, \"BEGIN PRIVATE KEY\")",
        _ => "a secret",
    };
    key_error(format!("{algorithm} needs {needed}, got another key"))
}
