//! New ids for a session: plain rotation, signing in, and the alias that is left under the old id.
//!
//! An alias opens the same session until its grace period is over, and nothing afterwards; it is never the way to a
//! new id. It is remembered for the session's idle timeout (`aliases`), and is evicted first when there is no room. To be made it
//! may displace an anonymous session: a sign-out that must not be lost is worth more than a robot.

use super::{
    Limit, NewEntry, Shard, WriteError,
    aliases::Family,
    entry::{self, Entry, Flags, HeaderFields, Times, TokenParts},
    eviction::Priority,
    index::Slot,
    make_room::SpaceRequest,
    region::Offset,
    touched,
};
use crate::error::Error;
use crate::{
    clock::Tick,
    events::EventKind,
    id::{Id, SessionId},
};

impl Shard {
    /// Gives a session a new id, which lives in this shard too, and leaves an alias under the old one if
    /// there is room for it, which opens the same for so many ticks. Gives the version of the data.
    pub(crate) fn rotate(
        &mut self,
        id: &Id,
        new: &TokenParts,
        target: &SessionId,
        grace: Tick,
        now: Tick,
    ) -> Result<u32, WriteError> {
        let (_, at) = self.by_its_own_id(id, now)?;
        let vacancy = self.vacancy(&new.id)?;
        let need = SpaceRequest {
            words: entry::ALIAS,
            rank: Priority::Anonymous,
            slot: true,
            keep: Some(at),
        };
        let alias = self.make_room(need, now).ok();
        let (slot, at) = self.find(id).ok_or(Error::Gone)?;
        let line = Entry::at(&self.region, at).line();
        // Without a grace period there is none for a thread that still sees an earlier tick either.
        let until = if grace == 0 {
            0
        } else {
            now.saturating_add(grace)
        };
        self.redirect_family(&line, target, until);
        match alias {
            Some(alias) => self.leave_alias(at, slot, alias, target, until, now),
            None => self.index.remove(slot),
        }
        // No reader finds the entry now.
        let entry = Entry::at(&self.region, at);
        entry.set_stamp(new);
        entry.set_flags(line.flags().without(Flags::ARRIVED).with(Flags::ALIASED));
        let times = line.times();
        let idle = touched(&times, now).unwrap_or(times.idle);
        entry.set_times(&Times {
            issued: now,
            idle,
            ..times
        });
        self.index.put(vacancy, at);
        self.counts.rotated += 1;
        self.tell(EventKind::Rotated, at, now);
        Ok(line.version())
    }

    /// Gives an id another tag, which is that of the same id by another key.
    pub(crate) fn restamp(&mut self, stamp: &TokenParts) {
        if let Some((slot, at)) = self.find(&stamp.id) {
            self.index
                .write(slot, || Entry::at(&self.region, at).set_stamp(stamp));
        }
    }

    /// Moves a session to a new id that has a user, here or in another shard, and turns its old block
    /// into the alias. Its data is replaced if it has that version. Gives the version of the data.
    pub(crate) fn sign_in<'a>(
        &mut self,
        id: &Id,
        place: Option<&mut Self>,
        target: &SessionId,
        limit: Limit,
        now: Tick,
        newcomer: impl FnOnce(Times, Tick) -> NewEntry<'a>,
    ) -> Result<u32, WriteError> {
        let (slot, at) = self.by_its_own_id(id, now)?;
        let old = Entry::at(&self.region, at);
        let line = old.line();
        let newcomer = newcomer(line.times(), old.start());
        let data = newcomer.data;
        if data.is_some_and(|(version, _)| version != line.version()) {
            self.conflict(at, now);
            return Err(Error::Conflict.into());
        }
        if newcomer.times.is_over(now) {
            return Err(Error::LifetimeOver.into());
        }
        let len = data.map_or(line.len(), |(_, data)| data.len());
        let Some(place) = place else {
            let (vacancy, to) = self.admit_within(limit, &newcomer, len, Some(at), now)?;
            let (slot, at) = self.find(id).ok_or(Error::Gone)?;
            let version = take_over(
                Entry::at(&self.region, to),
                Entry::at(&self.region, at),
                data,
            );
            let new = Entry::at(&self.region, to);
            new.set_flags(new.flags().with(Flags::ALIASED));
            let family = Family::of(&new.line());
            self.become_alias(slot, at, target, Some(family), now);
            self.index.put(vacancy, to);
            self.counts.signed_in += 1;
            self.tell(EventKind::SignedIn, to, now);
            return Ok(version);
        };
        let (vacancy, to) = place.admit_within(limit, &newcomer, len, None, now)?;
        let version = take_over(Entry::at(&place.region, to), old, data);
        let new = Entry::at(&place.region, to);
        new.set_flags(new.flags().with(Flags::ARRIVED));
        let left = old.user(&line).map(|user| Family::of_user(&user));
        self.become_alias(slot, at, target, left, now);
        place.index.put(vacancy, to);
        place.counts.signed_in += 1;
        place.tell(EventKind::SignedIn, to, now);
        Ok(version)
    }

    /// The session of an id, but not by one that it had: a new id is not for whoever has only that.
    pub(super) fn by_its_own_id(&self, id: &Id, now: Tick) -> Result<(Slot, Offset), WriteError> {
        let (slot, at) = self.live(id, now).ok_or(Error::Gone)?;
        let is_own = Entry::at(&self.region, at).id() == *id;
        if is_own {
            Ok((slot, at))
        } else {
            Err(Error::Rotated.into())
        }
    }
}

/// Fills a session with what another holds, or with data that is saved to it. Gives the version.
fn take_over(new: Entry<'_>, old: Entry<'_>, data: Option<(u32, &[u8])>) -> u32 {
    match data {
        Some((version, data)) => new.save(data, version.wrapping_add(1)),
        None => new.fill_from(old),
    }
    new.line().version()
}
