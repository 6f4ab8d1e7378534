//! The items that this node has checked, so that a later comparison needs no value.
//!
//! Owns a fixed number of slots. Invariant: the session in a slot was open while each item had the
//! number in the slot, and a server never gives two values one number. It does not know whether L1
//! has the session.

use sessile::{SessionId, Version};

/// The items of sessions. A slot keeps the latest id that falls into it.
pub(crate) struct Seen(Vec<Option<Checked>>);

/// The unique numbers of the items that decide about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) version: Version,
    pub(crate) record: u64,
    pub(crate) meta: u64,
    /// The generations of the user's place; `None` without a user.
    pub(crate) place: Option<u64>,
    id: [u8; 16],
}

impl Checked {
    pub(crate) fn new(id: &SessionId, version: Version, numbers: [u64; 2]) -> Self {
        let [record, meta] = numbers;
        Self {
            version,
            record,
            meta,
            place: None,
            id: id.to_bytes(),
        }
    }
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self(vec![None; SLOTS])
    }

    /// Returns the items of a session that has a version.
    pub(crate) fn find(&self, id: &SessionId, version: Version) -> Option<Checked> {
        let found = self.0[slot(id)]?;
        (found.id == id.to_bytes() && found.version == version).then_some(found)
    }

    pub(crate) fn insert(&mut self, id: &SessionId, checked: Checked) {
        self.0[slot(id)] = Some(checked);
    }

    /// Forgets all items, because another server may give their numbers to other values.
    pub(crate) fn clear(&mut self) {
        self.0.fill(None);
    }
}

fn slot(id: &SessionId) -> usize {
    // Ids are random, so any of their bytes are a hash.
    let bytes = id.to_bytes();
    usize::from(u16::from_le_bytes([bytes[4], bytes[5]])) % SLOTS
}

/// The sessions that are remembered: 2 MB.
const SLOTS: usize = 1 << 15;
const _: () = assert!(size_of::<Option<Checked>>() * SLOTS <= 3 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_the_latest_session_and_its_version() {
        let [one, other] = [1, 2].map(|number| {
            let mut bytes = [0; 16];
            bytes[0] = number;
            SessionId::from_parts(bytes, 0)
        });
        let [first, second] = [1, 2].map(Version::new);
        let mut seen = Seen::new();
        let checked = Checked::new(&one, first, [3, 4]);
        seen.insert(&one, checked);
        assert_eq!(seen.find(&one, first), Some(checked));
        assert_eq!(seen.find(&one, second), None);
        assert_eq!(seen.find(&other, first), None, "the same slot");
        seen.insert(&other, Checked::new(&other, second, [5, 4]));
        assert_eq!(seen.find(&one, first), None);
        seen.clear();
        assert_eq!(seen.find(&other, second), None);
    }
}
