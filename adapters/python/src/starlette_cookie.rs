//! Cookies that Starlette's own `SessionMiddleware` signed, read once to move their data here.
//!
//! ```text
//!  base64 of JSON │ . │ base64url of unix seconds │ . │ base64url of HMAC-SHA-1
//! ```
//! Owns that format, which is `itsdangerous`'s. It is stricter: only canonical base64 is accepted, so
//! that a token has exactly one valid encoding. It does not know how the data is used.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use pyo3::prelude::*;
use sessile::cookie::candidates;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// The secrets that signed Starlette's cookies, and the maximal age of such a cookie.
pub(crate) struct Importer {
    keys: Vec<Zeroizing<[u8; 20]>>,
    /// In seconds; no limit if `None`.
    max_age: Option<u64>,
    /// True once an omitted value was logged.
    is_reported: AtomicBool,
}

/// A cookie that one of the secrets signed.
pub(crate) struct Signed {
    pub(crate) json: Vec<u8>,
    pub(crate) tag: Tag,
    /// The time until which the cookie is accepted, in unix seconds; no limit if `None`.
    pub(crate) expires: Option<u64>,
    pub(crate) now: u64,
}

/// The MAC of a cookie, which identifies equal cookies.
pub(crate) type Tag = [u8; 20];

impl Importer {
    pub(crate) fn new<S: AsRef<[u8]>>(secrets: &[S], max_age: Option<u64>) -> Self {
        let keys = secrets
            .iter()
            .map(|secret| derive(secret.as_ref()))
            .collect();
        Self {
            keys,
            max_age,
            is_reported: AtomicBool::new(false),
        }
    }

    /// Returns the first valid cookie of that name in the `Cookie` fields of a request.
    pub(crate) fn find(&self, name: &str, fields: &[Bytes]) -> Option<Signed> {
        let mut values = fields
            .iter()
            .flat_map(|field| candidates(field, name.as_bytes()));
        values.find_map(|value| self.read(value))
    }

    /// Logs, once, that a value of a cookie is omitted.
    pub(crate) fn report(&self, error: &PyErr) -> PyResult<()> {
        if self.is_reported.swap(true, Relaxed) {
            return Ok(());
        }
        Python::attach(|py| {
            let logger = py
                .import("logging")?
                .call_method1("getLogger", ("sessile",))?;
            logger.call_method1("warning", (OMITTED, error.value(py).to_string()))?;
            Ok(())
        })
    }

    /// Returns the content of a cookie if one of the secrets signed it and it is not too old.
    fn read(&self, value: &[u8]) -> Option<Signed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let (payload, signed, tag) = self.unsign(value, now)?;
        let json = STANDARD.decode_to_vec(payload).ok()?;
        let is_canonical = STANDARD.encode_to_string(&json).as_bytes() == payload;
        let expires = self.max_age.map(|max_age| signed.saturating_add(max_age));
        is_canonical.then_some(Signed {
            json,
            tag,
            expires,
            now,
        })
    }

    /// Returns the payload, the time of the signature in unix seconds, and the MAC.
    fn unsign<'v>(&self, value: &'v [u8], now: u64) -> Option<(&'v [u8], u64, Tag)> {
        let (signed, tag) = split_last(value)?;
        let tag: Tag = decode(tag)?.try_into().ok()?;
        let mut signers = self.keys.iter().map(|key| mac(key, signed));
        signers.find(|signer| signer.clone().verify_slice(&tag).is_ok())?;
        let (payload, time) = split_last(signed)?;
        let signed = seconds(&decode(time)?)?;
        self.check_age(signed, now)?;
        Some((payload, signed, tag))
    }

    fn check_age(&self, signed: u64, now: u64) -> Option<()> {
        let Some(max_age) = self.max_age else {
            return Some(());
        };
        let age = now.checked_sub(signed)?;
        (age <= max_age).then_some(())
    }
}

/// Derives the signing key: `django-concat` of `itsdangerous`, with its default salt.
fn derive(secret: &[u8]) -> Zeroizing<[u8; 20]> {
    let hash = Sha1::new()
        .chain_update(b"itsdangerous.Signer")
        .chain_update(b"signer");
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

/// Decodes the canonical encoding of bytes.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    (URL_SAFE_NO_PAD.encode_to_string(&bytes).as_bytes() == text).then_some(bytes)
}

/// Parses big-endian seconds without leading zeros.
fn seconds(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > size_of::<u64>() || bytes.first() == Some(&0) {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

/// Returns the payload that Starlette's signer signed with a secret, or `None` if the signature or
/// its age is not valid. `now` is in unix seconds.
#[pyfunction]
#[pyo3(name = "_unsign", signature = (value, secret, *, max_age, now))]
pub(crate) fn unsign<'v>(
    value: &'v [u8],
    secret: &[u8],
    max_age: Option<u64>,
    now: u64,
) -> Option<&'v [u8]> {
    Importer::new(&[secret], max_age)
        .unsign(value, now)
        .map(|(payload, ..)| payload)
}

const OMITTED: &str = "a value in a cookie of Starlette's middleware cannot be stored in a \
    session and is omitted: %s";
