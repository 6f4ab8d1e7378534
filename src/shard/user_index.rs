//! The sessions of each user, and the aliases of each family: chains through the entries.
//!
//! ```text
//!   bucket ⇄ alice ⇄ bob ⇄ alice ⇄ (bucket)       a circular list of user links, oldest sign-in first
//! ```
//!
//! Each entry with a user is in the list of its user's bucket. The aliases of a family are in the
//! list of the family's bucket (`aliases`). Users that share a bucket are distinguished by their
//! whole hash. The hash is keyed, so that an attacker cannot choose names that share a bucket. The
//! number of buckets is fixed. The index does not know the time, nor the purpose of a walk.

use core::iter;

use super::{
    entry::{Entry, Flags, USER_LINK},
    list,
    region::{Offset, Region},
};
use crate::id::UserHash;

/// The chains of one shard. Their anchors are in the region.
pub(crate) struct UserIndex {
    anchors: Offset,
    buckets: u32,
}

impl UserIndex {
    /// Creates empty chains, with their anchors at offset `anchors`.
    pub(crate) fn new(region: &Region, anchors: Offset, buckets: u32) -> Self {
        (anchors..anchors + buckets).for_each(|anchor| list::anchor(region, anchor));
        Self { anchors, buckets }
    }

    /// Appends an entry to the chain of its user, if it has one.
    pub(crate) fn insert(&self, region: &Region, at: Offset) {
        if let Some(user) = user(region, at) {
            list::push(region, self.bucket(&user), at + USER_LINK);
        }
    }

    /// Removes an entry from its chain, if it is in one.
    pub(crate) fn remove(&self, region: &Region, at: Offset) {
        let flags = Entry::at(region, at).flags();
        let is_alias = flags.has(Flags::ALIAS) && list::is_linked(region, at + USER_LINK);
        if flags.has(Flags::USER) || is_alias {
            list::unlink(region, at + USER_LINK);
        }
    }

    /// Appends an alias to the chain of a family's hash.
    pub(crate) fn insert_alias(&self, region: &Region, at: Offset, hash: u64) {
        list::push(region, self.spread(hash), at + USER_LINK);
    }

    /// Returns all entries in the chain of a hash, those of other users and families included.
    pub(crate) fn in_bucket(&self, region: &Region, hash: u64) -> impl Iterator<Item = Offset> {
        let anchor = self.spread(hash);
        let next = move |&link: &Offset| list::next(region, anchor, link);
        iter::successors(list::first(region, anchor), next).map(|link| link - USER_LINK)
    }

    /// Returns the entries of a user, oldest sign-in first.
    pub(crate) fn sessions_of(
        &self,
        region: &Region,
        user: UserHash,
    ) -> impl Iterator<Item = Offset> {
        let next = move |&at: &Offset| self.next(region, &user, at);
        iter::successors(self.first(region, &user), next)
    }

    /// Returns the first entry of a user.
    pub(crate) fn first(&self, region: &Region, user: &UserHash) -> Option<Offset> {
        self.seek(region, user, self.bucket(user))
    }

    /// Returns the entry of the same user after `at`.
    pub(crate) fn next(&self, region: &Region, user: &UserHash, at: Offset) -> Option<Offset> {
        self.seek(region, user, at + USER_LINK)
    }

    /// Returns the first entry of a user after a link of its chain.
    fn seek(&self, region: &Region, of: &UserHash, mut link: Offset) -> Option<Offset> {
        let anchor = self.bucket(of);
        loop {
            link = list::next(region, anchor, link)?;
            if user(region, link - USER_LINK).as_ref() == Some(of) {
                return Some(link - USER_LINK);
            }
        }
    }

    /// Returns the anchor of a user's chain. The other word of the hash selects the shard.
    fn bucket(&self, user: &UserHash) -> Offset {
        self.spread(user.0[1])
    }

    /// Maps a hash to a bucket by multiplication (Lemire 2016).
    fn spread(&self, hash: u64) -> Offset {
        let spread = u128::from(hash) * u128::from(self.buckets);
        self.anchors + (spread >> 64) as u32
    }

    /// Checks every chain and returns every entry. For tests.
    #[cfg(any(test, feature = "__internals"))]
    pub(crate) fn validate(&self, region: &Region) -> Vec<Offset> {
        let mut all = Vec::new();
        for anchor in self.anchors..self.anchors + self.buckets {
            for link in list::validate(region, anchor) {
                let of_user = user(region, link - USER_LINK).map(|user| self.bucket(&user));
                let is_alias = Entry::at(region, link - USER_LINK)
                    .flags()
                    .has(Flags::ALIAS);
                assert!(
                    is_alias || of_user == Some(anchor),
                    "an entry is in the bucket of its user"
                );
                all.push(link - USER_LINK);
            }
        }
        all
    }

    /// Returns the number of entries in the longest chain. For tests.
    #[cfg(feature = "__internals")]
    pub(crate) fn longest(&self, region: &Region) -> usize {
        let anchors = self.anchors..self.anchors + self.buckets;
        anchors
            .map(|anchor| list::validate(region, anchor).len())
            .max()
            .unwrap_or(0)
    }
}

fn user(region: &Region, at: Offset) -> Option<UserHash> {
    let entry = Entry::at(region, at);
    entry.user(&entry.header())
}
