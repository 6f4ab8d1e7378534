//! The objects that a value consists of. If they are the same objects in the same places, its JSON is unchanged.
//!
//! Text and numbers are immutable, so the same object is the same value; lists and dicts are compared item by item. A
//! value that contains another object, such as an instance of a subclass, has no pieces. Text and numbers are kept
//! alive, so that a later object at the same address is not mistaken for one.

use core::slice;

use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::DEEPEST;

/// The pieces of one value, from the outside in: a dict before its keys, a key before its value.
#[derive(Default)]
pub(crate) struct Pieces(Vec<Piece>);

pub(crate) enum Piece {
    /// Text, a number or a constant.
    Scalar(Py<PyAny>),
    /// A list of that number of items, which follow.
    List(usize),
    /// A dict of that number of keys, which follow, each before its value.
    Dict(usize),
}

impl Pieces {
    /// Creates an empty list of pieces with capacity for `len`.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// Returns the pieces of a value, or `None` if it could change undetected.
    pub(crate) fn of(value: &Bound<'_, PyAny>) -> Option<Self> {
        let mut pieces = Self::default();
        pieces.add_all(value, 0).then_some(pieces)
    }

    /// Adds text, a number or a constant.
    pub(crate) fn add(&mut self, scalar: &Bound<'_, PyAny>) {
        self.0.push(Piece::Scalar(scalar.clone().unbind()));
    }

    /// Adds a list or dict whose items come next.
    pub(crate) fn open(&mut self) -> Opened {
        self.0.push(Piece::List(0));
        Opened(self.0.len() - 1)
    }

    /// Sets the kind and the length of a list or dict whose items were added.
    pub(crate) fn close(&mut self, opened: Opened, container: Piece) {
        self.0[opened.0] = container;
    }

    /// Returns true if a value consists of the same objects, so that its JSON is the same.
    pub(crate) fn are_those_of(&self, value: &Bound<'_, PyAny>) -> bool {
        let mut rest = Rest(self.0.iter());
        rest.begins_with(value) && rest.0.as_slice().is_empty()
    }

    fn add_all(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if is_scalar(value) {
            self.add(value);
            return true;
        }
        if depth == DEEPEST {
            return false;
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.0.push(Piece::Dict(dict.len()));
            return dict.iter().all(|(key, value)| {
                self.add(&key);
                key.is_exact_instance_of::<PyString>() && self.add_all(&value, depth + 1)
            });
        }
        value.cast_exact::<PyList>().is_ok_and(|list| {
            self.0.push(Piece::List(list.len()));
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
    /// Returns true if the next pieces are those of a value.
    #[inline]
    fn begins_with(&mut self, value: &Bound<'_, PyAny>) -> bool {
        match self.0.next() {
            Some(Piece::Scalar(scalar)) => scalar.is(value),
            Some(Piece::List(len)) => self.begins_with_items(value, *len),
            Some(Piece::Dict(len)) => self.begins_with_pairs(value, *len),
            None => false,
        }
    }

    fn begins_with_items(&mut self, value: &Bound<'_, PyAny>, len: usize) -> bool {
        value
            .cast_exact::<PyList>()
            .is_ok_and(|list| len == list.len() && list.iter().all(|item| self.begins_with(&item)))
    }

    fn begins_with_pairs(&mut self, value: &Bound<'_, PyAny>, len: usize) -> bool {
        value.cast_exact::<PyDict>().is_ok_and(|dict| {
            len == dict.len()
                && dict
                    .iter()
                    .all(|(key, value)| self.begins_with(&key) && self.begins_with(&value))
        })
    }
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}
