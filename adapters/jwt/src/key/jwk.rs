//! Keys in JSON: JWK and JWK sets (RFC 7517, RFC 8037).
//!
//! Owns the members of a JWK. `serde` rejects duplicates of those that are read.

use serde::Deserialize;

use super::{VerificationKey, VerificationKeyError};
use crate::Algorithm;

/// A JWK, not checked.
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: &'a str,
    alg: Option<&'a str>,
    #[serde(rename = "use")]
    purpose: Option<&'a str>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    crv: Option<&'a str>,
    k: Option<&'a str>,
    n: Option<&'a str>,
    e: Option<&'a str>,
    x: Option<&'a str>,
    y: Option<&'a str>,
    d: Option<&'a str>,
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<Jwk<'a>>,
}

/// Reads one key.
pub(super) fn read(json: &str) -> Result<VerificationKey, VerificationKeyError> {
    let jwk: Jwk<'_> = serde_json::from_str(json).map_err(|_| JSON)?;
    jwk.key()
}

/// Reads the keys of a set that can be used for signatures.
pub(super) fn read_set(json: &str) -> Result<Vec<VerificationKey>, VerificationKeyError> {
    let set: Set<'_> = serde_json::from_str(json).map_err(|_| JSON)?;
    let is_secret = |jwk: &Jwk<'_>| jwk.kty == "oct";
    if set.keys.iter().any(is_secret) && !set.keys.iter().all(is_secret) {
        return Err(VerificationKeyError::MixedSet);
    }
    let usable = set.keys.iter().filter(|jwk| jwk.algorithm().is_ok());
    let keys: Vec<_> = usable.map(Jwk::key).collect::<Result<_, _>>()?;
    match keys.is_empty() {
        true => Err(VerificationKeyError::EmptySet),
        false => Ok(keys),
    }
}

impl Jwk<'_> {
    fn key(&self) -> Result<VerificationKey, VerificationKeyError> {
        let algorithm = self.algorithm()?;
        if self.d.is_some() {
            return Err(VerificationKeyError::PrivateKey { algorithm });
        }
        let key = match algorithm {
            Algorithm::Rs256 => VerificationKey::rsa(&decode("n", self.n)?, &decode("e", self.e)?)?,
            Algorithm::Es256 => VerificationKey::p256(&self.point()?)?,
            Algorithm::EdDsa => VerificationKey::ed25519(&decode("x", self.x)?)?,
            _ => VerificationKey::hmac(algorithm, &decode("k", self.k)?)?,
        };
        Ok(match &self.kid {
            Some(id) => key.with_id(id),
            None => key,
        })
    }

    /// Returns the algorithm if the key is for signatures.
    fn algorithm(&self) -> Result<Algorithm, VerificationKeyError> {
        if self.purpose.is_some_and(|purpose| purpose != "sig") {
            return Err(member("use", "\"sig\""));
        }
        let verifies = |operations: &Vec<String>| operations.iter().any(|one| one == "verify");
        if self.key_ops.as_ref().is_some_and(|given| !verifies(given)) {
            return Err(member("key_ops", "an array that contains \"verify\""));
        }
        let fitting: &[Algorithm] = match (self.kty, self.crv) {
            ("oct", _) => &[Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512],
            ("RSA", _) => &[Algorithm::Rs256],
            ("EC", Some("P-256")) => &[Algorithm::Es256],
            ("OKP", Some("Ed25519")) => &[Algorithm::EdDsa],
            ("EC" | "OKP", _) => return Err(member("crv", "\"P-256\" or \"Ed25519\"")),
            _ => return Err(member("kty", "\"oct\", \"RSA\", \"EC\" or \"OKP\"")),
        };
        let chosen = match (self.alg, fitting) {
            (Some("Ed25519"), _) => Some(Algorithm::EdDsa),
            (Some(name), _) => Algorithm::named(name),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        chosen
            .filter(|chosen| fitting.contains(chosen))
            .ok_or_else(|| member("alg", "an algorithm that is supported and fits `kty`"))
    }

    /// Returns the uncompressed point of a key on P-256.
    fn point(&self) -> Result<Vec<u8>, VerificationKeyError> {
        let coordinates = [decode("x", self.x)?, decode("y", self.y)?];
        if coordinates.iter().any(|number| number.len() != 32) {
            return Err(member("x` or `y", "32 bytes in base64url"));
        }
        Ok([&[UNCOMPRESSED], &*coordinates.concat()].concat())
    }
}

fn decode(name: &'static str, text: Option<&str>) -> Result<Vec<u8>, VerificationKeyError> {
    let decoded = text.and_then(|text| crate::token::decode(text).ok());
    decoded.ok_or_else(|| member(name, "base64url without padding"))
}

fn member(member: &'static str, expected: &'static str) -> VerificationKeyError {
    VerificationKeyError::Jwk { member, expected }
}

const JSON: VerificationKeyError = VerificationKeyError::Jwk {
    member: "JSON",
    expected: "an object with strings, without duplicate members",
};
/// The first byte of an uncompressed point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
