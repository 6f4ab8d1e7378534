//! Arguments whose errors name the argument, the expected values and the given value.
//!
//! PyO3 converts arguments before the function runs, and its errors name only some of them. An
//! [`Argument`] accepts any object; [`named`](Argument::named) returns its value or the error.

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyInt,
};

use crate::clock::ManualClock;

/// An argument of type `T`, or an object that cannot be converted to one.
pub(crate) enum Argument<T> {
    Value(T),
    Rejected {
        /// The `repr` of the object.
        given: String,
        /// True if the object is an `int`.
        is_whole: bool,
    },
}

/// A type of arguments, with its description in errors.
pub(crate) trait Expected: for<'a, 'py> FromPyObject<'a, 'py> {
    const EXPECTED: &str;
    /// True if a rejected `int` is out of range, a `ValueError`, and not a `TypeError`.
    const IS_WHOLE: bool = false;
}

impl<T: Expected> Argument<T> {
    /// Returns the value; `name` is the argument's name in the error.
    pub(crate) fn named(self, name: &str) -> PyResult<T> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Rejected { given, is_whole } => {
                let text = format!("`{name}` must be {}, got {given}", T::EXPECTED);
                Err(if is_whole && T::IS_WHOLE {
                    PyValueError::new_err(text)
                } else {
                    PyTypeError::new_err(text)
                })
            }
        }
    }
}

impl<'a, 'py, T: Expected> FromPyObject<'a, 'py> for Argument<T> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match given.extract::<T>() {
            Ok(value) => Ok(Self::Value(value)),
            Err(_) => {
                let is_whole = given.is_instance_of::<PyInt>();
                Ok(Self::Rejected {
                    given: given.repr()?.to_string(),
                    is_whole,
                })
            }
        }
    }
}

impl Expected for usize {
    const EXPECTED: &str = "a whole number, 0 or more";
    const IS_WHOLE: bool = true;
}

impl Expected for u8 {
    const EXPECTED: &str = "a whole number, 0 to 255";
    const IS_WHOLE: bool = true;
}

impl Expected for f64 {
    const EXPECTED: &str = "a number of seconds";
}

impl Expected for bool {
    const EXPECTED: &str = "True or False";
}

impl Expected for String {
    const EXPECTED: &str = "a str";
}

impl Expected for Py<ManualClock> {
    const EXPECTED: &str = "a ManualClock";
}
