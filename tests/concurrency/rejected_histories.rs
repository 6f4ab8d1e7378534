//! Histories that the checker must reject.

use crate::calls::{
    A, B, C, D, E, END_A, END_USER, ENDED, F, LOAD_A, ROTATE_A, SESSIONS, call, created, issued,
    read, read_of_user, two_sessions_of_a_user,
};
use crate::history::{Answer, Call, Verb, check};

#[test]
fn other_histories_are_rejected() {
    let save = |at: u64, value, version| {
        let verb = Verb::Save {
            id: A,
            version: 1,
            value,
        };
        call(at..at + 1, verb, Answer::Saved { version })
    };
    let sign_in = |at: u64, from, to| {
        call(
            at..at + 1,
            Verb::SignIn { id: from, user: 0 },
            issued(to, 1),
        )
    };
    let with_grace = || call(2..3, Verb::Rotate { id: A, grace: true }, issued(B, 1));
    let rejected: [(&str, &[Call]); 26] = [
        (
            "an old id within its grace period is rotated",
            &[created(), with_grace(), call(4..5, ROTATE_A, issued(C, 1))],
        ),
        (
            "the newest id is taken for an old one",
            &[created(), call(2..3, ROTATE_A, Answer::Rotated)],
        ),
        (
            "an old id does not open within its grace period",
            &[created(), with_grace(), call(4..5, LOAD_A, Answer::Gone)],
        ),
        (
            "a grace period outlasts the next rotation",
            &[
                created(),
                with_grace(),
                call(
                    4..5,
                    Verb::Rotate {
                        id: B,
                        grace: false,
                    },
                    issued(C, 1),
                ),
                call(6..7, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "the exception is ended",
            &[
                created(),
                sign_in(2, A, B),
                call(
                    4..5,
                    Verb::EndUserSessions {
                        user: 0,
                        except: Some(B),
                    },
                    Answer::Sessions(1),
                ),
            ],
        ),
        (
            "an exception named by an id of another user",
            &[
                created(),
                sign_in(2, A, B),
                call(4..5, Verb::SignIn { id: B, user: 1 }, issued(C, 1)),
                call(
                    6..7,
                    Verb::EndUserSessions {
                        user: 1,
                        except: Some(B),
                    },
                    Answer::Sessions(0),
                ),
            ],
        ),
        (
            "a read after `end_all`",
            &[
                created(),
                call(2..3, Verb::EndAll, Answer::Done),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a session created after `end_all` is lost",
            &[
                call(0..1, Verb::EndAll, Answer::Done),
                Call {
                    called: 2,
                    returned: 3,
                    ..created()
                },
                call(4..5, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "`end_all` ends one earlier session and not another",
            &[
                created(),
                call(0..1, Verb::Create { value: 5 }, issued(B, 1)),
                call(2..9, Verb::EndAll, Answer::Done),
                call(3..4, LOAD_A, Answer::Gone),
                call(5..6, Verb::Load { id: B }, read(1, 5)),
            ],
        ),
        (
            "a read after the end",
            &[
                created(),
                call(2..3, END_A, ENDED),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a read before the creation",
            &[
                call(2..3, LOAD_A, read(1, 7)),
                Call {
                    called: 4,
                    returned: 5,
                    ..created()
                },
            ],
        ),
        (
            "a read that succeeds after a read that saw the end",
            &[
                created(),
                call(2..9, END_A, ENDED),
                call(3..4, LOAD_A, Answer::Gone),
                call(5..6, LOAD_A, read(1, 7)),
            ],
        ),
        ("lost", &[created(), call(2..3, LOAD_A, Answer::Gone)]),
        (
            "two saves of one version",
            &[created(), save(2, 8, 2), save(4, 9, 3)],
        ),
        (
            "two concurrent saves of one version",
            &[
                created(),
                Call {
                    returned: 9,
                    ..save(2, 8, 2)
                },
                Call {
                    returned: 9,
                    ..save(3, 9, 3)
                },
            ],
        ),
        (
            "one version is issued twice",
            &[
                created(),
                call(
                    2..3,
                    Verb::Save {
                        id: A,
                        version: 1,
                        value: 8,
                    },
                    Answer::Saved { version: 1 },
                ),
            ],
        ),
        (
            "a conflict without another write",
            &[
                created(),
                call(
                    2..3,
                    Verb::Save {
                        id: A,
                        version: 1,
                        value: 8,
                    },
                    Answer::Conflict,
                ),
            ],
        ),
        (
            "a save is not visible",
            &[created(), save(2, 8, 2), call(4..5, LOAD_A, read(1, 7))],
        ),
        (
            "a save is visible and then is not",
            &[
                created(),
                Call {
                    returned: 9,
                    ..save(2, 8, 2)
                },
                call(3..4, LOAD_A, read(2, 8)),
                call(5..6, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a save is partially visible",
            &[created(), save(2, 8, 2), call(4..5, LOAD_A, read(2, 7))],
        ),
        (
            "the old id opens after the rotation",
            &[
                created(),
                call(2..3, ROTATE_A, issued(B, 1)),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "two rotations of one id",
            &[
                created(),
                call(2..9, ROTATE_A, issued(B, 1)),
                call(3..8, ROTATE_A, issued(C, 1)),
            ],
        ),
        (
            "an end by the old id is lost",
            &[
                created(),
                call(2..3, ROTATE_A, issued(B, 1)),
                call(4..5, END_A, ENDED),
                call(6..7, Verb::Load { id: B }, read(1, 7)),
            ],
        ),
        (
            "two ends of one session",
            &[
                created(),
                call(2..9, END_A, ENDED),
                call(3..8, END_A, ENDED),
            ],
        ),
        (
            "an end of an outdated version",
            &[
                created(),
                save(2, 8, 2),
                call(
                    4..5,
                    Verb::EndIfUnchanged { id: A, version: 1 },
                    Answer::Done,
                ),
            ],
        ),
        (
            "a session survives the end of its user's sessions",
            &[
                created(),
                sign_in(2, A, B),
                call(4..5, END_USER, Answer::Sessions(1)),
                call(6..7, Verb::Touch { id: B }, Answer::Done),
            ],
        ),
    ];
    for (name, history) in rejected {
        assert!(check(history).is_err(), "{name}");
    }
}

#[test]
fn other_histories_of_a_user_with_two_sessions_are_rejected() {
    let rejected: [(&str, &[Call]); 7] = [
        (
            "a read finds one of two sessions after the end of their user's",
            &[
                call(6..7, END_USER, Answer::Sessions(2)),
                call(8..9, Verb::Load { id: C }, read_of_user(1, 7)),
            ],
        ),
        (
            "a read finds a session again during the end of its user's",
            &[
                call(6..15, END_USER, Answer::Sessions(2)),
                call(7..8, Verb::Load { id: C }, Answer::Gone),
                call(9..10, Verb::Load { id: C }, read_of_user(1, 7)),
            ],
        ),
        (
            "a list during the end of a user's sessions has one of two",
            &[
                call(6..15, END_USER, Answer::Sessions(2)),
                call(7..8, SESSIONS, Answer::Sessions(1)),
            ],
        ),
        (
            "a touch finds a session after the end of another of the user's sessions was seen",
            &[
                call(6..15, END_USER, Answer::Sessions(2)),
                call(7..8, Verb::Touch { id: D }, Answer::Gone),
                call(9..10, Verb::Touch { id: C }, Answer::Done),
            ],
        ),
        (
            "a touch finds a session after the end of another of the user's sessions was read",
            &[
                call(6..15, END_USER, Answer::Sessions(2)),
                call(7..8, Verb::Load { id: D }, Answer::Gone),
                call(9..10, Verb::Touch { id: C }, Answer::Done),
            ],
        ),
        (
            "a session of a sign-in during the end of its user's sessions is lost",
            &[
                call(0..1, Verb::Create { value: 6 }, issued(E, 1)),
                call(6..15, END_USER, Answer::Sessions(2)),
                call(8..9, Verb::SignIn { id: E, user: 0 }, issued(F, 1)),
                call(16..17, Verb::Load { id: F }, Answer::Gone),
            ],
        ),
        (
            "a list of a user's sessions that was never complete",
            &[call(6..7, SESSIONS, Answer::Sessions(1))],
        ),
    ];
    for (name, calls) in rejected {
        let history = [&two_sessions_of_a_user()[..], calls].concat();
        assert!(check(&history).is_err(), "{name}");
    }
}
