//! Names of keys and channels, and the messages.
//!
//! ```text
//!  P:{xx}:s:<id>           a record           xx: the partition, two hexadecimal digits
//!  P:{xx}:u:<user hash>    the ids of a user's sessions
//!  P:{xx}:c                the channel of the partition
//!  P:{meta}                the data set
//!  P:{00}:r                the revocations: a sorted set by expiry, of key and `issued_before`
//!
//!  W id version   written        R id new-id         rotated
//!  X id           ended          A ended_before      all ended
//!  V key issued_before expires_at    revoked, on the channel of partition 0
//! ```
//!
//! The braces keep all keys of a partition in one slot of a cluster.

use std::fmt::Write as _;

use sessile::{SessionId, UserHash, Version};
use sessile_store::{Change, Revocation, ServerTime, record::parse_id};

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
        self.key(id.partition(), 's', &id.to_bytes())
    }

    pub(crate) fn user(&self, user: &UserHash) -> String {
        self.key(user.partition(), 'u', &user.to_bytes())
    }

    pub(crate) fn meta(&self) -> String {
        format!("{}:{{meta}}", self.prefix)
    }

    /// In the slot of the channel on which the revocations are published.
    pub(crate) fn revocations(&self) -> String {
        format!("{}:{{00}}:r", self.prefix)
    }

    pub(crate) fn channel(&self, partition: u8) -> String {
        format!("{}:{{{partition:02x}}}:c", self.prefix)
    }

    /// The prefix whose invalidations tell that the server was flushed. No key begins with it, so
    /// nothing else is ever sent for it.
    pub(crate) fn tracked(&self) -> String {
        format!("{}:{{none}}:", self.prefix)
    }

    /// Parses a message of a channel. Returns `None` for one that this build does not know.
    pub(crate) fn parse(&self, channel: &[u8], message: &[u8]) -> Option<Change> {
        let partition = self.partition(channel)?;
        let (kind, rest) = message.split_first()?;
        if *kind == b'A' {
            let ended_before = ServerTime(u64::from_le_bytes(rest.try_into().ok()?));
            return Some(Change::AllEnded { ended_before });
        }
        if *kind == b'V' {
            let revocation = Revocation::from_bytes(rest.try_into().ok()?);
            return Some(Change::Revoked(revocation));
        }
        let (digits, rest) = rest.split_first_chunk::<32>()?;
        let id = parse_id(digits, partition.into())?;
        match kind {
            b'W' => {
                let version = Version::new(u32::from_le_bytes(rest.try_into().ok()?));
                Some(Change::Written { id, version })
            }
            b'X' | b'R' => Some(Change::Ended { id }),
            _ => None,
        }
    }

    fn partition(&self, channel: &[u8]) -> Option<u8> {
        let digits = channel
            .strip_prefix(self.prefix.as_bytes())?
            .strip_prefix(b":{")?
            .strip_suffix(b"}:c")?;
        u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    }

    fn key(&self, partition: u8, kind: char, bytes: &[u8; 16]) -> String {
        let mut key = format!("{}:{{{partition:02x}}}:{kind}:", self.prefix);
        push_hex(&mut key, bytes);
        key
    }
}

/// Returns the 32 hexadecimal digits of an id.
pub(crate) fn hex(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8; 16]) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{:032x}", u128::from_be_bytes(*bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::from_parts([0xab; 16], 0x0c)
    }

    #[test]
    fn keys_of_one_partition_share_a_hash_tag() {
        let keys = Keys::new("app");
        let digits = "ab".repeat(16);
        assert_eq!(keys.record(&id()), format!("app:{{0c}}:s:{digits}"));
        let user = UserHash::new([0x0c; 16]);
        assert_eq!(
            keys.user(&user),
            format!("app:{{0c}}:u:{}", "0c".repeat(16))
        );
        assert_eq!(keys.channel(0x0c), "app:{0c}:c");
        assert_eq!(keys.meta(), "app:{meta}");
        assert_eq!(keys.revocations(), "app:{00}:r");
        assert_eq!(keys.channel(0), "app:{00}:c");
    }

    #[test]
    fn messages_become_changes() {
        let keys = Keys::new("app");
        let digits = "ab".repeat(16);
        let parse = |message: &[u8]| keys.parse(b"app:{0c}:c", message);
        let written = [b"W", digits.as_bytes(), &[1, 2, 0, 0]].concat();
        let version = Version::new(0x0201);
        assert_eq!(parse(&written), Some(Change::Written { id: id(), version }));
        let ended = [b"X", digits.as_bytes()].concat();
        assert_eq!(parse(&ended), Some(Change::Ended { id: id() }));
        let rotated = [b"R", digits.as_bytes(), digits.as_bytes()].concat();
        assert_eq!(parse(&rotated), Some(Change::Ended { id: id() }));
        let ended_before = ServerTime(258);
        let all = Some(Change::AllEnded { ended_before });
        assert_eq!(parse(&[b'A', 2, 1, 0, 0, 0, 0, 0, 0]), all);
        let revocation = Revocation {
            key: [0xab; 16],
            issued_before: u64::MAX,
            expires_at: 258,
        };
        let revoked = [b"V", &revocation.to_bytes()[..]].concat();
        assert_eq!(parse(&revoked), Some(Change::Revoked(revocation)));
        assert_eq!(parse(&revoked[..revoked.len() - 1]), None);
        for len in 0..written.len() {
            assert_eq!(parse(&written[..len]), None);
        }
        assert_eq!(parse(&[b"Q", digits.as_bytes()].concat()), None);
        assert_eq!(keys.parse(b"other:{0c}:c", &ended), None);
    }
}
