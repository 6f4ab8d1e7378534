//! Actions of a node in the last minute.
//!
//! Owns a bounded list of entries and their times. Invariant: it returns no entry that is older
//! than a minute; the earliest is dropped when there is no room. It does not know what an entry
//! means.

use std::{collections::VecDeque, time::Duration};

/// The entries of the last minute.
pub(crate) struct Log<T>(VecDeque<(Duration, T)>);

impl<T: Copy> Log<T> {
    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: T, now: Duration) {
        if self.0.len() >= MAX_LOGGED {
            self.0.pop_front();
        }
        self.0.push_back((now, entry));
    }

    /// Returns the entries of the last minute, the earliest first, and forgets the others.
    pub(crate) fn recent(&mut self, now: Duration) -> Vec<T> {
        while self.0.front().is_some_and(|(at, _)| is_old(*at, now)) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, entry)| *entry).collect()
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

/// Returns true if a failover can no longer have lost what was confirmed at a time.
pub(crate) fn is_old(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) > REMEMBERED_FOR
}

/// The most entries of a log.
const MAX_LOGGED: usize = 65_536;
/// The time for which what was confirmed is asserted again after a reconnection.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_forgotten_after_a_minute() {
        let mut log = Log::default();
        log.push(1, Duration::ZERO);
        log.push(2, Duration::from_secs(30));
        assert_eq!(log.recent(REMEMBERED_FOR), [1, 2]);
        assert_eq!(log.recent(REMEMBERED_FOR + Duration::from_millis(1)), [2]);
        assert!(log.recent(2 * REMEMBERED_FOR).is_empty());
    }

    #[test]
    fn the_earliest_entry_makes_room() {
        let mut log = Log::default();
        (0..=MAX_LOGGED).for_each(|number| log.push(number, Duration::ZERO));
        let recent = log.recent(Duration::ZERO);
        assert_eq!((recent.len(), recent[0]), (MAX_LOGGED, 1));
    }
}
