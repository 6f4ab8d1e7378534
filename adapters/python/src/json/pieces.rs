//! The objects that a value is made of: as long as the same ones stand at the same places, it is spelt as it was.
//!
//! What is in text and numbers never changes, and lists and dicts are looked into; a value that holds anything else,
//! such as an instance of a subclass, has no pieces. They are kept alive, so that none is taken for a later one at
//! its address.

use core::slice;

use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::DEEPEST;

/// The pieces of one value, from the outside in: a dict before its keys, a key before its value.
#[derive(Default)]
pub(crate) struct Pieces(Vec<Piece>);

struct Piece {
    object: Py<PyAny>,
    /// How many items follow that are in it; `None` if it is text, a number or a constant.
    len: Option<usize>,
}

impl Pieces {
    /// None, and room for so many.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// What a value is made of. `None` if it could change unseen.
    pub(crate) fn of(value: &Bound<'_, PyAny>) -> Option<Self> {
        let mut pieces = Self::default();
        pieces.add_all(value, 0).then_some(pieces)
    }

    /// Adds text, a number or a constant.
    pub(crate) fn add(&mut self, scalar: &Bound<'_, PyAny>) {
        self.0.push(Piece { object: scalar.clone().unbind(), len: None });
    }

    /// Adds a list or dict whose items come next.
    pub(crate) fn open(&mut self, container: &Bound<'_, PyAny>) -> Opened {
        self.0.push(Piece { object: container.clone().unbind(), len: Some(0) });
        Opened(self.0.len() - 1)
    }

    /// Says how many they were.
    pub(crate) fn close(&mut self, opened: Opened, len: usize) {
        self.0[opened.0].len = Some(len);
    }

    /// Whether a value is made of the same, so that its spelling is.
    pub(crate) fn are_those_of(&self, value: &Bound<'_, PyAny>) -> bool {
        Rest(self.0.iter()).begins_with(value)
    }

    /// For the collector of cycles.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|piece| visit.call(&piece.object))
    }

    fn add_all(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if is_scalar(value) {
            self.add(value);
            return true;
        }
        if depth == DEEPEST {
            return false;
        }
        let opened = self.open(value);
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.close(opened, dict.len());
            return dict.iter().all(|(key, value)| {
                self.add(&key);
                key.is_exact_instance_of::<PyString>() && self.add_all(&value, depth + 1)
            });
        }
        value.cast_exact::<PyList>().is_ok_and(|list| {
            self.close(opened, list.len());
            list.iter().all(|item| self.add_all(&item, depth + 1))
        })
    }
}

/// A list or dict whose items are being added.
#[derive(Clone, Copy)]
pub(crate) struct Opened(usize);

/// Pieces that were not compared yet.
struct Rest<'p>(slice::Iter<'p, Piece>);

impl Rest<'_> {
    /// Whether the next ones are a value's. An object that is the same has the same type.
    #[inline]
    fn begins_with(&mut self, value: &Bound<'_, PyAny>) -> bool {
        let piece = self.0.next().filter(|piece| piece.object.is(value));
        piece.is_some_and(|piece| piece.len.is_none_or(|len| self.begins_with_items(value, len)))
    }

    fn begins_with_items(&mut self, container: &Bound<'_, PyAny>, len: usize) -> bool {
        if let Ok(dict) = container.cast_exact::<PyDict>() {
            return len == dict.len()
                && dict
                    .iter()
                    .all(|(key, value)| self.begins_with(&key) && self.begins_with(&value));
        }
        container
            .cast_exact::<PyList>()
            .is_ok_and(|list| len == list.len() && list.iter().all(|item| self.begins_with(&item)))
    }
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}
