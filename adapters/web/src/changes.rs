//! What one request changed: the keys that it wrote and removed, and whether it cleared the rest.
//!
//! Invariant: one entry a key, by ascending key, so that applying them is one pass over sorted pairs.
//! It does not know what was stored: a change that changes nothing is found when it is applied.

use bytes::Bytes;

use crate::pairs::{Pairs, Writer, len_with_one};

/// The changes of one request, over whatever is stored.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    cleared: bool,
    list: Vec<(Box<str>, Option<Bytes>)>,
}

/// What the changes say of one key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: what is stored counts.
    Untouched,
    /// There is no such key.
    Absent,
    /// This raw value.
    Is(Bytes),
}

impl Changes {
    pub(crate) fn insert(&mut self, key: &str, json: Bytes) {
        self.set(key, Some(json));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.set(key, None);
    }

    /// Removes all keys, those of this request too.
    pub(crate) fn clear(&mut self) {
        *self = Self { cleared: true, list: Vec::new() };
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.list.is_empty()
    }

    pub(crate) fn of(&self, key: &str) -> Verdict {
        match self.position(key).map(|at| &self.list[at].1) {
            Ok(Some(json)) => Verdict::Is(json.clone()),
            Ok(None) => Verdict::Absent,
            Err(_) if self.cleared => Verdict::Absent,
            Err(_) => Verdict::Untouched,
        }
    }

    /// What is stored with the changes made: pairs that no change names are copied as they are.
    pub(crate) fn applied_to(&self, stored: &Pairs) -> Pairs {
        let nothing = Pairs::default();
        let stored = if self.cleared { &nothing } else { stored };
        let mut writer = Writer::with_capacity(stored.as_bytes().len() + self.size());
        let mut old = stored.iter().peekable();
        for (key, json) in &self.list {
            while let Some((before, value)) = old.next_if(|(other, _)| *other < key.as_bytes()) {
                writer.push(before, value);
            }
            old.next_if(|(other, _)| *other == key.as_bytes());
            if let Some(json) = json {
                writer.push(key.as_bytes(), json);
            }
        }
        old.for_each(|(key, value)| writer.push(key, value));
        writer.finish()
    }

    fn set(&mut self, key: &str, json: Option<Bytes>) {
        match self.position(key) {
            Ok(at) => self.list[at].1 = json,
            Err(at) => self.list.insert(at, (key.into(), json)),
        }
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|(other, _)| (**other).cmp(key))
    }

    fn size(&self) -> usize {
        let pair = |(key, json): &(Box<str>, Option<Bytes>)| match json {
            Some(json) => len_with_one(key.len(), json.len()),
            None => 0,
        };
        self.list.iter().map(pair).sum()
    }
}
