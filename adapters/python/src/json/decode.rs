//! Decodes JSON to a Python value, in one pass.

use core::str;

use memchr::memchr2;
use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString},
};

use super::{
    MAX_DEPTH,
    pieces::{Piece, Pieces},
};

/// The bytes are not JSON, or contain a value that a session cannot hold.
#[derive(Debug)]
pub(crate) struct Malformed;

type Result<T> = core::result::Result<T, Malformed>;

/// Returns the value of a JSON text, which whitespace may surround. The last of repeated keys
/// counts.
pub(crate) fn decode<'py>(py: Python<'py>, json: &[u8]) -> Result<Bound<'py, PyAny>> {
    decode_with_pieces(py, json).map(|(value, _)| value)
}

/// Returns the value of a JSON text, and the objects that it consists of.
pub(crate) fn decode_with_pieces<'py>(
    py: Python<'py>,
    json: &[u8],
) -> Result<(Bound<'py, PyAny>, Pieces)> {
    let mut reader = Reader::new(py, json)?;
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at == json.len() {
        Ok((value, reader.pieces))
    } else {
        Err(Malformed)
    }
}

struct Reader<'py, 'j> {
    py: Python<'py>,
    json: &'j str,
    at: usize,
    /// True if the text contains a control character, which strings must not contain.
    has_controls: bool,
    /// Recently read keys with their JSON. The dicts of a list mostly have the same keys in the
    /// same order.
    keys: Vec<(&'j [u8], Bound<'py, PyString>)>,
    /// The index of the key that is probably next.
    next_key: usize,
    /// The objects that were read. A repeated key adds too many: the comparison with the dict then
    /// fails, and the value is compared as JSON.
    pieces: Pieces,
}

impl<'py, 'j> Reader<'py, 'j> {
    fn new(py: Python<'py>, json: &'j [u8]) -> Result<Self> {
        Ok(Self {
            py,
            json: str::from_utf8(json).map_err(|_| Malformed)?,
            at: 0,
            // No early exit, so that the compiler vectorises the loop.
            has_controls: json.iter().fold(false, |any, byte| any | is_control(*byte)),
            keys: Vec::new(),
            next_key: 0,
            pieces: Pieces::with_capacity(json.len() / BYTES_PER_PIECE + 1),
        })
    }

    fn value(&mut self, depth: usize) -> Result<Bound<'py, PyAny>> {
        let scalar = match self.skip_blanks() {
            b'{' => return self.dict(depth + 1).map(Bound::into_any),
            b'[' => return self.list(depth + 1).map(Bound::into_any),
            b'"' => self.string().map(Bound::into_any),
            b't' => self.word("true").map(|()| self.bool(true)),
            b'f' => self.word("false").map(|()| self.bool(false)),
            b'n' => self
                .word("null")
                .map(|()| self.py.None().into_bound(self.py)),
            _ => self.number(),
        }?;
        self.pieces.add(&scalar);
        Ok(scalar)
    }

    fn dict(&mut self, depth: usize) -> Result<Bound<'py, PyDict>> {
        self.open(depth)?;
        let dict = PyDict::new(self.py);
        let opened = self.pieces.open();
        if self.skip_end(b'}') {
            self.pieces.close(opened, Piece::Dict(0));
            return Ok(dict);
        }
        loop {
            let key = self.key()?;
            self.pieces.add(&key);
            self.expect(b':')?;
            let value = self.value(depth)?;
            dict.set_item(key, value).map_err(|_| Malformed)?;
            if self.next_item(b'}')? {
                self.pieces.close(opened, Piece::Dict(dict.len()));
                return Ok(dict);
            }
        }
    }

    fn key(&mut self) -> Result<Bound<'py, PyString>> {
        self.skip_blanks();
        let start = self.at;
        let rest = &self.json.as_bytes()[start..];
        let mut likely = (self.next_key..self.keys.len()).chain(0..self.next_key);
        if let Some(at) = likely.find(|at| rest.starts_with(self.keys[*at].0)) {
            let (json, key) = &self.keys[at];
            self.at += json.len();
            self.next_key = at + 1;
            return Ok(key.clone());
        }
        let key = self.string()?;
        if self.keys.len() < MAX_KEYS {
            self.keys.push((&rest[..self.at - start], key.clone()));
        }
        Ok(key)
    }

    fn list(&mut self, depth: usize) -> Result<Bound<'py, PyList>> {
        self.open(depth)?;
        let list = PyList::empty(self.py);
        let opened = self.pieces.open();
        if self.skip_end(b']') {
            return Ok(list);
        }
        loop {
            let item = self.value(depth)?;
            list.append(item).map_err(|_| Malformed)?;
            if self.next_item(b']')? {
                self.pieces.close(opened, Piece::List(list.len()));
                return Ok(list);
            }
        }
    }

    fn string(&mut self) -> Result<Bound<'py, PyString>> {
        self.expect(b'"')?;
        let plain = self.plain()?;
        if self.next() == b'"' {
            return Ok(PyString::new(self.py, plain));
        }
        self.at -= 1 + plain.len();
        self.escaped()
    }

    /// Returns the text before the next quote or escape. Fails if there is neither.
    fn plain(&mut self) -> Result<&'j str> {
        let rest = &self.json.as_bytes()[self.at..];
        let end = memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
        if self.has_controls && rest[..end].iter().copied().any(is_control) {
            return Err(Malformed);
        }
        let text = &self.json[self.at..self.at + end];
        self.at += end;
        Ok(text)
    }

    /// Reads a string with escapes, after its opening quote.
    fn escaped(&mut self) -> Result<Bound<'py, PyString>> {
        let mut text = Text::default();
        loop {
            text.bytes.extend_from_slice(self.plain()?.as_bytes());
            if self.next() == b'"' {
                return text.finish(self.py);
            }
            let escape = self.next();
            match unescape(escape) {
                Some(byte) => text.bytes.push(byte),
                None if escape == b'u' => self.code_point(&mut text)?,
                None => return Err(Malformed),
            }
        }
    }

    /// Reads the digits after `\u`. A pair of surrogates is one code point; a lone surrogate is
    /// kept.
    fn code_point(&mut self, text: &mut Text) -> Result<()> {
        let unit = self.unit()?;
        let is_high = (0xD800..0xDC00).contains(&unit);
        if is_high && self.json.as_bytes()[self.at..].starts_with(b"\\u") {
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

    /// Reads four hexadecimal digits.
    fn unit(&mut self) -> Result<u32> {
        let digits = self.json.as_bytes()[self.at..]
            .first_chunk::<4>()
            .ok_or(Malformed)?;
        self.at += digits.len();
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(Malformed)?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Bound<'py, PyAny>> {
        let (len, is_whole) = number(&self.json.as_bytes()[self.at..])?;
        let text = &self.json[self.at..self.at + len];
        self.at += len;
        if !is_whole {
            let float: f64 = text.parse().map_err(|_| Malformed)?;
            let float = Some(float)
                .filter(|float| float.is_finite())
                .ok_or(Malformed)?;
            return Ok(PyFloat::new(self.py, float).into_any());
        }
        match text.parse::<i64>() {
            Ok(int) => Ok(PyInt::new(self.py, int).into_any()),
            // Out of the range of `i64`: Python parses it, up to its limit of digits.
            Err(_) => self
                .py
                .get_type::<PyInt>()
                .call1((text,))
                .map_err(|_| Malformed),
        }
    }

    /// Skips the bracket that opens a dict or list, and checks the depth.
    fn open(&mut self, depth: usize) -> Result<()> {
        self.at += 1;
        if depth > MAX_DEPTH {
            Err(Malformed)
        } else {
            Ok(())
        }
    }

    /// Skips the end of an empty list or dict. Returns true if it is there.
    fn skip_end(&mut self, bracket: u8) -> bool {
        let is_end = self.skip_blanks() == bracket;
        self.at += usize::from(is_end);
        is_end
    }

    /// Skips the comma before the next item, or the bracket that ends the list or dict. Returns
    /// true for the bracket.
    fn next_item(&mut self, bracket: u8) -> Result<bool> {
        self.skip_blanks();
        match self.next() {
            b',' => Ok(false),
            byte if byte == bracket => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.json.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn bool(&self, value: bool) -> Bound<'py, PyAny> {
        PyBool::new(self.py, value).to_owned().into_any()
    }

    /// Skips blanks and `byte`.
    fn expect(&mut self, byte: u8) -> Result<()> {
        self.skip_blanks();
        if self.next() == byte {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Returns the next byte, and skips it.
    fn next(&mut self) -> u8 {
        let byte = self.peek();
        self.at += usize::from(byte != END);
        byte
    }

    /// Skips blanks and returns the next byte.
    fn skip_blanks(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return byte,
            }
        }
    }

    fn peek(&self) -> u8 {
        self.json.as_bytes().get(self.at).copied().unwrap_or(END)
    }
}

/// Returned at the end of the text. As a byte of the text it is not JSON.
const END: u8 = 0;

/// The number of keys that are kept while reading. The JSON of a key includes both quotes, so that
/// no key is a prefix of another.
const MAX_KEYS: usize = 8;

/// The estimated length of the text of a piece, in bytes.
const BYTES_PER_PIECE: usize = 6;

/// A string that is being read: UTF-8, with lone surrogates encoded as if they were characters.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    has_surrogates: bool,
}

impl Text {
    fn push(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(character) => {
                self.bytes
                    .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => {
                self.has_surrogates = true;
                let six_bits = |shift: u32| 0x80 | ((code_point >> shift) & 0x3F) as u8;
                let first = 0xE0 | (code_point >> 12) as u8;
                self.bytes
                    .extend_from_slice(&[first, six_bits(6), six_bits(0)]);
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

fn is_control(byte: u8) -> bool {
    byte < b' '
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

/// Returns the length of the number at the start of a text, and true if the number has neither a
/// fraction nor an exponent.
fn number(text: &[u8]) -> Result<(usize, bool)> {
    let first = usize::from(text.first() == Some(&b'-'));
    let whole = first + digits(text, first)?;
    if whole > first + 1 && text[first] == b'0' {
        return Err(Malformed);
    }
    let mut end = whole;
    if text.get(end) == Some(&b'.') {
        end += 1;
        end += digits(text, end)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        end += 1;
        end += usize::from(matches!(text.get(end), Some(b'+' | b'-')));
        end += digits(text, end)?;
    }
    Ok((end, end == whole))
}

/// Returns the number of digits at `at`, which is at least one.
fn digits(text: &[u8], at: usize) -> Result<usize> {
    let count = text[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if count > 0 { Ok(count) } else { Err(Malformed) }
}
