//! The part of the model that is about events: each operation's are taken, in order, and say what it did to
//! other sessions than its own. What they say must have been allowed.

use std::iter;

use sessile::{EndReason, EventKind, Handle};

use super::{Pair, TICK};

/// What may happen to other sessions along with an operation; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Along {
    Nothing,
    /// Memory of expired ones is given back.
    Expiry,
    /// Anonymous ones go to make room.
    Anonymous,
    /// Those with a user too.
    Anyone,
}

impl Pair {
    /// Takes the events of an operation, which are these and no others.
    pub(super) fn expect(&mut self, along: Along, own: &[(EventKind, Option<Handle>)]) {
        assert_eq!(self.told(along), own);
    }

    /// Takes the events of an operation, and gives those that are about its own session.
    pub(super) fn told(&mut self, along: Along) -> Vec<(EventKind, Option<Handle>)> {
        let cache = self.cache.clone();
        let mut own = Vec::new();
        for event in iter::from_fn(|| cache.next_event()) {
            assert_eq!(event.at(), TICK * self.now);
            assert_eq!(event.user(), event.handle.and_then(|handle| handle.user()));
            let is_late = own
                .last()
                .is_some_and(|&(what, _)| is_over(what, event.kind));
            assert!(!is_late, "{own:?}, {event:?}");
            *self.tally.entry(event.kind).or_default() += 1;
            match event.kind {
                EventKind::Expired => self.expired(event.handle, along),
                EventKind::Evicted => self.evicted(event.handle, along),
                what => own.push((what, event.handle)),
            }
        }
        self.compare_with_stats();
        own
    }

    pub(super) fn told_of(&self, what: EventKind) -> u64 {
        self.tally.get(&what).copied().unwrap_or(0)
    }

    fn expired(&mut self, handle: Option<Handle>, along: Along) {
        assert!(along >= Along::Expiry, "nothing expires in a read");
        assert!(
            !self.take(handle).is_promised(self.now),
            "a session is there until its deadline"
        );
    }

    fn evicted(&mut self, handle: Option<Handle>, along: Along) {
        assert!(self.is_short, "nothing is evicted while there is room");
        let session = self.take(handle);
        assert!(
            !session.is_dead(self.now) && !session.is_over,
            "it could have been had"
        );
        let least = if session.user.is_some() {
            Along::Anyone
        } else {
            Along::Anonymous
        };
        assert!(along >= least, "only what may go does");
    }

    /// Removes the session of a handle: it is told only once that it is over.
    fn take(&mut self, handle: Option<Handle>) -> super::Session {
        let of = |(_, session): &(_, &super::Session)| Some(session.handle) == handle;
        let id = *self.live.iter().find(of).expect("it was there until now").0;
        self.live.remove(&id).expect("it was just found")
    }

    /// What was counted is what was told.
    fn compare_with_stats(&self) {
        let stats = self.cache.stats();
        assert_eq!((stats.events_dropped, stats.shard_resets), (0, 0));
        let memory = stats.memory;
        assert!(memory.used <= memory.capacity && memory.capacity < memory.budget);
        let evicted = stats.evicted;
        let evicted = evicted.probation + evicted.anonymous + evicted.authenticated;
        let counted = [
            (EventKind::Created, stats.created),
            (EventKind::SignedIn, stats.signed_in),
            (EventKind::Rotated, stats.rotated),
            (EventKind::Expired, stats.expired),
            (EventKind::Evicted, evicted),
            (EventKind::Conflict, stats.conflicts),
        ];
        counted.into_iter().for_each(|(what, number)| {
            assert_eq!(self.told_of(what), number, "{what:?}");
        });
        let ways = [
            EndReason::Requested,
            EndReason::UserRevoked,
            EndReason::SessionLimit,
            EndReason::Reused,
        ];
        let ended: u64 = ways
            .into_iter()
            .map(|why| self.told_of(EventKind::Ended(why)))
            .sum();
        assert_eq!(ended + self.ended_at_once, stats.ended);
        let there = self.cache.len() as u64;
        assert_eq!(
            stats.created,
            there + stats.ended + stats.expired + evicted,
            "none is lost"
        );
    }
}

/// Whether that cannot come behind this in one operation: room was made before, and only a session that has a
/// user from the start is made and signed in at once.
fn is_over(what: EventKind, that: EventKind) -> bool {
    match what {
        EventKind::Created => that != EventKind::SignedIn,
        EventKind::SignedIn | EventKind::Rotated | EventKind::Conflict => true,
        _ => false,
    }
}
