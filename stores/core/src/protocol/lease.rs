//! The time during which L1 may answer without the store, and the generation of the channel.
//!
//! Owns three words, and the lease of entries. Invariant: while `now < trusted_until`, every
//! message about an entry of L1 that the store published before the lease began has been handled.
//! It does not know the reason for a change of one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sessile::{Record, tier::Ticks};

use super::entry_lease::{EntryLease, EntryTrust};

/// The lease and the generation of one node.
#[derive(Default)]
pub(crate) struct Lease {
    trusted_until: AtomicU32,
    /// Odd while the channel is up. Every transition raises it, so an operation that began before
    /// one has another generation than one that begins after it.
    generation: AtomicU64,
    /// The number of ends of all sessions that this node has seen.
    cutoffs: AtomicU64,
    /// The lease of each entry, if the store pushes no changes.
    pub(crate) entries: EntryLease,
}

/// The end of the lease at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Trust {
    until: Ticks,
    entries: EntryTrust,
}

impl Lease {
    /// Returns the end of the lease. It must be taken *before* L1 is read: a lease that began after
    /// L1 was emptied must not cover an entry that was read earlier.
    ///
    /// On x86-64 this is the same instruction as a relaxed load.
    #[inline]
    pub(crate) fn trust(&self) -> Trust {
        // Pairs with the store in `extend`: a reader that sees the new lease sees L1 emptied.
        let until = Ticks::new(self.trusted_until.load(Ordering::Acquire));
        Trust {
            until,
            entries: self.entries.trust(),
        }
    }

    /// Extends the lease. It never becomes shorter by this.
    pub(crate) fn extend(&self, until: Ticks) {
        // Pairs with the load in `trust`.
        self.trusted_until.fetch_max(until.get(), Ordering::Release);
    }

    /// Ends the lease at once.
    pub(crate) fn revoke(&self) {
        self.trusted_until.store(0, Ordering::Release);
    }

    /// Returns the end of the lease, for health checks.
    pub(crate) fn until(&self) -> Ticks {
        self.trust().until
    }

    /// Returns the current generation.
    pub(crate) fn generation(&self) -> u64 {
        // Pairs with the additions in `go_up` and `go_down`.
        self.generation.load(Ordering::Acquire)
    }

    /// Returns true if the channel is up.
    pub(crate) fn is_up(&self) -> bool {
        self.generation() & 1 == 1
    }

    /// Returns the number of ends of all sessions. An operation that began before one does not
    /// install its result: it may be of a session that ended.
    pub(crate) fn cutoffs(&self) -> u64 {
        // Pairs with the addition in `count_cutoff`.
        self.cutoffs.load(Ordering::Acquire)
    }

    /// Counts an end of all sessions.
    pub(crate) fn count_cutoff(&self) {
        self.cutoffs.fetch_add(1, Ordering::AcqRel);
    }

    /// Raises the generation to one that is up.
    pub(crate) fn go_up(&self) {
        if !self.is_up() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Raises the generation to one that is down.
    pub(crate) fn go_down(&self) {
        if self.is_up() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Trust {
    /// Returns true if L1 may answer with an entry that was read.
    #[inline]
    pub(crate) fn covers(self, record: &Record) -> bool {
        self.covers_at(record.read_at(), record.sent_at())
    }

    #[inline]
    fn covers_at(self, read_at: Ticks, sent_at: Ticks) -> bool {
        read_at < self.until && self.entries.covers(read_at, sent_at)
    }

    /// A lease that never ends.
    pub(crate) const FOREVER: Self = Self {
        until: Ticks::new(u32::MAX),
        entries: EntryTrust::FOREVER,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(lease: &Lease, read_at: u32) -> bool {
        lease.trust().covers_at(Ticks::new(read_at), Ticks::ZERO)
    }

    #[test]
    fn a_lease_covers_the_time_before_its_end_only() {
        let lease = Lease::default();
        assert!(!covers(&lease, 0));
        lease.extend(Ticks::new(50));
        lease.extend(Ticks::new(40));
        assert!(covers(&lease, 49));
        assert!(!covers(&lease, 50));
        lease.revoke();
        assert!(!covers(&lease, 0));
    }

    #[test]
    fn each_transition_raises_the_generation_once() {
        let lease = Lease::default();
        assert_eq!((lease.generation(), lease.is_up()), (0, false));
        lease.go_down();
        lease.go_up();
        lease.go_up();
        assert_eq!((lease.generation(), lease.is_up()), (1, true));
        lease.go_down();
        lease.go_down();
        assert_eq!((lease.generation(), lease.is_up()), (2, false));
    }
}
