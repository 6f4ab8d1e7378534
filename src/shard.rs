//! One stripe of the cache, single-threaded: index, region, heap, wheel, queues and users, and the verbs
//! that keep them in step.
//!
//! An entry stands in the index, in the wheel, in one queue and, if it has a user, in that user's chain, or
//! in none of them. A shard does not know that there are others, nor threads: it is told the time, and what
//! a token is to say.

mod aliases;
mod counts;
mod end;
pub(crate) mod entry;
pub(crate) mod eviction;
mod header;
pub(crate) mod index;
mod layout;
pub mod list;
mod make_room;
mod read;
pub mod region;
mod rotate;
mod save;
pub mod seqlock;
pub mod tlsf;
mod unlocked_entry;
mod user_index;
mod user_sessions;
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
use make_room::SpaceRequest;
pub(crate) use read::View;
use region::{Arena, Offset, Region};
use tlsf::Heap;
use user_index::UserIndex;
pub use user_sessions::SessionLimitPolicy;
pub(crate) use user_sessions::{Limit, UserSession};
use wheel::Wheel;

/// A shard.
pub(crate) struct Shard {
    region: Region,
    heap: Heap,
    index: Index,
    wheel: Wheel,
    queues: Queues,
    users: UserIndex,
    events: EventQueue,
    /// Its number, for handles.
    place: Place,
    /// How many entries there were.
    serial: u32,
    layout: Layout,
    /// The block of the largest permitted session, in words.
    largest_block: u32,
    /// The longest idle timeout that a session may have.
    max_idle_timeout: Tick,
    /// What aliases and anonymous sessions may come to, if anything is kept from them.
    anonymous_limit: Option<Usage>,
    counts: Counts,
}

/// A session that wants in.
#[derive(Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    pub(crate) token: TokenParts,
    pub(crate) times: Times,
    pub(crate) user: Option<EntryUser<'a>>,
    /// What is saved to a session in one with a sign-in, if it has that version.
    pub(crate) data: Option<(u32, &'a [u8])>,
}

/// What shows that the asker may have a session.
pub(crate) enum Proof {
    /// The caller holds the id, or the whole MAC was computed.
    Given,
    /// The tag of a token, to be compared with the one that is kept.
    Tag { tag: Tag, key: u8 },
}

/// Why a read gave no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The tag is not the one that is kept: only a whole MAC can tell.
    Unproven,
    Absent,
    Expired,
    /// The id is an old one: whether that still opens anything is found out under the lock.
    Rotated,
    Reused,
}

/// Why an attempt to read without the lock returned no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// A writer interfered: nothing that was read is valid.
    Torn,
    Miss(Miss),
}

/// A session that was read, its data apart.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) user: Option<UserHash>,
    pub(crate) meta: EntryMeta,
    pub(crate) access: AccessUpdate,
    pub(crate) now: Tick,
}

/// A read, as of when: now, and what was created before when has ended.
#[derive(Clone, Copy)]
pub(crate) struct ReadTime {
    pub(crate) now: Tick,
    pub(crate) cutoff: Tick,
}

/// What is to be noted of a session that was read: what the shard knows already is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessUpdate {
    None,
    /// That it was used, which the queues want to hear.
    Use,
    /// The same, and that its idle deadline moves.
    Touch,
}

/// Errors of the verbs that need memory or an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The id is in use, or both of its buckets are full: another id may succeed.
    IdTaken,
    /// There is enough memory, but freeing it in one piece moves more words than one hold of the lock permits.
    Unfinished { words: u32 },
    /// The error of the verb.
    Verb(Error),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Verb(error)
    }
}

/// What became of an end.
pub(crate) enum EndResult {
    Session,
    /// The id is an old one: go on there.
    Alias(SessionId),
    Nothing,
}

/// What a look at the wheel came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdvanceReport {
    pub(crate) visited: usize,
    pub(crate) expired: usize,
    pub(crate) more: bool,
}

impl Shard {
    /// An empty shard, where ids have these spots. `None` if the arena has less left than the
    /// [plan](Plan::footprint) asks for.
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

    /// What reads it without the lock.
    pub(crate) fn view(&self) -> View {
        View::new(self.index.table(), &self.region)
    }

    /// Runs a verb. If it panics, which would be a mistake of ours, nobody knows what it left undone, and the
    /// shard is emptied.
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

    /// Puts a new session in, within the limit of its user if it has one. `old` is a session in this shard that it
    /// replaces: that one ends.
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
        // Making room may have moved the old one.
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

    /// Notes what happens to a session.
    fn emit(&self, what: EventKind, at: Offset, now: Tick) {
        self.events.push(|| {
            let entry = Entry::at(&self.region, at);
            let header = entry.header();
            let (user, created) = (entry.user(&header), header.times().created);
            let handle = Handle::new(user, self.place, header.serial(), created);
            Event::new(what, Some(handle), now)
        });
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn usage(&self, queue: Queue) -> Usage {
        self.queues.usage(queue)
    }

    /// How many sessions there are, aliases apart.
    pub(crate) fn len(&self) -> usize {
        let dead = [Queue::Revoked, Queue::Aliases].map(|queue| self.usage(queue).entries);
        (self.index.len() - dead.iter().sum::<u32>()) as usize
    }

    /// Words that no block uses.
    pub(crate) fn free_words(&self) -> u32 {
        self.heap.free_words()
    }

    /// How much room there is for anonymous sessions, in words: by memory or by places in the index,
    /// whichever is less.
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

    /// Words of all blocks.
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

    /// The session of an id, or of one that it had until its grace is over, if it may be used.
    fn find_live(&self, id: &Id, now: Tick) -> Option<(Slot, Offset)> {
        let (slot, at) = self.find_within_grace(id, now)?;
        self.is_live(at, now).then_some((slot, at))
    }

    /// Whether an entry is a session that may be used.
    fn is_live(&self, at: Offset, now: Tick) -> bool {
        let entry = Entry::at(&self.region, at);
        let is_dead = matches!(self.queues.queue_of(entry), Queue::Revoked | Queue::Aliases);
        !is_dead && entry.deadline() > now
    }

    /// Where an id is to be put into the index, if it can be. What goes to make room takes no place, so it stays
    /// vacant.
    fn vacant_slot(&self, id: &Id) -> Result<VacantSlot, WriteError> {
        let candidates = self.index.candidates(id);
        if self.find_at(candidates, id).is_some() {
            return Err(WriteError::IdTaken);
        }
        self.index
            .vacant_slot(candidates)
            .ok_or(WriteError::IdTaken)
    }

    /// Makes an entry for a newcomer, never at the cost of `keep`. Nobody finds it before its data is there
    /// and it was put into the index.
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
    /// What it needs for so many bytes of data.
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

/// The structures of a region, empty.
fn init(region: &Region, layout: &Layout) -> (Wheel, Queues, Heap, UserIndex) {
    let wheel = Wheel::new(region, Layout::SLOTS);
    let queues = Queues::new(region, Layout::QUEUES);
    let users = UserIndex::new(region, layout.users(), layout.user_buckets());
    let heap = Heap::new(region, Layout::CLASSES, layout.blocks(), layout.words);
    (wheel, queues, heap, users)
}

/// Moves the idle deadline, unless less than a sixteenth of the timeout has gone by. It is moved past the end
/// too, since it says when the session was last used. That is one word, which is right before and after.
fn touch(entry: Entry<'_>, now: Tick) {
    let times = entry.header().times();
    if let Some(idle) = touched(&times, now) {
        entry.set_idle(idle, times.end);
    }
}

/// The idle deadline of a live session that is used now, if it becomes another.
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

/// Entries of the wheel that each write looks at.
const STEPS_PER_WRITE: usize = 2;
/// A touch that would move the deadline by less than this part of the timeout is left out.
const TOUCH_SHARE: u32 = 16;
