//! The table, and the cut-off of all tokens.
//!
//! Owns what a store's revocations change in this process. It does not know how they arrive.

use std::sync::atomic::{AtomicU64, Ordering};

use sessile_store::{Revocation, RevocationSink, RevocationsFull};

use super::{Clock, seconds};
use crate::{
    name::Name,
    table::{Full, Kind, Table},
};

pub(super) struct List {
    table: Table,
    all: AllTokens,
    clock: Clock,
}

/// The cut-off of all tokens. It takes no entry, so that it fits when the table is full.
#[derive(Default)]
struct AllTokens {
    cutoff: AtomicU64,
    expires_at: AtomicU64,
}

impl List {
    pub(super) fn new(table: Table, clock: Clock) -> Self {
        Self {
            table,
            all: AllTokens::default(),
            clock,
        }
    }

    pub(super) fn now(&self) -> u64 {
        seconds((self.clock)()) as u64
    }

    pub(super) fn len(&self) -> usize {
        self.table.used(Kind::Token) + self.table.used(Kind::Subject)
    }

    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    pub(super) fn sweep(&self) {
        self.table.sweep_all(self.now());
    }

    /// Adds a revocation, or raises the one that the name has.
    pub(super) fn add(&self, revocation: &Revocation) -> Result<(), Full> {
        let name = Name::from_bytes(revocation.key);
        let (cutoff, expires_at) = (revocation.issued_before, revocation.expires_at);
        if name == Name::ALL {
            self.all.raise(cutoff, expires_at);
            return Ok(());
        }
        self.table.insert(name, cutoff, expires_at, self.now())
    }

    /// Returns true if a token is revoked at the time `now`, in Unix seconds.
    pub(super) fn is_revoked(
        &self,
        name: Name,
        subject: Option<&str>,
        issued_at: Option<f64>,
        now: u64,
    ) -> bool {
        // A token without `iat` may be older than any cut-off.
        let is_before = |cutoff: u64| issued_at.is_none_or(|issued_at| issued_at < cutoff as f64);
        if self.all.cutoff(now).is_some_and(is_before) {
            return true;
        }
        // The hash of a subject takes as long as a look-up: many lists contain tokens only.
        let subject = subject.filter(|_| self.table.used(Kind::Subject) > 0);
        let subject = subject.map(Name::of_subject);
        let of_subject = subject.and_then(|name| self.table.cutoff(name, now));
        of_subject.is_some_and(is_before)
            || self.table.used(Kind::Token) > 0 && self.table.cutoff(name, now).is_some()
    }
}

impl RevocationSink for List {
    fn revoked(&self, revocation: &Revocation) -> Result<(), RevocationsFull> {
        self.add(revocation).map_err(|Full| RevocationsFull)
    }
}

impl AllTokens {
    fn raise(&self, cutoff: u64, expires_at: u64) {
        // Before the cut-off: a reader of the new cut-off must not find the old expiry.
        self.expires_at.fetch_max(expires_at, Ordering::Relaxed);
        // Pairs with the load of `cutoff`.
        self.cutoff.fetch_max(cutoff, Ordering::Release);
    }

    fn cutoff(&self, now: u64) -> Option<u64> {
        // Pairs with `raise`.
        let cutoff = self.cutoff.load(Ordering::Acquire);
        (self.expires_at.load(Ordering::Relaxed) > now).then_some(cutoff)
    }
}
