//! The values of a session at the last comparison, and the differences between them and the dict.
//!
//! Invariants: the values are in ascending order of keys, and the dict is not kept. While the dict
//! is iterated, no Python code can run that would change it: values that need such code are encoded
//! by [`Encoded`], from a copy of the dict.

use bytes::Bytes;
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

use crate::json::{self, Encoder, Fault, Pieces};

/// The values of a session at the last comparison.
#[derive(Default)]
pub(crate) struct Known(Vec<Value>);

struct Value {
    key: String,
    json: Bytes,
    /// The objects it was encoded from, if their identity proves that the value is unchanged.
    pieces: Option<Pieces>,
}

/// The result of a comparison: keys with their new JSON and its objects, or `None` for removed
/// keys.
pub(crate) type Changes = Vec<Change>;
type Change = (String, Option<(Bytes, Option<Pieces>)>);

impl Known {
    /// Adds a value. Its key must be greater than all others.
    pub(crate) fn push(&mut self, key: String, json: Bytes, pieces: Pieces) {
        debug_assert!(self.0.last().is_none_or(|last| last.key < key));
        self.0.push(Value {
            key,
            json,
            pieces: Some(pieces),
        });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Applies changes to the known values.
    pub(crate) fn apply(&mut self, changes: Changes) {
        for (key, value) in changes {
            let place = self.0.binary_search_by(|known| known.key.cmp(&key));
            match (value, place) {
                (Some((json, pieces)), Ok(at)) => self.0[at] = Value { key, json, pieces },
                (Some((json, pieces)), Err(at)) => self.0.insert(at, Value { key, json, pieces }),
                (None, Ok(at)) => drop(self.0.remove(at)),
                (None, Err(_)) => {}
            }
        }
    }

    /// Returns the differences between the dict and the known values. Fails for a value of more
    /// than `limit` bytes, and for a value whose encoding needs Python code.
    ///
    /// The keys of the dict are mostly in the order of the known keys, because it was filled from
    /// them: `next` is the index where the next key is expected.
    pub(crate) fn changes(&self, dict: &Bound<'_, PyDict>, limit: usize) -> Result<Changes, Fault> {
        let mut changes = Changes::new();
        let mut encoder = None;
        let (mut next, mut seen) = (0, 0);
        for (key, value) in dict {
            if !key.is_exact_instance_of::<PyString>() {
                return Err(Fault::new_needs_copies());
            }
            let text = json::key_text(&key).map_err(|fault| fault.at(&key))?;
            let known = self.place(&text, next).map(|at| {
                (next, seen) = (at + 1, seen + 1);
                &self.0[at]
            });
            if known.is_some_and(|known| known.consists_of(&value)) {
                continue;
            }
            let encoder = encoder.get_or_insert_with(|| Encoder::new(self.capacity(), limit));
            let json = encoder.encode(&value).map_err(|fault| fault.at(&key))?;
            if known.is_none_or(|known| known.json != json) {
                let json = Bytes::copy_from_slice(json);
                changes.push((text.into_owned(), Some((json, Pieces::of(&value)))));
            }
        }
        if seen < self.0.len() {
            changes.extend(self.removals_with(dict)?);
        }
        Ok(changes)
    }

    /// Returns the differences between an encoded dict and the known values.
    pub(crate) fn changes_in(&self, encoded: Encoded<'_>) -> Result<Changes, Fault> {
        let mut changes = self.removals_with(&encoded.dict)?;
        for (key, json, pieces) in encoded.values {
            if self.place(&key, 0).is_none_or(|at| self.0[at].json != json) {
                changes.push((key, Some((json, pieces))));
            }
        }
        Ok(changes)
    }

    /// Returns the known keys that are no longer in the dict.
    pub(crate) fn removals(&self, dict: &Bound<'_, PyDict>) -> Result<Changes, Fault> {
        if dict
            .iter()
            .all(|(key, _)| key.is_exact_instance_of::<PyString>())
        {
            return self.removals_with(dict);
        }
        self.removals_with(&json::with_own_keys(dict)?)
    }

    fn removals_with(&self, dict: &Bound<'_, PyDict>) -> Result<Changes, Fault> {
        let mut removals = Changes::new();
        for Value { key, .. } in &self.0 {
            if !dict.contains(key)? {
                removals.push((key.clone(), None));
            }
        }
        Ok(removals)
    }

    /// Returns the capacity for the longest value, in bytes.
    fn capacity(&self) -> usize {
        self.0
            .iter()
            .map(|known| known.json.len())
            .max()
            .unwrap_or(0)
            + SPARE
    }

    fn place(&self, key: &str, next: usize) -> Option<usize> {
        if self.0.get(next).is_some_and(|known| known.key == key) {
            return Some(next);
        }
        self.0
            .binary_search_by(|known| known.key.as_str().cmp(key))
            .ok()
    }
}

/// A copy of a dict, and all of its values as JSON.
pub(crate) struct Encoded<'py> {
    dict: Bound<'py, PyDict>,
    values: Vec<(String, Bytes, Option<Pieces>)>,
}

impl<'py> Encoded<'py> {
    /// Encodes a copy of a dict. Python code may run.
    pub(crate) fn new(dict: &Bound<'py, PyDict>, limit: usize) -> Result<Self, Fault> {
        let dict = json::with_own_keys(dict)?;
        let mut encoder = Encoder::copying(SPARE, limit);
        let mut values = Vec::with_capacity(dict.len());
        for (key, value) in &dict {
            let text = json::key_text(&key).map_err(|fault| fault.at(&key))?;
            let json = encoder.encode(&value).map_err(|fault| fault.at(&key))?;
            values.push((
                text.into_owned(),
                Bytes::copy_from_slice(json),
                Pieces::of(&value),
            ));
        }
        Ok(Self { dict, values })
    }
}

impl Value {
    fn consists_of(&self, value: &Bound<'_, PyAny>) -> bool {
        self.pieces
            .as_ref()
            .is_some_and(|pieces| pieces.match_value(value))
    }
}

/// Additional capacity for a value that has grown, and for the first value, in bytes.
const SPARE: usize = 128;
