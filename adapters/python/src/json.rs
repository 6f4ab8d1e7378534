//! Values of Python to JSON and back: what a session may hold.
//!
//! Follows the standard library's `json` in what it takes (tuples are lists, keys that are numbers become text,
//! subclasses are asked for their items) and is stricter where that writes what is not JSON: `NaN` and infinities are
//! rejected. Values may hold lone surrogates, as there; keys may not, at any depth, since those of a session are
//! UTF-8. One value has one spelling, so that equal values have equal bytes.
//!
//! It knows no session.

mod decode;
mod encode;
mod pieces;

pub(crate) use decode::{Malformed, decode, decode_in_pieces};
pub(crate) use encode::{Encoder, Fault, key_text, with_own_keys};
pub(crate) use pieces::Pieces;

use pyo3::prelude::*;

use crate::errors::wrong;

/// Returns a value as JSON, as a session stores it.
#[pyfunction]
#[pyo3(name = "_to_json")]
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match Encoder::new(0, usize::MAX).encode(value) {
        Err(fault) if fault.needs_copies() => {
            Ok(Encoder::copying(0, usize::MAX).encode(value)?.to_vec())
        }
        json => Ok(json?.to_vec()),
    }
}

/// Returns the value of a JSON text, as a session reads it.
#[pyfunction]
#[pyo3(name = "_from_json")]
pub(crate) fn from_json<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode(py, json).map_err(|Malformed| wrong("not JSON, or nested too deep"))
}

/// How deep lists and dicts may nest: as deep as `serde_json` reads.
const DEEPEST: usize = 127;
