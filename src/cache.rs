//! The cache: routes each verb to the shard that the id names.
//!
//! Work that needs no shard is done outside the shard's lock: random bytes, MACs and the hashes of
//! user names.

mod admission;
mod aliases;
mod build;
mod cutoff;
mod forms;
mod issue;
mod maintenance;
mod options;
mod prometheus;
mod read;
mod record;
pub(crate) mod stats;
pub(crate) mod tier;
mod users;
mod write;

use core::fmt;
use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use crossbeam::utils::CachePadded;

use crate::{
    clock::{Tick, to_tick},
    config::{SessionCacheBuilder, Timeouts},
    cookie::{KeyRing, Keys, MAX_CANDIDATES, Prf, Reader},
    error::{Error, KeyError},
    events::{Event, EventQueue},
    id::SessionId,
    shard::{IndexHasher, Layout, Proof, Shard, View},
    sync::{AtomicU32, Lock, Relaxed},
};
use aliases::{AliasStep, Reuses};
use cutoff::RevocationCutoff;
pub use maintenance::{MaintenanceReport, MaintenanceThread};
pub use options::{CreateOptions, SignInOptions, UserInfo};
pub use record::{IssuedSession, Record, Version};
use stats::{Counters, Stats};
pub use users::SessionInfo;

/// A cache of sessions in memory of a fixed size.
///
/// Cloning is cheap, and clones share the sessions. All methods are synchronous. A method blocks
/// only on the lock of one shard; a sign-in may take the locks of two.
///
/// The [crate documentation](crate) has an example.
#[derive(Clone)]
pub struct SessionCache(Arc<Inner>);

struct Inner {
    locked_shards: Box<[CachePadded<LockedShard>]>,
    hasher: IndexHasher,
    keys: Keys,
    users: Prf,
    reader: Reader<'static>,
    counters: Counters,
    events: EventQueue,
    /// Sessions that were created before this tick have ended.
    cutoff: RevocationCutoff,
    /// The shard where the next maintenance starts.
    cursor: AtomicU32,
    layout: Layout,
    idle_timeout: Tick,
    lifetime: Tick,
    settings: SessionCacheBuilder,
}

/// A shard, its lock, and the parts that are read without the lock.
struct LockedShard {
    view: CachePadded<View>,
    shard: Lock<Shard>,
    /// The free space for anonymous sessions after the last write to it, in words.
    free_for_anonymous: AtomicU32,
}

impl SessionCache {
    /// Creates a builder with the default settings.
    pub fn builder() -> SessionCacheBuilder {
        SessionCacheBuilder::new()
    }

    /// Creates an anonymous session with the default options.
    ///
    /// # Errors
    /// The errors of [`create_with`](Self::create_with).
    pub fn create(&self, data: &[u8]) -> Result<IssuedSession, Error> {
        self.create_with(data, CreateOptions::new())
    }

    /// Creates a session if the [`admission`](SessionCacheBuilder::admission) hook permits it. The
    /// session is anonymous unless the options name a [user](CreateOptions::user).
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), [`TooLarge`](Error::TooLarge),
    /// [`Entropy`](Error::Entropy), and with a user the errors of [`sign_in`](Self::sign_in).
    /// [`Full`](Error::Full) if an anonymous session would have to evict an authenticated one or
    /// use the memory that is reserved for them. On an error nothing is changed.
    pub fn create_with(
        &self,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        if !options.admitted {
            self.0.check_admission(options.admission_key)?;
        }
        self.0.check_len(data)?;
        let issued = match options.user {
            Some(user) => self.0.create_for(user, &options, data),
            None => self.0.create_anonymous(options.timeouts, data),
        }?;
        if let Some(old) = options.replaces {
            self.end(&old);
        }
        Ok(issued)
    }

    /// Finds the session of a request by its `Cookie` header fields. Of at most four candidate
    /// values, the first that verifies and belongs to a live session is used.
    ///
    /// Copies the session's data into `buffer`, which is empty if the result is `None`. The caller
    /// can reuse the buffer, which grows only if it is too small.
    ///
    /// The fields are read as raw bytes: quotes, escapes and malformed pairs in one cookie never
    /// affect another. All causes of a rejection return `None`; [`stats`](Self::stats) counts them
    /// separately. A replaced id does not count as reuse if another candidate opens a session,
    /// because a browser may send cookies of several paths or domains.
    pub fn open<'h>(
        &self,
        fields: impl IntoIterator<Item = &'h [u8]>,
        buffer: &mut BytesMut,
    ) -> Option<Record> {
        let candidates = fields
            .into_iter()
            .flat_map(|field| self.0.reader.candidates(field));
        let mut reuses = Reuses::default();
        let found = candidates
            .take(MAX_CANDIDATES)
            .find_map(|value| self.0.verify(value, &mut reuses, buffer));
        self.0.finish_read(found, &reuses, buffer)
    }

    /// Finds a session by the bare value of a cookie. Otherwise like [`open`](Self::open).
    pub fn open_token(&self, value: &[u8], buffer: &mut BytesMut) -> Option<Record> {
        let mut reuses = Reuses::default();
        let found = self.0.verify(value, &mut reuses, buffer);
        self.0.finish_read(found, &reuses, buffer)
    }

    /// Finds a session by its id and copies its data into `buffer`, which is empty if the result is
    /// `None`. Counts as activity, like `open`.
    pub fn load(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        match self.0.try_read(id, &Proof::Given, buffer) {
            Ok(found) => Some(self.0.hit(*id, &found)),
            Err(error) => self.0.load_slowly(id, error, buffer),
        }
    }

    /// Replaces a session's data if its version is still `version`, and returns the new version.
    /// Counts as activity.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Gone`](Error::Gone), [`TooLarge`](Error::TooLarge),
    /// [`Full`](Error::Full). On an error nothing is changed.
    pub fn save(&self, id: &SessionId, version: Version, data: &[u8]) -> Result<Version, Error> {
        self.0.check_len(data)?;
        if !self.0.has_shard(id) {
            return Err(Error::Gone);
        }
        let save = |shard: &mut Shard, now| shard.save(&id.id, version.get(), data, now);
        let saved = self.0.with_room(id.place, || self.0.write(id.place, save));
        saved
            .map(Version::new)
            .map_err(|error| self.0.public_error(error))
    }

    /// Records activity of a session, which postpones its idle timeout.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone).
    pub fn touch(&self, id: &SessionId) -> Result<(), Error> {
        self.0.write_to(id, |shard, now| shard.touch(&id.id, now))
    }

    /// Sets per-session timeouts if the session's version is still `version`, and returns the new
    /// version. Counts as activity. The lifetime counts from the session's creation, or from the
    /// sign-in that renewed it. A lifetime that has already passed ends the session.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{Error, KeyRing, SessionCache, Timeouts};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let issued = cache.create(b"a cart")?;
    /// let short = Timeouts::new().idle_timeout(Duration::from_secs(5 * 60));
    /// let version = cache.set_timeouts(&issued.id, issued.version, short)?;
    /// assert_eq!(cache.save(&issued.id, issued.version, b"late"), Err(Error::Conflict));
    /// cache.save(&issued.id, version, b"a fuller cart")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Gone`](Error::Gone). On an error nothing is changed.
    pub fn set_timeouts(
        &self,
        id: &SessionId,
        version: Version,
        timeouts: Timeouts,
    ) -> Result<Version, Error> {
        self.0
            .write_to(id, |shard, now| {
                let change = |times, start| self.0.change(times, start, timeouts, now);
                shard.set_times(&id.id, version.get(), now, change)
            })
            .map(Version::new)
    }

    /// Replaces a session's id. The lifetime is unchanged. Within the grace period, and within the
    /// session's idle timeout, the old id still opens, saves and touches the session. It cannot
    /// rotate the session again, and the new cookie is not issued for it. The grace period counts
    /// in whole ticks of 100 ms, rounded down; zero disables it.
    ///
    /// After the grace period the old id no longer opens the session. It is remembered for the
    /// session's idle timeout while memory permits; of each session the last 8 ids, and as many
    /// from before a sign-in. [`end`](Self::end) by a remembered id ends the session. A read by one
    /// is a reuse: it counts as [`reused`](crate::stats::RejectionCounts::reused), emits an
    /// [event](Self::next_event), and ends the session if
    /// [`end_reused`](SessionCacheBuilder::end_reused) is set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::BytesMut;
    /// use sessile::{Error, KeyRing, ManualClock, SessionCache};
    ///
    /// let clock = ManualClock::new();
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = builder.clock(clock.clone()).build()?;
    /// let old = cache.create(b"a cart")?;
    /// let new = cache.rotate(&old.id, Duration::from_secs(10))?;
    ///
    /// let mut buffer = BytesMut::new();
    /// assert!(cache.load(&new.id, &mut buffer).is_some());
    /// assert!(cache.load(&old.id, &mut buffer).is_some());
    /// assert_eq!(cache.rotate(&old.id, Duration::ZERO).err(), Some(Error::Rotated));
    ///
    /// clock.advance(Duration::from_secs(10));
    /// assert!(cache.load(&old.id, &mut buffer).is_none());
    /// assert_eq!(cache.stats().rejected.reused, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Rotated`](Error::Rotated), [`Gone`](Error::Gone), [`GraceTooLong`](Error::GraceTooLong),
    /// [`Full`](Error::Full), [`Entropy`](Error::Entropy). On an error nothing is changed.
    pub fn rotate(&self, id: &SessionId, grace: Duration) -> Result<IssuedSession, Error> {
        let max = self.0.settings.lifetime;
        if grace > max {
            return Err(Error::GraceTooLong { given: grace, max });
        }
        let grace = to_tick(grace);
        self.0.reissue(id, id.place, |new, token| {
            self.0.write(id.place, |shard, now| {
                shard.rotate(&id.id, token, new, grace, now)
            })
        })
    }

    /// Ends a session by its id, or by a replaced id that is remembered. Returns true if there was
    /// such a session. After it returns, no read finds the session.
    pub fn end(&self, id: &SessionId) -> bool {
        self.0.follow(AliasStep::from(*id), Shard::end)
    }

    /// Ends all sessions in O(1). After it returns, no read finds a session whose creation had
    /// returned before the call. Sessions that are created later are unaffected; [`Event::cutoff`]
    /// tells them apart. The memory is freed lazily, by maintenance or by the next operation that
    /// needs it.
    pub fn end_all(&self) {
        let now = self.0.now();
        // This one word takes effect: every verb that begins afterwards reads it.
        let cutoff = self.0.cutoff.advance(now);
        self.0.events.push(|| Event::of_all(cutoff, now));
    }

    /// Removes and returns the oldest event of the queue, whose size is set by
    /// [`events`](SessionCacheBuilder::events).
    ///
    /// ```
    /// use sessile::{EndReason, EventKind, KeyRing, SessionCache};
    ///
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = builder.events(1_000).build()?;
    /// let issued = cache.create(b"")?;
    /// cache.end(&issued.id);
    ///
    /// let [first, second] = [(); 2].map(|()| cache.next_event().expect("two events"));
    /// assert_eq!(first.kind, EventKind::Created);
    /// assert_eq!(second.kind, EventKind::Ended(EndReason::Requested));
    /// assert_eq!(first.handle, second.handle);
    /// assert!(cache.next_event().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.0.events.next()
    }

    /// Ends a session if its version is still `version` and its id is still `id`. For a session
    /// that the caller found empty, while another request may be filling it or signing in.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Gone`](Error::Gone), and [`Rotated`](Error::Rotated) for a
    /// replaced id, as long as it is remembered. On an error nothing is changed.
    pub fn end_if_unchanged(&self, id: &SessionId, version: Version) -> Result<(), Error> {
        self.0.write_to(id, |shard, now| {
            shard.end_if_unchanged(&id.id, version.get(), now)
        })
    }

    /// Ends a session by the value of its cookie, if its MAC verifies. A replaced token that is
    /// remembered ends the session too, so that a sign-out concurrent with a rotation is not lost.
    /// Returns true if there was such a session.
    pub fn end_by_token(&self, value: &[u8]) -> bool {
        self.0.verified_id(value).is_some_and(|id| self.end(&id))
    }

    /// Frees the memory of expired sessions, visiting at most `budget` entries. It locks one shard
    /// at a time, for a few entries. Expired sessions are rejected even if this is never called;
    /// only their memory depends on it.
    pub fn maintain(&self, budget: usize) -> MaintenanceReport {
        let shards = self.0.locked_shards.len();
        let first = self.0.cursor.load(Relaxed) as usize;
        let mut done = MaintenanceReport::default();
        for step in 0..shards {
            let place = (first + step) % shards;
            if self.0.maintain_shard(place, budget, &mut done) {
                // Only a hint where to start next: no memory ordering is needed.
                self.0.cursor.store(place as u32, Relaxed);
                done.more = true;
                break;
            }
        }
        done
    }

    /// Starts a thread that calls [`maintain`](Self::maintain) ten times a second, or more often
    /// while entries are overdue, until the handle is dropped.
    ///
    /// # Errors
    /// The error of the operating system if it cannot start a thread.
    pub fn start_maintenance(&self) -> io::Result<MaintenanceThread> {
        MaintenanceThread::start(self.clone())
    }

    /// Replaces the key ring at run time: the first key signs, all keys verify. Tokens signed by a
    /// key that is no longer in the ring are rejected. All tokens issued after this returns are
    /// signed by a key of the new ring.
    ///
    /// A token names its key by one of 256 key numbers. A retired key occupies its number for the
    /// cache's lifetime plus its idle timeout, while a session may hold a tag of it. A new key with
    /// an occupied number is [`UsedNumber`](KeyError::UsedNumber); generate another.
    ///
    /// # Errors
    /// [`KeyError`] if the ring cannot be used. The old ring then remains.
    pub fn set_keys(&self, keys: &KeyRing) -> Result<(), KeyError> {
        // A session keeps its tag for its lifetime, and an alias for one idle timeout more.
        let kept_for = self.0.lifetime.saturating_add(self.0.idle_timeout);
        self.0.keys.set(keys, kept_for, || self.0.now())
    }

    /// Returns the number of sessions. Expired sessions count until their memory is freed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shards().map(|shard| shard.len()).sum()
    }

    /// Returns true if the cache holds no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the counters and gauges of the cache.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.0.shards().for_each(|shard| stats.add(&shard));
        stats.memory.budget = self.0.settings.memory;
        stats.events_dropped = self.0.events.dropped();
        self.0.counters.fill(&mut stats);
        stats
    }

    /// Returns the name of the cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.0.settings.cookie_name
    }

    /// Returns the maximum length of a session's data, in bytes.
    #[must_use]
    pub fn max_session_size(&self) -> usize {
        self.0.settings.max_session_size
    }

    /// Returns the cache's idle timeout, which per-session timeouts may shorten.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        self.0.settings.idle_timeout
    }

    /// Returns the cache's lifetime, which per-session timeouts may shorten.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.settings.lifetime
    }

    /// Returns the number of anonymous sessions with `data_len` bytes of data that fit.
    #[must_use]
    pub fn capacity_for(&self, data_len: usize) -> usize {
        self.0.layout.sessions(data_len) * self.0.locked_shards.len()
    }

    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn count(&self, word: u64) -> usize {
        self.0.shards().map(|shard| shard.count(word)).sum()
    }

    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn longest_chain(&self) -> usize {
        let chains = self.0.shards().map(|shard| shard.longest_chain());
        chains.max().unwrap_or(0)
    }

    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn moved_words(&self) -> u64 {
        self.0
            .shards()
            .map(|shard| shard.counts().moved_words)
            .sum()
    }

    /// Panics while a bucket of the index is being written, as a bug in sessile would. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn panic_in(&self, id: &SessionId) {
        self.0.write(id.place, |shard, _| shard.panic_in(&id.id));
    }

    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn validate(&self) {
        self.0.shards().for_each(|shard| shard.validate());
    }
}

/// Clones of one cache are equal. Two caches with equal settings are not.
impl PartialEq for SessionCache {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SessionCache {}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache")
            .field("memory", &self.0.settings.memory)
            .field("shards", &self.0.locked_shards.len())
            .field("cookie_name", &self.0.settings.cookie_name)
            .finish_non_exhaustive()
    }
}
