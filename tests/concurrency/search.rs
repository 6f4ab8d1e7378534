//! The checker against a search that tries every order.

use crate::calls::{END_USER, ENDED, SESSIONS, issued, read, read_of_user};
use crate::history::{Answer, Call, Id, State, Verb, check, describe};
use crate::parts::ends_several;
use crate::support::Random;

/// Random histories of few calls whose answers are right in some order. The search must agree with
/// trying every order, whether or not the calls overlap as that order requires. If a call ended
/// several sessions, the checker may also accept a history without an order.
#[test]
fn the_search_agrees_with_trying_every_order() {
    let (mut random, mut verdicts) = (Random::new(), [0, 0]);
    for _ in 0..3_000 {
        let history = random_history(&mut random);
        let has_order = any_order(&history, &mut Vec::new());
        let is_accepted = check(&history).is_ok();
        let may_differ = is_accepted && ends_several(&history);
        assert!(
            is_accepted == has_order || may_differ,
            "{}",
            describe(&history)
        );
        verdicts[usize::from(has_order)] += 1;
    }
    assert!(
        verdicts.iter().all(|&number| number > 300),
        "both happen: {verdicts:?}"
    );
}

/// Returns six calls with the answers of one order, at times that may require another order.
fn random_history(random: &mut Random) -> Vec<Call> {
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
            4 => Verb::EndIfUnchanged { id, version: 1 },
            5 => Verb::End { id },
            6 => SESSIONS,
            7 => Verb::EndUserSessions {
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
    let reads = [(1, 7), (1, 9), (2, 8)]
        .into_iter()
        .flat_map(|(version, value)| [read(version, value), read_of_user(version, value)]);
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
