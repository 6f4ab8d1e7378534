//! Invalidation in L1: by version, by partition, and of all entries.

use sessile::{
    Version,
    tier::{Installed, Placement, StoredSession},
};

use crate::support::{
    HOUR, TICK, builder,
    l1::{USER_KEY, data, installed, issue, l1, peek, stored, stored_of, unknown},
};

#[test]
fn only_a_lower_version_is_dropped() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 5, b"five");
    assert!(!l1.invalidate(&issued.id, Version::new(4)));
    assert!(!l1.invalidate(&issued.id, Version::new(5)));
    assert!(peek(&l1, &issued.id).is_some());
    assert!(l1.invalidate(&issued.id, Version::new(6)));
    assert!(peek(&l1, &issued.id).is_none());
    assert!(
        !l1.invalidate(&issued.id, Version::new(6)),
        "there is none any more"
    );
    assert_eq!(l1.stats().memory.used, 0);
    l1.validate();
}

#[test]
fn the_highest_number_drops_any_version() {
    let (l1, _clock) = l1();
    for version in [0, 1, u32::MAX - 1, u32::MAX] {
        let issued = installed(&l1, version, b"data");
        assert!(l1.invalidate(&issued.id, Version::MAX));
        assert!(peek(&l1, &issued.id).is_none());
    }
}

#[test]
fn an_invalidated_id_is_not_remembered() {
    let (l1, _clock) = l1();
    let issued = installed(&l1, 5, b"five");
    l1.invalidate(&issued.id, Version::MAX);
    assert_eq!(
        l1.install(&stored(&l1, issued.id, 3), b"three"),
        Installed::Stored
    );
    assert_eq!(data(&l1, &issued.id).unwrap(), b"three");
    let stats = l1.stats();
    assert_eq!(
        (stats.ended, stats.expired, stats.sessions.aliases),
        (0, 0, 0)
    );
}

#[test]
fn a_message_names_id_and_partition() {
    let clock = sessile::ManualClock::new();
    for shards in [1, 8, 256] {
        let builder = builder(&clock).memory(64 << 20).shards(shards);
        let l1 = builder.build_l1(USER_KEY).unwrap();
        for _ in 0..50 {
            let issued = installed(&l1, 1, b"data");
            let (partition, id) = (issued.id.partition(), issued.id.to_bytes());
            assert!(!l1.invalidate_in(partition, id, Version::new(1)));
            assert!(
                l1.invalidate_in(partition, id, Version::new(2)),
                "{shards} shards"
            );
            assert!(peek(&l1, &issued.id).is_none());
        }
        l1.validate();
    }
}

#[test]
fn an_expired_entry_is_dropped_without_being_one() {
    let (l1, clock) = l1();
    let issued = installed(&l1, 1, b"data");
    clock.advance(HOUR);
    assert!(!l1.invalidate(&issued.id, Version::MAX), "no read found it");
    assert!(l1.is_empty());
}

#[test]
fn all_entries_leave_at_once_and_their_memory_later() {
    let (l1, _clock) = l1();
    let all: Vec<_> = (0..100).map(|_| installed(&l1, 1, b"data")).collect();
    let (of_user, _) = stored_of(&l1, "ada", 1);
    l1.install(&of_user, b"data");
    l1.invalidate_all();
    assert!(all.iter().all(|issued| peek(&l1, &issued.id).is_none()));
    assert!(peek(&l1, &of_user.id).is_none());
    assert!(l1.is_empty());
    l1.validate();
    while l1.maintain(16).more {}
    assert_eq!(l1.stats().memory.used, 0);
    assert_eq!(l1.stats().ended, 0, "no session has ended");
    assert!(l1.next_event().is_none());
}

#[test]
fn what_was_created_before_an_invalidation_of_all_enters_after_it() {
    let (l1, clock) = l1();
    let issued = installed(&l1, 5, b"five");
    let old = StoredSession {
        age: 3 * HOUR,
        ..stored(&l1, issued.id, 5)
    };
    // More than once in one tick.
    for _ in 0..5 {
        l1.invalidate_all();
        assert!(peek(&l1, &issued.id).is_none());
        assert_eq!(l1.install(&old, b"again"), Installed::Stored);
        let (record, data) = peek(&l1, &issued.id).unwrap();
        assert_eq!((record.age(), &data[..]), (3 * HOUR, &b"again"[..]));
        l1.validate();
    }
    clock.advance(TICK);
    assert!(peek(&l1, &issued.id).is_some());
    l1.invalidate_all();
    // A lower version: the one before it left too.
    assert_eq!(
        l1.install(&stored(&l1, issued.id, 4), b"four"),
        Installed::Stored
    );
}

#[test]
fn another_user_key_empties_l1_and_changes_hashes() {
    let (l1, _clock) = l1();
    let (session, token) = stored_of(&l1, "ada", 1);
    l1.install(&session, b"data");
    let before = l1.user_hash("ada");
    assert_eq!(Some(before), session.user);
    l1.set_user_key([1; 32]);
    assert_ne!(l1.user_hash("ada"), before);
    assert_eq!(unknown(&l1, &[token.as_str()]), Some(vec![session.id]));
    l1.set_user_key(USER_KEY);
    assert_eq!(
        l1.user_hash("ada"),
        before,
        "the key alone determines the hash"
    );
}

#[test]
fn places_are_the_same_with_any_number_of_shards() {
    let clock = sessile::ManualClock::new();
    let nodes = [1, 4, 64].map(|shards| {
        let builder = builder(&clock).memory(16 << 20).shards(shards);
        builder.build_l1(USER_KEY).unwrap()
    });
    let user = nodes[0].user_hash("ada");
    assert!(nodes.iter().all(|node| node.user_hash("ada") == user));
    let issued = nodes[0].issue(Placement::User(user)).unwrap();
    assert_eq!(issued.id.place(), user.place());
    assert_eq!(user.to_bytes()[..2], user.place().to_le_bytes());
    let rotated = nodes[1].issue(Placement::Of(issued.id)).unwrap();
    assert_eq!(rotated.id.place(), issued.id.place());
    assert_ne!(rotated.id, issued.id);
    for node in &nodes {
        let session = StoredSession {
            user: Some(user),
            ..stored(node, issued.id, 1)
        };
        node.install(&session, b"data");
        let token = issued.token.as_str();
        assert_eq!(crate::support::l1::hit(node, &[token]), Some(issued.id));
        node.validate();
    }
}

#[test]
fn random_places_spread_over_shards_and_partitions() {
    let (l1, _clock) = l1();
    let mut partitions = [0; 256];
    (0..256 * 40).for_each(|_| partitions[usize::from(issue(&l1).id.partition())] += 1);
    assert!(partitions.iter().all(|number| (5..100).contains(number)));
}

#[test]
fn ids_survive_as_bytes() {
    let (l1, _clock) = l1();
    let id = issue(&l1).id;
    assert_eq!(
        sessile::SessionId::from_parts(id.to_bytes(), id.place()),
        id
    );
    let user = l1.user_hash("ada");
    assert_eq!(sessile::UserHash::new(user.to_bytes()), user);
    assert_eq!(user.partition(), user.to_bytes()[0]);
    assert_eq!(id.partition(), id.place() as u8);
}
