//! Doubly linked circular lists of words.
//!
//! ```text
//!   anchor ⇄ link ⇄ link ⇄ (anchor)          each a word: next │ previous, offsets of such words
//! ```
//!
//! An anchor is a link that belongs to no member, so linking and unlinking have no special case. A
//! link of zero is in no list. A list does not know what its members are.

use super::region::{Offset, Pair, Region};

/// Makes a word the anchor of an empty list.
pub fn anchor(region: &Region, anchor: Offset) {
    region.set_pair(anchor, Pair::new(anchor, anchor));
}

/// Appends a link.
pub fn push(region: &Region, anchor: Offset, link: Offset) {
    debug_assert!(!is_linked(region, link), "a link must not be in a list yet");
    let last = region.pair(anchor).high;
    region.set_pair(link, Pair::new(anchor, last));
    set_next(region, last, link);
    set_previous(region, anchor, link);
}

/// Removes a link from its list and returns its two neighbours. They are equal if the list is empty
/// now.
pub fn unlink(region: &Region, link: Offset) -> Pair {
    debug_assert!(is_linked(region, link), "a link must be in a list");
    let around = region.pair(link);
    set_next(region, around.high, around.low);
    set_previous(region, around.low, around.high);
    region.store(link, 0);
    around
}

/// Appends all links of one list to another, in O(1).
pub fn splice(region: &Region, from: Offset, to: Offset) {
    let Pair {
        low: first,
        high: last,
    } = region.pair(from);
    if first == from {
        return;
    }
    let before = region.pair(to).high;
    set_next(region, before, first);
    set_previous(region, first, before);
    set_next(region, last, to);
    set_previous(region, to, last);
    anchor(region, from);
}

/// Returns the first link, if there is one.
pub fn first(region: &Region, anchor: Offset) -> Option<Offset> {
    next(region, anchor, anchor)
}

/// Returns the last link, if there is one.
pub fn last(region: &Region, anchor: Offset) -> Option<Offset> {
    let last = region.pair(anchor).high;
    (last != anchor).then_some(last)
}

/// Returns the link after `link`, if there is one.
pub fn next(region: &Region, anchor: Offset, link: Offset) -> Option<Offset> {
    let next = region.pair(link).low;
    (next != anchor).then_some(next)
}

/// Returns true if a link is in a list.
pub fn is_linked(region: &Region, link: Offset) -> bool {
    region.load(link) != 0
}

/// Points the neighbours of a link at it, after its word was copied here from elsewhere.
pub fn moved(region: &Region, link: Offset) {
    if is_linked(region, link) {
        let around = region.pair(link);
        set_next(region, around.high, link);
        set_previous(region, around.low, link);
    }
}

/// Checks the links of a list in both directions and returns them. For tests.
#[cfg(any(test, feature = "__internals"))]
pub fn validate(region: &Region, anchor: Offset) -> Vec<Offset> {
    let (mut links, mut at) = (Vec::new(), anchor);
    while let Some(link) = next(region, anchor, at) {
        assert_eq!(
            region.pair(link).high,
            at,
            "a link points back at the link before it"
        );
        links.push(link);
        at = link;
    }
    assert_eq!(
        region.pair(anchor).high,
        at,
        "the anchor points back at the last link"
    );
    links
}

fn set_next(region: &Region, link: Offset, next: Offset) {
    region.set_pair(
        link,
        Pair {
            low: next,
            ..region.pair(link)
        },
    );
}

fn set_previous(region: &Region, link: Offset, previous: Offset) {
    region.set_pair(
        link,
        Pair {
            high: previous,
            ..region.pair(link)
        },
    );
}
