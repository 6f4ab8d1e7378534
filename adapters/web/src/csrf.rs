//! CSRF tokens: a form carries one, and only pages of its own session can contain it.
//!
//! A token is a MAC of a hash of the session's id, under a key that is derived from the cache's key
//! ring. In a page it is masked with random bytes, so that no two pages contain the same text and
//! the size of a compressed page reveals nothing (BREACH; Gluck, Harris, Prado 2013). The module
//! does not know the session's data.

use base64_simd::URL_SAFE_NO_PAD;
use sessile::{Error, SessionId};

use crate::Cache;

/// A hash of an id, to which tokens are bound. It is stored where tokens of an earlier id remain
/// valid.
#[derive(Clone, Copy)]
pub(crate) struct FormBinding([u8; LEN]);

impl FormBinding {
    pub(crate) fn of(cache: &Cache, id: &SessionId) -> Self {
        Self(cache.form_binding(id))
    }

    /// Returns the MAC of a new token.
    pub(crate) fn mac(&self, cache: &Cache) -> CsrfMac {
        CsrfMac(cache.form_mac(&self.0))
    }

    /// Returns true if a MAC is right under any key of the ring, in constant time.
    pub(crate) fn verify(&self, cache: &Cache, mac: &CsrfMac) -> bool {
        cache.verify_form_mac(&self.0, &mac.0)
    }

    /// Encodes it as a raw JSON value.
    pub(crate) fn to_json(self) -> String {
        format!("\"{}\"", URL_SAFE_NO_PAD.encode_to_string(self.0))
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// The MAC in a token.
#[derive(Clone, Copy)]
pub(crate) struct CsrfMac([u8; LEN]);

impl CsrfMac {
    /// Returns the text of a token, another one each time.
    pub(crate) fn mask(&self) -> Result<String, Error> {
        let mut bytes = [0; 2 * LEN];
        getrandom::fill(&mut bytes[..LEN]).map_err(|_| Error::Entropy)?;
        for at in 0..LEN {
            bytes[LEN + at] = bytes[at] ^ self.0[at];
        }
        Ok(URL_SAFE_NO_PAD.encode_to_string(bytes))
    }

    /// Returns the MAC in the text of a token; `None` if the text is not one.
    pub(crate) fn unmask(text: &str) -> Option<Self> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        let [mask, masked] = [bytes.get(..LEN)?, bytes.get(LEN..)?];
        let masked: &[u8; LEN] = masked.try_into().ok()?;
        Some(Self(core::array::from_fn(|at| mask[at] ^ masked[at])))
    }
}

const LEN: usize = 16;

/// The mask and the masked MAC in base64url, without padding.
const TEXT_LEN: usize = (2 * LEN * 8).div_ceil(6);
