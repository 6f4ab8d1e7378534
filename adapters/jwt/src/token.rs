//! The three parts of a token.
//!
//! Owns the compact form and its base64url. It knows neither the header's nor the claims' meaning.

use crate::Rejection;

/// The parts of a token, encoded.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// The header and the payload with the dot between them.
    pub(crate) signed: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a token at its dots.
    pub(crate) fn split(token: &'a str) -> Result<Self, Rejection> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejection::Malformed)?;
        if payload.contains('.') {
            return Err(Rejection::Malformed);
        }
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// Decodes base64url without padding. Rejects text that is not canonical: two spellings of one
/// token would be two tokens for a revocation by content.
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, Rejection> {
    let decoded = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(part);
    decoded.map_err(|_| Rejection::Malformed)
}
