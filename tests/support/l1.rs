//! L1 caches for tests, and sessions as a store would have them.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::BytesMut;
use sessile::{
    IssuedSession, ManualClock, Record, SessionId, Token, Version,
    tier::{Candidates, Installed, L1, LookUp, Placement, StoredSession},
};

use super::{HOUR, MINUTE, builder};

/// The key under which users' names are hashed in tests.
pub(crate) const USER_KEY: [u8; 32] = [0x5a; 32];

/// An L1 with one shard of 2 MiB and the default timeouts.
pub(crate) fn l1() -> (L1, ManualClock) {
    let clock = ManualClock::new();
    (builder(&clock).build_l1(USER_KEY).unwrap(), clock)
}

pub(crate) fn issue(l1: &L1) -> IssuedSession {
    l1.issue(Placement::Random).unwrap()
}

/// A session that was read now, with 30 minutes until its idle deadline and 12 hours until its end.
pub(crate) fn stored(l1: &L1, id: SessionId, version: u32) -> StoredSession {
    StoredSession {
        serial: 77,
        returned: true,
        idle_timeout: 30 * MINUTE,
        idle_left: 30 * MINUTE,
        life_left: 12 * HOUR,
        ..StoredSession::new(id, Version::new(version), l1.now())
    }
}

/// A session of a user, whose id is in the user's place.
pub(crate) fn stored_of(l1: &L1, user: &str, version: u32) -> (StoredSession, Token) {
    let user = l1.user_hash(user);
    let issued = l1.issue(Placement::User(user)).unwrap();
    let session = StoredSession {
        user: Some(user),
        assurance_level: 2,
        ..stored(l1, issued.id, version)
    };
    (session, issued.token)
}

/// Installs an anonymous session with that data.
pub(crate) fn installed(l1: &L1, version: u32, data: &[u8]) -> IssuedSession {
    let issued = issue(l1);
    let session = stored(l1, issued.id, version);
    assert_eq!(l1.install(&session, data), Installed::Stored);
    issued
}

/// The record and the data of an id, read without counting as use.
pub(crate) fn peek(l1: &L1, id: &SessionId) -> Option<(Record, Vec<u8>)> {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let record = l1.peek(id, &mut buffer);
    assert!(record.is_some() || buffer.is_empty());
    record.map(|record| (record, buffer.to_vec()))
}

pub(crate) fn data(l1: &L1, id: &SessionId) -> Option<Vec<u8>> {
    peek(l1, id).map(|(_, data)| data)
}

pub(crate) fn load(l1: &L1, id: &SessionId) -> Option<Record> {
    l1.load(id, &mut BytesMut::new())
}

/// A `Cookie` field with these tokens, among others.
pub(crate) fn field(l1: &L1, tokens: &[&str]) -> Vec<u8> {
    let name = l1.cookie_name();
    let pairs = tokens.iter().map(|token| format!("; {name}={token}"));
    format!("theme=dark{}; a=1", pairs.collect::<String>()).into_bytes()
}

/// The answer to a request with these tokens, and the data if it is a hit.
pub(crate) fn look_up(l1: &L1, tokens: &[&str]) -> (LookUp, Vec<u8>) {
    let mut buffer = BytesMut::from(&b"left from before"[..]);
    let answer = l1.look_up([&field(l1, tokens)[..]], &mut buffer);
    assert!(matches!(answer, LookUp::Hit(_)) || buffer.is_empty());
    (answer, buffer.to_vec())
}

pub(crate) fn hit(l1: &L1, tokens: &[&str]) -> Option<SessionId> {
    match look_up(l1, tokens).0 {
        LookUp::Hit(record) => Some(record.id),
        _ => None,
    }
}

/// The ids that the store is to be asked for.
pub(crate) fn unknown(l1: &L1, tokens: &[&str]) -> Option<Vec<SessionId>> {
    match look_up(l1, tokens).0 {
        LookUp::Unknown(candidates) => Some(ids(&candidates)),
        _ => None,
    }
}

pub(crate) fn ids(candidates: &Candidates) -> Vec<SessionId> {
    candidates.iter().map(|candidate| candidate.id).collect()
}
