//! The cache: routes each verb to the shard that the id names, and does outside its lock what needs no
//! lock: random bytes, MACs, the hashing of users' names.

mod admission;
mod aliases;
mod build;
mod exposition;
mod horizon;
mod issuing;
mod maintenance;
mod new_session;
mod reading;
mod record;
mod route;
mod sign_in;
mod stats;
mod users;

use core::fmt;
use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use crossbeam::utils::CachePadded;

use crate::{
    clock::{Tick, to_tick},
    config::{Builder, Grace, Timeouts},
    cookie::{KeyRing, Keys, MAX_CANDIDATES, Prf, Reader},
    error::{Error, KeyError},
    events::{Event, Journal},
    id::SessionId,
    shard::{Plan, Proof, Shard, Spots, View},
    sync::{AtomicU32, Lock, Relaxed},
};
use aliases::{Reuses, Step};
use horizon::Horizon;
pub use maintenance::{MaintenanceReport, MaintenanceThread};
pub use new_session::NewSession;
pub use record::{IssuedSession, Record};
pub use sign_in::SignIn;
use stats::Counters;
pub use stats::{EvictionCounts, MemoryUsage, RejectionCounts, SessionCounts, Stats};
pub use users::Device;

/// A cache of sessions in memory that was fixed when it was built.
///
/// Cheap to clone; clones share everything. All verbs are synchronous and short: none waits for anything
/// but the lock of one shard, or of two when somebody signs in.
///
/// ```
/// use bytes::BytesMut;
/// use sessile::{KeyRing, NewSession, SessionCache};
///
/// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
///
/// let made = cache.create(b"a cart", NewSession::default())?;
/// let header = format!("theme=dark; __Host-session={}", made.token.as_str());
///
/// let mut buffer = BytesMut::new();
/// let record = cache.open([header.as_bytes()], &mut buffer).expect("it was just made");
/// assert_eq!(&buffer[..], b"a cart");
///
/// let version = cache.save(&record.id, record.version, b"a fuller cart")?;
/// assert!(version > record.version);
///
/// cache.end(&record.id);
/// assert!(cache.open([header.as_bytes()], &mut buffer).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SessionCache(Arc<Inner>);

struct Inner {
    stripes: Box<[CachePadded<Stripe>]>,
    spots: Spots,
    keys: Keys,
    users: Prf,
    reader: Reader<'static>,
    counters: Counters,
    journal: Journal,
    /// What was created before this has ended.
    horizon: Horizon,
    /// Where maintenance goes on.
    cursor: AtomicU32,
    plan: Plan,
    idle_timeout: Tick,
    lifetime: Tick,
    settings: Builder,
}

/// A shard, its lock, and what is read without it.
struct Stripe {
    view: CachePadded<View>,
    shard: Lock<Shard>,
    /// The room in the shard when it was last written to, in words.
    room: AtomicU32,
}

impl SessionCache {
    /// The settings, to begin with.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Makes a new session of `data`, if the hook of [`admission`](Builder::admission) lets it: an anonymous one, unless
    /// it has a [user](NewSession::user) from the start.
    ///
    /// # Errors
    /// [`Refused`](Error::AdmissionDenied) by the hook, [`TooLarge`](Error::TooLarge), [`Full`](Error::Full) when it
    /// is anonymous and could only displace sessions with a user, or take what is kept for them,
    /// [`Entropy`](Error::Entropy), and those of [`sign_in`](Self::sign_in) with a user. Then nothing was changed.
    pub fn create(&self, data: &[u8], new: NewSession<'_>) -> Result<IssuedSession, Error> {
        if !new.admitted {
            self.ask_hook(new.key)?;
        }
        self.check_len(data)?;
        let made = match new.user {
            Some((user, with)) => self.create_for(user, with, &new, data),
            None => self.create_anonymous(new.timeouts, data),
        }?;
        if let Some(old) = new.replaces {
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
        let candidates = fields.into_iter().flat_map(|field| self.0.reader.candidates(field));
        let mut reuses = Reuses::default();
        let found = candidates
            .take(MAX_CANDIDATES)
            .find_map(|value| self.verify(value, &mut reuses, buffer));
        self.answer(found, &reuses, buffer)
    }

    /// The same for the bare value of a cookie, or for a token that came by another way.
    pub fn open_token(&self, value: &[u8], buffer: &mut BytesMut) -> Option<Record> {
        let mut reuses = Reuses::default();
        let found = self.verify(value, &mut reuses, buffer);
        self.answer(found, &reuses, buffer)
    }

    /// Finds a session by its id and copies its data into the buffer, which is empty on a miss. Counts as
    /// activity, as `open` does.
    pub fn load(&self, id: &SessionId, buffer: &mut BytesMut) -> Option<Record> {
        match self.glance(id, &Proof::Given, buffer) {
            Ok(found) => Some(self.hit(*id, &found)),
            Err(unsettled) => self.load_further(id, unsettled, buffer),
        }
    }

    /// Stores data in place of a session's own, if nobody did since the version that the caller read, and
    /// gives the new version. Counts as activity.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict), [`Gone`](Error::Gone), [`TooLarge`](Error::TooLarge),
    /// [`Full`](Error::Full). Then nothing was changed.
    pub fn save(&self, id: &SessionId, version: u32, data: &[u8]) -> Result<u32, Error> {
        self.check_len(data)?;
        if !self.has_home(id) {
            return Err(Error::Gone);
        }
        let save = |shard: &mut Shard, now| shard.save(&id.id, version, data, now);
        let saved = self.with_room(id.home, || self.write(id.home, save));
        saved.map_err(|refusal| self.refuse(refusal))
    }

    /// Counts as activity, and changes nothing else.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone).
    pub fn touch(&self, id: &SessionId) -> Result<(), Error> {
        self.write_to(id, |shard, now| shard.touch(&id.id, now))
    }

    /// Gives a session timeouts of its own, from now on, and counts as activity; the lifetime counts from its
    /// creation, or from the sign-in that renewed it. One that is over already ends the session.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone).
    pub fn set_timeouts(&self, id: &SessionId, timeouts: Timeouts) -> Result<(), Error> {
        self.write_to(id, |shard, now| {
            let change = |times, start| self.change(times, start, timeouts, now);
            shard.set_times(&id.id, now, change)
        })
    }

    /// Gives a session a new id. Within the grace, and the session's idle timeout, the old one still opens it,
    /// may save to it and touch it, but gets no new id from it, nor the cookie that was sent. Afterwards it opens
    /// nothing; it is remembered for the session's idle timeout, if there is room, so that [`end`](Self::end)
    /// follows it to the new one, and so that its use shows: as [`reused`](RejectionCounts::reused), as an
    /// [event](Self::next_event), and by [`end_reused`](Builder::end_reused) as the end of the session. Of one session
    /// the last 8 are remembered, and as many from before a sign-in. The lifetime stays as it is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::BytesMut;
    /// use sessile::{Clock, Error, Grace, KeyRing, NewSession, SessionCache};
    ///
    /// let clock = Clock::manual();
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.clock(clock.clone()).build()?;
    /// let old = cache.create(b"a cart", NewSession::default())?;
    /// let new = cache.rotate(&old.id, Grace::of(Duration::from_secs(10)))?;
    ///
    /// let mut buffer = BytesMut::new();
    /// assert!(cache.load(&new.id, &mut buffer).is_some());
    /// assert!(cache.load(&old.id, &mut buffer).is_some());
    /// assert_eq!(cache.rotate(&old.id, Grace::NONE).err(), Some(Error::Rotated));
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
    pub fn rotate(&self, id: &SessionId, grace: Grace) -> Result<IssuedSession, Error> {
        let limit = self.0.settings.lifetime;
        if grace.0 > limit {
            return Err(Error::GraceTooLong { given: grace.0, limit });
        }
        let grace = to_tick(grace.0);
        self.reissue(id, id.home, |new, stamp| {
            self.write(id.home, |shard, now| shard.rotate(&id.id, stamp, new, grace, now))
        })
    }

    /// Destroys a session, by its id or by one that it had before it was rotated. Says whether there was
    /// one. When this has returned, no read finds it.
    pub fn end(&self, id: &SessionId) -> bool {
        self.follow(Step::from(*id), Shard::end)
    }

    /// Destroys all sessions, in a time that does not depend on their number. When this has returned, no read finds
    /// any whose creation was answered before the call; what is created afterwards is there. The
    /// [event](Event::cutoff) tells the one from the other. Their memory is given
    /// back by and by, and before that to whoever needs it.
    pub fn end_all(&self) {
        let now = self.now();
        // What matters is this one word: a verb that begins afterwards reads it.
        let cutoff = self.0.horizon.move_on(now);
        self.0.journal.note(|| Event::of_all(cutoff, now));
    }

    /// The oldest event that the application has not taken yet. Events are kept if the cache was built with
    /// [room for them](Builder::events).
    ///
    /// ```
    /// use sessile::{KeyRing, NewSession, SessionCache, EventKind, EndReason};
    ///
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.events(1_000).build()?;
    /// let made = cache.create(b"", NewSession::default())?;
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
    pub fn end_if_unchanged(&self, id: &SessionId, version: u32) -> Result<(), Error> {
        self.write_to(id, |shard, now| shard.end_if_unchanged(&id.id, version, now))
    }

    /// Like [`end`](Self::end) by the value of its cookie, which may be one that it had before: a sign-out that
    /// was under way when the session was rotated is not lost.
    pub fn end_by_token(&self, value: &[u8]) -> bool {
        self.prove(value).is_some_and(|id| self.end(&id))
    }

    /// Gives the memory of expired sessions back, looking at no more than `budget` entries. A lock is held
    /// for some entries at a time. Nothing depends on this but memory: a session past its deadline is
    /// refused whether it was called or not.
    pub fn maintain(&self, budget: usize) -> MaintenanceReport {
        let shards = self.0.stripes.len();
        let first = self.0.cursor.load(Relaxed) as usize;
        let mut done = MaintenanceReport::default();
        for step in 0..shards {
            let home = (first + step) % shards;
            if self.maintain_shard(home, budget, &mut done) {
                // A hint of where to begin next; nothing hangs on it.
                self.0.cursor.store(home as u32, Relaxed);
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
        self.0.keys.set(keys, kept_for, || self.now())
    }

    /// How many sessions there are. Expired ones count until their memory is given back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards().map(|shard| shard.len()).sum()
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
        self.shards().for_each(|shard| stats.add(&shard));
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
        self.0.plan.sessions(data_len) * self.0.stripes.len()
    }

    /// How often eight bytes stand anywhere in the memory, at a multiple of eight. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn count(&self, word: u64) -> usize {
        self.shards().map(|shard| shard.count(word)).sum()
    }

    /// The most sessions that are walked for one user's. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn longest_chain(&self) -> usize {
        let chains = self.shards().map(|shard| shard.longest_chain());
        chains.max().unwrap_or(0)
    }

    /// How many words were moved to make room. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn moved_words(&self) -> u64 {
        self.shards().map(|shard| shard.counts().moved_words).sum()
    }

    /// Panics while a session's line in the index is being written, as a mistake of ours would. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn panic_in(&self, id: &SessionId) {
        self.write(id.home, |shard, _| shard.panic_in(&id.id));
    }

    /// Checks every structure of every shard, and panics if one does not hold. For tests.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn validate(&self) {
        self.shards().for_each(|shard| shard.validate());
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
            .field("shards", &self.0.stripes.len())
            .field("cookie_name", &self.0.settings.cookie_name)
            .finish_non_exhaustive()
    }
}
