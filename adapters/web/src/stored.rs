//! The data of a session as a store keeps it, decoded without a cache.
//!
//! For programs that read sessions from a store and do not serve their requests. It does not know
//! where the bytes come from.

use core::fmt;

use bytes::Bytes;

use crate::{
    encoding::Pairs,
    key::{USER, is_reserved},
};

/// The values of a session, decoded from its data in a store.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredValues {
    /// The name of the user that signed in.
    pub user: Option<String>,
    /// All keys with their raw JSON, in ascending order.
    pub pairs: Vec<(String, Bytes)>,
}

impl StoredValues {
    /// Decodes data. Returns `None` for data that no session layer wrote.
    ///
    /// ```
    /// use sessile_web::adapter::StoredValues;
    ///
    /// let values = StoredValues::decode(&b""[..]).expect("a session without values");
    /// assert!(values.user.is_none() && values.pairs.is_empty());
    /// assert!(StoredValues::decode(&b"other data"[..]).is_none());
    /// ```
    pub fn decode(data: impl Into<Bytes>) -> Option<Self> {
        let data = data.into();
        let len = data.len();
        let all = Pairs::read(data);
        if all.as_bytes().len() != len {
            return None;
        }
        let user = all.find(USER).map(|json| serde_json::from_slice(&json));
        let own = all.iter().filter(|(key, _)| !is_reserved(key));
        let pair = |(key, json): (&[u8], &[u8])| {
            let key = core::str::from_utf8(key).ok()?;
            Some((key.to_owned(), all.part(json)))
        };
        Some(Self {
            user: user.transpose().ok()?,
            pairs: own.map(pair).collect::<Option<_>>()?,
        })
    }
}

impl fmt::Debug for StoredValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredValues")
            .field("pairs", &self.pairs.len())
            .finish_non_exhaustive()
    }
}
