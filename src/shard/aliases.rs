//! Aliases: entries under replaced ids, and the sessions to which they lead.
//!
//! ```text
//!   this shard                                        another shard
//!   alias ─┐                                          alias ─┐
//!   alias ─┼─▶ session        alias ─────────────────▶ alias ─┼─▶ session
//!   alias ─┘                    (the id of the arrival)       ─┘
//!   one family: at most 8       one step, however often the session was rotated there
//! ```
//!
//! The aliases in a session's own shard are its family. Each of them points at the session's
//! current id, so a rotation redirects at most [`MAX_ALIASES`] of them.
//!
//! A sign-in that moves a session to another shard points its aliases at the id under which it
//! arrives there. That id is remembered for as long as an alias can point at it. An alias therefore
//! never outlives the id to which it leads, unless that id was evicted.
//!
//! The family of a session that ends or leaves its user is merged into a family of the user, with
//! the same maximum size. Families are found through the chains of the [user
//! index](super::user_index::UserIndex), so a session's entry has no link to them. An alias past
//! its deadline counts as forgotten, even if its memory was not reclaimed yet.

use super::{
    Miss, Shard,
    entry::{self, Entry, EntryHeader, Flags, HeaderFields, WHEEL},
    index::Slot,
    region::Offset,
};
use crate::{
    clock::Tick,
    id::{Id, SessionId, UserHash},
};

/// The target to which an id leads.
pub(crate) enum IdTarget {
    /// A session in this shard, found by its current id or by an alias.
    Session(Offset),
    /// An id in another shard.
    OtherShard(SessionId),
    Nothing,
}

/// The aliases of one session, or those that the ended sessions of a user left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The family of the session with that serial.
    Session(u32),
    /// The family of a user, identified by a part of the hash. Two users who share that part share
    /// the family and its maximum size.
    User(u32),
}

/// The offsets of one family, oldest alias first.
pub(super) struct Members {
    aliases: [Offset; MAX_ALIASES],
    len: usize,
}

impl Shard {
    /// Follows an id to the session that has it or had it.
    pub(crate) fn resolve(&self, id: &Id, now: Tick) -> IdTarget {
        let mut id = *id;
        for _ in 0..MAX_STEPS {
            let Some((_, at)) = self.find(&id) else { break };
            let entry = Entry::at(&self.region, at);
            if !entry.flags().has(Flags::ALIAS) {
                return IdTarget::Session(at);
            }
            if entry.deadline() <= now {
                break;
            }
            let target = entry.target();
            if target.place != self.place {
                return IdTarget::OtherShard(target);
            }
            id = target.id;
        }
        IdTarget::Nothing
    }

    /// Returns the session to which an id leads, if it is in this shard.
    pub(super) fn session_of(&self, id: &Id, now: Tick) -> Option<Offset> {
        match self.resolve(id, now) {
            IdTarget::Session(at) => Some(at),
            IdTarget::OtherShard(_) | IdTarget::Nothing => None,
        }
    }

    /// Returns the session with this id, or the session in whose family this alias is. Any other
    /// alias of it is from before the session was in another shard.
    pub(super) fn session_of_family(&self, id: &Id, now: Tick) -> Option<Offset> {
        let session = self.session_of(id, now)?;
        let (_, named) = self.find(id)?;
        let family = Family::of(&Entry::at(&self.region, session).header());
        let is_member = Entry::at(&self.region, named).family() == Some(family.parts());
        (named == session || is_member).then_some(session)
    }

    /// Returns the entry of an id, or the session to which an alias leads within its grace period.
    pub(super) fn find_within_grace(&self, id: &Id, now: Tick) -> Option<(Slot, Offset)> {
        let found = self.find(id)?;
        let entry = Entry::at(&self.region, found.1);
        if !entry.flags().has(Flags::ALIAS) || entry.grace() <= now {
            return Some(found);
        }
        // Only a plain rotation has a grace period, and it stays in its shard.
        self.find(&entry.target().id)
    }

    /// Returns the current id of a session by an alias. The error is `Reused` after the grace
    /// period, and `Absent` once the alias is forgotten.
    pub(crate) fn current_id(&self, id: &Id, now: Tick) -> Result<Id, Miss> {
        let (_, at) = self.find_within_grace(id, now).ok_or(Miss::Absent)?;
        let entry = Entry::at(&self.region, at);
        if !entry.flags().has(Flags::ALIAS) {
            return Ok(entry.id());
        }
        Err(if entry.deadline() > now {
            Miss::Reused
        } else {
            Miss::Absent
        })
    }

    /// Returns the id to look up next: the id itself, or the id in another shard to which it leads.
    pub(crate) fn next_step(&self, id: SessionId, now: Tick) -> SessionId {
        if let IdTarget::OtherShard(target) = self.resolve(&id.id, now) {
            target
        } else {
            id
        }
    }

    /// Returns true if an id opens a session.
    pub(crate) fn contains(&self, id: &Id, now: Tick) -> bool {
        self.find_live(id, now).is_some()
    }

    /// Returns when an id was replaced, if it is an alias that is remembered.
    pub(crate) fn replaced_at(&self, id: &Id, now: Tick) -> Option<Tick> {
        let (_, at) = self.find(id)?;
        let entry = Entry::at(&self.region, at);
        let is_remembered = entry.flags().has(Flags::ALIAS) && entry.deadline() > now;
        is_remembered.then(|| entry.header().times().issued)
    }

    /// Points an alias that leads to another shard at `target`, the id where its path ends.
    pub(crate) fn redirect(&self, id: &Id, target: &SessionId) {
        if let Some((_, at)) = self.find(id) {
            let entry = Entry::at(&self.region, at);
            if entry.flags().has(Flags::ALIAS) && entry.target().place != self.place {
                entry.set_target(target, 0);
            }
        }
    }

    /// Returns until when the alias of a session's current id is remembered: for the idle timeout,
    /// or longer if aliases in other shards lead to that id. Those were made by the sign-in at the
    /// latest, and each is remembered for the maximum idle timeout at most.
    pub(super) fn remembered_until(&self, header: &EntryHeader, now: Tick) -> Tick {
        let times = header.times();
        let own = now.saturating_add(times.idle_timeout);
        if header.flags().has(Flags::ARRIVED) {
            return own.max(times.authenticated.saturating_add(self.max_idle_timeout));
        }
        own
    }

    /// Points a session's family at its next id, in this shard or in another. The grace period of
    /// each alias is limited to `grace`.
    pub(super) fn redirect_family(&self, header: &EntryHeader, target: &SessionId, grace: Tick) {
        if !header.flags().has(Flags::ALIASED) {
            return;
        }
        for &at in self.members(Family::of(header)).offsets() {
            let alias = Entry::at(&self.region, at);
            alias.set_target(target, alias.grace().min(grace));
        }
    }

    /// Moves a family to a session's new entry, or to a user.
    pub(super) fn move_family(&mut self, header: &EntryHeader, to: Family) {
        if header.flags().has(Flags::ALIASED) {
            let members = self.members(Family::of(header));
            members
                .offsets()
                .iter()
                .for_each(|&at| self.leave_family(at));
            members
                .offsets()
                .iter()
                .for_each(|&at| self.join_family(at, to));
        }
    }

    /// Adds an alias to a family. If the family is full, its oldest alias is forgotten.
    pub(super) fn join_family(&mut self, at: Offset, family: Family) {
        let members = self.members(family);
        if members.len == MAX_ALIASES
            && let Some(oldest) = self.first_to_forget(&members)
        {
            self.free_entry(oldest);
        }
        Entry::at(&self.region, at).set_family(family.key(), family.is_of_user());
        self.users
            .insert_alias(&self.region, at, self.hash_of(family));
    }

    fn leave_family(&self, at: Offset) {
        self.users.remove(&self.region, at);
    }

    /// Returns the oldest alias to which no alias in another shard leads, or else the oldest.
    fn first_to_forget(&self, members: &Members) -> Option<Offset> {
        let is_own = |&&at: &&Offset| !Entry::at(&self.region, at).flags().has(Flags::ARRIVED);
        let offsets = members.offsets();
        offsets.iter().find(is_own).or(offsets.first()).copied()
    }

    pub(super) fn members(&self, family: Family) -> Members {
        let mut members = Members {
            aliases: [0; MAX_ALIASES],
            len: 0,
        };
        let is_member = |at| Entry::at(&self.region, at).family() == Some(family.parts());
        let found = self.users.in_bucket(&self.region, self.hash_of(family));
        for at in found.filter(|&at| is_member(at)).take(MAX_ALIASES) {
            members.aliases[members.len] = at;
            members.len += 1;
        }
        members
    }

    /// Returns the hash of a family. It is keyed, so that clients cannot cause serials to share a
    /// chain.
    fn hash_of(&self, family: Family) -> u64 {
        let (key, is_of_user) = family.parts();
        self.index
            .candidates(&Id([key.into(), is_of_user.into()]))
            .hash()
    }

    /// Writes an alias into the block at `alias`, under the current id of the session at `at`. The
    /// alias opens the session until `until`.
    pub(super) fn leave_alias(
        &mut self,
        at: Offset,
        slot: Slot,
        alias: Offset,
        target: &SessionId,
        until: Tick,
        now: Tick,
    ) {
        let header = Entry::at(&self.region, at).header();
        let end = self.remembered_until(&header, now);
        let entry = Entry::at(&self.region, alias);
        entry.write(&header.token(), &header.times(), 0, None);
        entry.set_flags(header.flags());
        entry.write_alias(target, until.min(end), end, now);
        self.register_alias(alias);
        self.index.set_offset(slot, alias);
        self.join_family(alias, Family::of(&header));
    }

    /// Turns a session's block into the alias of its new id. Its family moves to `family`, or is
    /// kept if that is `None`. An alias without a family stays alone, because it is never
    /// redirected.
    pub(super) fn become_alias(
        &mut self,
        slot: Slot,
        at: Offset,
        target: &SessionId,
        family: Option<Family>,
        now: Tick,
    ) {
        let entry = Entry::at(&self.region, at);
        let header = entry.header();
        self.queues.remove(&self.region, at);
        self.users.remove(&self.region, at);
        self.wheel.remove(&self.region, at + WHEEL);
        let end = self.remembered_until(&header, now);
        self.index
            .write(slot, || entry.write_alias(target, 0, end, now));
        self.register_alias(at);
        self.redirect_family(&header, target, 0);
        if let Some(family) = family {
            self.move_family(&header, family);
            self.join_family(at, family);
        } else if header.flags().has(Flags::ALIASED) {
            self.join_family(at, Family::of(&header));
        }
        self.enforce_anonymous_limit(now);
    }

    fn register_alias(&mut self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        entry.wipe_behind(entry.header().len());
        self.heap.shrink(&self.region, at, entry::ALIAS_SIZE);
        self.queues.insert(&self.region, at);
        self.wheel
            .insert(&self.region, at + WHEEL, entry.deadline());
    }
}

impl Family {
    pub(super) fn of(header: &EntryHeader) -> Self {
        Self::Session(header.serial())
    }

    pub(super) fn of_user(user: &UserHash) -> Self {
        Self::User(user.0[1] as u32)
    }

    fn is_of_user(self) -> bool {
        matches!(self, Self::User(_))
    }

    fn key(self) -> u32 {
        let (Self::Session(key) | Self::User(key)) = self;
        key
    }

    /// Returns the family as [`Entry::family`] stores it.
    fn parts(self) -> (u32, bool) {
        (self.key(), self.is_of_user())
    }
}

impl Members {
    pub(super) fn offsets(&self) -> &[Offset] {
        &self.aliases[..self.len]
    }
}

/// The maximum number of remembered aliases of a session, and of those that a user's sessions left.
pub(crate) const MAX_ALIASES: usize = 8;

/// The maximum number of aliases that are followed under one hold of the lock.
///
/// One leads to the session's current id. Two are needed if the first leads to the id of an
/// arrival. There are more only if the session left the shard and returned.
const MAX_STEPS: usize = 64;
