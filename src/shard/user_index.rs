//! The sessions of a user: chains through the entries, found by the user's hash.
//!
//! ```text
//!   bucket ⇄ alice ⇄ bob ⇄ alice ⇄ (bucket)       a circle of user links, in the order of signing in
//! ```
//!
//! Each entry with a user is in the circle of its hash's bucket. The aliases of a family are in the circle of the
//! family's hash (`aliases`). Users that share a bucket are told apart by the whole of the hash. It is keyed, so that nobody can choose names
//! that share one. The buckets are as many as they were carved. A chain does not know what time is, nor
//! what it is walked for.

use core::iter;

use super::{
    entry::{Entry, Flags, USER_LINK},
    list,
    region::{Offset, Region},
};
use crate::id::UserHash;

/// The chains of one shard. Their anchors stand in the region.
pub(crate) struct UserIndex {
    anchors: Offset,
    buckets: u32,
}

impl UserIndex {
    /// Empty chains, whose anchors stand at `anchors`.
    pub(crate) fn new(region: &Region, anchors: Offset, buckets: u32) -> Self {
        (anchors..anchors + buckets).for_each(|anchor| list::anchor(region, anchor));
        Self { anchors, buckets }
    }

    /// Puts an entry that has a user last in its chain.
    pub(crate) fn insert(&self, region: &Region, at: Offset) {
        if let Some(user) = user(region, at) {
            list::push(region, self.bucket(&user), at + USER_LINK);
        }
    }

    /// Takes an entry out of its chain, if it is in one.
    pub(crate) fn remove(&self, region: &Region, at: Offset) {
        let flags = Entry::at(region, at).flags();
        let is_alias = flags.has(Flags::ALIAS) && list::is_linked(region, at + USER_LINK);
        if flags.has(Flags::USER) || is_alias {
            list::unlink(region, at + USER_LINK);
        }
    }

    /// Puts an alias last in the chain of a hash.
    pub(crate) fn insert_alias(&self, region: &Region, at: Offset, hash: u64) {
        list::push(region, self.spread(hash), at + USER_LINK);
    }

    /// All entries in the chain of a hash.
    pub(crate) fn in_bucket(&self, region: &Region, hash: u64) -> impl Iterator<Item = Offset> {
        let anchor = self.spread(hash);
        let next = move |&link: &Offset| list::next(region, anchor, link);
        iter::successors(list::first(region, anchor), next).map(|link| link - USER_LINK)
    }

    /// The entries of a user, oldest sign-in first.
    pub(crate) fn sessions_of(
        &self,
        region: &Region,
        user: UserHash,
    ) -> impl Iterator<Item = Offset> {
        let next = move |&at: &Offset| self.next(region, &user, at);
        iter::successors(self.first(region, &user), next)
    }

    /// The first entry of a user.
    pub(crate) fn first(&self, region: &Region, user: &UserHash) -> Option<Offset> {
        self.seek(region, user, self.bucket(user))
    }

    /// The one behind another of the same user.
    pub(crate) fn next(&self, region: &Region, user: &UserHash, at: Offset) -> Option<Offset> {
        self.seek(region, user, at + USER_LINK)
    }

    /// The first entry of a user behind a link of its circle.
    fn seek(&self, region: &Region, of: &UserHash, mut link: Offset) -> Option<Offset> {
        let anchor = self.bucket(of);
        loop {
            link = list::next(region, anchor, link)?;
            if user(region, link - USER_LINK).as_ref() == Some(of) {
                return Some(link - USER_LINK);
            }
        }
    }

    /// The hash is spread over the buckets by multiplication (Lemire 2016). Its other word chose the shard.
    fn bucket(&self, user: &UserHash) -> Offset {
        self.spread(user.0[1])
    }

    fn spread(&self, hash: u64) -> Offset {
        let spread = u128::from(hash) * u128::from(self.buckets);
        self.anchors + (spread >> 64) as u32
    }

    /// Checks every chain and gives every entry. For tests.
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

    /// The most entries in one circle. For tests.
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
