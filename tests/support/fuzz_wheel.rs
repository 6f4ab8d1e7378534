//! Invariants of the wheel for any deadlines. Run by the fuzz target, and on its corpus.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use sessile::internals::{region::Region, wheel::Wheel};

#[derive(Arbitrary, Debug)]
enum Op {
    Insert { link: u8, far: u8, deadline: u32 },
    Remove { link: u8 },
    Advance { far: u8, ticks: u32, budget: u8 },
}

/// Runs the bytes as operations on a wheel, and on a map from links to their deadlines.
pub(crate) fn wheel(bytes: &[u8]) {
    let region = Region::new(FIRST_LINK + 256).expect("memory");
    let mut wheel = Wheel::new(&region, 1);
    let mut scheduled: BTreeMap<u32, u32> = BTreeMap::new();
    let mut bytes = Unstructured::new(bytes);
    let mut now: u32 = 0;
    while let Ok(op) = if bytes.is_empty() {
        return;
    } else {
        Op::arbitrary(&mut bytes)
    } {
        match op {
            Op::Insert {
                link,
                far,
                deadline,
            } => {
                let link = FIRST_LINK + u32::from(link);
                if scheduled.contains_key(&link) {
                    wheel.remove(&region, link);
                }
                let deadline = now.saturating_add(deadline >> (far % 32));
                wheel.insert(&region, link, deadline);
                scheduled.insert(link, deadline);
            }
            Op::Remove { link } => {
                let link = FIRST_LINK + u32::from(link);
                if scheduled.remove(&link).is_some() {
                    wheel.remove(&region, link);
                }
            }
            Op::Advance { far, ticks, budget } => {
                now = now.saturating_add(ticks >> (far % 32));
                advance(&mut wheel, &region, &mut scheduled, now, budget);
            }
        }
        let mut links = wheel.validate(&region);
        links.sort_unstable();
        assert!(
            links.iter().eq(scheduled.keys()),
            "the wheel holds exactly the scheduled links"
        );
    }
}

/// Removes links that are due, with a budget or to the end. After the latter, none that is due is
/// left.
fn advance(
    wheel: &mut Wheel,
    region: &Region,
    scheduled: &mut BTreeMap<u32, u32>,
    now: u32,
    budget: u8,
) {
    let mut left = if budget == 0 {
        usize::MAX
    } else {
        usize::from(budget)
    };
    let mut steps = 0;
    while left > 0 {
        let Some(link) = wheel.next(region, now) else {
            let overdue = scheduled
                .values()
                .filter(|&&deadline| deadline <= now)
                .count();
            assert_eq!(overdue, 0, "every due link is found");
            return assert!(!wheel.is_due(now));
        };
        let deadline = scheduled.remove(&link).expect("the link was scheduled");
        if deadline > now {
            wheel.insert(region, link, deadline);
            scheduled.insert(link, deadline);
        }
        left -= 1;
        steps += 1;
        assert!(steps <= 256 * 7, "a link moves down a level at each step");
    }
}

const FIRST_LINK: u32 = 1 + Wheel::WORDS;
