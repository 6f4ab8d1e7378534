//! Checks of a whole shard, for tests: each structure is valid, and all agree on the entries.

use super::{
    Shard,
    aliases::{Family, MAX_ALIASES},
    entry::{Entry, Flags, HeaderFields, USER_LINK, WHEEL},
    list,
    region::Offset,
};
use crate::id::Id;

impl Shard {
    /// Panics in the middle of a write to the entry of an id.
    pub(crate) fn panic_in(&self, id: &Id) {
        if let Some((slot, at)) = self.find(id) {
            self.index.write(slot, || {
                Entry::at(&self.region, at).set_flags(Flags::ALIAS);
                panic!("requested by a test");
            });
        }
    }

    /// Returns how often a word occurs in the region.
    pub(crate) fn count(&self, word: u64) -> usize {
        (0..self.region.len())
            .filter(|&at| self.region.load(at) == word)
            .count()
    }

    /// Returns the number of entries in the longest chain of the user index.
    pub(crate) fn longest_chain(&self) -> usize {
        self.users.longest(&self.region)
    }

    /// Checks that every structure is valid and holds the same entries, and returns these.
    fn validate_structures(&self) -> Vec<Offset> {
        let sorted = |mut offsets: Vec<Offset>| {
            offsets.sort_unstable();
            offsets
        };
        let used = self.heap.validate(&self.region);
        let filed = self
            .wheel
            .validate(&self.region)
            .into_iter()
            .map(|link| link - WHEEL);
        assert_eq!(
            used,
            sorted(self.index.validate()),
            "the index holds every block"
        );
        assert_eq!(used, sorted(filed.collect()), "the wheel holds every block");
        assert_eq!(
            used,
            sorted(self.queues.validate(&self.region)),
            "the queues hold every block"
        );
        assert!(
            self.is_within_anonymous_limit(),
            "aliases and anonymous sessions are within their limit"
        );
        let is_chained = |&at: &Offset| {
            let flags = Entry::at(&self.region, at).flags();
            let is_in_family = || list::is_linked(&self.region, at + USER_LINK);
            flags.has(Flags::USER) || flags.has(Flags::ALIAS) && is_in_family()
        };
        let chained: Vec<_> = used.iter().copied().filter(is_chained).collect();
        assert_eq!(
            chained,
            sorted(self.users.validate(&self.region)),
            "the user index holds the entries with a user and the aliases of families"
        );
        used
    }

    /// Checks every structure, and that all of them agree on the entries.
    pub(crate) fn validate(&self) {
        let used = self.validate_structures();
        used.iter().for_each(|&at| self.validate_family(at));
        for &at in &used {
            let entry = Entry::at(&self.region, at);
            assert_eq!(
                self.find(&entry.id()).map(|(_, at)| at),
                Some(at),
                "an entry is found by its id"
            );
            assert!(
                entry.header().len() <= entry.data_capacity(),
                "data ends within its block"
            );
            let flags = entry.flags();
            assert!(
                !flags.has(Flags::TOUCHED)
                    && (!flags.has(Flags::TIERED) || flags.has(Flags::STARTED)),
                "the time of creation has its word"
            );
        }
    }

    /// Checks that a session's aliases point at its id, and that there are at most [`MAX_ALIASES`].
    fn validate_family(&self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        if entry.flags().has(Flags::ALIAS) {
            return;
        }
        let members = self.members(Family::of(&entry.header()));
        assert!(members.offsets().len() <= MAX_ALIASES);
        let is_aliased = entry.flags().has(Flags::ALIASED);
        assert!(
            is_aliased || members.offsets().is_empty(),
            "a session with aliases has the flag"
        );
        for &alias in members.offsets() {
            let target = Entry::at(&self.region, alias).target();
            assert!(
                target.id == entry.id() && target.place == self.place,
                "the aliases of a session point at its id"
            );
        }
    }
}
