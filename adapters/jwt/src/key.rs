//! Keys that verify signatures, each with the only algorithm that it is used for.
//!
//! Owns the checks of a key. A key that was made for one algorithm cannot verify another, so that a
//! token cannot choose how its key is used. It knows no token.

mod error;
mod jwk;
mod rsa;

use core::fmt;

use jsonwebtoken::{
    DecodingKey,
    crypto::{self, CryptoProvider},
    errors::Error,
};

pub use error::VerificationKeyError;

use crate::Algorithm;

/// A key that verifies the signatures of one algorithm.
///
/// `Debug` shows the algorithm and the key id, and no secret.
#[derive(Clone)]
pub struct VerificationKey {
    algorithm: Algorithm,
    id: Option<Box<str>>,
    key: DecodingKey,
}

impl VerificationKey {
    /// Creates a key of HS256, HS384 or HS512 from a secret.
    ///
    /// # Errors
    /// [`VerificationKeyError::Secret`] if the secret is shorter than the hash, or
    /// [`VerificationKeyError::NotASecret`] if it is a public key: an attacker who knows it could
    /// sign tokens. [`VerificationKeyError::WrongKey`] if the algorithm does not use a secret.
    pub fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, VerificationKeyError> {
        let Some(min) = algorithm.min_secret_len() else {
            return Err(VerificationKeyError::WrongKey { algorithm });
        };
        if is_public_key(secret) {
            return Err(VerificationKeyError::NotASecret { algorithm });
        }
        if secret.len() < min {
            let given = secret.len();
            return Err(VerificationKeyError::Secret {
                algorithm,
                given,
                min,
            });
        }
        let key = DecodingKey::from_secret(secret);
        Self::new(algorithm, key.map_err(|_| wrong(algorithm))?)
    }

    /// Creates a key of RS256, ES256 or EdDSA from a public key in PEM: `PUBLIC KEY`, or `RSA
    /// PUBLIC KEY`.
    ///
    /// # Errors
    /// [`VerificationKeyError::WrongKey`] if the PEM does not contain the key that the algorithm
    /// needs, [`VerificationKeyError::PrivateKey`], or an error of an RSA key.
    pub fn pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, VerificationKeyError> {
        if contains(pem, b"PRIVATE KEY-----") {
            return Err(VerificationKeyError::PrivateKey { algorithm });
        }
        let read: fn(&[u8]) -> Result<DecodingKey, Error> = match algorithm {
            Algorithm::Rs256 => DecodingKey::from_rsa_pem,
            Algorithm::Es256 => DecodingKey::from_ec_pem,
            Algorithm::EdDsa => DecodingKey::from_ed_pem,
            _ => return Err(VerificationKeyError::WrongKey { algorithm }),
        };
        let key = read(pem).map_err(|_| wrong(algorithm))?;
        let bytes = key.try_get_as_bytes().map_err(|_| wrong(algorithm))?;
        match algorithm {
            Algorithm::Rs256 => {
                let parts = provider()?.key_utils.rsa_pub_components_from_public_key;
                let (modulus, exponent) = parts(bytes).map_err(|_| wrong(algorithm))?;
                Self::rsa(&modulus, &exponent)
            }
            Algorithm::EdDsa => Self::ed25519(bytes),
            _ => Self::new(algorithm, key),
        }
    }

    /// Creates a key from a JWK (RFC 7517). Its algorithm is the member `alg`, or the one that fits
    /// `kty` and `crv`; a secret needs `alg`. Its key id is the member `kid`.
    ///
    /// # Errors
    /// [`VerificationKeyError::Jwk`] names the member that cannot be used. The other errors are
    /// those of [`hmac`](Self::hmac) and [`pem`](Self::pem).
    pub fn jwk(json: &str) -> Result<Self, VerificationKeyError> {
        jwk::read(json)
    }

    /// Creates the keys of a JWK set. Keys for encryption, and keys of other algorithms, are
    /// ignored.
    ///
    /// # Errors
    /// [`VerificationKeyError::EmptySet`] if no key is left, [`VerificationKeyError::MixedSet`] if
    /// the set contains both secrets and public keys, and the errors of [`jwk`](Self::jwk).
    pub fn jwk_set(json: &str) -> Result<Vec<Self>, VerificationKeyError> {
        jwk::read_set(json)
    }

    /// Sets the key id, which is compared with `kid` in the headers of tokens.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the key id, or `None` if it has none.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Creates a key of RS256 from big-endian numbers.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, VerificationKeyError> {
        let modulus = rsa::check(modulus, exponent)?;
        let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
        Self::new(Algorithm::Rs256, key)
    }

    /// Creates a key of EdDSA from its 32 bytes.
    fn ed25519(bytes: &[u8]) -> Result<Self, VerificationKeyError> {
        let algorithm = Algorithm::EdDsa;
        // `jsonwebtoken` panics on a shorter key.
        match bytes.len() {
            32 => Self::new(algorithm, DecodingKey::from_ed_der(bytes)),
            _ => Err(VerificationKeyError::WrongKey { algorithm }),
        }
    }

    /// Creates a key of ES256 from an uncompressed point.
    fn p256(point: &[u8]) -> Result<Self, VerificationKeyError> {
        Self::new(Algorithm::Es256, DecodingKey::from_ec_der(point))
    }

    fn new(algorithm: Algorithm, key: DecodingKey) -> Result<Self, VerificationKeyError> {
        // Fails if a point is not on the curve.
        let verifier = (provider()?.verifier_factory)(&algorithm.signature(), &key);
        verifier.map_err(|_| wrong(algorithm))?;
        let id = None;
        Ok(Self { algorithm, id, key })
    }

    /// Returns true if `signature`, in base64url, is that of the text.
    pub(crate) fn verifies(&self, signed: &str, signature: &str) -> bool {
        let algorithm = self.algorithm.signature();
        crypto::verify(signature, signed.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn wrong(algorithm: Algorithm) -> VerificationKeyError {
    VerificationKeyError::WrongKey { algorithm }
}

/// Returns the implementation of the cryptography. There is none if another crate of the program
/// enables a second one and the program did not choose.
fn provider() -> Result<&'static CryptoProvider, VerificationKeyError> {
    CryptoProvider::try_get_default().ok_or(VerificationKeyError::NoProvider)
}

/// Returns true if a secret is a public key in PEM, in DER or of SSH, or a certificate.
fn is_public_key(secret: &[u8]) -> bool {
    let is_ssh = SSH.iter().any(|prefix| secret.starts_with(prefix));
    let is_der = secret.first() == Some(&SEQUENCE) && OIDS.iter().any(|oid| contains(secret, oid));
    is_ssh || is_der || contains(secret, b"-----BEGIN ")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const SSH: [&[u8]; 4] = [b"ssh-rsa ", b"ssh-ed25519 ", b"ssh-dss ", b"ecdsa-sha2-"];
/// The first byte of a DER sequence.
const SEQUENCE: u8 = 0x30;
/// The object identifiers of RSA, ECDSA and Ed25519 in DER.
const OIDS: [&[u8]; 3] = [
    &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    ],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
    &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70],
];
