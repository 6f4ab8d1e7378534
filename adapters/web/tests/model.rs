//! Overlapping requests of one visitor against a naive model: no response with 200 hides a lost
//! change, and a user who signed in stays signed in.

#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/visitor_model.rs"]
mod visitor_model;

use proptest::{collection::vec, prelude::*};
use visitor_model::{Act, DAY, Op, World};

fn act() -> impl Strategy<Value = Act> {
    let key = || prop_oneof![4 => 0..2_usize, 1 => Just(2)];
    prop_oneof![
        6 => (key(), 0..3_i64).prop_map(|(key, value)| Act::Set(key, value)),
        3 => key().prop_map(Act::Remove),
        2 => key().prop_map(Act::Take),
        2 => Just(Act::Clear),
        2 => Just(Act::Add),
        1 => key().prop_map(Act::Watch),
        4 => (0..2_usize, any::<bool>()).prop_map(|(user, is_remembered)| Act::SignIn(user, is_remembered)),
        2 => Just(Act::Rotate),
        1 => Just(Act::Persistent),
        1 => Just(Act::Remember),
        1 => Just(Act::SignOut),
        1 => Just(Act::Save),
        1 => Just(Act::Form),
    ]
}

/// Returns slow requests in two tabs, interleaved with whole requests in a third one.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let tab = || 0..2_usize;
    let spans = vec![1, 11, 61, 60 * 60, 8 * DAY, 8 * DAY, 40 * DAY];
    let visit = |acts: Vec<Act>| {
        let acts = acts.into_iter().map(|act| Op::Act(2, act));
        let begin = Op::Begin {
            tab: 2,
            reads: true,
        };
        [begin]
            .into_iter()
            .chain(acts)
            .chain([Op::Finish(2)])
            .collect()
    };
    let begin = |(tab, reads)| vec![Op::Begin { tab, reads }];
    let step = prop_oneof![
        6 => vec(act(), 1..3).prop_map(visit),
        5 => (tab(), any::<bool>()).prop_map(begin),
        5 => (tab(), act()).prop_map(|(tab, act)| vec![Op::Act(tab, act)]),
        4 => tab().prop_map(|tab| vec![Op::Finish(tab)]),
        1 => tab().prop_map(|tab| vec![Op::Fail(tab)]),
        1 => tab().prop_map(|tab| vec![Op::Drop(tab)]),
        2 => prop::sample::select(spans).prop_map(|span| vec![Op::Advance(span)]),
    ];
    vec(step, 0..24).prop_map(|steps| steps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlapping_requests_of_one_visitor_match_the_model(
        rotates in any::<bool>(),
        grace in prop_oneof![Just(None), Just(Some(10))],
        ops in ops(),
    ) {
        let mut world = World::new(rotates, grace);
        for op in ops {
            world.step(op);
        }
    }
}
