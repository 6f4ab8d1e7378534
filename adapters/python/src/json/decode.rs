//! Bytes to a value of Python, in one pass.

use core::str;

use memchr::memchr2;
use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::{DEEPEST, Pieces};

/// The bytes are no JSON, or hold what no session may.
#[derive(Debug)]
pub(crate) struct Malformed;

type Result<T> = core::result::Result<T, Malformed>;

/// The value that a text spells, blanks around it aside. Of a key that comes twice the last one counts.
pub(crate) fn decode<'py>(py: Python<'py>, json: &[u8]) -> Result<Bound<'py, PyAny>> {
    decode_in_pieces(py, json).map(|(value, _)| value)
}

/// The same, and what it is made of.
pub(crate) fn decode_in_pieces<'py>(
    py: Python<'py>,
    json: &[u8],
) -> Result<(Bound<'py, PyAny>, Pieces)> {
    let mut reader = Reader { py, json, at: 0, keys: Vec::new(), pieces: Pieces::default() };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at == json.len() { Ok((value, reader.pieces)) } else { Err(Malformed) }
}

struct Reader<'py, 'j> {
    py: Python<'py>,
    json: &'j [u8],
    at: usize,
    /// Some keys that were read: lists mostly hold dicts of the same keys.
    keys: Vec<(&'j [u8], Bound<'py, PyString>)>,
    /// What was read. Of a key that comes twice there are too many, which only means that its dict differs from them.
    pieces: Pieces,
}

impl<'py, 'j> Reader<'py, 'j> {
    fn value(&mut self, depth: usize) -> Result<Bound<'py, PyAny>> {
        self.skip_blanks();
        let scalar = match self.peek()? {
            b'{' => return self.dict(depth + 1).map(Bound::into_any),
            b'[' => return self.list(depth + 1).map(Bound::into_any),
            b'"' => self.string().map(Bound::into_any),
            b't' => self.word(b"true").map(|()| self.bool(true)),
            b'f' => self.word(b"false").map(|()| self.bool(false)),
            b'n' => self.word(b"null").map(|()| self.py.None().into_bound(self.py)),
            _ => self.number(),
        }?;
        self.pieces.add(&scalar);
        Ok(scalar)
    }

    fn dict(&mut self, depth: usize) -> Result<Bound<'py, PyDict>> {
        self.open(depth)?;
        let dict = PyDict::new(self.py);
        let opened = self.pieces.open(self.py);
        if self.closes(b'}')? {
            self.pieces.close(opened, &dict, 0);
            return Ok(dict);
        }
        loop {
            self.skip_blanks();
            let key = self.key()?;
            self.pieces.add(&key);
            self.skip_blanks();
            self.word(b":")?;
            let value = self.value(depth)?;
            dict.set_item(key, value).map_err(|_| Malformed)?;
            if self.ends(b'}')? {
                self.pieces.close(opened, &dict, dict.len());
                return Ok(dict);
            }
        }
    }

    fn key(&mut self) -> Result<Bound<'py, PyString>> {
        let start = self.at;
        let rest = &self.json[start..];
        for (spelling, key) in &self.keys {
            if rest.starts_with(spelling) {
                self.at += spelling.len();
                return Ok(key.clone());
            }
        }
        let key = self.string()?;
        if self.keys.len() < KEYS {
            self.keys.push((&self.json[start..self.at], key.clone()));
        }
        Ok(key)
    }

    fn list(&mut self, depth: usize) -> Result<Bound<'py, PyList>> {
        self.open(depth)?;
        let opened = self.pieces.open(self.py);
        let mut items = Vec::new();
        if !self.closes(b']')? {
            loop {
                items.push(self.value(depth)?);
                if self.ends(b']')? {
                    break;
                }
            }
        }
        let len = items.len();
        let list = PyList::new(self.py, items).map_err(|_| Malformed)?;
        self.pieces.close(opened, &list, len);
        Ok(list)
    }

    fn string(&mut self) -> Result<Bound<'py, PyString>> {
        self.word(b"\"")?;
        let rest = &self.json[self.at..];
        let end = memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
        let plain = plain(&rest[..end])?;
        if rest[end] == b'"' {
            self.at += end + 1;
            return Ok(PyString::new(self.py, plain));
        }
        self.escaped()
    }

    /// A string with escapes, its opening quote behind us.
    fn escaped(&mut self) -> Result<Bound<'py, PyString>> {
        let mut text = Text::default();
        loop {
            let rest = &self.json[self.at..];
            let end = memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
            text.bytes.extend_from_slice(plain(&rest[..end])?.as_bytes());
            self.at += end + 1;
            if rest[end] == b'"' {
                return text.finish(self.py);
            }
            let escape = self.next()?;
            match unescape(escape) {
                Some(byte) => text.bytes.push(byte),
                None if escape == b'u' => self.code_point(&mut text)?,
                None => return Err(Malformed),
            }
        }
    }

    /// `\u` is behind us; a pair of surrogates is one code point, a lone one stands for itself.
    fn code_point(&mut self, text: &mut Text) -> Result<()> {
        let unit = self.unit()?;
        let is_high = (0xD800..0xDC00).contains(&unit);
        if is_high && self.json[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.unit()?;
            if (0xDC00..0xE000).contains(&low) {
                text.push(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                return Ok(());
            }
            self.at = before;
        }
        text.push(unit);
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32> {
        let digits = self.json[self.at..].first_chunk::<4>().ok_or(Malformed)?;
        self.at += digits.len();
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(Malformed)?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Bound<'py, PyAny>> {
        let rest = &self.json[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let len = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let text = str::from_utf8(&rest[..len]).map_err(|_| Malformed)?;
        let is_whole = whole(text)?;
        self.at += len;
        if !is_whole {
            let float: f64 = text.parse().map_err(|_| Malformed)?;
            let float = Some(float).filter(|float| float.is_finite()).ok_or(Malformed)?;
            return Ok(PyFloat::new(self.py, float).into_any());
        }
        match text.parse::<i64>() {
            Ok(int) => Ok(PyInt::new(self.py, int).into_any()),
            // Longer than a word: Python reads it, up to the most digits that it takes.
            Err(_) => self.py.get_type::<PyInt>().call1((text,)).map_err(|_| Malformed),
        }
    }

    /// Behind the bracket that opens a dict or list.
    fn open(&mut self, depth: usize) -> Result<()> {
        self.at += 1;
        if depth > DEEPEST { Err(Malformed) } else { Ok(()) }
    }

    /// Whether it is empty; then behind its end.
    fn closes(&mut self, bracket: u8) -> Result<bool> {
        self.skip_blanks();
        let closes = self.peek()? == bracket;
        self.at += usize::from(closes);
        Ok(closes)
    }

    /// Behind the bracket that ends it, or the comma before the next item.
    fn ends(&mut self, bracket: u8) -> Result<bool> {
        self.skip_blanks();
        match self.next()? {
            b',' => Ok(false),
            byte if byte == bracket => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if !self.json[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn bool(&self, value: bool) -> Bound<'py, PyAny> {
        PyBool::new(self.py, value).to_owned().into_any()
    }

    fn next(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Result<u8> {
        self.json.get(self.at).copied().ok_or(Malformed)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.json.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// How many keys are kept while reading. Each has both of its quotes, so that none begins another.
const KEYS: usize = 8;

/// A string that is being read: UTF-8, but for surrogates, which are written as if they were characters.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    has_surrogates: bool,
}

impl Text {
    fn push(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(character) => {
                self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => {
                self.has_surrogates = true;
                let six_bits = |shift: u32| 0x80 | ((code_point >> shift) & 0x3F) as u8;
                let first = 0xE0 | (code_point >> 12) as u8;
                self.bytes.extend_from_slice(&[first, six_bits(6), six_bits(0)]);
            }
        }
    }

    fn finish<'py>(self, py: Python<'py>) -> Result<Bound<'py, PyString>> {
        if !self.has_surrogates {
            let text = str::from_utf8(&self.bytes).map_err(|_| Malformed)?;
            return Ok(PyString::new(py, text));
        }
        let bytes = PyBytes::new(py, &self.bytes);
        PyString::from_encoded_object(&bytes, Some(c"utf-8"), Some(c"surrogatepass"))
            .map_err(|_| Malformed)
    }
}

/// Text between escapes: UTF-8 without control characters.
fn plain(bytes: &[u8]) -> Result<&str> {
    // All of it is looked at, which the compiler does many bytes at a time.
    if bytes.iter().fold(false, |any, byte| any | (*byte < b' ')) {
        return Err(Malformed);
    }
    str::from_utf8(bytes).map_err(|_| Malformed)
}

fn unescape(escape: u8) -> Option<u8> {
    Some(match escape {
        b'"' | b'\\' | b'/' => escape,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// Whether it is a number without a fraction or an exponent; an error if it is none at all.
fn whole(text: &str) -> Result<bool> {
    let (digits, rest) = split_digits(text.strip_prefix('-').unwrap_or(text));
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(Malformed);
    }
    let mut tail = rest;
    if let Some(fraction) = tail.strip_prefix('.') {
        let (digits, after) = split_digits(fraction);
        if digits.is_empty() {
            return Err(Malformed);
        }
        tail = after;
    }
    if let Some(exponent) = tail.strip_prefix(['e', 'E']) {
        let (digits, after) = split_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
        if digits.is_empty() {
            return Err(Malformed);
        }
        tail = after;
    }
    if tail.is_empty() { Ok(rest.is_empty()) } else { Err(Malformed) }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}
