//! Cookies that Starlette's own `SessionMiddleware` signed, read once to move their data here.
//!
//! ```text
//!  base64 of JSON │ . │ base64url of unix seconds │ . │ base64url of HMAC-SHA-1     as `itsdangerous` signs
//! ```
//! Owns that format. Stricter than its readers in Python: one spelling a token, so canonical base64 only. It
//! does not know what becomes of the data.

use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use pyo3::prelude::*;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// The secrets under which cookies of Starlette's are read, and for how long after they were signed.
pub(crate) struct Importer {
    keys: Vec<Zeroizing<[u8; 20]>>,
    /// In seconds; no limit if `None`.
    max_age: Option<u64>,
}

impl Importer {
    pub(crate) fn new<S: AsRef<[u8]>>(secrets: &[S], max_age: Option<u64>) -> Self {
        Self { keys: secrets.iter().map(|secret| derive(secret.as_ref())).collect(), max_age }
    }

    /// The JSON in a cookie's value, if one of the secrets signed it and it is not too old.
    pub(crate) fn read(&self, value: &[u8]) -> Option<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let payload = self.unsign(value, now.as_secs())?;
        let json = STANDARD.decode_to_vec(payload).ok()?;
        (STANDARD.encode_to_string(&json).as_bytes() == payload).then_some(json)
    }

    fn unsign<'v>(&self, value: &'v [u8], now: u64) -> Option<&'v [u8]> {
        let (signed, tag) = split_last(value)?;
        let tag = decode(tag)?;
        let mut signers = self.keys.iter().map(|key| mac(key, signed));
        signers.find(|signer| signer.clone().verify_slice(&tag).is_ok())?;
        let (payload, time) = split_last(signed)?;
        self.check_age(seconds(&decode(time)?)?, now)?;
        Some(payload)
    }

    fn check_age(&self, signed: u64, now: u64) -> Option<()> {
        let Some(max_age) = self.max_age else {
            return Some(());
        };
        let age = now.checked_sub(signed)?;
        (age <= max_age).then_some(())
    }
}

/// `django-concat`, as `itsdangerous` calls it, with its default salt.
fn derive(secret: &[u8]) -> Zeroizing<[u8; 20]> {
    let hash = Sha1::new().chain_update(b"itsdangerous.Signer").chain_update(b"signer");
    Zeroizing::new(hash.chain_update(secret).finalize().into())
}

fn mac(key: &[u8; 20], signed: &[u8]) -> Hmac<Sha1> {
    let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(signed)
}

fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', text)?;
    Some((&text[..dot], &text[dot + 1..]))
}

/// The one spelling of some bytes.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    (URL_SAFE_NO_PAD.encode_to_string(&bytes).as_bytes() == text).then_some(bytes)
}

/// Big endian, without zeros in front.
fn seconds(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > size_of::<u64>() || bytes.first() == Some(&0) {
        return None;
    }
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// What Starlette's signer signed with a secret, as it stands before the first dot, if it is right at that time
/// in unix seconds; `None` if it is not.
#[pyfunction]
#[pyo3(signature = (value, secret, *, max_age, now))]
pub(crate) fn unsign<'v>(
    value: &'v [u8],
    secret: &[u8],
    max_age: Option<u64>,
    now: u64,
) -> Option<&'v [u8]> {
    Importer::new(&[secret], max_age).unsign(value, now)
}
