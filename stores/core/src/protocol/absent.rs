//! The table of ids that the store does not have.
//!
//! Owns a fixed number of slots. Invariant: an id in it was absent from the store, and stays
//! absent, because ids are random and no call of a store creates a record under an id that it had
//! before. A fence empties it: the server may have other data. It does not know sessions that
//! exist.

/// Ids that are absent until the next fence. A slot keeps the latest id that falls into it.
pub(crate) struct Absent(Box<[Option<[u8; 16]>]>);

impl Absent {
    /// Creates a table with a number of slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self(vec![None; slots.max(1)].into())
    }

    /// Returns true if the id is known to be absent.
    pub(crate) fn contains(&self, id: &[u8; 16]) -> bool {
        self.0[self.slot(id)].as_ref() == Some(id)
    }

    /// Remembers that an id is absent.
    pub(crate) fn insert(&mut self, id: [u8; 16]) {
        let slot = self.slot(&id);
        self.0[slot] = Some(id);
    }

    /// Forgets an id, which is about to be created.
    pub(crate) fn remove(&mut self, id: &[u8; 16]) {
        if self.contains(id) {
            let slot = self.slot(id);
            self.0[slot] = None;
        }
    }

    /// Forgets all ids.
    pub(crate) fn clear(&mut self) {
        self.0.fill(None);
    }

    fn slot(&self, id: &[u8; 16]) -> usize {
        // Ids are random, so any of their bytes are a hash.
        usize::from(u16::from_le_bytes([id[2], id[3]])) % self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_the_latest_id() {
        let mut absent = Absent::new(1);
        assert!(!absent.contains(&[0; 16]));
        absent.insert([0; 16]);
        assert!(absent.contains(&[0; 16]));
        absent.insert([1; 16]);
        assert!(absent.contains(&[1; 16]) && !absent.contains(&[0; 16]));
        absent.remove(&[0; 16]);
        assert!(absent.contains(&[1; 16]));
        absent.remove(&[1; 16]);
        assert!(!absent.contains(&[1; 16]));
        absent.insert([2; 16]);
        absent.clear();
        assert!(!absent.contains(&[2; 16]));
    }
}
