//! The lease of each entry of L1, for a store that pushes no changes.
//!
//! Owns one word: the span for which an entry is opened after the command that returned it, and the
//! time before which no command counts. Invariant: a change that another node made is seen at the
//! latest one span after it. It does not know entries, nor who asks the store again.

use std::sync::atomic::{AtomicU64, Ordering};

use sessile::tier::Ticks;

/// The lease of entries of one node.
///
/// ```text
///  bit 0 span │ 32 floor        both in ticks
/// ```
pub(crate) struct EntryLease(AtomicU64);

/// The lease of entries at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryTrust {
    span: u32,
    floor: u32,
}

impl EntryLease {
    /// Sets the span for which entries are opened. `None` sets no limit: the store pushes changes.
    pub(crate) fn set_span(&self, span: Option<u32>) {
        let span = span.unwrap_or(u32::MAX);
        self.update(|trust| EntryTrust { span, ..trust });
    }

    /// Makes every entry whose command was sent before a time ask the store once. The time never
    /// decreases.
    pub(crate) fn raise_floor(&self, sent_at: Ticks) {
        self.update(|trust| EntryTrust {
            floor: trust.floor.max(sent_at.get()),
            ..trust
        });
    }

    /// Returns the current lease.
    #[inline]
    pub(crate) fn trust(&self) -> EntryTrust {
        // The word orders nothing else: a reader that sees an earlier one began before the change.
        EntryTrust::unpack(self.0.load(Ordering::Relaxed))
    }

    fn update(&self, change: impl Fn(EntryTrust) -> EntryTrust) {
        let changed = |word| Some(change(EntryTrust::unpack(word)).pack());
        // It cannot fail: the closure always returns a word.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

impl EntryTrust {
    /// An entry that is opened at any time.
    pub(crate) const FOREVER: Self = Self {
        span: u32::MAX,
        floor: 0,
    };

    /// Returns true if an entry may be opened that was read at a time, and whose command was sent
    /// at another.
    #[inline]
    pub(crate) fn covers(self, read_at: Ticks, sent_at: Ticks) -> bool {
        sent_at.get() >= self.floor && read_at.get().saturating_sub(sent_at.get()) < self.span
    }

    #[inline]
    fn unpack(word: u64) -> Self {
        Self {
            span: word as u32,
            floor: (word >> u32::BITS) as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.span) | u64::from(self.floor) << u32::BITS
    }
}

impl Default for EntryLease {
    fn default() -> Self {
        Self(AtomicU64::new(EntryTrust::FOREVER.pack()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(lease: &EntryLease, read_at: u32, sent_at: u32) -> bool {
        lease
            .trust()
            .covers(Ticks::new(read_at), Ticks::new(sent_at))
    }

    #[test]
    fn an_entry_is_opened_for_the_span_after_its_command() {
        let lease = EntryLease::default();
        assert!(covers(&lease, u32::MAX - 1, 0), "no span is set");
        lease.set_span(Some(20));
        assert!(covers(&lease, 119, 100));
        assert!(!covers(&lease, 120, 100));
        assert!(covers(&lease, 99, 100), "another thread's clock is behind");
        lease.set_span(None);
        assert!(covers(&lease, 120, 100));
    }

    #[test]
    fn entries_from_before_the_floor_are_not_opened() {
        let lease = EntryLease::default();
        lease.set_span(Some(20));
        lease.raise_floor(Ticks::new(105));
        lease.raise_floor(Ticks::new(7));
        assert!(!covers(&lease, 106, 104));
        assert!(covers(&lease, 106, 105));
        lease.set_span(Some(40));
        assert!(!covers(&lease, 106, 104), "the floor stays");
        assert!(covers(&lease, 140, 105));
    }
}
