//! The in-process part of a tiered cache, for crates that put a store behind it.
//!
//! Owns [`L1`]: the same shards as those of a [`SessionCache`], with the verbs that a store needs
//! in place of those that a store decides. Invariant: an entry of L1 repeats what the store said
//! when it was read, and expires no later than in the store. It does not know a store, a network or
//! a message: its caller decides what is installed, what is invalidated and until when L1 may
//! answer.

mod install;
mod keys;
mod listed;
mod look_up;
mod options;
mod record;
mod settings;
mod ticks;

use core::{fmt, iter};
use std::{io, sync::Arc};

use bytes::BytesMut;

pub use install::{Installed, StoredSession};
pub use keys::{DerivedKey, KeyFingerprint};
pub use look_up::{Candidate, Candidates, LookUp, Rejection};
pub use options::{CreateRequest, SignInRequest, SignedIn, Spans};
pub use ticks::Ticks;

pub(in crate::cache) use install::handle;

use super::{
    IssuedSession, MaintenanceReport, MaintenanceThread, Record, SessionCache, Version,
    build::Kind, stats::Stats,
};
use crate::{
    clock::{Tick, to_duration},
    config::SessionCacheBuilder,
    cookie::{KeyRing, Prf, StoreKeys, Token},
    error::{BuildError, Error, KeyError},
    events::{Event, EventKind},
    handle::Handle,
    id::{Id, Place, SessionId, UserHash},
    shard::{Shard, entry::FIRST_VERSION},
    sync::ReadWriteLock,
};

/// The in-process cache of a tiered cache.
///
/// Applications use the tiered cache of `sessile-store` and not this: L1 alone forgets sessions
/// whenever memory is short and creates none. Only [`SessionCacheBuilder::build_l1`] creates one,
/// so a [`SessionCache`] never has the verbs of L1, nor the reverse.
///
/// Cheap to clone; clones share everything. Verbs are synchronous and wait for the lock of one
/// shard at most.
///
/// ```
/// use std::time::Duration;
/// use bytes::BytesMut;
/// use sessile::{KeyRing, SessionCache, Version};
/// use sessile::tier::{Installed, LookUp, Placement, StoredSession};
///
/// let l1 = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build_l1([7; 32])?;
/// let issued = l1.issue(Placement::Random)?;
/// let header = format!("{}={}", l1.cookie_name(), issued.token.as_str());
///
/// let mut buffer = BytesMut::new();
/// let LookUp::Unknown(candidates) = l1.look_up([header.as_bytes()], &mut buffer) else {
///     panic!("a valid token of a session that is not in L1");
/// };
/// let candidate = candidates.first().expect("one candidate");
///
/// // The caller reads the session from its store, and installs it.
/// let sent_at = l1.now();
/// let session = StoredSession {
///     key_number: Some(candidate.key_number),
///     idle_left: Duration::from_secs(1_800),
///     life_left: Duration::from_secs(7_200),
///     idle_timeout: Duration::from_secs(1_800),
///     ..StoredSession::new(candidate.id, Version::new(1), sent_at)
/// };
/// assert_eq!(l1.install(&session, b"a cart"), Installed::Stored);
///
/// assert!(matches!(l1.look_up([header.as_bytes()], &mut buffer), LookUp::Hit(_)));
/// assert_eq!(&buffer[..], b"a cart");
///
/// assert!(l1.invalidate(&candidate.id, Version::MAX));
/// assert!(l1.load(&candidate.id, &mut buffer).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct L1 {
    /// Its shards emit no events: expiry and eviction in L1 are not those of the session.
    cache: SessionCache,
    secrets: Arc<Secrets>,
}

/// Keys that only a tiered cache has.
struct Secrets {
    /// The keyed hash of users' names. The cache's own is not used.
    users: ReadWriteLock<Prf>,
    keys: ReadWriteLock<StoreKeys>,
}

/// Determines the place of an id that is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// A random place, for an anonymous session.
    Random,
    /// The place of a user's sessions: the low 16 bits of the hash.
    User(UserHash),
    /// The place of another id, for a rotation.
    Of(SessionId),
}

/// The number of partitions of a store, and the maximum number of shards of an L1: a message names
/// an id and its partition, and each partition is in one shard.
pub const PARTITIONS: usize = 256;

impl SessionCacheBuilder {
    /// Allocates an [`L1`], whose users' names are hashed under `user_key`.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), [`Shards`](BuildError::Shards) for more shards than
    /// partitions, and [`Timeout`](BuildError::Timeout) for a lifetime of more than about 3.4
    /// years: the clock begins one lifetime after its zero, so that a session older than the
    /// process has a time of creation.
    pub fn build_l1(self, user_key: [u8; 32]) -> Result<L1, BuildError> {
        let builder = self.checked_for_l1()?;
        let ring = builder.keys.as_ref().ok_or(BuildError::NoKeys)?;
        let keys = StoreKeys::derive(ring, &builder.cookie_name);
        let secrets = Secrets {
            users: ReadWriteLock::new(Prf::new(&user_key)),
            keys: ReadWriteLock::new(keys),
        };
        Ok(L1 {
            cache: builder.build_as(Kind::Tiered)?,
            secrets: Arc::new(secrets),
        })
    }

    /// Checks the settings that have other limits in a tiered cache, and sets the start of the
    /// clock.
    fn checked_for_l1(self) -> Result<Self, BuildError> {
        self.check()?;
        let (given, max) = (self.lifetime, to_duration(MAX_LIFETIME));
        if given > max {
            let (setting, min) = ("lifetime", self.idle_timeout);
            return Err(BuildError::Timeout {
                setting,
                given,
                min,
                max,
            });
        }
        let (given, max) = (self.shards.map_or(1, |own| own.get().into()), PARTITIONS);
        if given > max {
            return Err(BuildError::Shards { given, max });
        }
        let clock = self.clock.ahead_by(self.lifetime);
        Ok(self.clock(clock))
    }
}

impl L1 {
    /// Reads a request's `Cookie` fields and finds the first of at most four candidates that is
    /// valid. A hit costs what [`SessionCache::open`] costs: the tag is compared with the stored
    /// one. Rejected candidates are counted as `open` counts them.
    ///
    /// The buffer contains the data after a [`Hit`](LookUp::Hit), and is empty otherwise.
    pub fn look_up<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        self.find::<true>(self.cache.0.candidates(fields), buffer)
    }

    /// Finds the session of a bare cookie value, as [`look_up`](Self::look_up) does.
    pub fn look_up_token(&self, value: &[u8], buffer: &mut BytesMut) -> LookUp {
        self.find::<true>(iter::once(value), buffer)
    }

    /// Finds a session as [`look_up`](Self::look_up) does, without counting as use: neither for
    /// eviction nor for the idle timeout. Rejected candidates are counted, hits and misses are not.
    pub fn peek_fields<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> LookUp {
        self.find::<false>(self.cache.0.candidates(fields), buffer)
    }

    /// Returns the ids of a request's `Cookie` fields whose full MAC is valid, in order, at most
    /// four. Reads no session. Only these ids may be asked of a store.
    pub fn verify<'h>(&self, fields: impl IntoIterator<Item = &'h [u8]>) -> Candidates {
        let inner = &self.cache.0;
        inner
            .candidates(fields)
            .filter_map(|value| inner.prove_candidate(value))
            .collect()
    }

    /// Returns the id of a bare cookie value whose full MAC is valid.
    #[must_use]
    pub fn verify_token(&self, value: &[u8]) -> Option<Candidate> {
        self.cache.0.prove_candidate(value)
    }

    /// Finds a session by its id and copies its data into the buffer, which is empty on a miss.
    /// Counts as use.
    pub fn load(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        self.cache.0.load_tiered::<true>(id, buffer)
    }

    /// Finds a session by its id as [`load`](Self::load) does, without counting as use, as a hit or
    /// as a miss: for listings and for reads ahead of the first access.
    pub fn peek(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        self.cache.0.load_tiered::<false>(id, buffer)
    }

    /// Counts why the store did not open a candidate that [`look_up`](Self::look_up) returned as
    /// unknown.
    pub fn count_rejection(&self, rejection: Rejection) {
        self.cache.0.counters.count(rejection.into());
    }

    /// Creates an id, its place and its token. Stores nothing. The version is 1.
    ///
    /// # Errors
    /// [`Entropy`](Error::Entropy).
    pub fn issue(&self, placement: Placement) -> Result<IssuedSession, Error> {
        let mut bytes = [0; Id::LEN + size_of::<Place>()];
        self.fill_random(&mut bytes)?;
        let [id @ .., low, high] = bytes;
        let place = match placement {
            Placement::Random => Place::from_le_bytes([low, high]),
            Placement::User(user) => user.place(),
            Placement::Of(other) => other.place,
        };
        let id = SessionId::from_parts(id, place);
        Ok(IssuedSession {
            id,
            token: self.sign(&id),
            version: Version::new(FIRST_VERSION),
        })
    }

    /// Returns the token of an id under the current signing key: for a session whose token was
    /// issued before [`set_keys`](Self::set_keys) and is sent after it.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> Token {
        let keys = &self.cache.0.keys;
        loop {
            let (parts, epoch) = keys.sign_under(None, id.place, &id.id);
            // The ring may have been replaced since.
            if keys.epoch() == epoch || keys.verify(&parts) {
                return Token::encode(&parts);
            }
        }
    }

    /// Asks the [`admission`](SessionCacheBuilder::admission) hook.
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), which is counted.
    pub fn admit(&self, key: &[u8]) -> Result<(), Error> {
        self.cache.check_admission(key)
    }

    /// Fills a slice with random bytes, from the same source as ids: for serials and the random
    /// steps of versions.
    ///
    /// # Errors
    /// [`Entropy`](Error::Entropy).
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        (self.cache.0.settings.entropy)(bytes)
    }

    /// Returns the hash of a user's name under the current user key.
    #[must_use]
    pub fn user_hash(&self, name: &str) -> UserHash {
        self.secrets.users.read(|users| users.hash(name))
    }

    /// Replaces the key under which users' names are hashed, and empties L1 in the same step.
    pub fn set_user_key(&self, key: [u8; 32]) {
        self.secrets.users.write(|users| {
            *users = Prf::new(&key);
            self.invalidate_all();
        });
    }

    /// Inserts a session that was read from the store or written to it, or replaces its entry. In
    /// place where the block fits; the entry keeps its position for eviction. Emits no event,
    /// counts no creation and applies no limit per user. An entry with the same version gets the
    /// times of `session`; one with a higher version stays.
    ///
    /// The caller ensures that `session` may enter L1 at all: that its version is not below the
    /// version floor of its operation, and that no fence happened since.
    pub fn install(&self, session: &StoredSession, data: &[u8]) -> Installed {
        self.cache.0.install(session, data)
    }

    /// Creates the record of a session that was read from the store, for the request that waited
    /// for it, installed or not. Counts as use, so [`needs_touch`](Record::needs_touch) may be
    /// true.
    ///
    /// `opened_by` is the id that the request named: another than the session's own if that is an
    /// alias within its grace period. Then [`Record::is_alias`] is true and the response must carry
    /// no token.
    #[must_use]
    pub fn record(&self, session: &StoredSession, opened_by: &SessionId) -> Record {
        self.cache.0.stored_record(session, opened_by)
    }

    /// Drops the entry of an id if its version is lower than `below`, or any for [`Version::MAX`].
    /// Returns true if that entry could be read. Emits no event, and does not remember the id.
    pub fn invalidate(&self, id: &SessionId, below: Version) -> bool {
        let inner = &self.cache.0;
        let invalidate = |shard: &mut Shard, now| shard.invalidate(&id.id, below.get(), now);
        inner.write(inner.place(id.place), invalidate)
    }

    /// Drops an entry as [`invalidate`](Self::invalidate) does, by the bytes of its id and its
    /// partition: the low 8 bits of its place, which determine the shard.
    pub fn invalidate_in(&self, partition: u8, id: [u8; 16], below: Version) -> bool {
        self.invalidate(&SessionId::from_parts(id, partition.into()), below)
    }

    /// Drops all entries in O(1). When it returns, no read finds an entry that was installed before
    /// the call. Memory is reclaimed later. Emits no event.
    pub fn invalidate_all(&self) {
        // A read that begins after this one word was written finds nothing that was installed
        // before.
        self.cache.0.cutoff.advance(self.cache.0.now());
    }

    /// Returns the current time of the cache's clock. A record carries the time of its own read:
    /// [`Record::read_at`].
    #[inline]
    #[must_use]
    pub fn now(&self) -> Ticks {
        Ticks::from_tick(self.cache.0.now())
    }

    /// Emits an event for an action of this node, if the application takes events. Its
    /// [time](Event::at) counts from the construction of L1. Handles of a tiered cache contain no
    /// time of creation, so [`Event::created`] and [`Event::cutoff`] do not order them.
    pub fn emit(&self, kind: EventKind, handle: Option<Handle>) {
        let inner = &self.cache.0;
        let at = inner.now().saturating_sub(inner.lifetime);
        inner.events.push(|| Event::new(kind, handle, at));
    }

    /// Returns the oldest event that the application has not taken yet.
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.cache.next_event()
    }

    /// Reclaims the memory of expired and invalidated entries, as [`SessionCache::maintain`] does.
    pub fn maintain(&self, budget: usize) -> MaintenanceReport {
        self.cache.maintain(budget)
    }

    /// Starts a thread that calls [`maintain`](Self::maintain) until the handle is dropped.
    ///
    /// # Errors
    /// The error of the operating system, if it starts no thread.
    pub fn start_maintenance(&self) -> io::Result<MaintenanceThread> {
        self.cache.start_maintenance()
    }

    /// Returns counters and gauges of this process: reads, rejections, memory. The counters of
    /// sessions that the store decides, such as `created` and `ended`, are 0.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            // Entries that were invalidated with all others.
            ended: 0,
            ..self.cache.stats()
        }
    }

    /// Replaces the key ring, as [`SessionCache::set_keys`] does. Needs no store: the tags of
    /// entries were computed by this process.
    ///
    /// # Errors
    /// The error of the key ring; then the previous one stays.
    pub fn set_keys(&self, keys: &KeyRing) -> Result<(), KeyError> {
        self.secrets.keys.write(|derived| {
            self.cache.set_keys(keys)?;
            *derived = StoreKeys::derive(keys, self.cookie_name());
            Ok(())
        })
    }

    /// Returns a digest of each key of the key ring, the signing key's first. It reveals nothing
    /// about the key, so it may be stored: nodes compare theirs.
    #[must_use]
    pub fn key_fingerprints(&self) -> Vec<KeyFingerprint> {
        self.secrets.keys.read(|keys| keys.fingerprints().collect())
    }

    /// Derives a key for `purpose` from each key of the key ring, the signing key's first.
    /// Different purposes give independent keys.
    #[must_use]
    pub fn derive_keys(&self, purpose: &str) -> Vec<DerivedKey> {
        let derive = |keys: &StoreKeys| {
            keys.for_purpose(purpose)
                .map(|(number, key)| DerivedKey { number, key })
                .collect()
        };
        self.secrets.keys.read(derive)
    }

    /// Checks every structure of every shard, and panics if one does not hold. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn validate(&self) {
        self.cache.validate();
    }
}

/// Clones of one L1 are equal.
impl PartialEq for L1 {
    fn eq(&self, other: &Self) -> bool {
        self.cache == other.cache
    }
}

impl Eq for L1 {}

impl fmt::Debug for L1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("L1(..)")
    }
}

/// The longest lifetime of a tiered cache: its clock begins one lifetime after zero and must not
/// reach its end while the process runs.
const MAX_LIFETIME: Tick = Tick::MAX / 4;
