//! The contract between a tiered cache and its store.
//!
//! A store keeps records and their deadlines, and makes each call take effect completely or not at
//! all. With [`Abilities::push`] it publishes every change of a record to all nodes. It knows
//! bytes, ids, versions and times. It knows no token, no key of the key ring and nothing of the
//! cache in memory.

mod error;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use sessile::{SessionId, SessionLimitPolicy, UserHash, Version};

use crate::revocation::{Revocation, RevocationPage};
pub use error::StoreError;

/// A future of a store, boxed so that a [`Store`] can be used behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server, or several, that keep sessions for all nodes.
///
/// Each call takes effect completely or not at all. After [`Unreachable`](StoreError::Unreachable)
/// the outcome is unknown. After [`Unreplicated`](StoreError::Unreplicated) the call has taken
/// effect. After every other error nothing was changed. The time `not_after` bounds each write: a
/// server that reaches the call later does nothing and answers [`Late`](StoreError::Late). Dropping
/// a future abandons the reply, not the call.
pub trait Store: Send + Sync + 'static {
    /// Returns what this store can do.
    fn abilities(&self) -> Abilities;

    /// Reads the record of an id, or `None` if there is none.
    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>>;

    /// Compares the version of a record with `known`, the one that L1 has: for a store that pushes
    /// no changes. A store that can do so leaves the data on the server if it is unchanged. Unless
    /// it is overridden, this reads the record.
    fn revalidate(
        &self,
        id: SessionId,
        known: Version,
    ) -> BoxFuture<'_, Result<Revalidated, StoreError>> {
        let _ = known;
        Box::pin(async move { self.read(id).await.map(Revalidated::Read) })
    }

    /// Creates a record.
    ///
    /// # Errors
    /// [`Taken`](StoreError::Taken) if the id exists: another id may succeed. With a user
    /// [`TooMany`](StoreError::TooMany), if the policy ends no other session.
    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>>;

    /// Replaces the data of a session that has the version `expected`, and counts as a use. Header
    /// and label stay; the version becomes `next`. Returns the time of the server.
    ///
    /// # Errors
    /// [`Gone`](StoreError::Gone), [`Rotated`](StoreError::Rotated),
    /// [`Conflict`](StoreError::Conflict).
    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>>;

    /// Moves the idle deadlines of sessions, each used the given time ago. A deadline never moves
    /// back. Returns for each session false if there is none with that id.
    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>>;

    /// Changes the timeouts of a session that has the version `expected`, and counts as a use. The
    /// data is given if it is encrypted, because the header that it is bound to changes.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>>;

    /// Replaces the id of a session by the target of the alias, which has the same place. The old
    /// id becomes the alias.
    ///
    /// The session keeps its version and data unless `rewrite` is given: encrypted data is bound to
    /// the id, and a version near its maximum starts again.
    ///
    /// # Errors
    /// [`Gone`](StoreError::Gone), [`Rotated`](StoreError::Rotated), [`Taken`](StoreError::Taken),
    /// [`Conflict`](StoreError::Conflict).
    fn rotate<'a>(
        &'a self,
        id: SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>>;

    /// Turns a session that has the version `expected`, if one is given, into an alias of a session
    /// of any place: the second half of a sign-in. Without a version it re-asserts an earlier call
    /// after a failover; then it must succeed without memory left.
    ///
    /// # Errors
    /// [`Gone`](StoreError::Gone), [`Rotated`](StoreError::Rotated),
    /// [`Conflict`](StoreError::Conflict).
    fn retire(
        &self,
        id: SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>>;

    /// Ends the session of an id. An alias is left as it is, and the caller continues at its
    /// target. The end is published in every case.
    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>>;

    /// Ends a session that has the version `expected`.
    ///
    /// # Errors
    /// [`Gone`](StoreError::Gone), [`Rotated`](StoreError::Rotated),
    /// [`Conflict`](StoreError::Conflict).
    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>>;

    /// Lists the ids of a user's sessions whose sign-in was at `up_to` or before: at most 1,000,
    /// the earliest first. `None` stands for the time of the server, which is returned, so that a
    /// caller that continues sees no later session. Expired sessions are not listed.
    fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>>;

    /// Ends all sessions of a user that were created before, except one: for a store that does not
    /// list them. `lifetime` is that of this cache. Sessions of other nodes, and those from before
    /// it was lowered, may live longer.
    ///
    /// # Errors
    /// [`Unsupported`](StoreError::Unsupported), unless it is overridden.
    fn end_user(
        &self,
        user: UserHash,
        except: Option<SessionId>,
        lifetime: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let _ = (user, except, lifetime);
        Box::pin(async { Err(StoreError::Unsupported("the end of a user's sessions")) })
    }

    /// Ends all sessions created until now. Returns the time that was recorded; it never decreases.
    /// `at_least` re-asserts an earlier call after a failover.
    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>>;

    /// Records revocations, and publishes each. Those that have expired are ignored. One with the
    /// same key and `issued_before` as a recorded one expires at the later time of the two.
    ///
    /// # Errors
    /// [`Unsupported`](StoreError::Unsupported) without [`Abilities::revocations`].
    fn revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        let _ = revocations;
        Box::pin(async { Err(StoreError::Unsupported("revocations")) })
    }

    /// Lists the revocations that have not expired, in pages: the first for the cursor 0, each
    /// other one for the `next` of the page before. A revocation that is recorded during the whole
    /// listing is listed, whatever else changes.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke).
    fn revocations(&self, cursor: u64) -> BoxFuture<'_, Result<RevocationPage, StoreError>> {
        let _ = cursor;
        Box::pin(async { Err(StoreError::Unsupported("revocations")) })
    }

    /// Connects, subscribes to the changes of all partitions, reports [`Change::Subscribed`] and
    /// then forwards every change until the channel is lost, which ends the future. Dropping the
    /// future closes the connection. At most one watch runs at a time.
    ///
    /// Each round trip to the server until the subscription takes at most `timeout`. The caller
    /// bounds all other calls by dropping their futures.
    ///
    /// # Errors
    /// [`Unreachable`](StoreError::Unreachable) if the channel is lost or cannot be opened, and
    /// [`Incompatible`](StoreError::Incompatible) if another attempt fails too.
    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError>;

    /// Sends a heartbeat on the connection of the watch, and proposes what the store records if it
    /// has none. The future resolves only after the sink received every change that arrived before
    /// the reply; so the reply proves that none is missing.
    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>>;
}

/// Receives the changes that a store publishes. A call returns quickly and never blocks.
pub trait Sink: Send + Sync {
    /// Takes one change, in the order of the channel.
    fn change(&self, change: Change);
}

/// A change that a store publishes to all nodes, the one that made it included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// The subscription is confirmed: no later change is missed while the channel lives.
    Subscribed,
    /// A session has this version now. The place of the id is its partition.
    Written {
        /// The session.
        id: SessionId,
        /// The version that was written.
        version: Version,
    },
    /// No session has this id any longer: it ended, or its id was replaced.
    Ended {
        /// The id.
        id: SessionId,
    },
    /// All sessions created until this time ended.
    AllEnded {
        /// The revocation cutoff.
        ended_before: ServerTime,
    },
    /// Tokens were revoked.
    Revoked(Revocation),
    /// The store lost its data, or messages: nothing in memory may be used.
    DataLost,
}

/// A time of the server, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ServerTime(pub u64);

impl ServerTime {
    /// The latest time: a write without a bound.
    pub const MAX: Self = Self((1 << 53) - 1);
}

/// The abilities of a store. A verb that needs more fails with
/// [`Unsupported`](StoreError::Unsupported).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Changes are pushed to all nodes. Without it each entry in memory has a lease of its own.
    pub push: bool,
    /// The sessions of a user can be listed.
    pub user_index: bool,
    /// The number of sessions per user is limited atomically.
    pub session_limit: bool,
    /// Revocations of tokens are kept, listed, and published.
    pub revocations: bool,
}

/// A record to create. Its times are those of the server at that moment.
#[derive(Clone, Copy)]
pub struct NewRecord<'a> {
    /// The id.
    pub id: SessionId,
    /// The user, or `None` if the session is anonymous.
    pub user: Option<UserHash>,
    /// The authentication assurance level; 0 without a user.
    pub assurance_level: u8,
    /// The label, at most 63 bytes; empty without a user.
    pub label: &'a str,
    /// The version.
    pub version: Version,
    /// 32 random bits, by which handles tell a user's sessions apart.
    pub serial: u32,
    /// The idle timeout, in whole ticks of 100 ms.
    pub idle_timeout: Duration,
    /// The end of the lifetime.
    pub lifetime: Lifetime,
    /// The data.
    pub data: StoredData<'a>,
    /// The limit on the sessions of the user; ignored without one.
    pub limit: SessionLimit,
    /// A session of the same user that the caller retires next: it does not count toward the limit.
    pub replaces: Option<SessionId>,
}

/// The lifetime of a record that is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// It starts now.
    New(Duration),
    /// It continues that of the session that signs in.
    Continued {
        /// The creation of that session.
        created: ServerTime,
        /// The end of the lifetime.
        end: ServerTime,
        /// The lifetime was renewed at a sign-in.
        is_renewed: bool,
    },
    /// The session that signs in was created at `created`, and the lifetime starts now.
    Renewed {
        /// The creation of that session.
        created: ServerTime,
        /// The lifetime.
        lifetime: Duration,
    },
}

/// Timeouts that replace those of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewTimeouts {
    /// The idle timeout, in whole ticks of 100 ms.
    pub idle_timeout: Duration,
    /// The end of the lifetime.
    pub end: ServerTime,
}

/// The data of a session as it is stored.
#[derive(Clone, Copy)]
pub struct StoredData<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// They are encrypted, which the record says too.
    pub is_encrypted: bool,
}

/// An id that becomes an alias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewAlias {
    /// The id that it leads to.
    pub target: SessionId,
    /// The time during which it opens that session.
    pub grace: Duration,
    /// The time during which it is remembered. It is the same for all sessions of a cache, so that
    /// no alias expires before the aliases that lead to it.
    pub remember: Duration,
}

/// The version and data that a session gets together with a new id.
#[derive(Clone, Copy)]
pub struct Rewrite<'a> {
    /// The version that the session must have.
    pub expected: Version,
    /// The version that it gets.
    pub next: Version,
    /// The data.
    pub data: StoredData<'a>,
}

/// A limit on the sessions of one user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimit {
    /// The maximum, or `None` for no limit.
    pub max: Option<usize>,
    /// The action at the limit.
    pub policy: SessionLimitPolicy,
    /// The cache's lifetime. Entries of the user's index that are older are removed if their
    /// session has ended. It may be open: other nodes may have, or have had, a longer lifetime.
    pub longest_lifetime: Duration,
}

/// A record that was read.
#[derive(Clone)]
pub struct StoredRecord {
    /// The record, in the format of the module `record`.
    pub bytes: Bytes,
    /// The time until the record expires.
    pub expires_in: Duration,
    /// The time of the server.
    pub now: ServerTime,
}

/// The result of a comparison of versions.
#[derive(Clone)]
pub enum Revalidated {
    /// The record has the version that is known.
    Unchanged {
        /// The time until the record expires.
        expires_in: Duration,
        /// The time of the server.
        now: ServerTime,
    },
    /// The record, which may have another version, or `None` if there is none.
    Read(Option<StoredRecord>),
}

/// The result of a creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Created {
    /// The time of the server, which became the times of the record.
    pub now: ServerTime,
    /// The session of the same user that was ended to keep the limit.
    pub ended: Option<SessionId>,
}

/// The result of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// The time of the server.
    pub now: ServerTime,
    /// The version of the session.
    pub version: Version,
}

/// The result of an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// There was no session.
    Absent,
    /// The session ended.
    Session,
    /// The id is an alias of this one.
    Alias(SessionId),
}

/// The ids of a user's sessions.
#[derive(Clone, Debug)]
pub struct UserIds {
    /// The ids, the earliest sign-in first.
    pub ids: Vec<SessionId>,
    /// The bound of the list: the time of the first call.
    pub up_to: ServerTime,
    /// There are more.
    pub more: bool,
}

/// The values that a node proposes in its heartbeat, for a store that has none.
#[derive(Clone)]
pub struct Proposal {
    /// The number of the data set. Another one in the reply means that the data was lost.
    pub epoch: [u8; 16],
    /// The key that hashes the names of users.
    pub user_key: [u8; 32],
    /// Digests of the keys of the key ring, the signing key first.
    pub key_fingerprints: Vec<[u8; 8]>,
}

/// The reply to a heartbeat.
#[derive(Clone)]
pub struct Heartbeat {
    /// The number of the data set.
    pub epoch: [u8; 16],
    /// The key that hashes the names of users.
    pub user_key: [u8; 32],
    /// The digests of the keys that other nodes recorded.
    pub key_fingerprints: Vec<[u8; 8]>,
    /// The revocation cutoff: all sessions created until then ended.
    pub ended_before: ServerTime,
    /// The time of the server.
    pub now: ServerTime,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal").finish_non_exhaustive()
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat")
            .field("ended_before", &self.ended_before)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_can_be_used_behind_a_pointer() {
        fn takes(_: Option<Arc<dyn Store>>) {}
        takes(None);
    }
}
