//! Converts an application's secrets to the keys that sign cookies.
//!
//! Owns the two settings: `secret_key`, text or bytes as Starlette accepts them, and `keys`, base64
//! as the engine accepts it. Short, guessable and published secrets are rejected. It does not know
//! what is signed.

use core::ffi::CStr;

use pyo3::{
    exceptions::{PyTypeError, PyUserWarning, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};
use sessile::{KeyError, KeyRing};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

type Secret = Zeroizing<Vec<u8>>;

/// The settings that define the keys.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, 'py> {
    pub(crate) secret_key: Option<&'a Bound<'py, PyAny>>,
    pub(crate) keys: Option<&'a Bound<'py, PyAny>>,
    pub(crate) insecure_dev_key: bool,
}

impl Given<'_, '_> {
    /// Returns the name of the setting that was given, or of the environment variable.
    pub(crate) fn setting(&self) -> &'static str {
        match (self.secret_key, self.keys) {
            (Some(_), _) => "secret_key",
            (None, None) if !self.insecure_dev_key => ENVIRONMENT_VARIABLE,
            _ => "keys",
        }
    }
}

/// Returns the key ring of the settings, or of the environment if neither is given.
pub(crate) fn ring(py: Python<'_>, given: Given<'_, '_>) -> PyResult<KeyRing> {
    if given.insecure_dev_key {
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), DEVELOPMENT_WARNING, 1)?;
    }
    match (given.secret_key, given.keys) {
        (Some(_), Some(_)) => Err(PyValueError::new_err(
            "one of `secret_key` and `keys` must be given, got both",
        )),
        (Some(secret), None) if given.insecure_dev_key => insecure(&secrets("secret_key", secret)?),
        (None, None) if given.insecure_dev_key => KeyRing::generate().map_err(rejected("keys")),
        (Some(secret), None) => from_bytes("secret_key", &secrets("secret_key", secret)?),
        (None, Some(keys)) => base64(&secrets("keys", keys)?),
        (None, None) => KeyRing::from_env(ENVIRONMENT_VARIABLE).map_err(|error| match error {
            KeyError::Unset { .. } => PyValueError::new_err(format!(
                "`secret_key` or `keys` must be given, got neither: {error}"
            )),
            error => rejected(ENVIRONMENT_VARIABLE)(error),
        }),
    }
}

/// Returns secrets as bytes, from one secret or a list. Each is a `str`, `bytes` or Starlette's
/// `Secret`, whose text is read with `str()`.
pub(crate) fn secrets(setting: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<Secret>> {
    let is_list = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
    let items = if is_list {
        given.try_iter()?.collect::<PyResult<_>>()?
    } else {
        vec![given.clone()]
    };
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
            "`{setting}` must be str, bytes, a Secret, or a list of those, got {name}"
        )));
    }
    let text = given.str()?;
    let text = text.to_str().map_err(|_| {
        PyValueError::new_err(format!(
            "`{setting}` must be valid Unicode, got a lone surrogate"
        ))
    })?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

fn from_bytes(setting: &'static str, secrets: &[Secret]) -> PyResult<KeyRing> {
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_slice()).collect();
    KeyRing::from_bytes(&secrets).map_err(rejected(setting))
}

/// Parses keys in the format of `SESSILE_KEYS`, or a list of them.
fn base64(keys: &[Secret]) -> PyResult<KeyRing> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
    let text = Zeroizing::new(keys.join(&b","[..]));
    let text = core::str::from_utf8(&text).map_err(|_| {
        PyValueError::new_err("`keys` must be base64, got bytes that are not UTF-8")
    })?;
    KeyRing::from_base64(text).map_err(rejected("keys"))
}

/// Derives keys from secrets that are too weak to be keys.
fn insecure(secrets: &[Secret]) -> PyResult<KeyRing> {
    let hash = |secret: &Secret| {
        Zeroizing::new(
            Sha256::new()
                .chain_update(DERIVATION_PREFIX)
                .chain_update(secret)
                .finalize()
                .to_vec(),
        )
    };
    from_bytes("secret_key", &secrets.iter().map(hash).collect::<Vec<_>>())
}

/// Returns the exception for keys that were rejected.
pub(crate) fn rejected(setting: &'static str) -> impl Fn(KeyError) -> PyErr {
    move |error| PyValueError::new_err(format!("`{setting}`: {error}"))
}

/// Returns the text of an error of the engine, with `keys` replaced by the name of the setting.
pub(crate) fn with_setting(error: &impl ToString, setting: &str) -> String {
    error.to_string().replace("`keys`", &format!("`{setting}`"))
}

const DEVELOPMENT_WARNING: &CStr =
    c"`insecure_dev_key` is set: an attacker who guesses the key can sign in as any user. For \
        development only";

const ENVIRONMENT_VARIABLE: &str = "SESSILE_KEYS";

const DERIVATION_PREFIX: &[u8] = b"sessile insecure_dev_key";
