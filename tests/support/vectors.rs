//! Reads `tests/vectors`.

#![allow(dead_code)]

use std::{fs, path::Path};

use serde_json::Value;

/// A case of `cookie_header_cases.json`.
pub(crate) struct HeaderCase {
    pub(crate) id: String,
    pub(crate) field: Vec<u8>,
    pub(crate) expect: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) tags: Vec<String>,
}

impl HeaderCase {
    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// Returns all 118 cases.
pub(crate) fn header_cases() -> Vec<HeaderCase> {
    let file = read("cookie_header_cases.json");
    let cases: Vec<_> = array(&file["cases"]).iter().map(header_case).collect();
    assert_eq!(cases.len(), 118);
    cases
}

fn header_case(case: &Value) -> HeaderCase {
    let pair = |pair: &Value| (latin1(text(&pair[0])), latin1(text(&pair[1])));
    let tags = case["tags"].as_array().map_or(&[][..], Vec::as_slice);
    HeaderCase {
        id: text(&case["id"]).to_owned(),
        field: match case["header_hex"].as_str() {
            Some(exact) => hex(exact),
            None => latin1(text(&case["header"])),
        },
        expect: array(&case["expect"]).iter().map(pair).collect(),
        tags: tags.iter().map(|tag| text(tag).to_owned()).collect(),
    }
}

/// Reads a file of `tests/vectors`.
pub(crate) fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    serde_json::from_slice(&fs::read(path).expect("a vector file")).expect("JSON")
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).expect("ASCII"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal"))
        .collect()
}

/// Decodes characters U+00XX as the bytes XX.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|each| u8::try_from(u32::from(each)).expect("below U+0100"))
        .collect()
}
