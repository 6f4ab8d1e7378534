//! From what an application calls its secret to the keys that sign cookies.
//!
//! Owns the two ways in: `secret_key`, a text of any kind as Starlette takes it, and `keys`, base64 as the
//! engine's own. Both are refused when they are short, guessable or published. It does not know what is signed.

use core::ffi::CStr;

use pyo3::{
    exceptions::{PyTypeError, PyUserWarning, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};
use sessile::KeyRing;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

type Secret = Zeroizing<Vec<u8>>;

/// What was given of them.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, 'py> {
    pub(crate) secret_key: Option<&'a Bound<'py, PyAny>>,
    pub(crate) keys: Option<&'a Bound<'py, PyAny>>,
    pub(crate) insecure_dev_key: bool,
}

/// The ring that the arguments spell; the environment's if there are none.
pub(crate) fn ring(py: Python<'_>, given: Given<'_, '_>) -> PyResult<KeyRing> {
    if given.insecure_dev_key {
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), DEVELOPMENT, 1)?;
    }
    match (given.secret_key, given.keys) {
        (Some(_), Some(_)) => {
            Err(PyValueError::new_err("`secret_key` and `keys` were both given; give one of them"))
        }
        (Some(secret), None) if given.insecure_dev_key => insecure(&secrets("secret_key", secret)?),
        (None, None) if given.insecure_dev_key => KeyRing::generate().map_err(refused("keys")),
        (Some(secret), None) => from_bytes("secret_key", &secrets("secret_key", secret)?),
        (None, Some(keys)) => base64(&secrets("keys", keys)?),
        (None, None) => KeyRing::from_env(VARIABLE).map_err(|error| {
            PyValueError::new_err(format!("neither `secret_key` nor `keys` was given, and {error}"))
        }),
    }
}

/// Secrets as bytes, from one or a list of them, each a `str`, `bytes`, or what gives its text by `str()` as
/// Starlette's `Secret` does.
pub(crate) fn secrets(setting: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<Secret>> {
    let is_list = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
    let items =
        if is_list { given.try_iter()?.collect::<PyResult<_>>()? } else { vec![given.clone()] };
    items.iter().map(|item| secret(setting, item)).collect()
}

fn secret(setting: &str, given: &Bound<'_, PyAny>) -> PyResult<Secret> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Zeroizing::new(bytes.as_bytes().to_vec()));
    }
    let is_text = given.is_instance_of::<PyString>() || given.get_type().name()? == "Secret";
    if !is_text {
        let name = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "`{setting}` was a {name}; it must be str, bytes, a Secret, or a list of those"
        )));
    }
    let text = given.str()?;
    let text =
        text.to_str().map_err(|_| PyValueError::new_err(format!("`{setting}` was no text")))?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

fn from_bytes(setting: &'static str, secrets: &[Secret]) -> PyResult<KeyRing> {
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_slice()).collect();
    KeyRing::from_bytes(&secrets).map_err(refused(setting))
}

/// Keys as `SESSILE_KEYS` has them, or as a list.
fn base64(keys: &[Secret]) -> PyResult<KeyRing> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
    let text = Zeroizing::new(keys.join(&b","[..]));
    let text = core::str::from_utf8(&text)
        .map_err(|_| PyValueError::new_err("`keys` was no text; it must be base64"))?;
    KeyRing::from_base64(text).map_err(refused("keys"))
}

/// Keys from secrets that are not fit to be any.
fn insecure(secrets: &[Secret]) -> PyResult<KeyRing> {
    let hash = |secret: &Secret| {
        Zeroizing::new(
            Sha256::new().chain_update(INSECURE).chain_update(secret).finalize().to_vec(),
        )
    };
    from_bytes("secret_key", &secrets.iter().map(hash).collect::<Vec<_>>())
}

fn refused(setting: &'static str) -> impl Fn(sessile::KeyError) -> PyErr {
    move |error| PyValueError::new_err(format!("`{setting}`: {error}"))
}

const DEVELOPMENT: &CStr =
    c"`insecure_dev_key` is set: whoever guesses the key signs in as anybody. For development only";

const VARIABLE: &str = "SESSILE_KEYS";

const INSECURE: &[u8] = b"sessile insecure_dev_key";
