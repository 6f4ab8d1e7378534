//! Conversion of the values of a session between Python and JSON.
//!
//! Accepts the same values as the standard library's `json`: tuples become lists, keys that are
//! numbers become text, and subclasses are asked for their items. It is stricter where the standard
//! library writes invalid JSON: `NaN` and infinities are rejected. Values may hold lone surrogates;
//! keys may not, at any depth, because the keys of a session are UTF-8. The encoding is canonical:
//! equal values have equal bytes.
//!
//! It does not know sessions.

mod decode;
mod encode;
mod pieces;

pub(crate) use decode::{Malformed, decode, decode_with_pieces};
pub(crate) use encode::{Encoder, Fault, key_text, with_own_keys};
pub(crate) use pieces::Pieces;

use pyo3::prelude::*;

use crate::errors::value_error;

/// Returns the JSON of a value, as a session stores it.
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
    decode(py, json).map_err(|Malformed| {
        value_error("the text must be JSON, nested at most 127 lists and dicts")
    })
}

/// The maximum nesting of lists and dicts, which is also the limit of `serde_json`.
const MAX_DEPTH: usize = 127;
