//! The options of verbs, checked for the store: what comes out is what a local cache makes of them.

use std::time::Duration;

use sessile::{
    CreateOptions, Error, ManualClock, SignInOptions, Timeouts, Version,
    tier::{Spans, StoredSession},
};

use crate::support::{
    HOUR, MINUTE, NEW, PLAIN, PLAINLY, SECOND, builder, create, having, idle,
    l1::{USER_KEY, issue, l1, stored, stored_of},
    lifetime, load,
};

#[test]
fn creations_get_the_timeouts_of_a_local_cache() {
    let (l1, _clock) = l1();
    let (local, _clock) = crate::support::cache();
    let all = [
        PLAIN,
        idle(MINUTE),
        idle(9 * HOUR),
        lifetime(HOUR),
        lifetime(90 * HOUR),
        PLAIN.lifetime_from_now(SECOND),
        idle(MINUTE).lifetime(2 * SECOND),
    ];
    for timeouts in all {
        let spans = l1.check_create(&having(timeouts), b"").unwrap().spans;
        let made = local.create_with(b"", having(timeouts)).unwrap();
        let (record, _) = load(&local, &made.id).unwrap();
        assert_eq!(
            (spans.idle_timeout, spans.life_left),
            (record.idle_timeout(), record.life_left())
        );
    }
}

#[test]
fn changes_count_from_the_creation_or_the_renewing_sign_in() {
    let (l1, clock) = l1();
    clock.advance(HOUR);
    let session = StoredSession {
        age: 4 * HOUR,
        authenticated_ago: HOUR,
        life_left: 8 * HOUR,
        ..stored_of(&l1, "ada", 1).0
    };
    let change = |session: &StoredSession, timeouts: Timeouts| {
        let Spans {
            idle_timeout,
            life_left,
            ..
        } = l1.change_timeouts(session, timeouts);
        (idle_timeout, life_left)
    };
    assert_eq!(change(&session, PLAIN), (30 * MINUTE, 8 * HOUR));
    assert_eq!(change(&session, idle(MINUTE)), (MINUTE, 8 * HOUR));
    assert_eq!(change(&session, lifetime(5 * HOUR)), (30 * MINUTE, HOUR));
    assert_eq!(
        change(&session, lifetime(HOUR)).1,
        Duration::ZERO,
        "it is over"
    );
    assert_eq!(
        change(&session, PLAIN.lifetime_from_now(20 * HOUR)).1,
        8 * HOUR
    );
    let renewed = StoredSession {
        lifetime_renewed: true,
        life_left: 11 * HOUR,
        ..session
    };
    assert_eq!(change(&renewed, lifetime(5 * HOUR)).1, 4 * HOUR);
    assert_eq!(
        change(&renewed, PLAIN.lifetime_from_now(20 * HOUR)).1,
        11 * HOUR
    );
}

#[test]
fn a_sign_in_keeps_the_end_of_the_lifetime_unless_it_renews_it() {
    let (l1, clock) = l1();
    clock.advance(HOUR);
    let session = StoredSession {
        age: 4 * HOUR,
        life_left: 8 * HOUR,
        ..stored(&l1, issue(&l1).id, 1)
    };
    let check =
        |options: SignInOptions<'static>| l1.check_sign_in("ada", &options, &session).unwrap();
    let plain = check(PLAINLY);
    assert_eq!(
        (plain.spans.life_left, plain.renew_lifetime),
        (8 * HOUR, false)
    );
    assert_eq!(plain.user.user, l1.user_hash("ada"));
    let renewed = check(
        PLAINLY
            .renew_lifetime(true)
            .label("phone")
            .assurance_level(3),
    );
    assert_eq!(
        (renewed.spans.life_left, renewed.renew_lifetime),
        (12 * HOUR, true)
    );
    assert_eq!(
        (renewed.user.label, renewed.user.assurance_level),
        ("phone", 3)
    );
    let data = check(PLAINLY.replace_data(Version::new(7), b"new")).data;
    assert_eq!(data, Some((Version::new(7), &b"new"[..])));
    let over = l1.check_sign_in("ada", &PLAINLY.timeouts(lifetime(HOUR)), &session);
    assert_eq!(over.err(), Some(Error::LifetimeOver));
}

#[test]
fn bad_options_are_rejected_as_by_a_local_cache() {
    let (clock, denied) = (ManualClock::new(), Error::AdmissionDenied);
    let settings = || {
        builder(&clock)
            .max_session_size(100)
            .admission(|key| key != b"foe")
    };
    let (l1, local) = (
        settings().build_l1(USER_KEY).unwrap(),
        settings().build().unwrap(),
    );
    let long = "x".repeat(49);
    let all: [(CreateOptions<'_>, usize); 6] = [
        (NEW.admission_key(b"foe"), 1),
        (NEW.admission_key(b"foe"), 101),
        (NEW.admission_key(b"foe").admitted(), 1),
        (NEW, 101),
        (NEW.user(""), 1),
        (NEW.user(sessile::UserInfo::new("ada").label(&long)), 1),
    ];
    for (options, len) in all {
        let data = vec![0; len];
        let ours = l1.check_create(&options, &data).map(|_| ());
        assert_eq!(ours, local.create_with(&data, options).map(|_| ()));
    }
    assert_eq!(l1.check_create(&all[0].0, b"").err(), Some(denied));
    let session = stored(&l1, issue(&l1).id, 1);
    let made = create(&local, b"");
    let all = [
        ("", PLAINLY),
        ("ada", PLAINLY.label(&long)),
        ("ada", PLAINLY.replace_data(made.version, &[0; 101])),
    ];
    for (user, options) in all {
        let ours = l1.check_sign_in(user, &options, &session).map(|_| ());
        assert_eq!(
            ours,
            local.sign_in_with(&made.id, user, options).map(|_| ())
        );
        assert!(ours.is_err());
    }
    assert!(l1.check_len(&[0; 101]).is_err() && l1.check_len(&[0; 100]).is_ok());
}

#[test]
fn the_session_that_is_replaced_is_handed_on() {
    let (l1, _clock) = l1();
    let old = issue(&l1).id;
    let request = l1
        .check_create(&NEW.user("ada").replaces(&old), b"")
        .unwrap();
    assert_eq!(request.replaces, Some(old));
    assert_eq!(request.user.unwrap().user, l1.user_hash("ada"));
}
