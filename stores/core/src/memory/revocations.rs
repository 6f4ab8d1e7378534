//! The revocations of a store in memory, listed in the order in which they were recorded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
};

use crate::{
    revocation::{Revocation, RevocationPage},
    store::{Change, ServerTime},
};

#[derive(Clone, Default)]
pub(super) struct Revocations {
    /// By a number that stays the same while a revocation is recorded, so that a cursor of a
    /// listing skips none when others are removed.
    recorded: BTreeMap<u64, Revocation>,
    numbers: HashMap<Name, u64>,
    /// The times of expiry, each with its number.
    expiries: BTreeSet<(u64, u64)>,
    last: u64,
}

/// The key and `issued_before`.
type Name = ([u8; 16], u64);

impl Revocations {
    /// Records revocations, removes expired ones, and returns what has to be published.
    pub(super) fn record(&mut self, revocations: &[Revocation], now: ServerTime) -> Vec<Change> {
        self.remove_expired(now);
        let live = revocations.iter().filter(|one| !one.is_expired(now));
        live.map(|revocation| {
            self.put(revocation);
            Change::Revoked(*revocation)
        })
        .collect()
    }

    fn remove_expired(&mut self, now: ServerTime) {
        while let Some((_, number)) = self.expiries.first().copied() {
            let first = self.recorded.get(&number);
            let Some(expired) = first.filter(|first| first.is_expired(now)) else {
                return;
            };
            self.numbers.remove(&name(expired));
            self.recorded.remove(&number);
            self.expiries.pop_first();
        }
    }

    fn put(&mut self, revocation: &Revocation) {
        let number = *self.numbers.entry(name(revocation)).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        let known = self.recorded.entry(number).or_insert(*revocation);
        self.expiries.remove(&(known.expires_at, number));
        known.expires_at = known.expires_at.max(revocation.expires_at);
        self.expiries.insert((known.expires_at, number));
    }

    /// Returns the revocations after those of a cursor.
    pub(super) fn page(&self, cursor: u64, now: ServerTime) -> RevocationPage {
        let mut rest = self.recorded.range((Excluded(cursor), Unbounded));
        let page: Vec<_> = rest.by_ref().take(PER_PAGE).collect();
        let last = page.last().map(|(number, _)| **number);
        let live = page.iter().filter(|(_, known)| !known.is_expired(now));
        RevocationPage {
            revocations: live.map(|(_, known)| **known).collect(),
            next: last.filter(|_| rest.next().is_some()),
        }
    }

    pub(super) fn for_each_stored(&self, mut each: impl FnMut(&[u8], &[u8])) {
        for revocation in self.recorded.values() {
            each(b"revocations", &revocation.to_bytes());
        }
    }
}

fn name(revocation: &Revocation) -> Name {
    (revocation.key, revocation.issued_before)
}

/// The most revocations in a page.
const PER_PAGE: usize = 1_000;
