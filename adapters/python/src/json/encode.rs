//! Encodes Python values as JSON. The error for a value that JSON cannot hold names its place.

use core::fmt::Write as _;
use std::{borrow::Cow, io::Write as _};

use pyo3::{
    PyTypeInfo,
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};

use serde::Serialize;

use super::MAX_DEPTH;
use crate::errors::TooLarge;

/// The reason why JSON cannot hold a value, and the value's place in the session.
pub(crate) struct Fault {
    cause: Cause,
    /// From the value outwards.
    path: Vec<String>,
}

enum Cause {
    Type(String),
    Key(String),
    Surrogate,
    Number,
    Depth,
    TooLarge {
        /// A lower bound of the value's size, in bytes.
        len: usize,
        limit: usize,
    },
    /// The dicts must be copied first, because Python code may run and change them.
    NeedsCopies,
    Raised(PyErr),
}

type Result<T> = core::result::Result<T, Fault>;

/// Returns the text of a dict's key, as `json.dumps` writes it.
pub(crate) fn key_text<'k>(key: &'k Bound<'_, PyAny>) -> Result<Cow<'k, str>> {
    if let Ok(text) = key.cast::<PyString>() {
        return text.to_cow().map_err(|_| Cause::Surrogate.into());
    }
    if let Ok(float) = key.cast::<PyFloat>() {
        return float_key_text(float);
    }
    let is_scalar = key.is_none() || key.is_instance_of::<PyInt>();
    if !is_scalar {
        return Err(Cause::Key(type_name(key)).into());
    }
    let mut encoder = Encoder::copying(SPARE, usize::MAX);
    encoder.value(key, 0)?;
    Ok(String::from_utf8_lossy(&encoder.bytes).into_owned().into())
}

/// Returns the text of a float as a key. `NaN` and infinities are valid keys, because keys are
/// text.
fn float_key_text(float: &Bound<'_, PyFloat>) -> Result<Cow<'static, str>> {
    let number = float.value();
    Ok(if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity".into()
        } else {
            "-Infinity".into()
        }
    } else {
        own_repr::<PyFloat>(float)?.into()
    })
}

/// Returns a copy of a dict with the text of each key instead of the key. The last of several keys
/// with equal text counts, as in JSON. A subclass that is not empty is asked for its `items()`, as
/// the standard library does.
pub(crate) fn with_text_keys<'py>(dict: &Bound<'py, PyDict>) -> Result<Bound<'py, PyDict>> {
    if dict.is_empty() || dict.is_exact_instance_of::<PyDict>() {
        return with_own_keys(dict);
    }
    let texts = PyDict::new(dict.py());
    for item in dict.call_method0(intern!(dict.py(), "items"))?.try_iter()? {
        let item = item?;
        let pair = item.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let pair = pair.ok_or_else(|| PyValueError::new_err("`items()` must return pairs"))?;
        set_text(&texts, &pair.get_item(0)?, &pair.get_item(1)?)?;
    }
    Ok(texts)
}

/// Returns a copy of a dict with text as keys, ignoring the `items()` of a subclass.
pub(crate) fn with_own_keys<'py>(dict: &Bound<'py, PyDict>) -> Result<Bound<'py, PyDict>> {
    let texts = PyDict::new(dict.py());
    for item in dict.items() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        set_text(&texts, &key, &value)?;
    }
    Ok(texts)
}

fn set_text(
    texts: &Bound<'_, PyDict>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> Result<()> {
    if key.is_exact_instance_of::<PyString>() {
        texts.set_item(key, value)?;
    } else {
        texts.set_item(PyString::new(key.py(), &key_text(key)?), value)?;
    }
    Ok(())
}

/// Encodes values into one buffer, each value over the previous one.
///
/// Dicts are iterated without a copy while no Python code can run that could change them. If a
/// subclass must be asked for its items, [`Fault::needs_copies`] returns true, and a
/// [copying](Self::copying) encoder can encode the value.
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    /// The bytes of a surrogate that were read so far.
    surrogate: Vec<u8>,
    limit: usize,
    copies: bool,
}

impl Encoder {
    /// Creates an encoder with a buffer of `capacity` bytes. Encoding fails as soon as a value
    /// exceeds `limit` bytes.
    pub(crate) fn new(capacity: usize, limit: usize) -> Self {
        let bytes = Vec::with_capacity(capacity);
        Self {
            bytes,
            surrogate: Vec::new(),
            limit,
            copies: false,
        }
    }

    /// Creates an encoder that copies each dict before iterating it.
    pub(crate) fn copying(capacity: usize, limit: usize) -> Self {
        Self {
            copies: true,
            ..Self::new(capacity, limit)
        }
    }

    /// Returns the JSON of a value, valid until the next call.
    pub(crate) fn encode(&mut self, value: &Bound<'_, PyAny>) -> Result<&[u8]> {
        self.bytes.clear();
        self.value(value, 0)?;
        self.check_limit(0)?;
        Ok(&self.bytes)
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<()> {
        if let Ok(text) = value.cast::<PyString>() {
            self.string(text)
        } else if value.is_none() {
            self.push(b"null")
        } else if let Ok(bool) = value.cast::<PyBool>() {
            self.push(if bool.is_true() { b"true" } else { b"false" })
        } else if let Ok(int) = value.cast::<PyInt>() {
            self.int(int)
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.dict(dict, depth + 1)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.items(list.iter().map(Ok), depth + 1)
        } else if let Ok(float) = value.cast::<PyFloat>() {
            self.float(float.value())
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.items(tuple.iter().map(Ok), depth + 1)
        } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            self.need_copies()?;
            self.items(value.try_iter()?, depth + 1)
        } else {
            Err(Cause::Type(type_name(value)).into())
        }
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<()> {
        check_depth(depth)?;
        if self.copies {
            return self.pairs(&with_text_keys(dict)?, depth);
        }
        let is_plain = dict.is_exact_instance_of::<PyDict>()
            && dict
                .iter()
                .all(|(key, _)| key.is_exact_instance_of::<PyString>());
        if is_plain {
            self.pairs(dict, depth)
        } else {
            self.need_copies()
        }
    }

    fn pairs(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<()> {
        self.bytes.push(b'{');
        let mut is_first = true;
        for (key, value) in dict {
            self.comma(&mut is_first);
            self.key(&key).map_err(|fault| fault.at(&key))?;
            self.bytes.push(b':');
            self.value(&value, depth).map_err(|fault| fault.at(&key))?;
            self.check_limit(0)?;
        }
        self.push(b"}")
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> Result<()> {
        let text = key.cast::<PyString>().map_err(PyErr::from)?.to_str();
        let text = text.map_err(|_| Cause::Surrogate)?;
        self.check_limit(text.len())?;
        self.text(text);
        Ok(())
    }

    fn items<'py>(
        &mut self,
        items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
        depth: usize,
    ) -> Result<()> {
        check_depth(depth)?;
        self.bytes.push(b'[');
        let mut is_first = true;
        for (at, item) in items.enumerate() {
            self.comma(&mut is_first);
            self.value(&item?, depth)
                .map_err(|fault| fault.at_index(at))?;
            self.check_limit(0)?;
        }
        self.push(b"]")
    }

    fn need_copies(&self) -> Result<()> {
        if self.copies {
            Ok(())
        } else {
            Err(Cause::NeedsCopies.into())
        }
    }

    /// Fails if the value exceeds the limit with `more` bytes after the written ones.
    fn check_limit(&self, more: usize) -> Result<()> {
        let (len, limit) = (self.bytes.len().saturating_add(more), self.limit);
        if len > limit {
            Err(Cause::TooLarge { len, limit }.into())
        } else {
            Ok(())
        }
    }

    fn comma(&mut self, is_first: &mut bool) {
        if !core::mem::replace(is_first, false) {
            self.bytes.push(b',');
        }
    }

    fn int(&mut self, int: &Bound<'_, PyInt>) -> Result<()> {
        if let Ok(word) = int.extract::<i64>() {
            return self.number(&word);
        }
        self.need_copies()?;
        self.push(own_repr::<PyInt>(int)?.as_bytes())
    }

    fn float(&mut self, float: f64) -> Result<()> {
        if !float.is_finite() {
            return Err(Cause::Number.into());
        }
        self.number(&float)
    }

    /// Writes the shortest text that parses to the same number. A float has a fraction or an
    /// exponent.
    fn number(&mut self, number: &impl Serialize) -> Result<()> {
        // Writing to a `Vec` does not fail.
        let _ = serde_json::to_writer(&mut self.bytes, number);
        Ok(())
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> Result<()> {
        match text.to_str() {
            Ok(text) => {
                self.check_limit(text.len())?;
                self.text(text);
            }
            Err(_) => self.surrogates(text)?,
        }
        Ok(())
    }

    /// Writes a string with lone surrogates, which UTF-8 cannot encode, as escapes, as the standard
    /// library does. Calls `str.encode` and not the method of a subclass, so that no Python code
    /// runs.
    fn surrogates(&mut self, text: &Bound<'_, PyString>) -> Result<()> {
        let str_type = text.py().get_type::<PyString>();
        let bytes = str_type.call_method1(
            intern!(text.py(), "encode"),
            (text, "utf-8", "surrogatepass"),
        )?;
        self.bytes.push(b'"');
        for chunk in bytes
            .cast::<PyBytes>()
            .map_err(PyErr::from)?
            .as_bytes()
            .utf8_chunks()
        {
            self.escape(chunk.valid());
            // A surrogate has three bytes. Each of them ends a chunk.
            self.surrogate.extend_from_slice(chunk.invalid());
            if let [_, middle, last] = *self.surrogate {
                let unit = 0xD000 | u32::from(middle & 0x3F) << 6 | u32::from(last & 0x3F);
                let _ = write!(self.bytes, "\\u{unit:04x}");
                self.surrogate.clear();
            }
        }
        self.push(b"\"")
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'"');
        self.escape(text);
        self.bytes.push(b'"');
    }

    fn escape(&mut self, text: &str) {
        let bytes = text.as_bytes();
        // No early exit, so that the compiler vectorises the loop.
        if !bytes
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        let mut written = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if !is_special(*byte) {
                continue;
            }
            self.bytes.extend_from_slice(&bytes[written..at]);
            written = at + 1;
            match byte {
                b'"' | b'\\' => self.bytes.extend_from_slice(&[b'\\', *byte]),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                b'\r' => self.bytes.extend_from_slice(b"\\r"),
                b'\t' => self.bytes.extend_from_slice(b"\\t"),
                _ => {
                    let _ = write!(self.bytes, "\\u{byte:04x}");
                }
            }
        }
        self.bytes.extend_from_slice(&bytes[written..]);
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Fault {
    /// Returns the fault of a dict that must be copied before iterating it.
    pub(crate) fn new_needs_copies() -> Self {
        Cause::NeedsCopies.into()
    }

    /// Returns true if the value needs a copying encoder.
    pub(crate) fn needs_copies(&self) -> bool {
        matches!(self.cause, Cause::NeedsCopies)
    }

    /// Returns the engine's error if the value is longer than the limit.
    pub(crate) fn too_large(&self) -> Option<sessile::Error> {
        match self.cause {
            Cause::TooLarge { len, limit } => Some(sessile::Error::TooLarge {
                given: len,
                max: limit,
            }),
            _ => None,
        }
    }

    /// Returns the fault with `key` before its path.
    pub(crate) fn at(mut self, key: &Bound<'_, PyAny>) -> Self {
        let text = key
            .repr()
            .map_or_else(|_| "…".to_owned(), |text| text.to_string());
        self.path.push(text);
        self
    }

    fn at_index(mut self, index: usize) -> Self {
        self.path.push(index.to_string());
        self
    }

    fn place(&self) -> String {
        let mut place = "session".to_owned();
        for part in self.path.iter().rev() {
            let _ = write!(place, "[{part}]");
        }
        place
    }
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            path: Vec::new(),
        }
    }
}

impl From<PyErr> for Fault {
    fn from(raised: PyErr) -> Self {
        Cause::Raised(raised).into()
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        let place = fault.place();
        match fault.cause {
            Cause::Type(name) => PyTypeError::new_err(format!(
                "{place} must be text, a number, a list or a dict, got {name}, which JSON cannot hold"
            )),
            Cause::Key(name) => PyTypeError::new_err(format!(
                "keys of {place} must be text, got {name}, which JSON cannot hold"
            )),
            Cause::Surrogate => PyValueError::new_err(format!(
                "keys of {place} must be valid Unicode, got a lone surrogate, which UTF-8 cannot encode"
            )),
            Cause::TooLarge { limit, .. } => TooLarge::new_err(format!(
                "{place} must be at most {limit} bytes as JSON (`max_session_size`), got more"
            )),
            Cause::NeedsCopies => PyValueError::new_err(format!(
                "{place} must not be changed by another thread while it is read"
            )),
            Cause::Number => PyValueError::new_err(format!(
                "{place} must be a finite number, got NaN or infinity, which JSON cannot hold"
            )),
            Cause::Depth => PyValueError::new_err(format!(
                "a value must nest at most {MAX_DEPTH} lists and dicts, got more, or one that contains itself"
            )),
            Cause::Raised(raised) => {
                PyValueError::new_err(format!("{place} cannot be written as JSON: {raised}"))
            }
        }
    }
}

/// Returns the `repr` of type `T` for a value, ignoring that of a subclass.
fn own_repr<T: PyTypeInfo>(value: &Bound<'_, PyAny>) -> PyResult<String> {
    value
        .py()
        .get_type::<T>()
        .call_method1("__repr__", (value,))?
        .extract()
}

/// Returns true if a string must contain the byte as an escape.
fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Capacity for a key that is a number, in bytes.
const SPARE: usize = 32;

fn check_depth(depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        Err(Cause::Depth.into())
    } else {
        Ok(())
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "value".to_owned(), |name| name.to_string())
}
