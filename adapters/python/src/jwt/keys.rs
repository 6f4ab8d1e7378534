//! The keys of a `decode` or `encode`, and the algorithms that each is used for.
//!
//! A secret is used for HMAC only, and a PEM for the other algorithms only, so that a token cannot
//! choose how a key is used. A key that fits none of the algorithms is an error, except in a JWK
//! set, which may contain keys for other purposes.

use base64_simd::URL_SAFE_NO_PAD;
use pyo3::prelude::*;
use serde_json::Value;
use sessile_jwt::{Algorithm, VerificationKey, VerificationKeyError};
use zeroize::Zeroizing;

use super::key_error;

/// A key with its `kid`, as `sessile._jwt_settings` describes it.
pub(crate) struct GivenKey {
    id: Option<String>,
    kind: Kind,
    data: Zeroizing<Vec<u8>>,
}

enum Kind {
    Secret,
    Pem,
    Jwk,
    /// A JWK of a set.
    JwkOfSet,
}

impl<'a, 'py> FromPyObject<'a, 'py> for GivenKey {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (id, kind, data): (Option<String>, String, Vec<u8>) = given.extract()?;
        let kind = match kind.as_str() {
            "secret" => Kind::Secret,
            "pem" => Kind::Pem,
            "jwk" => Kind::Jwk,
            _ => Kind::JwkOfSet,
        };
        let data = Zeroizing::new(data);
        Ok(Self { id, kind, data })
    }
}

/// Returns the keys that verify tokens of the algorithms.
pub(crate) fn verification_keys(
    given: &[GivenKey],
    algorithms: &[Algorithm],
) -> PyResult<Vec<VerificationKey>> {
    let mut keys = Vec::new();
    let mut skipped = None;
    for key in given {
        match key.verification_keys(algorithms) {
            Ok(found) => keys.extend(found.into_iter().map(|found| key.identify(found))),
            Err(text) if matches!(key.kind, Kind::JwkOfSet) => {
                skipped.get_or_insert(text);
            }
            Err(text) => return Err(key_error(text)),
        }
    }
    match skipped {
        Some(text) if keys.is_empty() => Err(key_error(format!(
            "no key of the JWK set can be used; the first one: {text}"
        ))),
        _ => Ok(keys),
    }
}

impl GivenKey {
    /// Returns the secret of an HMAC key. Other keys are rejected where the secret is used.
    pub(crate) fn secret(&self) -> Zeroizing<Vec<u8>> {
        let jwk = self.jwk().ok();
        let secret = jwk.as_ref().and_then(|jwk| jwk.get("k")?.as_str());
        let secret = secret.and_then(|text| URL_SAFE_NO_PAD.decode_to_vec(text).ok());
        secret.map_or_else(|| self.data.clone(), Zeroizing::new)
    }

    /// Returns the text of a PEM, or `None` for another key.
    pub(crate) fn pem(&self) -> Option<&[u8]> {
        matches!(self.kind, Kind::Pem).then_some(&self.data)
    }

    fn verification_keys(&self, algorithms: &[Algorithm]) -> Result<Vec<VerificationKey>, String> {
        let (hmac, other): (Vec<_>, Vec<_>) = algorithms
            .iter()
            .partition(|algorithm| algorithm.name().starts_with("HS"));
        let text = |error: VerificationKeyError| error.to_string();
        match self.kind {
            Kind::Secret => {
                let hmac = if hmac.is_empty() { other } else { hmac };
                let keys = hmac
                    .into_iter()
                    .map(|each| VerificationKey::hmac(each, &self.data));
                keys.collect::<Result<_, _>>().map_err(text)
            }
            Kind::Pem => {
                let other = if other.is_empty() { hmac } else { other };
                let keys = other
                    .into_iter()
                    .map(|each| VerificationKey::pem(each, &self.data));
                any(keys).map_err(text)
            }
            Kind::Jwk | Kind::JwkOfSet => self.keys_of_jwk(algorithms, &hmac),
        }
    }

    /// A secret without `alg` is used for every HMAC algorithm.
    fn keys_of_jwk(
        &self,
        algorithms: &[Algorithm],
        hmac: &[Algorithm],
    ) -> Result<Vec<VerificationKey>, String> {
        let mut jwk = self.jwk()?;
        let has_algorithm = jwk.get("alg").is_some_and(|alg| !alg.is_null());
        let keys = if jwk["kty"] == "oct" && !has_algorithm {
            let hmac = if hmac.is_empty() { algorithms } else { hmac };
            let with_algorithm = hmac.iter().map(|&algorithm| {
                if !algorithm.name().starts_with("HS") {
                    return Err(VerificationKeyError::WrongKey { algorithm });
                }
                jwk["alg"] = algorithm.name().into();
                VerificationKey::jwk(&jwk.to_string())
            });
            with_algorithm.collect::<Result<Vec<_>, _>>()
        } else {
            VerificationKey::jwk(&jwk.to_string()).map(|key| vec![key])
        };
        let keys = keys.map_err(|error| error.to_string())?;
        match keys
            .iter()
            .find(|key| !algorithms.contains(&key.algorithm()))
        {
            Some(key) => Err(format!(
                "the JWK is for {}, which must be in `algorithms`",
                key.algorithm()
            )),
            None => Ok(keys),
        }
    }

    fn jwk(&self) -> Result<Value, String> {
        match self.kind {
            Kind::Jwk | Kind::JwkOfSet => {
                serde_json::from_slice(&self.data).map_err(|_| "a JWK must be JSON".to_owned())
            }
            _ => Err("not a JWK".to_owned()),
        }
    }

    fn identify(&self, key: VerificationKey) -> VerificationKey {
        match &self.id {
            Some(id) => key.with_id(id),
            None => key,
        }
    }
}

/// Returns the keys that could be read, or the first error if there is none.
fn any(
    keys: impl Iterator<Item = Result<VerificationKey, VerificationKeyError>>,
) -> Result<Vec<VerificationKey>, VerificationKeyError> {
    let (mut found, mut first_error) = (Vec::new(), None);
    for key in keys {
        match key {
            Ok(key) => found.push(key),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}
