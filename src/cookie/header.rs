//! The values of one cookie name in a `Cookie` header field.
//!
//! Owns the reading profile: bytes, split at `;` alone, trimmed of spaces and tabs alone, nothing
//! decoded, nothing unquoted, no case folded; one damaged pair never costs another. Instead of
//! splitting the field it searches for the name and looks at what stands around it, which is the same
//! and fifteen times as fast. Knows no token and no cryptography.

use core::iter;

use memchr::{memchr, memmem::Finder};

/// The values of all pairs in one `Cookie` field whose name is byte-equal to `name`, in order.
///
/// Linear in the field's length, whatever its bytes are, and without allocation. The values are raw:
/// quotes and escapes are left as they came. A name that no pair can have (empty, with a `=` or a `;`,
/// or with a blank at an end) has no values.
///
/// ```
/// let field = b"theme=dark; id=one; broken; id = \"two\"";
/// let values: Vec<&[u8]> = sessile::cookie::candidates(field, b"id").collect();
/// assert_eq!(values, [&b"one"[..], b"\"two\""]);
/// ```
pub fn candidates<'h>(field: &'h [u8], name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    let reader = Reader(searchable(name).then(|| Finder::new(name)));
    let mut at = 0;
    iter::from_fn(move || reader.next(field, &mut at))
}

/// The same with the search for the name prepared once.
pub(crate) struct Reader<'n>(Option<Finder<'n>>);

impl Reader<'static> {
    pub(crate) fn new(name: &str) -> Self {
        Self(searchable(name.as_bytes()).then(|| Finder::new(name).into_owned()))
    }
}

impl Reader<'_> {
    pub(crate) fn candidates<'h>(&self, field: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
        let mut at = 0;
        iter::from_fn(move || self.next(field, &mut at))
    }

    /// The first value from `at` on; moves `at` past what was looked at.
    ///
    /// Occurrences are taken without overlap, which loses none: one that overlaps another would
    /// follow a byte of the name, and no byte of the name is a `;`, nor is its first a blank. The
    /// blanks before an occurrence are looked at once, and so are those after it, so the whole stays
    /// linear.
    fn next<'h>(&self, field: &'h [u8], at: &mut usize) -> Option<&'h [u8]> {
        let finder = self.0.as_ref()?;
        loop {
            let start = *at + finder.find(&field[*at..])?;
            *at = start + finder.needle().len();
            if !starts_pair(&field[..start]) {
                continue;
            }
            let Some(value) = value_start(field, *at) else {
                continue;
            };
            *at = memchr(b';', &field[value..]).map_or(field.len(), |len| value + len);
            return Some(trim(&field[value..*at]));
        }
    }
}

/// Whether a pair can have this name: what is left between `;` and the first `=` after trimming.
fn searchable(name: &[u8]) -> bool {
    !name.is_empty()
        && trim(name).len() == name.len()
        && !name.contains(&b'=')
        && !name.contains(&b';')
}

/// Whether only blanks stand between the end of `before` and the last `;`, or the field's start.
fn starts_pair(before: &[u8]) -> bool {
    before
        .iter()
        .rev()
        .find(|byte| !is_blank(byte))
        .is_none_or(|byte| *byte == b';')
}

/// Where the value starts, if from `at` on only blanks stand before a `=`.
fn value_start(field: &[u8], at: usize) -> Option<usize> {
    let equals = at + field[at..].iter().position(|byte| !is_blank(byte))?;
    (field[equals] == b'=').then_some(equals + 1)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else {
        return &[];
    };
    let end = bytes
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The only bytes that are trimmed; no other control character and no Unicode space is.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
