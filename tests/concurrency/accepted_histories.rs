//! Histories that the checker must accept.

use crate::calls::{
    A, B, C, D, END_A, END_USER, ENDED, LOAD_A, ROTATE_A, SESSIONS, call, created, issued, read,
    read_of_user, two_sessions_of_a_user,
};
use crate::history::{Answer, Call, Verb, check};

#[test]
fn linearizable_histories_are_accepted() {
    let reads_apart = [
        &two_sessions_of_a_user()[..],
        &[
            call(6..15, END_USER, Answer::Sessions(2)),
            call(7..8, Verb::Load { id: D }, Answer::Gone),
            call(9..10, Verb::Load { id: C }, read_of_user(1, 7)),
            call(11..12, Verb::Load { id: C }, Answer::Gone),
        ],
    ]
    .concat();
    let accepted: [(&str, &[Call]); 16] = [
        ("nothing", &[]),
        (
            "calls that do not overlap",
            &[
                created(),
                call(
                    2..3,
                    Verb::Save {
                        id: A,
                        version: 1,
                        value: 8,
                    },
                    Answer::Saved { version: 2 },
                ),
                call(4..5, Verb::Load { id: A }, read(2, 8)),
                call(6..7, ROTATE_A, issued(B, 2)),
                call(8..9, Verb::Load { id: A }, Answer::Gone),
                call(10..11, Verb::SignIn { id: B, user: 0 }, issued(C, 2)),
                call(12..13, Verb::Load { id: C }, read_of_user(2, 8)),
                call(14..15, Verb::End { id: A }, Answer::Ended(true)),
                call(16..17, Verb::Load { id: C }, Answer::Gone),
            ],
        ),
        (
            "a read during the end",
            &[
                created(),
                call(2..9, END_A, ENDED),
                call(3..8, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a miss during the end, and a read that began before and returned later",
            &[
                created(),
                call(2..9, END_A, ENDED),
                call(3..4, LOAD_A, read(1, 7)),
                call(5..6, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "the old id during the rotation",
            &[
                created(),
                call(2..6, ROTATE_A, issued(B, 1)),
                call(3..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "two concurrent saves, of which the first to return comes second",
            &[
                created(),
                call(
                    2..9,
                    Verb::Save {
                        id: A,
                        version: 1,
                        value: 8,
                    },
                    Answer::Saved { version: 2 },
                ),
                call(
                    3..4,
                    Verb::Save {
                        id: A,
                        version: 1,
                        value: 9,
                    },
                    Answer::Conflict,
                ),
                call(10..11, LOAD_A, read(2, 8)),
            ],
        ),
        (
            "a read within a grace period",
            &[
                created(),
                call(2..3, Verb::Rotate { id: A, grace: true }, issued(B, 1)),
                call(4..5, LOAD_A, read(1, 7)),
                call(6..7, Verb::Load { id: B }, read(1, 7)),
            ],
        ),
        (
            "a rotation by an old id within its grace period, which the next rotation ends",
            &[
                created(),
                call(2..3, Verb::Rotate { id: A, grace: true }, issued(B, 1)),
                call(4..5, ROTATE_A, Answer::Rotated),
                call(
                    6..7,
                    Verb::Rotate {
                        id: B,
                        grace: false,
                    },
                    issued(C, 1),
                ),
                call(8..9, ROTATE_A, Answer::Gone),
                call(10..11, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "the end of a user's sessions except one, named by an earlier id of that user",
            &[
                created(),
                call(2..3, Verb::SignIn { id: A, user: 0 }, issued(B, 1)),
                call(
                    4..5,
                    Verb::Rotate {
                        id: B,
                        grace: false,
                    },
                    issued(C, 1),
                ),
                call(
                    6..7,
                    Verb::EndUserSessions {
                        user: 0,
                        except: Some(B),
                    },
                    Answer::Sessions(0),
                ),
                call(8..9, SESSIONS, Answer::Sessions(1)),
            ],
        ),
        (
            "a list during the end of a user's sessions",
            &[
                created(),
                call(2..3, Verb::SignIn { id: A, user: 0 }, issued(B, 1)),
                call(4..9, END_USER, Answer::Sessions(1)),
                call(5..6, SESSIONS, Answer::Sessions(1)),
                call(7..8, SESSIONS, Answer::Sessions(0)),
            ],
        ),
        (
            "reads that see the end of one of a user's sessions before that of the other",
            &reads_apart,
        ),
        (
            "sessions created before and after `end_all`",
            &[
                created(),
                call(2..3, Verb::EndAll, Answer::Done),
                call(4..5, Verb::Create { value: 5 }, issued(B, 1)),
                call(6..7, LOAD_A, Answer::Gone),
                call(8..9, Verb::Load { id: B }, read(1, 5)),
            ],
        ),
        (
            "a session created during `end_all` and ended by it",
            &[
                call(0..9, Verb::EndAll, Answer::Done),
                Call {
                    called: 1,
                    returned: 2,
                    ..created()
                },
                call(3..4, LOAD_A, read(1, 7)),
                call(5..6, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "a session created during `end_all` and not ended by it",
            &[
                call(0..9, Verb::EndAll, Answer::Done),
                Call {
                    called: 1,
                    returned: 2,
                    ..created()
                },
                call(10..11, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a sign-in ordered after the end of the user's sessions, though it was called first",
            &[
                created(),
                call(2..9, Verb::SignIn { id: A, user: 0 }, issued(B, 1)),
                call(3..8, END_USER, Answer::Sessions(0)),
                call(10..11, SESSIONS, Answer::Sessions(1)),
            ],
        ),
        (
            "independent sessions",
            &[
                created(),
                call(0..1, Verb::Create { value: 5 }, issued(B, 1)),
                call(2..3, END_A, ENDED),
                call(4..5, Verb::Load { id: B }, read(1, 5)),
            ],
        ),
    ];
    for (name, history) in accepted {
        assert!(check(history).is_ok(), "{name}");
    }
}
