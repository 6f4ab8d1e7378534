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
mod install;
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
pub(crate) use aliases::{Lead, MAX_ALIASES};
pub(crate) use counts::Counts;
use entry::{
    Entry, EntryMeta, EntryUser, Flags, HeaderFields, MAX_LABEL_LEN, Times, TokenParts, WHEEL,
};
use eviction::{Priority, Queue, Queues, Usage};
pub(crate) use index::IndexHasher;
use index::{Candidates, Index, Slot, VacantSlot};
pub(crate) use install::{Placed, TieredEntry};
pub(crate) use layout::Layout;
use make_room::SpaceRequest;
pub(crate) use read::View;
use region::{Arena, Offset, Region};
use tlsf::Heap;
use user_index::Users;
pub use user_sessions::SessionLimitPolicy;
pub(crate) use user_sessions::{Limit, Listed};
use wheel::Wheel;

/// A shard.
pub(crate) struct Shard {
    region: Region,
    heap: Heap,
    index: Index,
    wheel: Wheel,
    queues: Queues,
    users: Users,
    journal: EventQueue,
    /// Its number, for handles.
    place: Place,
    /// How many entries there were.
    serial: u32,
    plan: Layout,
    /// The block of the largest permitted session, in words.
    largest: u32,
    /// The longest idle timeout that a session may have.
    longest_idle: Tick,
    /// What aliases and anonymous sessions may come to, if anything is kept from them.
    ceiling: Option<Usage>,
    counts: Counts,
}

/// A session that wants in.
#[derive(Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    pub(crate) stamp: TokenParts,
    pub(crate) times: Times,
    pub(crate) member: Option<EntryUser<'a>>,
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
    pub(crate) facts: EntryMeta,
    pub(crate) news: AccessUpdate,
    pub(crate) now: Tick,
}

/// A read, as of when: now, and what was created before when has ended.
#[derive(Clone, Copy)]
pub(crate) struct ReadTime {
    pub(crate) now: Tick,
    pub(crate) horizon: Tick,
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
pub(crate) enum Ended {
    Session,
    /// The id is an old one: go on there.
    Alias(SessionId),
    Nothing,
}

/// What a look at the wheel came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advanced {
    pub(crate) visited: usize,
    pub(crate) expired: usize,
    pub(crate) more: bool,
}

impl Shard {
    /// An empty shard, where ids have these spots. `None` if the arena has less left than the
    /// [plan](Plan::footprint) asks for.
    pub(crate) fn new(
        arena: &mut Arena,
        plan: Layout,
        largest_len: usize,
        longest_idle: Tick,
        spots: IndexHasher,
        place: Place,
        journal: EventQueue,
    ) -> Option<Self> {
        let index = Index::new(arena, spots)?;
        let region = arena.region(plan.words)?;
        let (wheel, queues, heap, users) = init(&region, &plan);
        let largest = Entry::size(largest_len, Some(MAX_LABEL_LEN));
        let (ceiling, counts) = (plan.ceiling(), Counts::default());
        let serial = 0;
        Some(Self {
            region,
            heap,
            index,
            wheel,
            queues,
            users,
            journal,
            place,
            serial,
            plan,
            largest,
            longest_idle,
            ceiling,
            counts,
        })
    }

    /// What reads it without the lock.
    pub(crate) fn view(&self) -> View {
        View::new(self.index.table(), &self.region)
    }

    /// Runs a verb. If it panics, which would be a mistake of ours, nobody knows what it left undone, and the
    /// shard is emptied.
    pub(crate) fn attempt<R>(&mut self, verb: impl FnOnce(&mut Self) -> R) -> R {
        struct Attempt<'s> {
            shard: &'s mut Shard,
            is_done: bool,
        }
        impl Drop for Attempt<'_> {
            fn drop(&mut self) {
                if !self.is_done {
                    self.shard.empty();
                }
            }
        }
        let mut attempt = Attempt {
            shard: self,
            is_done: false,
        };
        let answer = verb(attempt.shard);
        attempt.is_done = true;
        answer
    }

    fn empty(&mut self) {
        let now = self.wheel.reached();
        self.index.clear();
        self.region.wipe(0, self.plan.words);
        (self.wheel, self.queues, self.heap, self.users) = init(&self.region, &self.plan);
        self.counts.shard_resets += 1;
        self.journal
            .note(|| Event::new(EventKind::ShardReset, None, now));
    }

    /// Puts a new session in, within the limit of its user if it has one. `old` is a session in this shard that it
    /// replaces: that one ends.
    pub(crate) fn create(
        &mut self,
        newcomer: &NewEntry<'_>,
        limit: Limit,
        data: &[u8],
        old: Option<&SessionId>,
        now: Tick,
    ) -> Result<(), WriteError> {
        self.advance(now, STEPS_PER_WRITE);
        let old = old.and_then(|id| self.session_of(&id.id, now));
        let old_id = old.map(|at| Entry::at(&self.region, at).id());
        let (vacancy, at) = self.admit_within(limit, newcomer, data.len(), old, now)?;
        Entry::at(&self.region, at).fill(data);
        self.index.put(vacancy, at);
        // Making room may have moved the old one.
        if let Some((_, old)) = old_id.and_then(|id| self.find(&id)) {
            self.end_entry(old, EndReason::Requested, now);
        }
        self.counts.created += 1;
        self.tell(EventKind::Created, at, now);
        if newcomer.member.is_some() {
            self.counts.signed_in += 1;
            self.tell(EventKind::SignedIn, at, now);
        }
        Ok(())
    }

    fn conflict(&mut self, at: Offset, now: Tick) {
        self.counts.conflicts += 1;
        self.tell(EventKind::Conflict, at, now);
    }

    /// Notes what happens to a session.
    fn tell(&self, what: EventKind, at: Offset, now: Tick) {
        self.journal.note(|| {
            let entry = Entry::at(&self.region, at);
            let line = entry.line();
            let (user, created) = (entry.user(&line), line.times().created);
            let handle = Handle::new(user, self.place, line.serial(), created);
            Event::new(what, Some(handle), now)
        });
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn tally(&self, queue: Queue) -> Usage {
        self.queues.tally(queue)
    }

    /// How many sessions there are, aliases apart.
    pub(crate) fn len(&self) -> usize {
        let dead = [Queue::Revoked, Queue::Aliases].map(|queue| self.tally(queue).entries);
        (self.index.len() - dead.iter().sum::<u32>()) as usize
    }

    /// Words that no block uses.
    pub(crate) fn free(&self) -> u32 {
        self.heap.free()
    }

    /// How much room there is for anonymous sessions, in words: by memory or by places in the index,
    /// whichever is less.
    pub(crate) fn room(&self) -> u32 {
        let slots = self.index.capacity() - self.index.len();
        let mut room = Usage {
            entries: slots,
            words: self.heap.free(),
        };
        if let Some(ceiling) = self.ceiling {
            let taken = self.queues.unsigned();
            room.entries = room
                .entries
                .min(ceiling.entries.saturating_sub(taken.entries));
            room.words = room.words.min(ceiling.words.saturating_sub(taken.words));
        }
        room.words.min(
            room.entries
                .saturating_mul(Entry::size(layout::MEAN_DATA, None)),
        )
    }

    /// Words of all blocks.
    pub(crate) fn capacity(&self) -> u32 {
        self.heap.capacity()
    }

    fn find(&self, id: &Id) -> Option<(Slot, Offset)> {
        self.find_at(self.index.spot(id), id)
    }

    fn find_at(&self, spot: Candidates, id: &Id) -> Option<(Slot, Offset)> {
        self.index
            .find(spot, |at| Entry::at(&self.region, at).id() == *id)
    }

    /// The session of an id, or of one that it had until its grace is over, if it may be used.
    fn live(&self, id: &Id, now: Tick) -> Option<(Slot, Offset)> {
        let (slot, at) = self.within_grace(id, now)?;
        self.is_live(at, now).then_some((slot, at))
    }

    /// Whether an entry is a session that may be used.
    fn is_live(&self, at: Offset, now: Tick) -> bool {
        let entry = Entry::at(&self.region, at);
        let is_dead = matches!(self.queues.of(entry), Queue::Revoked | Queue::Aliases);
        !is_dead && entry.deadline() > now
    }

    /// Where an id is to be put into the index, if it can be. What goes to make room takes no place, so it stays
    /// vacant.
    fn vacancy(&self, id: &Id) -> Result<VacantSlot, WriteError> {
        let spot = self.index.spot(id);
        if self.find_at(spot, id).is_some() {
            return Err(WriteError::IdTaken);
        }
        self.index.vacancy(spot).ok_or(WriteError::IdTaken)
    }

    /// Makes an entry for a newcomer, never at the cost of `keep`. Nobody finds it before its data is there
    /// and it was put into the index.
    fn admit(
        &mut self,
        newcomer: &NewEntry<'_>,
        len: usize,
        keep: Option<Offset>,
        now: Tick,
    ) -> Result<(VacantSlot, Offset), WriteError> {
        let vacancy = self.vacancy(&newcomer.stamp.id)?;
        let need = newcomer.need(len, keep);
        let at = self.make_room(need, now)?;
        let entry = Entry::at(&self.region, at);
        entry.write(
            &newcomer.stamp,
            &newcomer.times,
            len,
            newcomer.member.as_ref(),
        );
        self.serial = self.serial.wrapping_add(1);
        entry.set_serial(self.serial);
        let deadline = entry.deadline();
        self.wheel.file(&self.region, at + WHEEL, deadline);
        self.queues.enter(&self.region, at);
        self.users.enter(&self.region, at);
        Ok((vacancy, at))
    }
}

impl NewEntry<'_> {
    /// What it needs for so many bytes of data.
    fn need(&self, len: usize, keep: Option<Offset>) -> SpaceRequest {
        let flags = Flags::of(self.member.as_ref(), &self.times);
        let (words, rank) = (Entry::size_with(flags, len), rank(self.member.is_some()));
        SpaceRequest {
            words,
            rank,
            slot: true,
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
fn init(region: &Region, plan: &Layout) -> (Wheel, Queues, Heap, Users) {
    let wheel = Wheel::new(region, Layout::SLOTS);
    let queues = Queues::new(region, Layout::QUEUES);
    let users = Users::new(region, plan.users(), plan.buckets());
    let heap = Heap::new(region, Layout::CLASSES, plan.blocks(), plan.words);
    (wheel, queues, heap, users)
}

/// Moves the idle deadline, unless less than a sixteenth of the timeout has gone by. It is moved past the end
/// too, since it says when the session was last used. That is one word, which is right before and after.
fn touch(entry: Entry<'_>, now: Tick) {
    let times = entry.line().times();
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

fn rank(has_user: bool) -> Priority {
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
