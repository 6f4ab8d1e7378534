//! Linearizability: concurrent calls answer as if they had been made one by one. Recorded histories
//! are checked against a sequential model, session by session.
//!
//! About 10⁵ calls, or `SESSILE_HISTORY_CALLS`. The seed is printed. Threads are not deterministic,
//! so a failure prints the history that has no order.

use std::{env, ops::Range, thread};

use crate::history::{Answer, Call, Id, State, Verb, check, describe};
use crate::recorder::Recorder;
use crate::support::{HOUR, Random, builder};
use sessile::ManualClock;

// TERM-1: docs/security-checklist.md
#[test]
fn concurrent_operations_are_linearizable() {
    let wanted = env::var("SESSILE_HISTORY_CALLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(100_000);
    let clock = ManualClock::new();
    let cache = builder(&clock).memory(32 << 20).shards(4).build().unwrap();
    let (mut made, mut overlapping, mut seed) = (0, 0, Random::new());
    // Calls of two threads overlap most often on two cores; some races need three threads.
    let mut phases = [2, 2, 3].into_iter().cycle();
    // On a busy machine, continue until enough calls overlapped.
    while made < wanted || (overlapping < wanted / 10 && made < wanted * 10) {
        let threads = phases.next().unwrap();
        let recorder = Recorder {
            cache: &cache,
            calls: CALLS / threads,
            threads,
        };
        for history in recorder.record(ROUNDS, &mut seed) {
            if let Err(part) = check(&history) {
                panic!("these calls have no order:\n{}", describe(&part));
            }
            made += history.len();
            overlapping += overlaps(history);
        }
        // Ended sessions and aliases are forgotten before the next phase.
        clock.advance(HOUR);
        cache.maintain(usize::MAX);
        assert_eq!((cache.len(), cache.stats().memory.used), (0, 0));
        cache.validate();
    }
    println!("{made} calls, {overlapping} of them while another was under way");
    let has_cores = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert!(overlapping > 0 || !has_cores, "some calls overlapped");
}

/// Counts the calls that were made before an earlier call had returned.
fn overlaps(mut history: Vec<Call>) -> usize {
    history.sort_by_key(|call| call.called);
    let mut latest = 0;
    let overlaps = |call: &&Call| {
        let overlaps = call.called < latest;
        latest = latest.max(call.returned);
        overlaps
    };
    history.iter().filter(overlaps).count()
}

#[test]
fn calls_that_could_have_been_made_in_order_are_accepted() {
    let accepted: [(&str, &[Call]); 15] = [
        ("nothing", &[]),
        (
            "one after another",
            &[
                made(),
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
                call(
                    12..13,
                    Verb::Load { id: C },
                    Answer::Read {
                        version: 2,
                        value: 8,
                        user: Some(0),
                    },
                ),
                call(14..15, Verb::End { id: A }, Answer::Ended(true)),
                call(16..17, Verb::Load { id: C }, Answer::Gone),
            ],
        ),
        (
            "a read during the end",
            &[
                made(),
                call(2..9, END_A, ENDED),
                call(3..8, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a miss during the end, and a read that began before and returned later",
            &[
                made(),
                call(2..9, END_A, ENDED),
                call(3..4, LOAD_A, read(1, 7)),
                call(5..6, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "the old id during the rotation",
            &[
                made(),
                call(2..6, ROTATE_A, issued(B, 1)),
                call(3..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "of two saves at once the one that is answered first comes second",
            &[
                made(),
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
            "a grace",
            &[
                made(),
                call(2..3, Verb::Rotate { id: A, grace: true }, issued(B, 1)),
                call(4..5, LOAD_A, read(1, 7)),
                call(6..7, Verb::Load { id: B }, read(1, 7)),
            ],
        ),
        (
            "a rotation by an old id within its grace, which the next rotation ends",
            &[
                made(),
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
            "an end of a user's sessions but for one, by an id that was that user's",
            &[
                made(),
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
                    Verb::EndUser {
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
                made(),
                call(2..3, Verb::SignIn { id: A, user: 0 }, issued(B, 1)),
                call(4..9, END_USER, Answer::Sessions(1)),
                call(5..6, SESSIONS, Answer::Sessions(1)),
                call(7..8, SESSIONS, Answer::Sessions(0)),
            ],
        ),
        (
            "what was made before an end of all, and what was made behind it",
            &[
                made(),
                call(2..3, Verb::EndAll, Answer::Done),
                call(4..5, Verb::Create { value: 5 }, issued(B, 1)),
                call(6..7, LOAD_A, Answer::Gone),
                call(8..9, Verb::Load { id: B }, read(1, 5)),
            ],
        ),
        (
            "what was made during an end of all and went with it",
            &[
                call(0..9, Verb::EndAll, Answer::Done),
                Call {
                    called: 1,
                    returned: 2,
                    ..made()
                },
                call(3..4, LOAD_A, read(1, 7)),
                call(5..6, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "what was made during an end of all and stays",
            &[
                call(0..9, Verb::EndAll, Answer::Done),
                Call {
                    called: 1,
                    returned: 2,
                    ..made()
                },
                call(10..11, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "a sign-in that comes after the end of the user's sessions, though it was called first",
            &[
                made(),
                call(2..9, Verb::SignIn { id: A, user: 0 }, issued(B, 1)),
                call(3..8, END_USER, Answer::Sessions(0)),
                call(10..11, SESSIONS, Answer::Sessions(1)),
            ],
        ),
        (
            "sessions that have nothing to do with each other",
            &[
                made(),
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

#[test]
fn calls_that_could_not_have_been_made_in_order_are_refused() {
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
    let refused: [(&str, &[Call]); 27] = [
        (
            "a new id for whoever has an old one, within its grace",
            &[made(), with_grace(), call(4..5, ROTATE_A, issued(C, 1))],
        ),
        (
            "the newest id taken for an old one",
            &[made(), call(2..3, ROTATE_A, Answer::Rotated)],
        ),
        (
            "a grace that is not kept",
            &[made(), with_grace(), call(4..5, LOAD_A, Answer::Gone)],
        ),
        (
            "a grace that outlasts the next rotation",
            &[
                made(),
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
            "the exception that ends",
            &[
                made(),
                sign_in(2, A, B),
                call(
                    4..5,
                    Verb::EndUser {
                        user: 0,
                        except: Some(B),
                    },
                    Answer::Sessions(1),
                ),
            ],
        ),
        (
            "an exception by an id that another user had",
            &[
                made(),
                sign_in(2, A, B),
                call(4..5, Verb::SignIn { id: B, user: 1 }, issued(C, 1)),
                call(
                    6..7,
                    Verb::EndUser {
                        user: 1,
                        except: Some(B),
                    },
                    Answer::Sessions(0),
                ),
            ],
        ),
        (
            "read after an end of all",
            &[
                made(),
                call(2..3, Verb::EndAll, Answer::Done),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "lost though it was made behind an end of all",
            &[
                call(0..1, Verb::EndAll, Answer::Done),
                Call {
                    called: 2,
                    returned: 3,
                    ..made()
                },
                call(4..5, LOAD_A, Answer::Gone),
            ],
        ),
        (
            "one ended with all others, and another that was there before and stays",
            &[
                made(),
                call(0..1, Verb::Create { value: 5 }, issued(B, 1)),
                call(2..9, Verb::EndAll, Answer::Done),
                call(3..4, LOAD_A, Answer::Gone),
                call(5..6, Verb::Load { id: B }, read(1, 5)),
            ],
        ),
        (
            "read after its end",
            &[
                made(),
                call(2..3, END_A, ENDED),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "read before it was made",
            &[
                call(2..3, LOAD_A, read(1, 7)),
                Call {
                    called: 4,
                    returned: 5,
                    ..made()
                },
            ],
        ),
        (
            "read, though a read before it saw the end",
            &[
                made(),
                call(2..9, END_A, ENDED),
                call(3..4, LOAD_A, Answer::Gone),
                call(5..6, LOAD_A, read(1, 7)),
            ],
        ),
        ("lost", &[made(), call(2..3, LOAD_A, Answer::Gone)]),
        (
            "two saves of one version",
            &[made(), save(2, 8, 2), save(4, 9, 3)],
        ),
        (
            "two saves of one version at once",
            &[
                made(),
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
            "a version twice",
            &[
                made(),
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
            "a conflict with nobody",
            &[
                made(),
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
            "a save that is not seen",
            &[made(), save(2, 8, 2), call(4..5, LOAD_A, read(1, 7))],
        ),
        (
            "a save that is seen and then not",
            &[
                made(),
                Call {
                    returned: 9,
                    ..save(2, 8, 2)
                },
                call(3..4, LOAD_A, read(2, 8)),
                call(5..6, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "half of a save",
            &[made(), save(2, 8, 2), call(4..5, LOAD_A, read(2, 7))],
        ),
        (
            "the old id after the rotation",
            &[
                made(),
                call(2..3, ROTATE_A, issued(B, 1)),
                call(4..5, LOAD_A, read(1, 7)),
            ],
        ),
        (
            "two rotations of one id",
            &[
                made(),
                call(2..9, ROTATE_A, issued(B, 1)),
                call(3..8, ROTATE_A, issued(C, 1)),
            ],
        ),
        (
            "an end by the old id that was lost",
            &[
                made(),
                call(2..3, ROTATE_A, issued(B, 1)),
                call(4..5, END_A, ENDED),
                call(6..7, Verb::Load { id: B }, read(1, 7)),
            ],
        ),
        (
            "two ends of one session",
            &[made(), call(2..9, END_A, ENDED), call(3..8, END_A, ENDED)],
        ),
        (
            "an end of a version that was over",
            &[
                made(),
                save(2, 8, 2),
                call(4..5, Verb::EndIf { id: A, version: 1 }, Answer::Done),
            ],
        ),
        (
            "a session that outlives the end of all of its user's",
            &[
                made(),
                sign_in(2, A, B),
                call(4..5, END_USER, Answer::Sessions(1)),
                call(6..7, Verb::Touch { id: B }, Answer::Done),
            ],
        ),
        (
            "a list of a user's sessions that was never whole",
            &[
                made(),
                call(0..1, Verb::Create { value: 5 }, issued(B, 1)),
                sign_in(2, A, C),
                sign_in(4, B, D),
                call(6..7, SESSIONS, Answer::Sessions(1)),
            ],
        ),
    ];
    for (name, history) in refused {
        assert!(check(history).is_err(), "{name}");
    }
}

/// Random histories of few calls whose answers are right in some order. The search must agree with
/// trying every order, whether or not the calls overlap as that order requires.
#[test]
fn the_search_agrees_with_trying_every_order() {
    let (mut random, mut verdicts) = (Random::new(), [0, 0]);
    for _ in 0..3_000 {
        let history = made_up(&mut random);
        let has_order = any_order(&history, &mut Vec::new());
        assert_eq!(check(&history).is_ok(), has_order, "{}", describe(&history));
        verdicts[usize::from(has_order)] += 1;
    }
    assert!(
        verdicts.iter().all(|&number| number > 300),
        "both happen: {verdicts:?}"
    );
}

/// Returns six calls with the answers of one order, at times that may require another order.
fn made_up(random: &mut Random) -> Vec<Call> {
    let (mut state, mut history) = (State::default(), Vec::new());
    for at in 0..6 {
        let id = random.below(3) as Id;
        let verb = match random.below(12) {
            0 if at > 0 => Verb::Create { value: 9 },
            _ if at == 0 => Verb::Create { value: 7 },
            1 => Verb::Rotate {
                id,
                grace: random.below(2) == 0,
            },
            2 => Verb::SignIn { id, user: 0 },
            3 => END_USER,
            4 => Verb::EndIf { id, version: 1 },
            5 => Verb::End { id },
            6 => SESSIONS,
            7 => Verb::EndUser {
                user: 0,
                except: Some(id),
            },
            8 => Verb::EndAll,
            9 | 10 => Verb::Save {
                id,
                version: 1,
                value: 8,
            },
            _ => Verb::Load { id },
        };
        let answer = answer_of(&mut state, verb, at as Id);
        let called = (at * 10 + random.below(60)) as u64;
        history.push(Call {
            called,
            returned: called + 1 + random.below(20) as u64,
            verb,
            answer,
        });
    }
    history
}

/// Returns the model's answer in this state; an issued id gets the number `id`.
fn answer_of(state: &mut State, verb: Verb, id: Id) -> Answer {
    let reads = [(1, 7), (1, 9), (2, 8)].map(|(version, value)| read(version, value));
    let reads =
        reads.into_iter().chain(
            [(1, 7), (1, 9), (2, 8)].map(|(version, value)| Answer::Read {
                version,
                value,
                user: Some(0),
            }),
        );
    let others = [1, 2]
        .into_iter()
        .flat_map(|version| [issued(id, version), Answer::Saved { version }]);
    let counts = (0..3).map(Answer::Sessions);
    let refusals = [Answer::Conflict, Answer::Rotated, Answer::Gone];
    let plain = [Answer::Done, ENDED, Answer::Ended(false)]
        .into_iter()
        .chain(refusals);
    let mut all = plain.chain(reads).chain(others).chain(counts);
    let accepted = all.find_map(|answer| {
        let mut next = state.clone();
        next.accepts(verb, answer).then_some((answer, next))
    });
    let (answer, next) = accepted.expect("one of them is right");
    *state = next;
    answer
}

/// Returns true if some order of all calls that starts with `begin` respects their times and is
/// accepted.
fn any_order(history: &[Call], begin: &mut Vec<usize>) -> bool {
    if begin.len() == history.len() {
        let mut state = State::default();
        return begin
            .iter()
            .all(|&at| state.accepts(history[at].verb, history[at].answer));
    }
    (0..history.len()).any(|at| {
        let is_late = |&other: &usize| history[other].called > history[at].returned;
        if begin.contains(&at) || begin.iter().any(is_late) {
            return false;
        }
        begin.push(at);
        let found = any_order(history, begin);
        begin.pop();
        found
    })
}

/// The call that creates the session of most histories.
fn made() -> Call {
    call(0..1, Verb::Create { value: 7 }, issued(A, 1))
}

fn call(span: Range<u64>, verb: Verb, answer: Answer) -> Call {
    Call {
        called: span.start,
        returned: span.end,
        verb,
        answer,
    }
}

fn issued(id: Id, version: u32) -> Answer {
    Answer::IssuedSession { id, version }
}

/// The answer to a read of an anonymous session.
fn read(version: u32, value: u32) -> Answer {
    Answer::Read {
        version,
        value,
        user: None,
    }
}

const A: Id = 0;
const B: Id = 1;
const C: Id = 2;
const D: Id = 3;
const LOAD_A: Verb = Verb::Load { id: A };
const END_A: Verb = Verb::End { id: A };
const ROTATE_A: Verb = Verb::Rotate {
    id: A,
    grace: false,
};
const END_USER: Verb = Verb::EndUser {
    user: 0,
    except: None,
};
const SESSIONS: Verb = Verb::SessionsOf { user: 0 };
const ENDED: Answer = Answer::Ended(true);
/// Rounds of a phase, and calls of a round.
const ROUNDS: usize = 500;
const CALLS: usize = 90;
