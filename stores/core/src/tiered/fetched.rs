//! Records that were read, in the terms of L1.
//!
//! Owns the translation of server time into spans, and of hostile bytes into absent sessions. It
//! does not know L1, nor which operation read the record.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sessile::{
    SessionId,
    tier::{StoredSession, Ticks},
};

use crate::{
    encryption::{Binding, Encryption},
    record::{Header, Record, SessionRecord},
    store::{ServerTime, StoredRecord},
};

/// The result of a read.
#[derive(Clone)]
pub(crate) enum Found {
    /// The store has no record that this build can read.
    Absent,
    /// The session has ended with all others.
    CutOff,
    /// A session.
    Session(Arc<Fetched>),
    /// An id that was replaced.
    Alias(Target),
}

/// The id that an alias leads to.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The id.
    pub(crate) id: SessionId,
    /// The grace period is not over.
    pub(crate) is_in_grace: bool,
}

/// A session that was read.
pub(crate) struct Fetched {
    /// The session as L1 takes it.
    pub(crate) session: StoredSession,
    /// The header of the record.
    pub(crate) header: Header,
    /// The label.
    pub(crate) label: String,
    /// The data, decrypted.
    pub(crate) data: Bytes,
    /// The time of the server when it was read.
    pub(crate) now: ServerTime,
}

/// A record that cannot be used.
pub(crate) struct BadRecord;

/// Decodes a record of a session or an alias.
pub(crate) fn decode(
    id: SessionId,
    stored: &StoredRecord,
    sent_at: Ticks,
    encryption: Option<&Encryption>,
) -> Result<Found, BadRecord> {
    match Record::decode(&stored.bytes).map_err(|_| BadRecord)? {
        Record::Alias(alias) => Ok(Found::Alias(Target {
            id: alias.target,
            is_in_grace: stored.now < alias.grace_until,
        })),
        Record::Session(record) => {
            let data = plain_data(id, &record, stored, encryption)?;
            Ok(Found::Session(Arc::new(Fetched {
                session: to_stored(id, &record.header, stored, sent_at),
                header: record.header,
                label: record.label.to_owned(),
                data,
                now: stored.now,
            })))
        }
    }
}

fn plain_data(
    id: SessionId,
    record: &SessionRecord<'_>,
    stored: &StoredRecord,
    encryption: Option<&Encryption>,
) -> Result<Bytes, BadRecord> {
    if !record.header.is_encrypted {
        return Ok(stored.bytes.slice_ref(record.data));
    }
    let keys = encryption.ok_or(BadRecord)?;
    let binding = Binding::of(id, &record.header);
    let data = keys.decrypt(&binding, record.data);
    data.map(Bytes::from).map_err(|_| BadRecord)
}

fn to_stored(
    id: SessionId,
    header: &Header,
    stored: &StoredRecord,
    sent_at: Ticks,
) -> StoredSession {
    StoredSession {
        serial: header.serial,
        user: header.user,
        assurance_level: header.assurance_level,
        lifetime_renewed: header.is_renewed,
        returned: true,
        idle_timeout: header.idle_timeout(),
        age: stored.now.since(header.created),
        issued_ago: stored.now.since(header.issued),
        authenticated_ago: stored.now.since(header.authenticated),
        idle_left: stored.expires_in,
        life_left: header.end.since(stored.now),
        ..StoredSession::new(id, header.version, sent_at)
    }
}

impl Fetched {
    /// Returns true if the session ended with all others.
    pub(crate) fn is_cut_off(&self, ended_before: ServerTime) -> bool {
        is_cut_off(&self.header, ended_before)
    }

    /// Returns the end of the lifetime if `life_left` remains of it. A span that is the same as
    /// before, in whole ticks, leaves it exactly as it was.
    pub(crate) fn end_after(&self, life_left: Duration) -> ServerTime {
        let before = self.session.life_left;
        let shorter = before.saturating_sub(life_left);
        if life_left <= before && shorter < Ticks::LENGTH {
            return self.header.end;
        }
        self.now.after(life_left)
    }
}

/// Returns true if the session of a header ended with all others.
pub(crate) fn is_cut_off(header: &Header, ended_before: ServerTime) -> bool {
    if ended_before == ServerTime(0) {
        return false;
    }
    let is_old_sign_in = header.user.is_some() && header.authenticated <= ended_before;
    is_old_sign_in || header.created <= ended_before
}
