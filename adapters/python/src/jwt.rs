//! `sessile.jwt`: tokens that are signed, verified and revoked.
//!
//! The arguments are checked in Python, by `sessile._jwt_settings`. The exceptions are Python
//! classes with several bases, in `sessile._jwt_errors`.

mod keys;
mod revocations;
mod signing;
mod verifier;

pub(crate) use revocations::Revocations;
pub(crate) use signing::sign;
pub(crate) use verifier::{TokenName, Verifier, read};

use pyo3::{exceptions::PyValueError, prelude::*};
use sessile_jwt::Algorithm;

/// Returns the algorithm of a name; `setting` is the name of the argument in the error.
fn algorithm(setting: &str, name: &str) -> PyResult<Algorithm> {
    name.parse().map_err(|_| {
        // Another text may be a secret: the arguments may have been swapped.
        let is_name = name.len() <= 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let given = match is_name {
            true => format!("{name:?}"),
            false => format!("a text of {} bytes", name.len()),
        };
        PyValueError::new_err(format!(
            "`{setting}` must be HS256, HS384, HS512, RS256, ES256 or EdDSA, got {given}"
        ))
    })
}

/// Returns an exception of `sessile._jwt_errors`.
fn exception(class: &str, text: &str, attributes: &[(&str, &str)]) -> PyErr {
    Python::attach(|py| {
        let made = py.import("sessile._jwt_errors").and_then(|module| {
            let error = module.getattr(class)?.call1((text,))?;
            for (name, value) in attributes {
                error.setattr(*name, *value)?;
            }
            Ok(PyErr::from_value(error))
        });
        made.unwrap_or_else(|error| error)
    })
}

/// Returns the exception for a key that cannot be used. The text contains no key.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn key_error(error: impl ToString) -> PyErr {
    exception("JWKError", &format!("`key`: {}", error.to_string()), &[])
}
