//! Several cookies with the session's name, over several fields and beside damaged ones: the valid
//! one is found among the first four.

use std::time::Duration;

use crate::support::{HOUR, MINUTE, builder, create, field, having, idle, load, open, rings::NAME};
use sessile::{IssuedSession, ManualClock, SessionCache, internals::cookie::Parts};

fn with(verify_first: bool) -> (SessionCache, ManualClock) {
    let clock = ManualClock::new();
    (
        builder(&clock).verify_first(verify_first).build().unwrap(),
        clock,
    )
}

fn parts(issued: &IssuedSession) -> Parts {
    Parts::parse(issued.token.as_str().as_bytes()).unwrap()
}

/// Returns all permutations of the items.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        all.extend(
            orders(&rest)
                .into_iter()
                .map(|tail| [vec![first.clone()], tail].concat()),
        );
    }
    all
}

/// The session of the valid token, and tokens and other values that open no session.
fn candidates(cache: &SessionCache, clock: &ManualClock) -> (IssuedSession, Vec<String>) {
    let [good, ended, rotated] = [b"good", b"left", b"left"].map(|data| create(cache, data));
    let expired = cache.create_with(b"left", having(idle(MINUTE))).unwrap();
    cache.end(&ended.id);
    cache.rotate(&rotated.id, Duration::ZERO).unwrap();
    clock.advance(MINUTE);
    let forged = Parts {
        tag: [1; 16],
        ..parts(&good)
    }
    .encode();
    let mut bad: Vec<_> = [ended.token, rotated.token, expired.token, forged]
        .map(|each| each.as_str().to_owned())
        .to_vec();
    bad.extend(["", "tossed", "\"", &good.token.as_str()[..47]].map(str::to_owned));
    (good, bad)
}

// PARSE-6: docs/security-checklist.md
#[test]
fn one_valid_cookie_among_four_is_found_at_any_position() {
    for verify_first in [false, true] {
        let (cache, clock) = with(verify_first);
        let (good, bad) = candidates(&cache, &clock);
        for first in 0..bad.len() {
            for number in 0..4 {
                let mut values: Vec<&str> = (0..number)
                    .map(|n| &bad[(first + n) % bad.len()][..])
                    .collect();
                values.push(good.token.as_str());
                for order in orders(&values) {
                    let fields = order
                        .iter()
                        .map(|value| format!("{NAME}={value}"))
                        .collect::<Vec<_>>();
                    let one = fields.join("; ");
                    let split: Vec<_> = fields.iter().map(String::as_bytes).collect();
                    for fields in [&[one.as_bytes()][..], &split] {
                        let (record, data) = open(&cache, fields).unwrap();
                        assert!(record.id == good.id && data == b"good", "{fields:?}");
                    }
                }
            }
        }
    }
}

// PARSE-6: docs/security-checklist.md
#[test]
fn the_fifth_candidate_is_ignored() {
    for verify_first in [false, true] {
        let (cache, clock) = with(verify_first);
        let (good, bad) = candidates(&cache, &clock);
        let good = field(&cache, good.token.as_str());
        for value in &bad {
            let four = format!("{NAME}={value};").repeat(4).into_bytes();
            let two = &four[..four.len() / 2];
            let three = &four[..four.len() / 4 * 3];
            assert!(open(&cache, &[three, &good]).is_some());
            assert!(open(&cache, &[two, b"a=1", two, &good]).is_none());
            assert!(open(&cache, &[&[&four[..], &good].concat()]).is_none());
        }
    }
}

// PARSE-5: docs/security-checklist.md
#[test]
fn a_request_may_have_several_fields() {
    let (cache, _clock) = with(false);
    let [first, second] = [create(&cache, b"first"), create(&cache, b"second")];
    let [one, two] = [&first, &second].map(|issued| field(&cache, issued.token.as_str()));
    let data = |fields: &[&[u8]]| open(&cache, fields).map(|(_, data)| data);
    assert_eq!(data(&[b"a=1", b"", &one]).unwrap(), b"first");
    assert_eq!(
        data(&[&one, &two]).unwrap(),
        b"first",
        "the first live session"
    );
    assert_eq!(data(&[&two, &one]).unwrap(), b"second");
    assert!(cache.end(&first.id));
    assert_eq!(data(&[&one, &two]).unwrap(), b"second");
    // A pair does not continue in the next field.
    let (head, tail) = two.split_at(two.len() - 30);
    assert_eq!(data(&[head, tail]), None);
    assert_eq!(data(&[]), None);
}

// PARSE-8: docs/security-checklist.md
#[test]
fn a_damaged_cookie_does_not_hide_the_session() {
    let (cache, clock) = with(false);
    let issued = create(&cache, b"data");
    let good = format!("{NAME}={}", issued.token.as_str()).into_bytes();
    let damage: [&[u8]; 9] = [
        b"\xff\xfe=\x80",
        b"a=\"",
        b"=",
        b"==",
        b"\"a=b\"",
        b"%3B=%",
        b"a=\0\r\n",
        b"\xc2\xa0",
        b"$Version=1",
    ];
    for piece in damage {
        for header in [
            [piece, b";", &good].concat(),
            [&good, &b"; "[..], piece].concat(),
        ] {
            assert!(open(&cache, &[&header]).is_some(), "{piece:?}");
        }
    }
    // A value that only resembles the name belongs to another name.
    let value = issued.token.as_str();
    for name in [
        "__host-session",
        "__Host-Session",
        "__Host%2Dsession",
        "x__Host-session",
        "\u{a0}__Host-session",
    ] {
        assert!(
            open(&cache, &[format!("{name}={value}").as_bytes()]).is_none(),
            "{name}"
        );
    }
    clock.advance(HOUR);
    assert!(load(&cache, &issued.id).is_none());
}
