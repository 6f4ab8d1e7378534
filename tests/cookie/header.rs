//! The `Cookie` header: the vectors, and properties of the parser for any bytes.

use crate::fuzz_cookie::oracle;
use crate::vectors::header_cases;
use proptest::{collection, prelude::*};
use sessile::{
    KeyRing,
    cookie::{MAX_CANDIDATES, candidates},
    internals::cookie::{Keys, Parts, Reader},
};

const NAME: &str = "__Host-session";

/// Returns the values of the name over several fields, as the engine reads them.
fn over(fields: &[&[u8]], name: &[u8]) -> Vec<Vec<u8>> {
    let values = fields.iter().flat_map(|field| candidates(field, name));
    values.map(<[u8]>::to_vec).collect()
}

fn values<'h>(field: &'h [u8], name: &'h [u8]) -> Vec<&'h [u8]> {
    candidates(field, name).collect()
}

// PARSE-1: docs/security-checklist.md
#[test]
fn the_oracle_returns_the_expected_values_of_every_case() {
    for case in header_cases() {
        let pairs = oracle::pairs(&case.field);
        let expect: Vec<_> = case.expect.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(pairs, expect, "{}", case.id);
    }
}

// PARSE-1: docs/security-checklist.md
#[test]
fn candidates_equal_the_oracle_for_every_name_of_every_case() {
    for case in header_cases() {
        let mut names: Vec<&[u8]> = case.expect.iter().map(|(name, _)| &name[..]).collect();
        names.push(NAME.as_bytes());
        for name in names {
            let expected = oracle::values(&case.field, name);
            assert_eq!(values(&case.field, name), expected, "{}, {name:?}", case.id);
            let Ok(name) = str::from_utf8(name) else {
                continue;
            };
            let prepared = Reader::new(name);
            assert!(
                prepared.candidates(&case.field).eq(expected),
                "{}, {name:?}",
                case.id
            );
        }
    }
}

// PARSE-1: docs/security-checklist.md
#[test]
fn names_that_no_pair_can_have_are_not_found() {
    let field = b"=x; ==y; a=b=c; ; a =d; b;=a=b; b; =e";
    for name in [
        &b""[..],
        b"=",
        b"a=b",
        b";",
        b"a=",
        b"a ",
        b" a",
        b"\ta",
        b"b;",
        b"; a",
    ] {
        assert_eq!(oracle::values(field, name), [&b""[..]; 0]);
        assert_eq!(values(field, name), [&b""[..]; 0], "{name:?}");
        assert_eq!(values(b"", name), [&b""[..]; 0], "{name:?}");
    }
    assert_eq!(values(field, b"a"), [&b"b=c"[..], b"d"]);
}

// PARSE-1: docs/security-checklist.md
#[test]
fn an_exhausted_iterator_stays_exhausted() {
    let reader = Reader::new("a");
    let mut found = reader.candidates(b"a=1; ab=2");
    assert_eq!(found.next(), Some(&b"1"[..]));
    assert!((0..3).all(|_| found.next().is_none()));
}

// PARSE-2: docs/security-checklist.md
#[test]
fn forged_prefixes_are_never_the_session_s_name() {
    let mut cases = 0;
    for case in header_cases().iter().filter(|case| case.has_tag("prefix")) {
        let found = values(&case.field, b"__Host-sid");
        assert!(!found.contains(&&b"evil"[..]), "{}", case.id);
        cases += 1;
    }
    assert!(cases >= 15, "{cases} cases");
}

// PARSE-2: docs/security-checklist.md
#[test]
fn only_spaces_and_tabs_are_trimmed_and_no_case_is_folded() {
    for byte in (0..=255).filter(|byte| !b" \t;=".contains(byte)) {
        let around = [
            &[byte][..],
            b"id=1; ",
            &[byte],
            b" id=2; id",
            &[byte],
            b"=3",
        ]
        .concat();
        assert_eq!(values(&around, b"id"), [&b""[..]; 0], "{byte:#04x}");
        let value = [b" \tid\t =\t", &[byte][..], b" \t; ID=x"].concat();
        assert_eq!(values(&value, b"id"), [&[byte][..]], "{byte:#04x}");
    }
}

// PARSE-3: docs/security-checklist.md
#[test]
fn nameless_pairs_never_become_a_name() {
    let mut cases = 0;
    for case in header_cases()
        .iter()
        .filter(|case| case.has_tag("nameless"))
    {
        assert_eq!(values(&case.field, b"__Host-sid"), [b"good"], "{}", case.id);
        cases += 1;
    }
    assert!(cases >= 2, "{cases} cases");
    assert_eq!(
        values(b"=id=1; ==id=2; = id=3; id; ;id", b"id"),
        [&b""[..]; 0]
    );
}

// PARSE-4: docs/security-checklist.md
#[test]
fn quotes_do_not_escape_a_semicolon() {
    let mut cases = 0;
    for case in header_cases()
        .iter()
        .filter(|case| case.has_tag("sandwich"))
    {
        for (name, value) in &case.expect {
            assert_eq!(values(&case.field, name), [&value[..]], "{}", case.id);
        }
        cases += 1;
    }
    assert!(cases >= 2, "{cases} cases");
    let field = b"a=\"x; id=1; b=y\"; id=\"2\"";
    assert_eq!(
        values(field, b"id"),
        [&b"1"[..], b"\"2\""],
        "and values are not unquoted"
    );
}

// PARSE-5: docs/security-checklist.md
#[test]
fn splitting_a_header_into_fields_changes_no_candidate() {
    for case in header_cases() {
        let mut names: Vec<&[u8]> = case
            .expect
            .iter()
            .map(|(name, _)| &name[..])
            .take(8)
            .collect();
        names.extend([b"__Host-sid", NAME.as_bytes()]);
        let pieces: Vec<&[u8]> = case.field.split(|byte| *byte == b';').collect();
        for name in names {
            let whole = over(&[&case.field], name);
            for fields in splits(&pieces) {
                let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
                assert_eq!(over(&fields, name), whole, "{}, {fields:?}", case.id);
                // A proxy may join several fields.
                let joined = fields.join(&b"; "[..]);
                assert_eq!(over(&[&joined], name), whole, "{}, {joined:?}", case.id);
            }
        }
    }
}

/// Returns all splits if there are few; otherwise all splits into two, and into single pairs.
fn splits(pieces: &[&[u8]]) -> Vec<Vec<Vec<u8>>> {
    let cuts = pieces.len() - 1;
    let split = |is_cut: &dyn Fn(usize) -> bool| {
        let mut fields = vec![pieces[0].to_vec()];
        for (at, piece) in pieces[1..].iter().enumerate() {
            match fields.last_mut() {
                Some(last) if !is_cut(at) => last.extend([b";", *piece].concat()),
                _ => fields.push(piece.to_vec()),
            }
        }
        fields
    };
    if cuts <= 8 {
        return (0..1_u32 << cuts)
            .map(|set| split(&|at| set >> at & 1 == 1))
            .collect();
    }
    let in_two = (0..cuts.min(40)).map(|cut| split(&|at| at == cut));
    in_two.chain([split(&|_| true)]).collect()
}

// PARSE-6: docs/security-checklist.md
#[test]
fn the_valid_candidate_is_found_in_any_order() {
    let ring = KeyRing::generate().unwrap();
    let keys = Keys::new(&ring, NAME).unwrap();
    let good = keys.sign(7, [9; 16]).encode();
    let forged = Parts {
        tag: [1; 16],
        ..keys.sign(8, [8; 16])
    }
    .encode();
    let pairs = ["", "junk", forged.as_str(), good.as_str()].map(|value| format!("{NAME}={value}"));
    let mut seen = 0;
    for order in permutations(pairs.len()) {
        let field = order
            .iter()
            .map(|at| pairs[*at].as_str())
            .collect::<Vec<_>>()
            .join("; ");
        let reader = Reader::new(NAME);
        let parsed = reader
            .candidates(field.as_bytes())
            .take(MAX_CANDIDATES)
            .map(Parts::parse);
        let opened = parsed.flatten().find(|parts| keys.verify(parts));
        assert_eq!(
            opened.map(|parts| (parts.place, parts.id)),
            Some((7, [9; 16])),
            "{order:?}"
        );
        seen += 1;
    }
    assert_eq!(seen, 24);
}

// PARSE-6: docs/security-checklist.md
#[test]
fn permuted_pairs_give_the_same_candidates() {
    let mut cases = 0;
    for case in header_cases().iter().filter(|case| case.has_tag("dup")) {
        let mut sorted = values(&case.field, b"__Host-sid");
        sorted.sort_unstable();
        let pieces: Vec<&[u8]> = case.field.split(|byte| *byte == b';').collect();
        for order in permutations(pieces.len()) {
            let pieces: Vec<&[u8]> = order.iter().map(|at| pieces[*at]).collect();
            let field = pieces.join(&b';');
            let mut permuted = values(&field, b"__Host-sid");
            permuted.sort_unstable();
            assert_eq!(permuted, sorted, "{}", case.id);
        }
        cases += 1;
    }
    assert!(cases >= 3, "{cases} cases");
}

fn permutations(len: usize) -> Vec<Vec<usize>> {
    let Some(last) = len.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let shorter = permutations(last);
    let with_last = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, last);
        order
    };
    shorter
        .iter()
        .flat_map(|order| (0..len).map(|at| with_last(order, at)))
        .collect()
}

// PARSE-7: docs/security-checklist.md
#[test]
fn a_megabyte_of_hostile_bytes_is_parsed_correctly() {
    let megabyte = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let good = format!("; {NAME}=good; x=y");
    // The name in every position except as a name; blanks that a careless parser scans repeatedly;
    // bytes that defeat the search's guess of a rare byte.
    for piece in [
        "a=;",
        NAME,
        "__Host-session ",
        " \t",
        ";",
        "=",
        "__Host-sessio",
        ";__Host-session;",
        "\0",
    ] {
        let field = [megabyte(piece), good.clone()].concat();
        assert_eq!(
            values(field.as_bytes(), NAME.as_bytes()),
            [b"good"],
            "{piece:?}"
        );
    }
    let field = megabyte("a=;");
    let found = values(field.as_bytes(), b"a");
    assert_eq!(found.len(), (1 << 20) / 3);
    assert!(found.iter().all(|value| value.is_empty()));
    let blanks = [
        NAME,
        &megabyte(" \t"),
        "=",
        &megabyte("\t"),
        "v",
        &megabyte(" "),
    ]
    .concat();
    assert_eq!(values(blanks.as_bytes(), NAME.as_bytes()), [b"v"]);
}

// PARSE-8: docs/security-checklist.md
#[test]
fn a_damaged_pair_affects_no_other_pair() {
    let mut cases = 0;
    for case in header_cases()
        .iter()
        .filter(|case| case.has_tag("availability"))
    {
        assert!(
            values(&case.field, b"__Host-sid").contains(&&b"good"[..]),
            "{}",
            case.id
        );
        cases += 1;
    }
    assert!(cases >= 3, "{cases} cases");
}

// PARSE-8: docs/security-checklist.md
#[test]
fn no_byte_in_another_pair_hides_the_session() {
    for byte in (0..=255).filter(|byte| *byte != b';') {
        let junk: &[u8] = &[byte, b'"', byte, b'=', byte];
        for junk in [junk, &junk[..3], &junk[3..]] {
            let field = [junk, b"; id=good;", junk].concat();
            assert_eq!(values(&field, b"id"), [b"good"], "{byte:#04x}");
        }
    }
}

/// Generates fields from the bytes that matter to the parser, so that names occur often.
fn hostile_field() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => Just(NAME.as_bytes().to_vec()),
        2 => Just(b"a".to_vec()),
        3 => Just(b";".to_vec()),
        3 => Just(b"=".to_vec()),
        2 => Just(b" ".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just(b"\"".to_vec()),
        2 => collection::vec(any::<u8>(), 0..4),
    ];
    collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    // PARSE-1: docs/security-checklist.md
    #[test]
    fn any_bytes_parse_as_in_the_oracle(
        field in collection::vec(any::<u8>(), 0..300),
    ) {
        crate::fuzz_cookie::header(&field);
    }

    // PARSE-1: docs/security-checklist.md
    #[test]
    fn any_arrangement_of_names_and_signs_parses_as_in_the_oracle(
        field in hostile_field(),
    ) {
        crate::fuzz_cookie::header(&field);
    }

    // PARSE-1: docs/security-checklist.md
    #[test]
    fn any_name_is_found_as_in_the_oracle(
        field in hostile_field(),
        name in collection::vec(prop_oneof![Just(b'a'), Just(b' '), Just(b'='), any::<u8>()], 0..4),
    ) {
        prop_assert_eq!(values(&field, &name), oracle::values(&field, &name));
    }

    // ID-5: docs/security-checklist.md
    #[test]
    fn any_bytes_parse_as_a_token_only_if_they_are_one(
        value in prop_oneof![
            collection::vec(any::<u8>(), 0..100),
            collection::vec(any::<u8>(), 48),
            "AQ[A-Za-z0-9_-]{46}".prop_map(String::into_bytes),
            "[A-Za-z0-9_=+/-]{47,49}".prop_map(String::into_bytes),
        ],
    ) {
        crate::fuzz_cookie::token(&value);
    }
}
