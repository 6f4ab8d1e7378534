//! The objects that a value is made of: as long as the same ones stand at the same places, it is spelt as it was.
//!
//! What is in text and numbers never changes, and lists and dicts are looked into; a value that holds anything else,
//! such as an instance of a subclass, has no pieces. They are kept alive, so that none is taken for a later one at
//! its address.

use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::DEEPEST;

/// The pieces of one value, from the outside in: a dict before its keys, a key before its value.
#[derive(Default)]
pub(crate) struct Pieces {
    objects: Vec<Py<PyAny>>,
    /// The lengths of the lists and dicts among them.
    lens: Vec<usize>,
}

impl Pieces {
    /// What a value is made of. `None` if it could change unseen.
    pub(crate) fn of(value: &Bound<'_, PyAny>) -> Option<Self> {
        let mut pieces = Self::default();
        pieces.add_all(value, 0).then_some(pieces)
    }

    /// Adds text, a number or a constant.
    pub(crate) fn add(&mut self, scalar: &Bound<'_, PyAny>) {
        self.objects.push(scalar.clone().unbind());
    }

    /// Keeps the place of a list or dict, whose items come next.
    pub(crate) fn open(&mut self, py: Python<'_>) -> Opened {
        self.objects.push(py.None());
        self.lens.push(0);
        Opened { object: self.objects.len() - 1, len: self.lens.len() - 1 }
    }

    /// Adds it, and says how many items it has.
    pub(crate) fn close(&mut self, opened: Opened, container: &Bound<'_, PyAny>, len: usize) {
        self.objects[opened.object] = container.clone().unbind();
        self.lens[opened.len] = len;
    }

    /// Whether a value is made of the same, so that its spelling is.
    pub(crate) fn are_those_of(&self, value: &Bound<'_, PyAny>) -> bool {
        Rest { objects: &self.objects, lens: &self.lens }.begins_with(value)
    }

    /// For the collector of cycles.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.objects.iter().try_for_each(|object| visit.call(object))
    }

    fn add_all(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if is_scalar(value) {
            self.add(value);
            return true;
        }
        if depth == DEEPEST {
            return false;
        }
        let opened = self.open(value.py());
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.close(opened, value, dict.len());
            return dict.iter().all(|(key, value)| {
                self.add(&key);
                key.is_exact_instance_of::<PyString>() && self.add_all(&value, depth + 1)
            });
        }
        value.cast_exact::<PyList>().is_ok_and(|list| {
            self.close(opened, value, list.len());
            list.iter().all(|item| self.add_all(&item, depth + 1))
        })
    }
}

/// A list or dict whose items are being added.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    object: usize,
    len: usize,
}

/// Pieces that were not compared yet.
struct Rest<'p> {
    objects: &'p [Py<PyAny>],
    lens: &'p [usize],
}

impl Rest<'_> {
    /// Whether the next ones are a value's. An object that is the same has the same type.
    fn begins_with(&mut self, value: &Bound<'_, PyAny>) -> bool {
        if !self.begins_with_object(value) {
            return false;
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            return self.begins_with_len(dict.len())
                && dict
                    .iter()
                    .all(|(key, value)| self.begins_with_object(&key) && self.begins_with(&value));
        }
        value.cast_exact::<PyList>().map_or(true, |list| {
            self.begins_with_len(list.len()) && list.iter().all(|item| self.begins_with(&item))
        })
    }

    fn begins_with_object(&mut self, object: &Bound<'_, PyAny>) -> bool {
        self.objects.split_off_first().is_some_and(|known| known.is(object))
    }

    fn begins_with_len(&mut self, len: usize) -> bool {
        self.lens.split_off_first() == Some(&len)
    }
}

fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}
