//! The objects that a value consists of. The same objects in the same places have the same JSON.
//!
//! Text and numbers are immutable, so the same object is the same value; lists and dicts are
//! compared item by item. A value that contains another object, such as an instance of a subclass,
//! has no pieces. Text and numbers are kept alive, so that another object at the same address
//! cannot be mistaken for one of them.

use core::slice;

use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::MAX_DEPTH;

/// The pieces of one value in depth-first order: a dict before its keys, a key before its value.
#[derive(Default)]
pub(crate) struct Pieces(Vec<Piece>);

pub(crate) enum Piece {
    /// Text, a number or a constant.
    Scalar(Py<PyAny>),
    /// A list, with the number of its items, which follow.
    List(usize),
    /// A dict, with the number of its keys, which follow, each before its value.
    Dict(usize),
}

impl Pieces {
    /// Creates an empty list of pieces with capacity for `len`.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// Returns the pieces of a value, or `None` if the value could change undetected.
    pub(crate) fn of(value: &Bound<'_, PyAny>) -> Option<Self> {
        let mut pieces = Self::default();
        pieces.add_all(value, 0).then_some(pieces)
    }

    /// Adds text, a number or a constant.
    pub(crate) fn add(&mut self, scalar: &Bound<'_, PyAny>) {
        self.0.push(Piece::Scalar(scalar.clone().unbind()));
    }

    /// Adds a list or dict whose items are added next.
    pub(crate) fn open(&mut self) -> Opened {
        self.0.push(Piece::List(0));
        Opened(self.0.len() - 1)
    }

    /// Sets the kind and the length of a list or dict whose items were added.
    pub(crate) fn close(&mut self, opened: Opened, container: Piece) {
        self.0[opened.0] = container;
    }

    /// Returns true if a value consists of the same objects, so that its JSON is the same.
    pub(crate) fn match_value(&self, value: &Bound<'_, PyAny>) -> bool {
        let mut remaining = Remaining(self.0.iter());
        remaining.matches(value) && remaining.0.as_slice().is_empty()
    }

    fn add_all(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if is_scalar(value) {
            self.add(value);
            return true;
        }
        if depth == MAX_DEPTH {
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

/// The pieces that were not compared yet.
struct Remaining<'p>(slice::Iter<'p, Piece>);

impl Remaining<'_> {
    /// Returns true if the next pieces are those of a value.
    #[inline]
    fn matches(&mut self, value: &Bound<'_, PyAny>) -> bool {
        match self.0.next() {
            Some(Piece::Scalar(scalar)) => scalar.is(value),
            Some(Piece::List(len)) => self.matches_items(value, *len),
            Some(Piece::Dict(len)) => self.matches_pairs(value, *len),
            None => false,
        }
    }

    fn matches_items(&mut self, value: &Bound<'_, PyAny>, len: usize) -> bool {
        value
            .cast_exact::<PyList>()
            .is_ok_and(|list| len == list.len() && list.iter().all(|item| self.matches(&item)))
    }

    fn matches_pairs(&mut self, value: &Bound<'_, PyAny>, len: usize) -> bool {
        value.cast_exact::<PyDict>().is_ok_and(|dict| {
            len == dict.len()
                && dict
                    .iter()
                    .all(|(key, value)| self.matches(&key) && self.matches(&value))
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
