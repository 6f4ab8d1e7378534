//! Names of items.
//!
//! ```text
//!  P:s:<id>      a record, with its stamp       32 hexadecimal digits
//!  P:g:<place>   the generations of a place     4 hexadecimal digits
//!  P:meta        the data set
//! ```

use sessile::SessionId;

use crate::meta::MAX_KEY_LEN;

/// The names under one prefix.
#[derive(Clone)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix }
    }

    pub(crate) fn record(&self, id: &SessionId) -> String {
        let digits = u128::from_be_bytes(id.to_bytes());
        format!("{}{RECORD}{digits:032x}", self.prefix)
    }

    /// The item of the users whose hash begins with a place.
    pub(crate) fn generations(&self, place: u16) -> String {
        format!("{}:g:{place:04x}", self.prefix)
    }

    pub(crate) fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }
}

const RECORD: &str = ":s:";
/// The longest prefix whose keys fit, in bytes.
pub(crate) const MAX_PREFIX_LEN: usize = MAX_KEY_LEN - RECORD.len() - 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_longer_than_the_protocol_permits() {
        let keys = Keys::new(&"p".repeat(MAX_PREFIX_LEN));
        let id = SessionId::from_parts([0xab; 16], 0x010c);
        assert_eq!(keys.record(&id).len(), MAX_KEY_LEN);
        assert!(keys.generations(u16::MAX).len() <= MAX_KEY_LEN);
        let keys = Keys::new("app");
        assert_eq!(keys.record(&id), format!("app:s:{}", "ab".repeat(16)));
        assert_eq!(keys.generations(0x010c), "app:g:010c");
        assert_eq!(keys.meta(), "app:meta");
    }
}
