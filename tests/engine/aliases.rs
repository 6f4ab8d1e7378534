//! Bounds on aliases: how many are remembered and what following one costs. No alias leads to an id
//! that was forgotten before it.

use std::{iter, time::Duration};

use crate::support::{
    HOUR, MINUTE, NEW, PLAIN, SECOND, builder, create, field, load, open, opens, sign_in,
};
use bytes::BytesMut;
use sessile::{
    Event, EventKind, IssuedSession, ManualClock, SessionCache, SessionCacheBuilder, SessionId,
    SessionLimitPolicy, Token,
    internals::{cookie::Parts, locks_taken},
};

/// Numbers of replaced ids that are remembered: of one session, and of the sessions that a user
/// left.
const ALIASES: usize = 8;
/// Token of another cookie that precedes the session's; a request may carry four.
const CANDIDATES: usize = 4;

fn eight_shards(clock: &ManualClock) -> SessionCacheBuilder {
    builder(clock).memory(16 << 20).shards(8).events(10_000)
}

fn place(issued: &IssuedSession) -> u16 {
    Parts::parse(issued.token.as_str().as_bytes())
        .unwrap()
        .place
}

fn rotate(cache: &SessionCache, issued: &IssuedSession) -> IssuedSession {
    cache.rotate(&issued.id, Duration::ZERO).unwrap()
}

fn rotate_often(cache: &SessionCache, issued: IssuedSession, times: usize) -> Vec<IssuedSession> {
    let mut chain = vec![issued];
    for _ in 0..times {
        chain.push(rotate(cache, chain.last().unwrap()));
    }
    chain
}

/// Returns users whose sessions are in distinct shards, none of them in the shard of `first`.
fn users_elsewhere(cache: &SessionCache, issued: &IssuedSession, number: usize) -> Vec<String> {
    let mut places = vec![place(issued)];
    let mut is_elsewhere = |user: &String| {
        let probe = cache.create_with(b"", NEW.user(user.as_str())).unwrap();
        assert!(cache.end(&probe.id));
        let is_new = !places.contains(&place(&probe));
        places.push(place(&probe));
        is_new
    };
    let names = (0..).map(|n| format!("user {n}"));
    names
        .filter(|user| is_elsewhere(user))
        .take(number)
        .collect()
}

fn aliases(cache: &SessionCache) -> usize {
    cache.stats().sessions.aliases
}

/// Returns the `Cookie` field of a request with several tokens.
fn header(cache: &SessionCache, tokens: &[Token]) -> Vec<u8> {
    tokens
        .iter()
        .map(|token| field(cache, token.as_str()))
        .collect::<Vec<_>>()
        .join(&b"; "[..])
}

/// Returns the number of locks that this thread takes during `act`.
fn locks(act: impl FnOnce()) -> u64 {
    let before = locks_taken();
    act();
    locks_taken() - before
}

fn drain(cache: &SessionCache, what: EventKind) -> Vec<Event> {
    let events = iter::from_fn(|| cache.next_event());
    events.filter(|event| event.kind == what).collect()
}

/// Returns the tokens that are remembered, oldest first.
fn remembered<'i>(cache: &SessionCache, all: &'i [IssuedSession]) -> Vec<&'i IssuedSession> {
    all.iter()
        .filter(|issued| cache.replaced(&issued.id).is_some())
        .collect()
}

#[test]
fn a_session_remembers_eight_ids_after_any_number_of_rotations() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let chain = rotate_often(&cache, create(&cache, b"data"), 1_000);
    assert_eq!(aliases(&cache), ALIASES);
    let (current, older) = chain.split_last().unwrap();
    let last: Vec<_> = older[older.len() - ALIASES..]
        .iter()
        .map(|issued| issued.id)
        .collect();
    assert_eq!(
        remembered(&cache, &chain)
            .iter()
            .map(|issued| issued.id)
            .collect::<Vec<_>>(),
        last
    );
    assert!(!opens(&cache, &older[0].token));
    let rejected = cache.stats().rejected;
    assert_eq!(
        (rejected.unknown, rejected.reused),
        (1, 0),
        "the oldest is unknown"
    );
    assert!(!cache.end(&older[0].id) && opens(&cache, &current.token));
    assert!(cache.end(&last[0]));
    assert!(!opens(&cache, &current.token));
    cache.validate();
}

#[test]
fn a_remembered_session_that_is_rotated_each_quarter_of_an_hour_keeps_eight_aliases() {
    let clock = ManualClock::new();
    let month = 30 * 24 * HOUR;
    let cache = eight_shards(&clock)
        .idle_timeout(month)
        .lifetime(month)
        .build()
        .unwrap();
    let mut issued = create(&cache, b"data");
    issued = sign_in(&cache, &issued.id, "ada");
    for _ in 0..200 {
        clock.advance(MINUTE * 15);
        issued = cache.rotate(&issued.id, 10 * SECOND).unwrap();
        // One more belongs to the anonymous session, perhaps in its own shard.
        assert!(aliases(&cache) <= ALIASES + 1);
    }
    assert!(opens(&cache, &issued.token));
    cache.validate();
}

#[test]
fn the_oldest_remembered_ids_four_in_a_header_take_eight_locks_at_most() {
    let clock = ManualClock::new();
    for ends in [false, true] {
        let cache = eight_shards(&clock).end_reused(ends).build().unwrap();
        let mut chains = Vec::new();
        for n in 0..CANDIDATES {
            let first = create(&cache, b"data");
            let guest = rotate_often(&cache, first, 20);
            let user = &users_elsewhere(&cache, &guest[20], n + 1)[n];
            let theirs = sign_in(&cache, &guest[20].id, user);
            assert_ne!(place(&theirs), place(&first), "across shards");
            let theirs = rotate_often(&cache, theirs, 1_000);
            chains.push((guest, theirs));
        }
        let oldest: Vec<_> = chains
            .iter()
            .map(|(guest, _)| remembered(&cache, guest)[0].token)
            .collect();
        let header = header(&cache, &oldest);
        drain(&cache, EventKind::Reused);
        for _ in 0..if ends { 1 } else { 3 } {
            let taken = locks(|| assert!(open(&cache, &[&header]).is_none()));
            assert!(taken <= 2 * CANDIDATES as u64, "{taken} locks");
            assert_eq!(
                drain(&cache, EventKind::Reused).len(),
                CANDIDATES,
                "each emits an event"
            );
        }
        for ((_, theirs), token) in chains.iter().zip(&oldest) {
            let current = theirs.last().unwrap();
            assert_eq!(opens(&cache, &current.token), !ends);
            let is_ended = locks(|| {
                assert_eq!(cache.end_by_token(token.as_str().as_bytes()), !ends);
            });
            assert!(is_ended <= 2, "{is_ended} locks");
            assert!(
                !opens(&cache, &current.token),
                "an end by an old id ends the session"
            );
        }
        cache.validate();
    }
}

#[test]
fn a_rotation_costs_the_same_after_ten_thousand_as_after_ten() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let issued = rotate_often(&cache, create(&cache, b"data"), 10_000);
    let last = issued.last().unwrap();
    let taken = locks(|| {
        rotate(&cache, last);
    });
    assert_eq!(taken, 1);
}

#[test]
fn repeated_sign_ins_leave_a_bounded_number_of_aliases() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let first = create(&cache, b"data");
    let user = users_elsewhere(&cache, &first, 1).remove(0);
    let mut issued = vec![first];
    for _ in 0..1_000 {
        issued.push(sign_in(&cache, &issued.last().unwrap().id, &user));
    }
    assert!(aliases(&cache) <= ALIASES + 1, "{}", aliases(&cache));
    let oldest = remembered(&cache, &issued)[0];
    assert_eq!(
        oldest.id, first.id,
        "the one in the shard where it was anonymous"
    );
    let taken = locks(|| assert!(load(&cache, &oldest.id).is_none()));
    assert!(taken <= 2, "{taken} locks");
    assert!(cache.end(&oldest.id) && cache.is_empty());
    cache.validate();
}

#[test]
fn sign_ins_as_two_users_in_turn_leave_a_bounded_number_of_aliases() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let first = create(&cache, b"data");
    let users = users_elsewhere(&cache, &first, 2);
    let mut issued = vec![first];
    for turn in 0..1_000 {
        issued.push(sign_in(
            &cache,
            &issued.last().unwrap().id,
            &users[turn % 2],
        ));
    }
    assert!(aliases(&cache) <= 2 * ALIASES + 1, "{}", aliases(&cache));
    let old = remembered(&cache, &issued[1..])[0];
    assert!(issued.len() - issued.iter().position(|each| each.id == old.id).unwrap() > ALIASES);
    // The first walk passes all of them; the next takes one step.
    assert!(locks(|| assert!(load(&cache, &old.id).is_none())) <= 4 * ALIASES as u64 + 2);
    for id in remembered(&cache, &issued[1..]) {
        load(&cache, &id.id);
        let taken = locks(|| assert!(load(&cache, &id.id).is_none()));
        assert!(taken <= 2, "{taken} locks");
    }
    cache.validate();
    assert!(cache.end(&old.id) && cache.is_empty());
}

#[test]
fn an_id_of_two_users_ago_still_ends_the_session() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let first = create(&cache, b"data");
    let users = users_elsewhere(&cache, &first, 3);
    let mut issued = rotate(&cache, &first);
    for user in &users {
        issued = sign_in(&cache, &issued.id, user);
        issued = rotate_often(&cache, issued, 20).pop().unwrap();
    }
    assert!(cache.end(&first.id));
    assert!(!opens(&cache, &issued.token));
}

#[test]
fn repeated_sign_ins_and_rotations_leave_a_bounded_number_of_aliases() {
    let clock = ManualClock::new();
    let settings = eight_shards(&clock)
        .max_sessions_per_user(2)
        .session_limit_policy(SessionLimitPolicy::EndLeastRecentlyUsed);
    let cache = settings.build().unwrap();
    for _ in 0..100 {
        let issued = cache.create_with(b"", NEW.user("ada")).unwrap();
        rotate_often(&cache, issued, 10);
    }
    assert!(aliases(&cache) <= 3 * ALIASES, "{}", aliases(&cache));
    cache.validate();
}

#[test]
fn a_shortened_idle_timeout_cut_older_aliases_off_from_the_session() {
    let clock = ManualClock::new();
    for user in [false, true] {
        let cache = eight_shards(&clock)
            .idle_timeout(10 * HOUR)
            .build()
            .unwrap();
        let first = create(&cache, b"data");
        let mut second = rotate(&cache, &first);
        if user {
            let users = users_elsewhere(&cache, &first, 1);
            second = sign_in(&cache, &second.id, &users[0]);
        }
        cache
            .set_timeouts(&second.id, second.version, PLAIN.idle_timeout(10 * MINUTE))
            .unwrap();
        let third = rotate(&cache, &second);
        for _ in 0..4 {
            clock.advance(MINUTE * 5);
            assert!(opens(&cache, &third.token));
            cache.maintain(usize::MAX);
        }
        drain(&cache, EventKind::Reused);
        assert!(!opens(&cache, &first.token));
        assert_eq!(
            drain(&cache, EventKind::Reused).len(),
            1,
            "its use is a reuse"
        );
        assert!(cache.end(&first.id), "an end by its id ends the session");
        assert!(!opens(&cache, &third.token));
        cache.validate();
    }
}

#[test]
fn an_alias_past_its_deadline_is_unknown_with_and_without_maintenance() {
    for (is_maintained, across) in [(false, false), (true, false), (false, true), (true, true)] {
        let clock = ManualClock::new();
        let cache = eight_shards(&clock).end_reused(true).build().unwrap();
        let old = create(&cache, b"data");
        let user = &users_elsewhere(&cache, &old, 1)[0];
        let new = if across {
            sign_in(&cache, &old.id, user)
        } else {
            rotate(&cache, &old)
        };
        for _ in 0..4 {
            clock.advance(MINUTE * 10);
            assert!(opens(&cache, &new.token));
        }
        if is_maintained {
            cache.maintain(usize::MAX);
        }
        drain(&cache, EventKind::Reused);
        assert!(!opens(&cache, &old.token));
        let rejected = cache.stats().rejected;
        assert_eq!((rejected.unknown, rejected.reused), (1, 0));
        assert!(drain(&cache, EventKind::Reused).is_empty());
        assert_eq!(
            cache.end_if_unchanged(&old.id, old.version),
            Err(sessile::Error::Gone)
        );
        assert!(!cache.end(&old.id));
        assert!(opens(&cache, &new.token), "it has not ended");
        cache.validate();
    }
}

#[test]
fn a_replaced_cookie_beside_the_current_one_ended_the_session() {
    let clock = ManualClock::new();
    for across in [false, true] {
        let cache = eight_shards(&clock).end_reused(true).build().unwrap();
        let old = create(&cache, b"data");
        let user = &users_elsewhere(&cache, &old, 1)[0];
        let new = if across {
            sign_in(&cache, &old.id, user)
        } else {
            rotate(&cache, &old)
        };
        drain(&cache, EventKind::Reused);
        for tokens in [[old.token, new.token], [new.token, old.token]] {
            let header = header(&cache, &tokens);
            let (record, _) = open(&cache, &[&header]).unwrap();
            assert_eq!(record.id, new.id);
            let two = tokens.map(|token| field(&cache, token.as_str()));
            assert!(
                open(&cache, &[&two[0], &two[1]]).is_some(),
                "in two fields too"
            );
        }
        assert!(drain(&cache, EventKind::Reused).is_empty());
        assert_eq!(cache.stats().rejected.reused, 0);
        let mut buffer = BytesMut::new();
        assert!(
            cache
                .open([&header(&cache, &[old.token])[..]], &mut buffer)
                .is_none()
        );
        assert!(
            !opens(&cache, &new.token),
            "alone it still ends the session"
        );
    }
}

#[test]
fn a_grace_period_holds_for_each_of_eight_ids_and_no_later_than_for_the_next() {
    let clock = ManualClock::new();
    let cache = eight_shards(&clock).build().unwrap();
    let mut issued = vec![create(&cache, b"data")];
    for n in 0..ALIASES as u64 {
        let grace = Duration::from_secs(20 - n);
        issued.push(cache.rotate(&issued.last().unwrap().id, grace).unwrap());
    }
    let ids: Vec<SessionId> = issued.iter().map(|issued| issued.id).collect();
    clock.advance(13 * SECOND - SECOND / 10);
    assert!(ids.iter().all(|id| load(&cache, id).is_some()));
    clock.advance(SECOND / 10);
    let open = ids.iter().filter(|id| load(&cache, id).is_some()).count();
    assert_eq!(
        open, 1,
        "the shortest grace period is over, and with it all earlier ones"
    );
}
