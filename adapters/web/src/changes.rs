//! The changes of one request to its session's data, by key. They can be applied again if another
//! request stored data first.
//!
//! Invariant: keys are in ascending order, so that applying the changes is one pass over sorted
//! pairs. Changes of one key are in the order in which they were made. A change that a later
//! insertion or removal makes obsolete is dropped. After a clear, the changes of a key begin with a
//! removal or an insertion.
//!
//! The module does not know the stored data. A change that has no effect is detected only when it
//! is applied.

use bytes::Bytes;

use crate::{
    encoding::{Pairs, Writer, len_with_one},
    json,
    key::is_reserved,
};

/// The changes of one request.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    cleared: bool,
    list: Vec<(Box<str>, Change)>,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Sets the key to a raw value.
    Set(Bytes),
    Remove,
    /// Adds to an integer.
    Add(i64),
    /// Appends a raw value to a list.
    Append(Bytes),
    /// Changes nothing, and fails unless the key has this value.
    Expect(Option<Bytes>),
}

/// The value has the wrong type for the change, or is not the expected one.
#[derive(Debug)]
pub(crate) struct ApplyError;

impl Changes {
    pub(crate) fn push(&mut self, key: &str, change: Change) {
        let (start, mut end) = self.range(key);
        if change.is_overwrite() {
            while end > start && !matches!(self.list[end - 1].1, Change::Expect(_)) {
                end -= 1;
                self.list.remove(end);
            }
        } else if start == end && self.cleared && !is_reserved(key.as_bytes()) {
            self.list.insert(end, (key.into(), Change::Remove));
            end += 1;
        }
        let before = (start < end).then(|| &mut self.list[end - 1].1);
        if !before.is_some_and(|before| before.merge(&change)) {
            self.list.insert(end, (key.into(), change));
        }
    }

    /// Requires the stored value to be `stored`, regardless of this request's own changes.
    pub(crate) fn watch(&mut self, key: &str, stored: Option<Bytes>) {
        let (start, end) = self.range(key);
        self.list
            .insert(start, (key.into(), Change::Expect(stored)));
        if start == end && self.cleared {
            self.list.insert(start + 1, (key.into(), Change::Remove));
        }
    }

    /// Removes all keys except the reserved ones, including those that this request set.
    /// Expectations remain.
    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        let list = core::mem::take(&mut self.list);
        for of_key in list.chunk_by(is_of_one_key) {
            let is_kept = is_reserved(of_key[0].0.as_bytes());
            let expected = of_key.iter().rposition(|(_, change)| !change.is_change());
            let kept = if is_kept {
                of_key.len()
            } else {
                expected.map_or(0, |at| at + 1)
            };
            self.list.extend_from_slice(&of_key[..kept]);
            if !is_kept && kept > 0 {
                self.list.push((of_key[0].0.clone(), Change::Remove));
            }
        }
    }

    /// Adds the changes that were made after these.
    pub(crate) fn append(&mut self, later: Self) {
        if later.cleared {
            self.clear();
        }
        for (key, change) in later.list {
            self.push(&key, change);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.list.is_empty()
    }

    /// Returns true if all keys are to be removed.
    pub(crate) fn is_clearing(&self) -> bool {
        self.cleared
    }

    /// Returns true if a key of the application is to be changed.
    pub(crate) fn has_data(&self) -> bool {
        self.cleared
            || self
                .list
                .iter()
                .any(|(key, _)| !is_reserved(key.as_bytes()))
    }

    /// Returns true if there are expectations of the stored data.
    pub(crate) fn has_expectations(&self) -> bool {
        self.list.iter().any(|(_, change)| !change.is_change())
    }

    /// Returns the changed keys in ascending order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.list
            .chunk_by(is_of_one_key)
            .map(|of_key| &*of_key[0].0)
    }

    /// Returns true if the key is to be changed, alone or by a clear.
    pub(crate) fn touches(&self, key: &str) -> bool {
        let is_of_key =
            |(other, change): &(Box<str>, Change)| **other == *key && change.is_change();
        self.cleared || self.list.iter().any(is_of_key)
    }

    /// Removes the changes of a key.
    pub(crate) fn forget(&mut self, key: &str) {
        self.list.retain(|(other, _)| **other != *key);
    }

    /// Removes the changes of the application's keys. Reserved keys, a clear, and expectations that
    /// precede a key's first change remain.
    pub(crate) fn forget_data(&mut self) {
        let mut last: Option<Box<str>> = None;
        self.list.retain(|(key, change)| {
            let is_first = last.as_deref() != Some(&**key);
            let is_kept = is_reserved(key.as_bytes()) || is_first && !change.is_change();
            if !is_kept {
                last = Some(key.clone());
            }
            is_kept
        });
        if core::mem::take(&mut self.cleared) {
            self.clear();
        }
    }

    /// Removes a clear, and the changes that leave a key as it is stored. The rest is what this
    /// request adds to a session that starts empty. Expectations remain.
    pub(crate) fn forget_no_ops(&mut self, stored: &Pairs) {
        self.cleared = false;
        let list = core::mem::take(&mut self.list);
        for of_key in list.chunk_by(is_of_one_key) {
            let before = stored.find(&of_key[0].0);
            let is_expected = of_key.iter().any(|(_, change)| !change.is_change());
            let after = apply_all(of_key, before.clone()).unwrap_or_default();
            if is_expected || !json::is_same(before.as_deref(), after.as_deref()) {
                self.list.extend_from_slice(of_key);
            }
        }
    }

    /// Returns the raw value of a key. `stored` is called only if the result depends on it.
    pub(crate) fn value(
        &self,
        key: &str,
        stored: impl FnOnce() -> Option<Bytes>,
    ) -> Result<Option<Bytes>, ApplyError> {
        if self.list.is_empty() && !self.cleared {
            return Ok(stored());
        }
        let (start, end) = self.range(key);
        let changes = &self.list[start..end];
        if let Some(whole) = changes
            .iter()
            .rposition(|(_, change)| change.is_overwrite())
        {
            return apply_all(&changes[whole..], None);
        }
        apply_all(
            changes,
            if self.keeps(key.as_bytes()) {
                stored()
            } else {
                None
            },
        )
    }

    /// Returns `stored` with the changes applied. Pairs without a change are copied. The error is
    /// the key whose changes cannot be applied.
    pub(crate) fn applied_to(&self, stored: &Pairs) -> Result<Pairs, Box<str>> {
        if self.is_empty() {
            return Ok(stored.clone());
        }
        let mut writer = Writer::with_capacity(stored.as_bytes().len() + self.size());
        let mut old = stored.iter().peekable();
        for of_key in self.list.chunk_by(is_of_one_key) {
            let key = of_key[0].0.as_bytes();
            while let Some((before, value)) = old.next_if(|(other, _)| *other < key) {
                self.copy(before, value, &mut writer);
            }
            let value = old
                .next_if(|(other, _)| *other == key)
                .map(|(_, value)| stored.part(value));
            if let Some(json) = apply_all(of_key, value).map_err(|_| of_key[0].0.clone())? {
                writer.push(key, &json);
            }
        }
        old.for_each(|(key, value)| self.copy(key, value, &mut writer));
        Ok(writer.finish())
    }

    fn copy(&self, key: &[u8], value: &[u8], writer: &mut Writer) {
        if self.keeps(key) {
            writer.push(key, value);
        }
    }

    /// Returns true if a pair without a change is kept.
    fn keeps(&self, key: &[u8]) -> bool {
        !self.cleared || is_reserved(key)
    }

    /// Returns the range of a key's changes in the list; empty, at the place of insertion, if there
    /// are none.
    fn range(&self, key: &str) -> (usize, usize) {
        let start = self.list.partition_point(|(other, _)| **other < *key);
        let more = self.list[start..]
            .iter()
            .take_while(|(other, _)| **other == *key)
            .count();
        (start, start + more)
    }

    fn size(&self) -> usize {
        let pair = |(key, change): &(Box<str>, Change)| match change {
            Change::Set(json) | Change::Append(json) => len_with_one(key.len(), json.len()),
            Change::Add(_) => len_with_one(key.len(), json::MAX_NUMBER_LEN),
            Change::Remove | Change::Expect(_) => 0,
        };
        self.list.iter().map(pair).sum()
    }
}

impl Change {
    /// Returns true if the result does not depend on the previous value.
    fn is_overwrite(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Remove)
    }

    fn is_change(&self) -> bool {
        !matches!(self, Self::Expect(_))
    }

    /// Merges a later change into this one and returns true, if the two can be one change.
    fn merge(&mut self, later: &Self) -> bool {
        match (self, later) {
            // Increments of different signs cannot be merged, because the sum may saturate in
            // between.
            (Self::Add(sum), Self::Add(by)) if (*sum < 0) == (*by < 0) => {
                let Some(both) = sum.checked_add(*by) else {
                    return false;
                };
                *sum = both;
                true
            }
            // The expectation was checked against the value that this request itself set.
            (Self::Set(_) | Self::Remove, Self::Expect(_)) => true,
            _ => false,
        }
    }

    /// Returns the value after the change.
    pub(crate) fn apply(&self, value: Option<Bytes>) -> Result<Option<Bytes>, ApplyError> {
        Ok(match self {
            Self::Set(json) => Some(json.clone()),
            Self::Remove => None,
            Self::Add(by) => {
                let sum = json::add(value.as_deref(), *by).map_err(|_| ApplyError)?;
                Some(sum.to_string().into())
            }
            Self::Append(item) => {
                Some(json::append(value.as_deref(), item).map_err(|_| ApplyError)?)
            }
            Self::Expect(json) if json::is_same(json.as_deref(), value.as_deref()) => value,
            Self::Expect(_) => return Err(ApplyError),
        })
    }
}

fn apply_all(
    changes: &[(Box<str>, Change)],
    value: Option<Bytes>,
) -> Result<Option<Bytes>, ApplyError> {
    changes
        .iter()
        .try_fold(value, |value, (_, change)| change.apply(value))
}

fn is_of_one_key(one: &(Box<str>, Change), other: &(Box<str>, Change)) -> bool {
    one.0 == other.0
}
