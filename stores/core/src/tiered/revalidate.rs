//! Entries of L1 whose lease is over, for a store that pushes no changes.
//!
//! Invariant: the data of an entry is read again only if the store has another version. It does not
//! know how a store compares versions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sessile::{
    Error, SessionId,
    tier::{StoredSession, Ticks},
};

use super::{
    ReadResult,
    fetched::{Fetched, Found},
    inner::Inner,
    metrics::Verb,
};
use crate::{
    protocol::{operations::Ticket, switches::Rule},
    record::{Header, to_ticks},
    store::{Revalidated, ServerTime},
};

impl Inner {
    /// Sets the lease of entries, which is longer while the store does not answer if the settings
    /// say so.
    pub(super) fn lease_entries(&self) {
        let settings = &self.settings;
        let Some(lease) = settings.entry_lease else {
            return;
        };
        let span = match self.lease.is_up() {
            true => lease,
            false => lease + settings.stale_while_down,
        };
        let is_limited = settings.rules.has(Rule::EntryLease);
        self.lease
            .entries
            .set_span(is_limited.then(|| to_ticks(span)));
    }

    /// Makes every entry of L1 ask the store before it is opened again.
    pub(super) fn distrust_entries(&self) {
        // An entry of this tick may be from before.
        let floor = Ticks::new(self.l1.now().get().saturating_add(1));
        self.lease.entries.raise_floor(floor);
    }

    /// Reads an id for a request that opens it. The store compares the version that L1 has, if it
    /// has one.
    pub(super) async fn open_into(
        &self,
        ticket: Ticket,
        id: SessionId,
        key_number: Option<u8>,
        deadline: Duration,
    ) -> ReadResult {
        // Before L1 is read: a cutoff in between is counted.
        let cutoffs = self.lease.cutoffs();
        let known = match self.settings.entry_lease {
            Some(_) => self.known(&id),
            None => None,
        };
        let Some((session, data)) = known else {
            return self.read_into(ticket, id, key_number, deadline).await;
        };
        let result = self.revalidate(&session, data.freeze(), deadline).await;
        // The times of the session on the server's clock, which a cutoff compares, are in its
        // record only.
        if self.lease.cutoffs() != cutoffs && matches!(result, Ok(Found::Session(_))) {
            return self.read_into(ticket, id, key_number, deadline).await;
        }
        if matches!(result, Ok(Found::Absent | Found::CutOff | Found::Alias(_))) {
            self.forget(&id);
        }
        self.finish_read(ticket, key_number, &result);
        result
    }

    async fn revalidate(
        &self,
        session: &StoredSession,
        data: Bytes,
        deadline: Duration,
    ) -> ReadResult {
        let sent = self.sent_now();
        let call = self.store.revalidate(session.id, session.version);
        match self.call(Verb::Read, deadline, call).await {
            Ok(Revalidated::Unchanged { .. }) if self.ends.is_queued(&session.id) => {
                Ok(Found::Absent)
            }
            Ok(Revalidated::Unchanged { expires_in, now }) => {
                let found = Fetched::confirmed(session, data, expires_in, now);
                Ok(Found::Session(Arc::new(found)))
            }
            Ok(Revalidated::Read(stored)) => Ok(self.translate(session.id, stored, sent)),
            Err(_) => Err(Error::Unreachable),
        }
    }
}

impl Fetched {
    /// Returns the session of an entry of L1 that the store confirmed, for a request that opens it.
    ///
    /// Its times on the server's clock are not known. L1 is emptied at each revocation cutoff, so
    /// the entry is later than all of them, and its times are the latest.
    fn confirmed(
        session: &StoredSession,
        data: Bytes,
        expires_in: Duration,
        now: ServerTime,
    ) -> Self {
        Self {
            session: StoredSession {
                idle_left: expires_in,
                ..*session
            },
            header: Header {
                is_encrypted: false,
                is_renewed: session.lifetime_renewed,
                assurance_level: session.assurance_level,
                version: session.version,
                serial: session.serial,
                idle_ticks: to_ticks(session.idle_timeout),
                created: ServerTime::MAX,
                authenticated: ServerTime::MAX,
                issued: ServerTime::MAX,
                end: now.after(session.life_left),
                user: session.user,
            },
            label: String::new(),
            data,
            now,
        }
    }
}
