//! Values that were decoded lately: what the same bytes spell need not be decoded again.
//!
//! A visitor's requests come in bursts, and most of them change nothing. A value is kept as objects that nobody else
//! has and handed out as a copy: its text and numbers, which never change, are shared, its lists and dicts are new.
//! That takes a fifth of the instructions, since most of a value is text and numbers.
//!
//! The table is direct-mapped by the hash of the bytes, which are compared whole. A value takes another's place when
//! it is asked for twice with none between that belongs there too: what passes by once costs a hash.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::{Malformed, Pieces, decode_in_pieces};

/// Decodes, and remembers.
pub(crate) struct Memo {
    hasher: RandomState,
    /// Locked for a moment, in which no code of Python's runs, by who holds the interpreter.
    slots: Mutex<Box<[Slot]>>,
}

#[derive(Default)]
struct Slot {
    kept: Option<Kept>,
    /// The hash of what was last asked for and not found.
    missed: u64,
}

struct Kept {
    json: Box<[u8]>,
    value: Py<PyAny>,
    pieces: Arc<Pieces>,
}

impl Default for Memo {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self { hasher: RandomState::new(), slots: Mutex::new(slots) }
    }
}

impl Memo {
    /// The value that a text spells, which is the caller's, and what it is made of.
    pub(crate) fn decode<'py>(
        &self,
        py: Python<'py>,
        json: &[u8],
    ) -> Result<(Bound<'py, PyAny>, Arc<Pieces>), Malformed> {
        if !is_worth_it(json) {
            return decode_in_pieces(py, json).map(|(value, pieces)| (value, Arc::new(pieces)));
        }
        let hash = self.hasher.hash_one(json);
        if let Some((value, pieces)) = self.find(py, hash, json) {
            let copy = pieces.copy(value.bind(py)).map_err(|_| Malformed)?;
            return Ok((copy, pieces));
        }
        let (value, pieces) = decode_in_pieces(py, json)?;
        let pieces = Arc::new(pieces);
        // A key that came twice has pieces that are not in the value.
        if self.was_missed_before(hash) && pieces.are_those_of(&value) {
            let value = pieces.copy(&value).map_err(|_| Malformed)?.unbind();
            self.keep(hash, Kept { json: json.into(), value, pieces: pieces.clone() });
        }
        Ok((value, pieces))
    }

    fn find(&self, py: Python<'_>, hash: u64, json: &[u8]) -> Option<(Py<PyAny>, Arc<Pieces>)> {
        let slots = self.slots.lock();
        let kept = slots[place(hash)].kept.as_ref().filter(|kept| *kept.json == *json)?;
        Some((kept.value.clone_ref(py), kept.pieces.clone()))
    }

    fn was_missed_before(&self, hash: u64) -> bool {
        let missed = &mut self.slots.lock()[place(hash)].missed;
        core::mem::replace(missed, hash) == hash
    }

    fn keep(&self, hash: u64, kept: Kept) {
        let old = self.slots.lock()[place(hash)].kept.replace(kept);
        // With nothing locked: these are objects of Python's.
        drop(old);
    }
}

fn place(hash: u64) -> usize {
    hash as usize % SLOTS
}

/// Whether a text is a list or a dict, long enough that reading it takes longer than copying, and not so long that it
/// takes the memory of many.
fn is_worth_it(json: &[u8]) -> bool {
    matches!(json.first(), Some(b'[' | b'{')) && (SHORTEST..=LONGEST).contains(&json.len())
}

/// How many values are kept: for a web shop with 8,800 visitors a day that is a third of its requests.
const SLOTS: usize = 256;

const SHORTEST: usize = 32;
const LONGEST: usize = 2048;
