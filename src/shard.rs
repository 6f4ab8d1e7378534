//! One shard of the cache, single-threaded. It owns an index, a heap, a wheel, eviction queues and
//! a user index, and keeps them consistent.
//!
//! Each entry is in the index, in the wheel and in one queue. A session with a user and an alias of
//! a family are also in a chain of the user index. A shard does not know about other shards, except
//! that a sign-in is given the shard to which it moves the session. It does not know about threads
//! either. The caller passes it the time and the contents of each token.

mod aliases;
mod counts;
pub(crate) mod entry;
pub(crate) mod eviction;
mod header;
pub(crate) mod index;
mod layout;
pub mod list;
mod ops;
pub mod region;
pub mod seqlock;
pub mod tlsf;
mod unlocked_entry;
mod user_index;
#[cfg(feature = "__internals")]
mod validate;
pub mod wheel;

use crate::{
    clock::Tick,
    cookie::Tag,
    error::Error,
    events::{EndReason, Event, EventKind, EventQueue},
    handle::Handle,
    id::{Id, Place, SessionId, UserHash},
};
pub(crate) use aliases::{IdTarget, MAX_ALIASES};
pub(crate) use counts::Counts;
use entry::{
    Entry, EntryMeta, EntryUser, Flags, HeaderFields, MAX_LABEL_LEN, Times, TokenParts, WHEEL,
};
use eviction::{Priority, Queue, Queues, Usage};
pub(crate) use index::IndexHasher;
use index::{Candidates, Index, Slot, VacantSlot};
pub(crate) use layout::Layout;
pub use ops::SessionLimitPolicy;
use ops::SpaceRequest;
pub(crate) use ops::{Limit, Placed, ReadClock, TieredEntry, UserSession, View};
use region::{Arena, Offset, Region};
use tlsf::Heap;
use user_index::UserIndex;
use wheel::Wheel;

/// A shard: its memory and the structures in it. The caller holds the shard's lock.
pub(crate) struct Shard {
    region: Region,
    heap: Heap,
    index: Index,
    wheel: Wheel,
    queues: Queues,
    users: UserIndex,
    events: EventQueue,
    /// The shard's own place, for handles.
    place: Place,
    /// The number of entries that were created; it wraps around.
    serial: u32,
    layout: Layout,
    /// The size of the largest permitted session's block, in words.
    largest_block: u32,
    /// The longest idle timeout that a session may have.
    max_idle_timeout: Tick,
    /// The maximum usage of aliases and anonymous sessions, if memory is reserved.
    anonymous_limit: Option<Usage>,
    counts: Counts,
}

/// A session to be stored, without its data.
#[derive(Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    pub(crate) token: TokenParts,
    pub(crate) times: Times,
    pub(crate) user: Option<EntryUser<'a>>,
    /// A version, and the data that a sign-in saves if the session still has that version.
    pub(crate) data: Option<(u32, &'a [u8])>,
}

/// The proof that the caller may read a session.
pub(crate) enum Proof {
    /// The caller holds the id, or has verified the whole MAC.
    Given,
    /// The tag of a token, which is compared with the stored one.
    Tag { tag: Tag, key: u8 },
}

/// The reason why a read returned no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The tag differs from the stored one: only the whole MAC can prove the token.
    Unproven,
    Absent,
    Expired,
    /// The id is an alias. It is followed under the lock.
    Rotated,
    Reused,
}

/// The reason why a read without the lock returned no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// A writer interfered: nothing that was read is valid.
    Torn,
    Miss(Miss),
}

/// A session that was read, without its data.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) user: Option<UserHash>,
    pub(crate) meta: EntryMeta,
    pub(crate) access: AccessUpdate,
    pub(crate) now: Tick,
}

/// The time of a read: now, and the revocation cutoff. Sessions created before the cutoff have
/// ended.
#[derive(Clone, Copy)]
pub(crate) struct ReadTime {
    pub(crate) now: Tick,
    pub(crate) cutoff: Tick,
}

/// The update that a read requires, which is done under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessUpdate {
    None,
    /// The use is recorded for eviction.
    Use,
    /// The use is recorded and the idle deadline is moved.
    Touch,
}

/// Errors of the operations that need memory or an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The id is in use, or both of its buckets are full: another id may succeed.
    IdTaken,
    /// There is enough memory, but compacting it moves more words than one hold of the lock
    /// permits.
    Unfinished { words: u32 },
    /// The error of the operation.
    Verb(Error),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Verb(error)
    }
}

/// The result of ending a session.
pub(crate) enum EndResult {
    Session,
    /// The id is an alias: the session must be ended under this id, in another shard.
    Alias(SessionId),
    Nothing,
}

/// The work of one call of [`advance`](Shard::advance).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdvanceReport {
    pub(crate) visited: usize,
    pub(crate) expired: usize,
    pub(crate) more: bool,
}

impl Shard {
    /// Creates an empty shard. `None` if the arena has less left than the layout's
    /// [footprint](Layout::footprint).
    pub(crate) fn new(
        arena: &mut Arena,
        layout: Layout,
        largest_len: usize,
        max_idle_timeout: Tick,
        hasher: IndexHasher,
        place: Place,
        events: EventQueue,
    ) -> Option<Self> {
        let index = Index::new(arena, hasher)?;
        let region = arena.region(layout.words)?;
        let (wheel, queues, heap, users) = init(&region, &layout);
        let largest_block = Entry::size(largest_len, Some(MAX_LABEL_LEN));
        let (anonymous_limit, counts) = (layout.anonymous_limit(), Counts::default());
        let serial = 0;
        Some(Self {
            region,
            heap,
            index,
            wheel,
            queues,
            users,
            events,
            place,
            serial,
            layout,
            largest_block,
            max_idle_timeout,
            anonymous_limit,
            counts,
        })
    }

    /// Creates the view that reads the shard without the lock.
    pub(crate) fn view(&self) -> View {
        View::new(self.index.table(), &self.region)
    }

    /// Runs an operation. If it panics, which would be a bug in sessile, the state that it leaves
    /// is unknown, and the shard is reset.
    pub(crate) fn with_panic_guard<R>(&mut self, verb: impl FnOnce(&mut Self) -> R) -> R {
        struct PanicGuard<'s> {
            shard: &'s mut Shard,
            is_done: bool,
        }
        impl Drop for PanicGuard<'_> {
            fn drop(&mut self) {
                if !self.is_done {
                    self.shard.reset();
                }
            }
        }
        let mut guard = PanicGuard {
            shard: self,
            is_done: false,
        };
        let answer = verb(guard.shard);
        guard.is_done = true;
        answer
    }

    fn reset(&mut self) {
        let now = self.wheel.reached();
        self.index.clear();
        self.region.wipe(0, self.layout.words);
        (self.wheel, self.queues, self.heap, self.users) = init(&self.region, &self.layout);
        self.counts.shard_resets += 1;
        self.events
            .push(|| Event::new(EventKind::ShardReset, None, now));
    }

    /// Stores a new session, within the limit of its user if it has one. `old` is a session in this
    /// shard that it replaces and that ends.
    pub(crate) fn create(
        &mut self,
        new_entry: &NewEntry<'_>,
        limit: Limit,
        data: &[u8],
        old: Option<&SessionId>,
        now: Tick,
    ) -> Result<(), WriteError> {
        self.advance(now, STEPS_PER_WRITE);
        let old = old.and_then(|id| self.session_of(&id.id, now));
        let old_id = old.map(|at| Entry::at(&self.region, at).id());
        let (vacant, at) = self.allocate_entry_within(limit, new_entry, data.len(), old, now)?;
        Entry::at(&self.region, at).fill(data);
        self.index.insert(vacant, at);
        // Making room may have moved the old entry.
        if let Some((_, old)) = old_id.and_then(|id| self.find(&id)) {
            self.end_entry(old, EndReason::Requested, now);
        }
        self.counts.created += 1;
        self.emit(EventKind::Created, at, now);
        if new_entry.user.is_some() {
            self.counts.signed_in += 1;
            self.emit(EventKind::SignedIn, at, now);
        }
        Ok(())
    }

    fn conflict(&mut self, at: Offset, now: Tick) {
        self.counts.conflicts += 1;
        self.emit(EventKind::Conflict, at, now);
    }

    /// Emits an event of a session.
    fn emit(&self, kind: EventKind, at: Offset, now: Tick) {
        self.events.push(|| {
            let entry = Entry::at(&self.region, at);
            let header = entry.header();
            let (user, created) = (entry.user(&header), header.times().created);
            let handle = Handle::new(user, self.place, header.serial(), created);
            Event::new(kind, Some(handle), now)
        });
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn usage(&self, queue: Queue) -> Usage {
        self.queues.usage(queue)
    }

    /// Returns the number of sessions, without aliases.
    pub(crate) fn len(&self) -> usize {
        let dead = [Queue::Revoked, Queue::Aliases].map(|queue| self.usage(queue).entries);
        (self.index.len() - dead.iter().sum::<u32>()) as usize
    }

    /// Returns the number of words in free blocks.
    pub(crate) fn free_words(&self) -> u32 {
        self.heap.free_words()
    }

    /// Returns how many words are free for anonymous sessions. Index slots count as the words of a
    /// session with data of the mean size, and the smaller number is returned.
    pub(crate) fn free_for_anonymous(&self) -> u32 {
        let slots = self.index.capacity() - self.index.len();
        let mut free = Usage {
            entries: slots,
            words: self.heap.free_words(),
        };
        if let Some(limit) = self.anonymous_limit {
            let used = self.queues.anonymous_usage();
            free.entries = free.entries.min(limit.entries.saturating_sub(used.entries));
            free.words = free.words.min(limit.words.saturating_sub(used.words));
        }
        free.words.min(
            free.entries
                .saturating_mul(Entry::size(layout::MEAN_DATA, None)),
        )
    }

    /// Returns the number of words in all blocks.
    pub(crate) fn capacity(&self) -> u32 {
        self.heap.capacity()
    }

    fn find(&self, id: &Id) -> Option<(Slot, Offset)> {
        self.find_at(self.index.candidates(id), id)
    }

    fn find_at(&self, candidates: Candidates, id: &Id) -> Option<(Slot, Offset)> {
        self.index
            .find(candidates, |at| Entry::at(&self.region, at).id() == *id)
    }

    /// Returns the live session of an id, or of an alias within its grace period.
    fn find_live(&self, id: &Id, now: Tick) -> Option<(Slot, Offset)> {
        let (slot, at) = self.find_within_grace(id, now)?;
        self.is_live(at, now).then_some((slot, at))
    }

    /// Returns true if an entry is a session that can be used.
    fn is_live(&self, at: Offset, now: Tick) -> bool {
        let entry = Entry::at(&self.region, at);
        let is_dead = matches!(self.queues.queue_of(entry), Queue::Revoked | Queue::Aliases);
        !is_dead && entry.deadline() > now
    }

    /// Returns a vacant index slot for an id. Evictions take no slot, so it stays vacant while room
    /// is made.
    fn vacant_slot(&self, id: &Id) -> Result<VacantSlot, WriteError> {
        let candidates = self.index.candidates(id);
        if self.find_at(candidates, id).is_some() {
            return Err(WriteError::IdTaken);
        }
        self.index
            .vacant_slot(candidates)
            .ok_or(WriteError::IdTaken)
    }

    /// Creates an entry without data, and never evicts `keep`. No reader finds the entry before the
    /// caller has written its data and inserted it into the index.
    fn allocate_entry(
        &mut self,
        new_entry: &NewEntry<'_>,
        len: usize,
        keep: Option<Offset>,
        now: Tick,
    ) -> Result<(VacantSlot, Offset), WriteError> {
        let vacant = self.vacant_slot(&new_entry.token.id)?;
        let request = new_entry.space_request(len, keep);
        let at = self.make_room(request, now)?;
        let entry = Entry::at(&self.region, at);
        entry.write(
            &new_entry.token,
            &new_entry.times,
            len,
            new_entry.user.as_ref(),
        );
        self.serial = self.serial.wrapping_add(1);
        entry.set_serial(self.serial);
        let deadline = entry.deadline();
        self.wheel.insert(&self.region, at + WHEEL, deadline);
        self.queues.insert(&self.region, at);
        self.users.insert(&self.region, at);
        Ok((vacant, at))
    }
}

impl NewEntry<'_> {
    /// Returns the space that the entry needs with `len` bytes of data.
    fn space_request(&self, len: usize, keep: Option<Offset>) -> SpaceRequest {
        let flags = Flags::of(self.user.as_ref(), &self.times);
        let (words, priority) = (
            Entry::size_with(flags, len),
            priority_of(self.user.is_some()),
        );
        SpaceRequest {
            words,
            priority,
            needs_slot: true,
            keep,
        }
    }
}

impl Proof {
    #[inline(always)]
    fn holds(&self, kept: impl FnOnce() -> TokenParts) -> bool {
        match self {
            Self::Given => true,
            Self::Tag { tag, key } => {
                let kept = kept();
                *key == kept.key && tag.equals(&kept.tag)
            }
        }
    }
}

/// Initialises the structures of an empty region.
fn init(region: &Region, layout: &Layout) -> (Wheel, Queues, Heap, UserIndex) {
    let wheel = Wheel::new(region, Layout::SLOTS);
    let queues = Queues::new(region, Layout::QUEUES);
    let users = UserIndex::new(region, layout.users(), layout.user_buckets());
    let heap = Heap::new(region, Layout::CLASSES, layout.blocks(), layout.words);
    (wheel, queues, heap, users)
}

/// Moves the idle deadline, unless it would move by less than a sixteenth of the timeout. It may
/// move past the end of the lifetime, because it also records the last use. The store is one word,
/// so a reader sees either the old or the new deadline, and both are valid.
fn touch(entry: Entry<'_>, now: Tick) {
    let times = entry.header().times();
    if let Some(idle) = touched(&times, now) {
        entry.set_idle(idle, times.end);
    }
}

/// Returns the new idle deadline of a live session that is used now, if it changes.
#[inline(always)]
fn touched(times: &Times, now: Tick) -> Option<Tick> {
    let Times {
        idle, idle_timeout, ..
    } = *times;
    let fresh = idle_timeout - idle_timeout / TOUCH_SHARE;
    let is_fresh = idle.wrapping_sub(now) > fresh;
    (!is_fresh).then(|| now.saturating_add(idle_timeout))
}

fn priority_of(has_user: bool) -> Priority {
    if has_user {
        Priority::Authenticated
    } else {
        Priority::Anonymous
    }
}

/// The maximum number of wheel entries that each write visits.
const STEPS_PER_WRITE: usize = 2;
/// The idle deadline is not moved by less than the timeout divided by this.
const TOUCH_SHARE: u32 = 16;
