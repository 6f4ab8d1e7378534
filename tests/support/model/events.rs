//! The part of the model that is about events. The events of each operation are taken in order.
//! They report what the operation did to other sessions, and the model checks that it was allowed.

use std::iter;

use sessile::{EndReason, EventKind, Handle};

use super::{Pair, TICK};

/// Permitted side effects of an operation on other sessions; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SideEffects {
    Nothing,
    /// Memory of expired sessions is freed.
    Expiry,
    /// Anonymous sessions are evicted.
    EvictAnonymous,
    /// Authenticated sessions are evicted too.
    EvictAny,
}

impl Pair {
    /// Takes the events of an operation and asserts that those of its own session are exactly
    /// `own`.
    pub(super) fn expect(&mut self, allowed: SideEffects, own: &[(EventKind, Option<Handle>)]) {
        assert_eq!(self.own_events(allowed), own);
    }

    /// Takes the events of an operation and returns those of the operated session.
    pub(super) fn own_events(&mut self, allowed: SideEffects) -> Vec<(EventKind, Option<Handle>)> {
        let cache = self.cache.clone();
        let mut own = Vec::new();
        for event in iter::from_fn(|| cache.next_event()) {
            assert_eq!(event.at(), TICK * self.now);
            assert_eq!(event.user(), event.handle.and_then(|handle| handle.user()));
            let is_late = own
                .last()
                .is_some_and(|&(kind, _)| is_over(kind, event.kind));
            assert!(!is_late, "{own:?}, {event:?}");
            *self.tally.entry(event.kind).or_default() += 1;
            match event.kind {
                EventKind::Expired => self.expired(event.handle, allowed),
                EventKind::Evicted => self.evicted(event.handle, allowed),
                kind => own.push((kind, event.handle)),
            }
        }
        self.compare_with_stats();
        own
    }

    pub(super) fn emitted(&self, kind: EventKind) -> u64 {
        self.tally.get(&kind).copied().unwrap_or(0)
    }

    fn expired(&mut self, handle: Option<Handle>, allowed: SideEffects) {
        assert!(
            allowed >= SideEffects::Expiry,
            "a read frees no expired session"
        );
        assert!(
            !self.take(handle).is_promised(self.now),
            "a session is kept until its deadline"
        );
    }

    fn evicted(&mut self, handle: Option<Handle>, allowed: SideEffects) {
        assert!(self.is_short, "nothing is evicted while memory is free");
        let session = self.take(handle);
        assert!(
            !session.is_dead(self.now) && !session.is_over,
            "the evicted session was live"
        );
        let least = if session.user.is_some() {
            SideEffects::EvictAny
        } else {
            SideEffects::EvictAnonymous
        };
        assert!(allowed >= least, "only evictable sessions are evicted");
    }

    /// Removes the session of a handle, whose end has been emitted.
    fn take(&mut self, handle: Option<Handle>) -> super::Session {
        let of = |(_, session): &(_, &super::Session)| Some(session.handle) == handle;
        let id = *self
            .live
            .iter()
            .find(of)
            .expect("the session was live until now")
            .0;
        self.live.remove(&id).expect("the session was just found")
    }

    /// Asserts that the statistics agree with the events.
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
        counted.into_iter().for_each(|(kind, number)| {
            assert_eq!(self.emitted(kind), number, "{kind:?}");
        });
        let reasons = [
            EndReason::Requested,
            EndReason::UserRevoked,
            EndReason::SessionLimit,
            EndReason::Reused,
        ];
        let ended: u64 = reasons
            .into_iter()
            .map(|reason| self.emitted(EventKind::Ended(reason)))
            .sum();
        assert_eq!(ended + self.ended_at_once, stats.ended);
        let live = self.cache.len() as u64;
        assert_eq!(
            stats.created,
            live + stats.ended + stats.expired + evicted,
            "every session is accounted for"
        );
    }
}

/// Returns true if `next` cannot follow `kind` within one operation. Evictions come first, and only
/// a session created with a user is created and signed in at once.
fn is_over(kind: EventKind, next: EventKind) -> bool {
    match kind {
        EventKind::Created => next != EventKind::SignedIn,
        EventKind::SignedIn | EventKind::Rotated | EventKind::Conflict => true,
        _ => false,
    }
}
