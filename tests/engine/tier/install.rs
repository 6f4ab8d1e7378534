//! Installing in L1: versions, blocks, memory and the position for eviction.

use std::time::Duration;

use sessile::{
    IssuedSession, ManualClock, Version,
    tier::{Installed, L1, Placement, StoredSession},
};

use crate::support::{
    HOUR, MINUTE, SECOND, builder, filler,
    l1::{USER_KEY, data, hit, installed, issue, l1, load, look_up, peek, stored, stored_of},
};

#[test]
fn a_higher_version_replaces_and_a_lower_one_does_not() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 5, b"five");
    let put = |version, data: &[u8]| l1.install(&stored(&l1, issued.id, version), data);
    assert_eq!(put(4, b"four"), Installed::Older);
    assert_eq!(data(&l1, &issued.id).unwrap(), b"five");
    assert_eq!(put(300, b"three hundred"), Installed::Stored);
    assert_eq!(data(&l1, &issued.id).unwrap(), b"three hundred");
    assert_eq!(put(299, b""), Installed::Older);
    assert_eq!(put(u32::MAX - 256, b""), Installed::Stored);
    assert_eq!(
        peek(&l1, &issued.id).unwrap().0.version.get(),
        u32::MAX - 256
    );
    assert_eq!(l1.len(), 1);
    l1.validate();
}

#[test]
fn an_equal_version_gets_the_times() {
    let (l1, clock) = l1();
    let issued = installed(&l1, 5, b"five");
    clock.advance(20 * MINUTE);
    assert_eq!(
        l1.install(&stored(&l1, issued.id, 5), b"five"),
        Installed::Stored
    );
    clock.advance(20 * MINUTE);
    let record = peek(&l1, &issued.id).expect("the deadline was moved").0;
    assert_eq!(record.expires_in(), 10 * MINUTE);
}

#[test]
fn data_of_any_length_replaces_data_of_any_length() {
    let (l1, _clock) = l1();
    let lens = [0, 1, 8, 100, 16 << 10, 7, 3_000, 3_001, 0, 64];
    for has_user in [false, true] {
        let session = if has_user {
            stored_of(&l1, "ada", 1).0
        } else {
            stored(&l1, issue(&l1).id, 1)
        };
        for (version, len) in (1..).zip(lens) {
            let session = StoredSession {
                version: Version::new(version),
                ..session
            };
            let bytes = filler(version as usize, len);
            assert_eq!(l1.install(&session, &bytes), Installed::Stored);
            let (record, read) = peek(&l1, &session.id).unwrap();
            assert_eq!(read, bytes);
            assert_eq!(
                (record.user, record.version),
                (session.user, session.version)
            );
            l1.validate();
        }
    }
    assert_eq!(l1.len(), 2);
}

#[test]
fn all_facts_of_a_session_are_read_back() {
    let (l1, clock) = l1();
    clock.advance(HOUR);
    let (session, token) = stored_of(&l1, "ada", 9);
    let session = StoredSession {
        serial: 0xfeed_f00d,
        age: 5 * HOUR,
        issued_ago: 2 * HOUR,
        authenticated_ago: 3 * HOUR,
        idle_timeout: 10 * MINUTE,
        idle_left: 9 * MINUTE,
        life_left: 7 * HOUR,
        lifetime_renewed: true,
        ..session
    };
    l1.install(&session, b"data");
    clock.advance(MINUTE);
    let record = peek(&l1, &session.id).unwrap().0;
    assert_eq!(record.age(), 5 * HOUR + MINUTE);
    assert_eq!(record.id_age(), 2 * HOUR + MINUTE);
    assert_eq!(record.authenticated_for(), Some(3 * HOUR + MINUTE));
    assert_eq!(record.expires_in(), 8 * MINUTE);
    assert_eq!(record.life_left(), 7 * HOUR - MINUTE);
    assert_eq!(record.idle_timeout(), 10 * MINUTE);
    assert_eq!((record.user, record.assurance_level), (session.user, 2));
    assert_eq!(record.handle(), session.handle());
    let aged = StoredSession {
        sent_at: l1.now(),
        age: 5 * HOUR + MINUTE,
        issued_ago: 2 * HOUR + MINUTE,
        authenticated_ago: 3 * HOUR + MINUTE,
        idle_left: 8 * MINUTE,
        life_left: 7 * HOUR - MINUTE,
        ..session
    };
    assert_eq!(record.to_stored(), aged);
    assert_eq!(hit(&l1, &[token.as_str()]), Some(session.id));
}

#[test]
fn a_handle_has_no_time_of_creation_and_survives_as_text() {
    let (l1, clock) = l1();
    clock.advance(HOUR);
    let (session, _) = stored_of(&l1, "ada", 1);
    l1.install(&session, b"");
    let handle = load(&l1, &session.id).unwrap().handle();
    let text = handle.to_string();
    assert!(text.ends_with("0000004d00000000"), "serial and no creation");
    assert_eq!(text.parse(), Ok(handle));
    assert_eq!(handle.user(), session.user);

    let other_node = builder(&ManualClock::new())
        .shards(4)
        .build_l1(USER_KEY)
        .unwrap();
    other_node.install(
        &StoredSession {
            sent_at: other_node.now(),
            ..session
        },
        b"",
    );
    assert_eq!(load(&other_node, &session.id).unwrap().handle(), handle);
}

#[test]
fn only_a_session_whose_cookie_was_never_returned_is_on_probation() {
    let (l1, _clock) = l1();
    let fresh = StoredSession {
        returned: false,
        ..stored(&l1, issue(&l1).id, 1)
    };
    let fresh_of_user = StoredSession {
        returned: false,
        ..stored_of(&l1, "ada", 1).0
    };
    l1.install(&fresh, b"");
    l1.install(&fresh_of_user, b"");
    installed(&l1, 1, b"");
    let sessions = l1.stats().sessions;
    assert_eq!(
        (
            sessions.probation,
            sessions.anonymous,
            sessions.authenticated
        ),
        (1, 1, 1)
    );

    // The next version was saved by a request that brought the cookie, or by the one that created
    // it.
    let saved = StoredSession {
        version: Version::new(2),
        ..fresh
    };
    l1.install(&saved, b"");
    assert_eq!(l1.stats().sessions.probation, 1);
    l1.install(
        &StoredSession {
            returned: true,
            ..saved
        },
        b"",
    );
    assert_eq!(l1.stats().sessions.probation, 0);
    l1.validate();
}

/// Installs anonymous sessions until one is evicted.
fn fill(l1: &L1, len: usize) -> Vec<IssuedSession> {
    let mut all = Vec::new();
    while l1.stats().evicted.anonymous == 0 {
        let issued = issue(l1);
        // An id whose two buckets are full is not installed.
        if l1.install(&stored(l1, issued.id, 1), &filler(1, len)) == Installed::Stored {
            all.push(issued);
        }
    }
    all
}

#[test]
fn a_replaced_entry_keeps_its_position_for_eviction() {
    let (l1, _clock) = l1();
    let is_there = |issued: &&IssuedSession| peek(&l1, &issued.id).is_some();
    let all = fill(&l1, 300);
    let first: Vec<_> = all.iter().filter(is_there).take(30).collect();
    // The same length, a shorter one and a longer one.
    for (issued, len) in first.iter().zip([300, 250, 320]) {
        let next = stored(&l1, issued.id, 2);
        assert_eq!(l1.install(&next, &filler(0, len)), Installed::Stored);
    }
    for _ in 0..40 {
        l1.install(&stored(&l1, issue(&l1).id, 1), &filler(0, 300));
    }
    let left = first.iter().filter(|issued| is_there(issued)).count();
    assert_eq!(left, 0, "the first leave first, replaced or not");
    let last = all[all.len() - 30..].iter().filter(is_there).count();
    assert_eq!(last, 30);
    assert!(l1.next_event().is_none());
    l1.validate();
}

#[test]
fn without_memory_there_is_no_entry_and_no_outdated_one() {
    let clock = ManualClock::new();
    let l1 = builder(&clock)
        .memory(64 << 10)
        .max_session_size(4 << 10)
        .build_l1(USER_KEY)
        .unwrap();
    let small = installed(&l1, 1, b"small");
    // Sessions with users take all that an anonymous one may have.
    let users = (0..2_000).map(|n| stored_of(&l1, &format!("user {n}"), 1).0);
    let all_stored = users.map(|session| l1.install(&session, &filler(1, 64)));
    assert!(
        all_stored
            .filter(|answer| *answer == Installed::Stored)
            .count()
            > 300
    );
    assert!(peek(&l1, &small.id).is_none());
    let large = vec![7; 4 << 10];
    assert_eq!(
        l1.install(&stored(&l1, small.id, 2), &large),
        Installed::Full
    );
    l1.validate();

    let (session, _) = stored_of(&l1, "ada", 1);
    assert_eq!(l1.install(&session, b"one"), Installed::Stored);
    let too_large = vec![7; (4 << 10) + 1];
    let next = StoredSession {
        version: Version::new(2),
        ..session
    };
    assert_eq!(l1.install(&next, &too_large), Installed::Full);
    assert!(peek(&l1, &session.id).is_none(), "version 1 is outdated");
}

#[test]
fn an_anonymous_entry_that_cannot_grow_is_dropped() {
    let clock = ManualClock::new();
    let l1 = builder(&clock)
        .memory(64 << 10)
        .max_session_size(8 << 10)
        .build_l1(USER_KEY)
        .unwrap();
    let mut users = 0;
    let issued = loop {
        let issued = issue(&l1);
        if l1.install(&stored(&l1, issued.id, 1), &[1; 3_000]) != Installed::Stored {
            break None;
        }
        if l1.install(&stored(&l1, issued.id, 2), &[2; 8_000]) == Installed::Full {
            break Some(issued);
        }
        l1.invalidate(&issued.id, Version::MAX);
        users += 1;
        l1.install(&stored_of(&l1, &format!("user {users}"), 1).0, &[3; 2_000]);
        assert!(users < 100);
    };
    let issued = issued.expect("3,000 bytes fit longer than 8,000");
    assert!(peek(&l1, &issued.id).is_none(), "version 1 is outdated");
    l1.validate();
}

#[test]
fn an_expired_session_is_not_installed_and_ends_the_entry() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"data");
    for (idle_left, life_left) in [(Duration::ZERO, HOUR), (HOUR, Duration::ZERO)] {
        let session = StoredSession {
            idle_left,
            life_left,
            ..stored(&l1, issued.id, 2)
        };
        assert_eq!(l1.install(&session, b"data"), Installed::Expired);
        assert!(peek(&l1, &issued.id).is_none());
    }
    assert_eq!(l1.stats().memory.used, 0);
}

#[test]
fn a_record_needs_no_entry() {
    let (l1, clock) = l1();
    let (session, _) = stored_of(&l1, "ada", 3);
    clock.advance(SECOND);
    let record = l1.record(&session, &session.id);
    assert_eq!(
        (record.id, record.version, record.user),
        (session.id, session.version, session.user)
    );
    assert_eq!(record.age(), SECOND, "since the command was sent");
    assert!(!record.is_alias() && !record.needs_touch());
    assert_eq!(record.handle(), session.handle());
    assert!(l1.is_empty());

    let old = l1.issue(Placement::Of(session.id)).unwrap();
    let record = l1.record(&session, &old.id);
    assert!(record.is_alias());
    assert_eq!((record.id, record.handle()), (old.id, session.handle()));

    let idle = StoredSession {
        idle_left: 20 * MINUTE,
        ..session
    };
    let record = l1.record(&idle, &session.id);
    assert!(record.needs_touch(), "a read of the store is a use");
    assert_eq!(record.expires_in(), 30 * MINUTE);
}

#[test]
fn a_session_of_another_user_replaces_the_entry() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"anonymous");
    for (version, user) in [(2, Some("ada")), (3, Some("bob")), (4, None)] {
        let user = user.map(|name| l1.user_hash(name));
        let session = StoredSession {
            user,
            ..stored(&l1, issued.id, version)
        };
        assert_eq!(l1.install(&session, b"data"), Installed::Stored);
        assert_eq!(peek(&l1, &issued.id).unwrap().0.user, user);
        l1.validate();
    }
}

#[test]
fn debug_output_shows_no_id() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 1, b"secret data");
    let session = stored(&l1, issued.id, 1);
    let (answer, _) = look_up(&l1, &[issued.token.as_str()]);
    let candidates = l1.verify([&crate::support::l1::field(&l1, &[issued.token.as_str()])[..]]);
    let text = format!("{l1:?} {session:?} {answer:?} {candidates:?} {issued:?}");
    let bytes = issued.id.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let words = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word).to_string());
    for secret in words.chain([hex, issued.token.as_str().to_owned(), format!("{bytes:?}")]) {
        assert!(!text.contains(&secret));
    }
}
