//! Handles of sessions: ending one session of a user, and handles as text.

use std::time::Duration;

use std::collections::HashSet;

use crate::support::{HOUR, cache, create, opens, sign_in, signed_in};
use sessile::{Handle, HandleError, ManualClock};

use crate::users::{four_shards, handle, labels, sign_in_often, signed_in_with};

// TERM-7: docs/security-checklist.md
#[test]
fn a_list_shows_no_id_and_its_handles_open_no_session() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    for n in 0..50 {
        let user = format!("user {n}");
        let issued = signed_in_with(&cache, &user, "a label");
        let info = &cache.user_sessions(&user)[0];
        let shown = format!("{info:?} {}", info.handle);
        let bytes = base64_simd::URL_SAFE_NO_PAD
            .decode_to_vec(issued.token.as_str())
            .unwrap();
        let secrets = bytes[4..].chunks(4).map(|part| {
            [
                u32::from_be_bytes(part.try_into().unwrap()),
                u32::from_le_bytes(part.try_into().unwrap()),
            ]
        });
        for word in secrets.flatten() {
            assert!(!shown.contains(&format!("{word:08x}")), "{shown}");
        }
        let text = info.handle.to_string();
        for value in [&text[..], &text[..48], &text[4..]] {
            assert!(
                cache
                    .open_token(value.as_bytes(), &mut bytes::BytesMut::new())
                    .is_none()
            );
        }
    }
}

// TERM-7: docs/security-checklist.md
#[test]
fn a_user_ends_one_of_their_sessions() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let [phone, laptop] = ["phone", "laptop"].map(|label| signed_in_with(&cache, "ada", label));
    let grace = signed_in_with(&cache, "grace", "desk");
    let lost = cache
        .user_sessions("ada")
        .into_iter()
        .find(|info| info.label == "phone")
        .unwrap();
    assert_eq!(lost.handle, handle(&cache, &phone));
    let before = cache.stats().ended;
    assert!(cache.end_by_handle(&lost.handle));
    assert!(!cache.end_by_handle(&lost.handle), "once");
    assert_eq!(cache.stats().ended, before + 1);
    assert!(!opens(&cache, &phone.token) && opens(&cache, &laptop.token));
    assert!(opens(&cache, &grace.token));
    assert_eq!(labels(&cache, "ada"), ["laptop"]);
}

#[test]
fn a_handle_survives_rotation_and_changes_at_sign_in() {
    let clock = ManualClock::new();
    let cache = four_shards(&clock).build().unwrap();
    let mut seen = HashSet::new();
    let issued = create(&cache, b"data");
    assert!(seen.insert(handle(&cache, &issued)));
    assert!(
        !cache.end_by_handle(&handle(&cache, &issued)),
        "the session is anonymous"
    );
    let mut issued = sign_in(&cache, &issued.id, "ada");
    for _ in 0..5 {
        let own = handle(&cache, &issued);
        assert!(seen.insert(own));
        issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
        assert_eq!(handle(&cache, &issued), own);
        cache.save(&issued.id, issued.version, &[1; 4_000]).unwrap();
        assert_eq!(handle(&cache, &issued), own);
        issued = sign_in(&cache, &issued.id, "ada");
        assert!(
            !cache.end_by_handle(&own),
            "the old handle names the old session"
        );
    }
    assert!(cache.end_by_handle(&handle(&cache, &issued)));
    // Created in one tick for one user: the handles still differ.
    sign_in_often(&cache, 20);
    let all: HashSet<_> = cache
        .user_sessions("ada")
        .iter()
        .map(|info| info.handle)
        .collect();
    assert_eq!(all.len(), 20);
}

#[test]
fn serde_reads_and_writes_a_handle_as_its_text() {
    let (cache, _) = cache();
    let handle = handle(&cache, &signed_in(&cache, b"", "ada"));
    let json = serde_json::to_string(&handle).unwrap();
    assert_eq!(json, format!("\"{handle}\""));
    assert_eq!(serde_json::from_str::<Handle>(&json).unwrap(), handle);
    let error = serde_json::from_str::<Handle>("\"0\"").unwrap_err();
    let cause = HandleError::Length { given: 1 }.to_string();
    assert!(error.to_string().contains(&cause));
    assert!(serde_json::from_str::<Handle>("52").is_err());
}

#[test]
fn a_handle_parses_from_its_text_only() {
    let (cache, clock) = cache();
    clock.advance(HOUR);
    let handle = handle(&cache, &signed_in(&cache, b"", "ada"));
    let text = handle.to_string();
    assert_eq!((text.len(), text.parse()), (52, Ok(handle)));
    assert_eq!(format!("{handle:?}"), format!("Handle({text})"));
    for len in [0, 1, 51, 53, 1_000] {
        let wrong = text.chars().cycle().take(len).collect::<String>();
        assert_eq!(
            wrong.parse::<Handle>(),
            Err(HandleError::Length { given: len })
        );
    }
    for (at, wrong) in [
        (0, "A"),
        (20, "g"),
        (51, " "),
        (30, "+"),
        (7, "-"),
        (9, "\0"),
    ] {
        let mut damaged = text.clone();
        damaged.replace_range(at..=at, wrong);
        let error = damaged.parse::<Handle>().unwrap_err();
        assert_eq!(error, HandleError::Digit { position: at + 1 });
        assert!(error.to_string().contains(&(at + 1).to_string()));
    }
    let wide = "é".repeat(26);
    assert_eq!(
        wide.parse::<Handle>(),
        Err(HandleError::Digit { position: 1 })
    );
    // A handle that parses may name no session, and a shard that does not exist.
    for at in 0..52 {
        let mut other = text.clone();
        other.replace_range(
            at..=at,
            if text.as_bytes()[at] == b'f' {
                "0"
            } else {
                "f"
            },
        );
        assert!(!cache.end_by_handle(&other.parse().unwrap()), "{other}");
    }
    for digit in ["0", "f"] {
        assert!(!cache.end_by_handle(&digit.repeat(52).parse().unwrap()));
    }
    assert!(cache.end_by_handle(&handle));
}
