//! Entries of a tiered cache: what is installed under a given id, and what is invalidated.
//!
//! Owns the order of versions in a shard: an entry is replaced by its own version or a higher one
//! only. An installed entry counts no creation, is under no limit of its user, and has no alias.
//! Its time of creation is the time of its installation, so that the cutoff of an invalidation of
//! all entries compares with that. It does not know where a session comes from, nor whether it may
//! be installed at all.

use crate::shard::{
    STEPS_PER_WRITE, Shard, WriteError,
    entry::{
        AUTHENTICATED, CREATED, DEADLINES, Entry, EntryHeader, EntryMeta, EntryUser, Flags,
        HEADER_WORDS, HeaderFields, IDLE_TIMEOUT, Origin, Times, TokenParts, VERSION, WHEEL,
    },
    eviction::Queue,
    index::Slot,
    ops::make_room::SpaceRequest,
    priority_of,
    region::{Offset, Pair},
    touched,
};
use crate::{
    clock::Tick,
    id::{Id, Place, UserHash},
};

/// An entry that is to be installed, its data apart.
#[derive(Clone, Copy)]
pub(crate) struct TieredEntry {
    pub(crate) token: TokenParts,
    /// The time of creation is that of the installation.
    pub(crate) times: Times,
    /// The time of the creation.
    pub(crate) birth: Tick,
    /// The time at which the command was sent that returned the session.
    pub(crate) sent: Tick,
    /// The place of the id, which a token must name although a part of it determines the shard.
    pub(crate) place: Place,
    pub(crate) version: u32,
    pub(crate) serial: u32,
    pub(crate) user: Option<UserHash>,
    pub(crate) assurance_level: u8,
    /// The lifetime counts from the sign-in, not from the creation.
    pub(crate) is_renewed: bool,
    /// A client has returned the cookie.
    pub(crate) is_returned: bool,
}

/// The result of an installation that did not lack memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Stored,
    /// There is a higher version, which stays.
    Older,
    /// A deadline has passed, and there is no entry.
    Expired,
}

impl Shard {
    /// Inserts an entry, or replaces the one under its id if that has no higher version. On an
    /// error there is no entry under the id.
    pub(crate) fn install(
        &mut self,
        new: &TieredEntry,
        data: &[u8],
        now: Tick,
    ) -> Result<Placed, WriteError> {
        self.advance(now, STEPS_PER_WRITE);
        let found = self.find(&new.token.id);
        if let Some((slot, at)) = found {
            let header = Entry::at(&self.region, at).header();
            let is_live = self.is_live(at, now);
            if is_live && header.version() > new.version {
                return Ok(Placed::Older);
            }
            let user = Entry::at(&self.region, at).user(&header);
            if is_live && user == new.user && !new.times.is_over(now) {
                return self.replace(slot, at, new, data, now);
            }
            self.free_at(slot, at);
        }
        if new.times.is_over(now) {
            return Ok(Placed::Expired);
        }
        self.insert(new, data, now)
    }

    /// Drops the entry of an id if its version is lower than `below`, or any for the highest
    /// number. Returns true if it could be read.
    pub(crate) fn invalidate(&mut self, id: &Id, below: u32, now: Tick) -> bool {
        let Some((slot, at)) = self.find(id) else {
            return false;
        };
        let version = Entry::at(&self.region, at).header().version();
        if version >= below && below != u32::MAX {
            return false;
        }
        let is_live = self.is_live(at, now);
        self.free_at(slot, at);
        is_live
    }

    /// Replaces a live entry of the same user, which keeps its position for eviction.
    fn replace(
        &mut self,
        slot: Slot,
        at: Offset,
        new: &TieredEntry,
        data: &[u8],
        now: Tick,
    ) -> Result<Placed, WriteError> {
        let entry = Entry::at(&self.region, at);
        let at = if data.len() <= entry.data_capacity() {
            // A reader without the lock sees the entry as it was, or all of this.
            self.index.write(slot, || new.write_over(entry, data));
            self.trim(at, data.len());
            at
        } else {
            let grown = self.grow(at, data.len(), now, |entry| new.write_over(entry, data));
            grown.inspect_err(|_| {
                // The version that is there is outdated.
                self.invalidate(&new.token.id, u32::MAX, now);
            })?
        };
        let entry = Entry::at(&self.region, at);
        self.wheel.remove(&self.region, at + WHEEL);
        self.wheel
            .insert(&self.region, at + WHEEL, entry.deadline());
        let queue = self.queues.queue_of(entry);
        if new.is_returned && matches!(queue, Queue::Probation | Queue::UserProbation) {
            self.queues.record_use(&self.region, at, entry.flags());
        }
        Ok(Placed::Stored)
    }

    /// Inserts an entry under an id that has none.
    fn insert(&mut self, new: &TieredEntry, data: &[u8], now: Tick) -> Result<Placed, WriteError> {
        let vacant = self.vacant_slot(&new.token.id)?;
        let request = SpaceRequest {
            words: Entry::size_with(new.flags(), data.len()),
            priority: priority_of(new.user.is_some()),
            needs_slot: true,
            keep: None,
        };
        let at = self.make_room(request, now)?;
        let entry = Entry::at(&self.region, at);
        entry.write(
            &new.token,
            &new.times,
            data.len(),
            new.entry_user().as_ref(),
        );
        new.write_over(entry, data);
        self.wheel
            .insert(&self.region, at + WHEEL, entry.deadline());
        self.queues.insert(&self.region, at);
        if new.is_returned {
            self.queues.record_use(&self.region, at, entry.flags());
        }
        self.users.insert(&self.region, at);
        self.index.insert(vacant, at);
        Ok(Placed::Stored)
    }
}

impl TieredEntry {
    /// Writes everything but links, user and position for eviction.
    fn write_over(&self, entry: Entry<'_>, data: &[u8]) {
        let kept = entry.flags();
        entry.set_token(&self.token);
        entry.set_times(&self.times);
        entry.set_flags(self.flags().with_queue(kept.queue()).with_uses(kept.uses()));
        entry.set_origin(Origin {
            birth: self.birth,
            place: self.place,
            lag: u16::try_from(self.times.created.saturating_sub(self.sent)).unwrap_or(u16::MAX),
        });
        entry.set_serial(self.serial);
        entry.save(data, self.version);
    }

    /// The facts of a record of this session at a use now.
    pub(crate) fn used(&self, is_alias: bool, now: Tick) -> EntryMeta {
        let idle = touched(&self.times, now);
        let times = Times {
            created: self.birth,
            idle: idle.unwrap_or(self.times.idle),
            ..self.times
        };
        let marks = [(Flags::TOUCHED, idle.is_some()), (Flags::ALIAS, is_alias)];
        let marks = marks.into_iter().filter(|(_, is_set)| *is_set);
        let flags = marks.fold(self.flags(), |flags, (mark, _)| flags.with(mark));
        EntryMeta::of(&self.header(&times, flags))
    }

    /// The flags of the entry, in no queue. The label stays in the store, which lists the sessions
    /// of a user.
    fn flags(&self) -> Flags {
        let flags = Flags::of(self.entry_user().as_ref(), &self.times);
        let flags = flags.with(Flags::TIERED).with(Flags::STARTED);
        if self.is_renewed {
            flags.with(Flags::RENEWED)
        } else {
            flags
        }
    }

    /// The words of a header that a record is made of, with the time of the command in place of the
    /// length of the data, which no record tells.
    fn header(&self, times: &Times, flags: Flags) -> EntryHeader {
        let mut words = [0; HEADER_WORDS];
        let mut set = |word: u32, low, high| {
            words[(word - IDLE_TIMEOUT) as usize] = Pair::new(low, high).pack();
        };
        set(IDLE_TIMEOUT, times.idle_timeout, self.serial);
        set(DEADLINES, times.idle, times.end);
        set(VERSION, self.version, self.sent);
        set(CREATED, times.created, flags.bits());
        set(AUTHENTICATED, times.authenticated, times.issued);
        EntryHeader(words)
    }

    fn entry_user(&self) -> Option<EntryUser<'static>> {
        Some(EntryUser {
            user: self.user?,
            assurance_level: self.assurance_level,
            label: "",
            start: self.times.created,
        })
    }
}
