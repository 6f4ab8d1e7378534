//! Marks against forged requests: a form carries one, and only pages of the session's own could have it.
//!
//! A mark is a MAC of the session's id under a key of this process, which the sessions do not outlive. In a page
//! it stands masked with fresh random bytes, so that no two pages hold the same text and what compresses a page
//! tells nothing of it (BREACH; Gluck, Harris, Prado 2013). It knows no session's data.

use core::hash::{Hash, Hasher};
use std::sync::OnceLock;

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sessile::{Error, SessionId};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What only the pages of one session know.
#[derive(Clone, Copy)]
pub(crate) struct CsrfMac([u8; LEN]);

impl CsrfMac {
    /// The mark of an id.
    pub(crate) fn of(id: &SessionId) -> Result<Self, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key()?).expect("any length is a key");
        mac.update(CONTEXT);
        id.hash(&mut Bytes(&mut mac));
        let mut mark = [0; LEN];
        mark.copy_from_slice(&mac.finalize().into_bytes()[..LEN]);
        Ok(Self(mark))
    }

    /// The text for a page: another one each time.
    pub(crate) fn mask(&self) -> Result<String, Error> {
        let mut bytes = [0; 2 * LEN];
        random(&mut bytes[..LEN])?;
        for at in 0..LEN {
            bytes[LEN + at] = bytes[at] ^ self.0[at];
        }
        Ok(URL_SAFE_NO_PAD.encode_to_string(bytes))
    }

    /// The mark behind a text that `mask` made; `None` if it made none such.
    pub(crate) fn unmask(text: &str) -> Option<Self> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        let [mask, masked] = [bytes.get(..LEN)?, bytes.get(LEN..)?];
        let masked: &[u8; LEN] = masked.try_into().ok()?;
        Some(Self(core::array::from_fn(|at| mask[at] ^ masked[at])))
    }

    /// In a time that does not depend on what is in them.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// As a raw JSON value.
    pub(crate) fn to_json(self) -> String {
        format!("\"{}\"", URL_SAFE_NO_PAD.encode_to_string(self.0))
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// Hands what an id is made of on to a MAC.
struct Bytes<'m>(&'m mut Hmac<Sha256>);

impl Hasher for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn key() -> Result<&'static [u8; 32], Error> {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let mut key = [0; 32];
    random(&mut key)?;
    Ok(KEY.get_or_init(|| key))
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|_| Error::Entropy)
}

const LEN: usize = 16;

/// Two marks in base64url, without padding.
const TEXT_LEN: usize = (2 * LEN * 8).div_ceil(6);
const CONTEXT: &[u8] = b"sessile csrf v1";
