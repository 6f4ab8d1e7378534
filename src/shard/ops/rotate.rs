//! New ids for a session: plain rotation, sign-in, and the alias that is left under the old id.
//!
//! An alias opens the session until its grace period ends, and nothing after that. It never gives
//! access to the new id. It is remembered for the session's idle timeout (`aliases`), and is
//! evicted first when room is needed. Creating an alias may evict an anonymous session, because
//! without the alias a sign-out under the old id would be lost.

use crate::error::Error;
use crate::shard::{
    Limit, NewEntry, Shard, WriteError,
    aliases::Family,
    entry::{self, Entry, Flags, HeaderFields, Times, TokenParts},
    eviction::Priority,
    index::{Slot, VacantSlot},
    ops::make_room::SpaceRequest,
    region::Offset,
    touched,
};
use crate::{
    clock::Tick,
    events::EventKind,
    id::{Id, SessionId},
};

impl Shard {
    /// Replaces the id of a session by one in this shard. If there is room, it leaves an alias
    /// under the old id that opens the session for `grace` ticks. Returns the version of the data.
    pub(crate) fn rotate(
        &mut self,
        id: &Id,
        new: &TokenParts,
        target: &SessionId,
        grace: Tick,
        now: Tick,
    ) -> Result<u32, WriteError> {
        let (_, at) = self.find_current(id, now)?;
        let vacant = self.vacant_slot(&new.id)?;
        let alias = self.make_room(alias_request(at), now).ok();
        let (slot, at) = self.find(id).ok_or(Error::Gone)?;
        let header = Entry::at(&self.region, at).header();
        // Without a grace period the alias must not open the session, not even for a thread that
        // still sees an earlier tick.
        let until = if grace == 0 {
            0
        } else {
            now.saturating_add(grace)
        };
        self.redirect_family(&header, target, until);
        match alias {
            Some(alias) => self.leave_alias(at, slot, alias, target, until, now),
            None => self.index.remove(slot),
        }
        // The entry is not in the index now, so no reader finds it.
        set_id(Entry::at(&self.region, at), new, now);
        self.index.insert(vacant, at);
        self.counts.rotated += 1;
        self.emit(EventKind::Rotated, at, now);
        Ok(header.version())
    }

    /// Replaces the tag of an id by one computed with another key.
    pub(crate) fn replace_tag(&mut self, token: &TokenParts) {
        if let Some((slot, at)) = self.find(&token.id) {
            self.index
                .write(slot, || Entry::at(&self.region, at).set_token(token));
        }
    }

    /// Moves a session to a new id with a user, in this shard or in `destination`, and turns its
    /// old block into the alias. `new_entry` maps the session's times and the start of its lifetime
    /// to the new entry. Its data replaces the session's if the version matches. Returns the
    /// version of the data.
    pub(crate) fn sign_in<'a>(
        &mut self,
        id: &Id,
        destination: Option<&mut Self>,
        target: &SessionId,
        limit: Limit,
        now: Tick,
        new_entry: impl FnOnce(Times, Tick) -> NewEntry<'a>,
    ) -> Result<u32, WriteError> {
        let (slot, at) = self.find_current(id, now)?;
        let old = Entry::at(&self.region, at);
        let header = old.header();
        let new_entry = new_entry(header.times(), old.start());
        let data = new_entry.data;
        if data.is_some_and(|(version, _)| version != header.version()) {
            self.conflict(at, now);
            return Err(Error::Conflict.into());
        }
        if new_entry.times.is_over(now) {
            return Err(Error::LifetimeOver.into());
        }
        let len = data.map_or(header.len(), |(_, data)| data.len());
        let Some(destination) = destination else {
            let (vacant, to) = self.allocate_entry_within(limit, &new_entry, len, Some(at), now)?;
            let (slot, at) = self.find(id).ok_or(Error::Gone)?;
            let [old, new] = [at, to].map(|at| Entry::at(&self.region, at));
            let version = transfer_data(new, old, data, Flags::ALIASED);
            let family = Family::of(&new.header());
            self.become_alias(slot, at, target, Some(family), now);
            self.complete_sign_in(vacant, to, now);
            return Ok(version);
        };
        let (vacant, to) = destination.allocate_entry_within(limit, &new_entry, len, None, now)?;
        let new = Entry::at(&destination.region, to);
        let version = transfer_data(new, old, data, Flags::ARRIVED);
        let left = old.user(&header).map(|user| Family::of_user(&user));
        self.become_alias(slot, at, target, left, now);
        destination.complete_sign_in(vacant, to, now);
        Ok(version)
    }

    /// Inserts the completed entry of a sign-in into the index.
    fn complete_sign_in(&mut self, vacant: VacantSlot, at: Offset, now: Tick) {
        self.index.insert(vacant, at);
        self.counts.signed_in += 1;
        self.emit(EventKind::SignedIn, at, now);
    }

    /// Returns the live session of a current id. An alias is an error: a client that holds only an
    /// old id must not obtain the new one.
    pub(in crate::shard) fn find_current(
        &self,
        id: &Id,
        now: Tick,
    ) -> Result<(Slot, Offset), WriteError> {
        let (slot, at) = self.find_live(id, now).ok_or(Error::Gone)?;
        let is_own = Entry::at(&self.region, at).id() == *id;
        if is_own {
            Ok((slot, at))
        } else {
            Err(Error::Rotated.into())
        }
    }
}

/// Returns the request for the alias of a session.
fn alias_request(session: Offset) -> SpaceRequest {
    SpaceRequest {
        words: entry::ALIAS_SIZE,
        priority: Priority::Anonymous,
        needs_slot: true,
        keep: Some(session),
    }
}

/// Gives a session in its own block a new id, which counts as a use.
fn set_id(entry: Entry<'_>, new: &TokenParts, now: Tick) {
    let header = entry.header();
    entry.set_token(new);
    entry.set_flags(header.flags().without(Flags::ARRIVED).with(Flags::ALIASED));
    let times = header.times();
    entry.set_times(&Times {
        issued: now,
        idle: touched(&times, now).unwrap_or(times.idle),
        ..times
    });
}

/// Fills a new session with the old session's data, or with `data`, and sets a flag. Returns the
/// version.
fn transfer_data(new: Entry<'_>, old: Entry<'_>, data: Option<(u32, &[u8])>, flag: Flags) -> u32 {
    match data {
        Some((version, data)) => new.save(data, version.wrapping_add(1)),
        None => new.fill_from(old),
    }
    new.set_flags(new.flags().with(flag));
    new.header().version()
}
