//! The cache: routes each verb to the shard that the id names, and does outside its lock what needs no
//! lock: random bytes, MACs, the hashing of users' names.

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
use aliases::{Reuses, Step};
use cutoff::RevocationCutoff;
pub use maintenance::{MaintenanceReport, MaintenanceThread};
pub use options::{CreateOptions, SignInOptions, UserInfo};
pub use record::{IssuedSession, Record, Version};
use stats::{Counters, Stats};
pub use users::SessionInfo;

/// A cache of sessions in memory that was fixed when it was built.
///
/// Cheap to clone; clones share everything. All verbs are synchronous and short: none waits for anything
/// but the lock of one shard, or of two when somebody signs in.
///
/// ```
/// use bytes::BytesMut;
/// use sessile::{KeyRing, SessionCache};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
///
/// let made = cache.create(b"a cart")?;
/// let header = format!("theme=dark; __Host-session={}", made.token.as_str());
///
/// let mut buffer = BytesMut::new();
/// let record = cache.open([header.as_bytes()], &mut buffer).expect("it was just made");
/// assert_eq!(&buffer[..], b"a cart");
///
/// let version = cache.save(&record.id, record.version, b"a fuller cart")?;
/// assert_ne!(version, record.version);
///
/// cache.end(&record.id);
/// assert!(cache.open([header.as_bytes()], &mut buffer).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SessionCache(Arc<Inner>);

struct Inner {
    locked_shards: Box<[CachePadded<LockedShard>]>,
    spots: IndexHasher,
    keys: Keys,
    users: Prf,
    reader: Reader<'static>,
    counters: Counters,
    journal: EventQueue,
    /// What was created before this has ended.
    horizon: RevocationCutoff,
    /// Where maintenance goes on.
    cursor: AtomicU32,
    plan: Layout,
    idle_timeout: Tick,
    lifetime: Tick,
    settings: SessionCacheBuilder,
}

/// A shard, its lock, and what is read without it.
struct LockedShard {
    view: CachePadded<View>,
    shard: Lock<Shard>,
    /// The room in the shard when it was last written to, in words.
    room: AtomicU32,
}

impl SessionCache {
    /// Creates a builder with the default settings.
    pub fn builder() -> SessionCacheBuilder {
        SessionCacheBuilder::new()
    }

    /// Creates an anonymous session with the default options.
    ///
    /// # Errors
    /// Those of [`create_with`](Self::create_with).
    pub fn create(&self, data: &[u8]) -> Result<IssuedSession, Error> {
        self.create_with(data, CreateOptions::new())
    }

    /// Creates a session, if the [`admission`](SessionCacheBuilder::admission) hook admits it. The session is
    /// anonymous unless the options name a [user](CreateOptions::user).
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), [`TooLarge`](Error::TooLarge), [`Full`](Error::Full) if the
    /// session is anonymous and could only evict authenticated sessions or use the memory that is reserved for them,
    /// [`Entropy`](Error::Entropy), and with a user those of [`sign_in`](Self::sign_in). On an error nothing is
    /// changed.
    pub fn create_with(
        &self,
        data: &[u8],
        options: CreateOptions<'_>,
    ) -> Result<IssuedSession, Error> {
        if !options.admitted {
            self.0.ask_hook(options.admission_key)?;
        }
        self.0.check_len(data)?;
        let made = match options.user {
            Some(user) => self.0.create_for(user, &options, data),
            None => self.0.create_anonymous(options.timeouts, data),
        }?;
        if let Some(old) = options.replaces {
            self.end(&old);
        }
        Ok(made)
    }

    /// Reads a request's `Cookie` fields and finds the session whose token is there: the first of at most
    /// four candidates that verifies and is live. Its data is copied into the buffer, which is empty on
    /// any other answer. Nothing is allocated unless the buffer is too small for the data.
    ///
    /// The header is read as the bytes that it is: quotes, escapes and damage in one cookie never change
    /// another. Every refusal, whatever its cause, is `None`; [`stats`](Self::stats) tells them apart. A replaced id
    /// beside one that opens a session is no reuse: a browser may send cookies of two paths or domains.
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
        self.0.answer(found, &reuses, buffer)
    }

    /// The same for the bare value of a cookie, or for a token that came by another way.
    pub fn open_token(&self, value: &[u8], buffer: &mut BytesMut) -> Option<Record> {
        let mut reuses = Reuses::default();
        let found = self.0.verify(value, &mut reuses, buffer);
        self.0.answer(found, &reuses, buffer)
    }

    /// Finds a session by its id and copies its data into the buffer, which is empty on a miss. Counts as
    /// activity, as `open` does.
    pub fn load(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        match self.0.try_read(id, &Proof::Given, buffer) {
            Ok(found) => Some(self.0.hit(*id, &found)),
            Err(error) => self.0.load_slowly(id, error, buffer),
        }
    }

    /// Replaces a session's data if it still has `version`, the one that the caller read, and returns the new
    /// version. Counts as activity.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Gone`](Error::Gone), [`TooLarge`](Error::TooLarge),
    /// [`Full`](Error::Full). Then nothing was changed.
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

    /// Counts as activity, and changes nothing else.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone).
    pub fn touch(&self, id: &SessionId) -> Result<(), Error> {
        self.0.write_to(id, |shard, now| shard.touch(&id.id, now))
    }

    /// Sets per-session timeouts if the session still has `version`, the one that the caller read, and returns the new
    /// version. Counts as activity. The lifetime counts from the session's creation, or from the sign-in that renewed
    /// it. A lifetime that is over already ends the session.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::{Error, KeyRing, SessionCache, Timeouts};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let made = cache.create(b"a cart")?;
    /// let short = Timeouts::new().idle_timeout(Duration::from_secs(5 * 60));
    /// let version = cache.set_timeouts(&made.id, made.version, short)?;
    /// assert_eq!(cache.save(&made.id, made.version, b"late"), Err(Error::Conflict));
    /// cache.save(&made.id, version, b"a fuller cart")?;
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

    /// Replaces a session's id. Within the grace period (whole ticks of 100 ms, rounded down; zero for none) and the session's idle timeout, the old one still opens it,
    /// may save to it and touch it, but gets no new id from it, nor the cookie that was sent. Afterwards it opens
    /// nothing; it is remembered for the session's idle timeout, if there is room, so that [`end`](Self::end)
    /// follows it to the new one, and so that its use shows: as [`reused`](crate::stats::RejectionCounts::reused), as an
    /// [event](Self::next_event), and by [`end_reused`](SessionCacheBuilder::end_reused) as the end of the session. Of one session
    /// the last 8 are remembered, and as many from before a sign-in. The lifetime stays as it is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::BytesMut;
    /// use sessile::{Error, KeyRing, ManualClock, SessionCache};
    ///
    /// let clock = ManualClock::new();
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.clock(clock.clone()).build()?;
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
    /// [`Full`](Error::Full), [`Entropy`](Error::Entropy). Then nothing was changed.
    pub fn rotate(&self, id: &SessionId, grace: Duration) -> Result<IssuedSession, Error> {
        let max = self.0.settings.lifetime;
        if grace > max {
            return Err(Error::GraceTooLong { given: grace, max });
        }
        let grace = to_tick(grace);
        self.0.reissue(id, id.place, |new, stamp| {
            self.0.write(id.place, |shard, now| {
                shard.rotate(&id.id, stamp, new, grace, now)
            })
        })
    }

    /// Destroys a session, by its id or by one that it had before it was rotated. Says whether there was
    /// one. When this has returned, no read finds it.
    pub fn end(&self, id: &SessionId) -> bool {
        self.0.follow(Step::from(*id), Shard::end)
    }

    /// Destroys all sessions, in a time that does not depend on their number. When this has returned, no read finds
    /// any whose creation was answered before the call; what is created afterwards is there. The
    /// [event](Event::cutoff) tells the one from the other. Their memory is given
    /// back by and by, and before that to whoever needs it.
    pub fn end_all(&self) {
        let now = self.0.now();
        // What matters is this one word: a verb that begins afterwards reads it.
        let cutoff = self.0.horizon.advance(now);
        self.0.journal.note(|| Event::of_all(cutoff, now));
    }

    /// The oldest event that the application has not taken yet. Events are kept if the cache was built with
    /// [room for them](SessionCacheBuilder::events).
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache, EventKind, EndReason};
    ///
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.events(1_000).build()?;
    /// let made = cache.create(b"")?;
    /// cache.end(&made.id);
    ///
    /// let [first, second] = [(); 2].map(|()| cache.next_event().expect("two things happened"));
    /// assert_eq!((first.kind, second.kind), (EventKind::Created, EventKind::Ended(EndReason::Requested)));
    /// assert_eq!(first.handle, second.handle);
    /// assert!(cache.next_event().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_event(&self) -> Option<Event> {
        self.0.journal.next()
    }

    /// Destroys a session if nobody saved since that version, and it still has that id: for one that the
    /// caller found empty, which another may be filling or signing in to.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Rotated`](Error::Rotated) by an id that the session had before, for as long as
    /// that is remembered and whether or not it still opens the session, [`Gone`](Error::Gone). Then nothing was
    /// changed.
    pub fn end_if_unchanged(&self, id: &SessionId, version: Version) -> Result<(), Error> {
        self.0.write_to(id, |shard, now| {
            shard.end_if_unchanged(&id.id, version.get(), now)
        })
    }

    /// Like [`end`](Self::end) by the value of its cookie, which may be one that it had before: a sign-out that
    /// was under way when the session was rotated is not lost.
    pub fn end_by_token(&self, value: &[u8]) -> bool {
        self.0.prove(value).is_some_and(|id| self.end(&id))
    }

    /// Gives the memory of expired sessions back, looking at no more than `budget` entries. A lock is held
    /// for some entries at a time. Nothing depends on this but memory: a session past its deadline is
    /// refused whether it was called or not.
    pub fn maintain(&self, budget: usize) -> MaintenanceReport {
        let shards = self.0.locked_shards.len();
        let first = self.0.cursor.load(Relaxed) as usize;
        let mut done = MaintenanceReport::default();
        for step in 0..shards {
            let place = (first + step) % shards;
            if self.0.maintain_shard(place, budget, &mut done) {
                // A hint of where to begin next; nothing hangs on it.
                self.0.cursor.store(place as u32, Relaxed);
                done.more = true;
                break;
            }
        }
        done
    }

    /// Starts a thread that calls [`maintain`](Self::maintain) ten times a second, and more often while
    /// there is much to do, until the handle is dropped.
    ///
    /// # Errors
    /// The operating system's, if it starts no thread.
    pub fn start_maintenance(&self) -> io::Result<MaintenanceThread> {
        MaintenanceThread::start(self.clone())
    }

    /// Replaces the keys while the cache runs: the first signs from now on, all verify, and what only a
    /// retired key had signed is refused. What a verb issues after this has returned is signed by a key of the ring.
    ///
    /// Of 256 key numbers a retired key occupies one until no session can keep a tag of it: for the cache's lifetime and
    /// idle timeout. A fresh key that has such a number is [`UsedNumber`](KeyError::UsedNumber): draw another.
    ///
    /// # Errors
    /// What is wrong with the ring; then the old one stays.
    pub fn set_keys(&self, keys: &KeyRing) -> Result<(), KeyError> {
        // A session keeps its tag for its lifetime, and its alias for an idle timeout more.
        let kept_for = self.0.lifetime.saturating_add(self.0.idle_timeout);
        self.0.keys.set(keys, kept_for, || self.0.now())
    }

    /// How many sessions there are. Expired ones count until their memory is given back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shards().map(|shard| shard.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cache holds, and what has happened in it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.0.shards().for_each(|shard| stats.add(&shard));
        stats.memory.budget = self.0.settings.memory;
        stats.events_dropped = self.0.journal.dropped();
        self.0.counters.fill(&mut stats);
        stats
    }

    /// The name of the cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.0.settings.cookie_name
    }

    /// The most bytes of data in a session.
    #[must_use]
    pub fn max_session_size(&self) -> usize {
        self.0.settings.max_session_size
    }

    /// How long after its last use a session is refused, unless it has a timeout of its own.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        self.0.settings.idle_timeout
    }

    /// How long after its creation a session is refused, unless it has a lifetime of its own.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.0.settings.lifetime
    }

    /// How many anonymous sessions of so many bytes of data fit.
    #[must_use]
    pub fn capacity_for(&self, data_len: usize) -> usize {
        self.0.plan.sessions(data_len) * self.0.locked_shards.len()
    }

    /// How often eight bytes stand anywhere in the memory, at a multiple of eight. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn count(&self, word: u64) -> usize {
        self.0.shards().map(|shard| shard.count(word)).sum()
    }

    /// The most sessions that are walked for one user's. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn longest_chain(&self) -> usize {
        let chains = self.0.shards().map(|shard| shard.longest_chain());
        chains.max().unwrap_or(0)
    }

    /// How many words were moved to make room. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn moved_words(&self) -> u64 {
        self.0
            .shards()
            .map(|shard| shard.counts().moved_words)
            .sum()
    }

    /// Panics while a session's line in the index is being written, as a mistake of ours would. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn panic_in(&self, id: &SessionId) {
        self.0.write(id.place, |shard, _| shard.panic_in(&id.id));
    }

    /// Checks every structure of every shard, and panics if one does not hold. For tests.
    #[cfg(feature = "__internals")]
    #[doc(hidden)]
    pub fn validate(&self) {
        self.0.shards().for_each(|shard| shard.validate());
    }
}

/// Clones of one cache are equal; caches that were built alike are not.
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
