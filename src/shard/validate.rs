//! What tests ask of a whole shard: that every structure holds, and that all agree on what there is.

use super::{
    Shard,
    aliases::{Family, MAX_ALIASES},
    entry::{Entry, Flags, HeaderFields, USER_LINK, WHEEL},
    list,
    region::Offset,
};
use crate::id::Id;

impl Shard {
    /// Panics in the midst of a write to what an id leads to.
    pub(crate) fn panic_in(&self, id: &Id) {
        if let Some((slot, at)) = self.find(id) {
            self.index.write(slot, || {
                Entry::at(&self.region, at).set_flags(Flags::ALIAS);
                panic!("as a test asked");
            });
        }
    }

    /// How often a word stands anywhere in the region.
    pub(crate) fn count(&self, word: u64) -> usize {
        (0..self.region.len())
            .filter(|&at| self.region.load(at) == word)
            .count()
    }

    /// The most entries in one chain of users.
    pub(crate) fn longest_chain(&self) -> usize {
        self.users.longest(&self.region)
    }

    /// Checks every structure, and that they agree on what there is.
    pub(crate) fn validate(&self) {
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
            self.holds_ceiling(),
            "what is kept for users is left to them"
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
            "chains hold their own"
        );
        used.iter().for_each(|&at| self.validate_family(at));
        for &at in &used {
            let entry = Entry::at(&self.region, at);
            assert_eq!(
                self.find(&entry.id()).map(|(_, at)| at),
                Some(at),
                "an entry is found by its id"
            );
            assert!(
                entry.line().len() <= entry.room(),
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

    /// Checks that the aliases of a session point at its id, and that they are few.
    fn validate_family(&self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        if entry.flags().has(Flags::ALIAS) {
            return;
        }
        let members = self.members(Family::of(&entry.line()));
        assert!(members.offsets().len() <= MAX_ALIASES);
        let is_aliased = entry.flags().has(Flags::ALIASED);
        assert!(
            is_aliased || members.offsets().is_empty(),
            "a session knows that it has aliases"
        );
        for &alias in members.offsets() {
            let target = Entry::at(&self.region, alias).target();
            assert!(
                target.id == entry.id() && target.place == self.place,
                "they lead to it"
            );
        }
    }
}
