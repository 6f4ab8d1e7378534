//! New ids for a session: plain rotation, signing in, and the alias that is left under the old id.
//!
//! An alias is an entry that says where its session went. It opens the same until its grace is over, and nothing
//! afterwards; it is never the way to a new id. It is remembered for the session's idle timeout, and goes first
//! when there is no room. To be made it may displace an anonymous session: a sign-out that must not be lost is
//! worth more than a robot.

use super::{
    Limit, Miss, Newcomer, Refusal, Shard,
    entry::{self, Entry, Flags, Head, Line, Stamp, Times, WHEEL},
    index::Place,
    queues::Rank,
    region::Offset,
    room::Need,
    touched,
};
use crate::{
    clock::Tick,
    events::What,
    id::{Id, SessionId},
};

impl Shard {
    /// Gives a session a new id, which lives in this shard too, and leaves an alias under the old one if
    /// there is room for it, which opens the same for so many ticks. Gives the version of the data.
    pub(crate) fn rotate(
        &mut self,
        id: &Id,
        new: &Stamp,
        target: &SessionId,
        grace: Tick,
        now: Tick,
    ) -> Result<u32, Refusal> {
        let (_, at) = self.by_its_own_id(id, now)?;
        let vacancy = self.vacancy(&new.id)?;
        let need = Need { words: entry::ALIAS, rank: Rank::Anonymous, place: true, keep: Some(at) };
        let alias = self.make_room(need, now);
        let (place, at) = self.find(id).ok_or(Refusal::Gone)?;
        match alias {
            Some(alias) => self.leave_alias(at, place, alias, target, grace, now),
            None => self.index.remove(place),
        }
        // Nobody finds the entry now.
        let entry = Entry::at(&self.region, at);
        entry.set_stamp(new);
        let line = entry.line();
        let times = line.times();
        let idle = touched(&times, now).unwrap_or(times.idle);
        entry.set_times(&Times { issued: now, idle, ..times });
        self.index.put(vacancy, at);
        self.counts.rotated += 1;
        self.tell(What::Rotated, at, now);
        Ok(line.version())
    }

    /// Moves a session to a new id that has a user, here or in another shard, and turns its old block
    /// into the alias. Its data is replaced if it has that version. Gives the version of the data.
    pub(crate) fn sign_in<'a>(
        &mut self,
        id: &Id,
        home: Option<&mut Self>,
        target: &SessionId,
        limit: Limit,
        now: Tick,
        newcomer: impl FnOnce(&Line) -> Newcomer<'a>,
    ) -> Result<u32, Refusal> {
        let (place, at) = self.by_its_own_id(id, now)?;
        let old = Entry::at(&self.region, at);
        let line = old.line();
        let newcomer = newcomer(&line);
        let data = newcomer.data;
        if data.is_some_and(|(version, _)| version != line.version()) {
            self.conflict(at, now);
            return Err(Refusal::Conflict);
        }
        if newcomer.times.is_over(now) {
            return Err(Refusal::Over);
        }
        let len = data.map_or(line.len(), |(_, data)| data.len());
        let Some(home) = home else {
            let (vacancy, to) = self.admit_within(limit, &newcomer, len, Some(at), now)?;
            let (place, at) = self.find(id).ok_or(Refusal::Gone)?;
            let version = take_over(Entry::at(&self.region, to), Entry::at(&self.region, at), data);
            self.become_alias(place, at, target, now);
            self.index.put(vacancy, to);
            self.counts.signed_in += 1;
            self.tell(What::SignedIn, to, now);
            return Ok(version);
        };
        let (vacancy, to) = home.admit_within(limit, &newcomer, len, None, now)?;
        let version = take_over(Entry::at(&home.region, to), old, data);
        self.become_alias(place, at, target, now);
        home.index.put(vacancy, to);
        home.counts.signed_in += 1;
        home.tell(What::SignedIn, to, now);
        Ok(version)
    }

    /// The session of an id, but not by one that it had: a new id is not for whoever has only that.
    pub(super) fn by_its_own_id(&self, id: &Id, now: Tick) -> Result<(Place, Offset), Refusal> {
        let (place, at) = self.live(id, now).ok_or(Refusal::Gone)?;
        let is_own = Entry::at(&self.region, at).id() == *id;
        if is_own { Ok((place, at)) } else { Err(Refusal::Rotated) }
    }

    /// The entry of an id, or the one to which those lead that it had, as far as their grace goes.
    pub(super) fn within_grace(&self, id: &Id, now: Tick) -> Option<(Place, Offset)> {
        let mut found = self.find(id)?;
        for _ in 0..MOST_HOPS {
            let entry = Entry::at(&self.region, found.1);
            if !entry.flags().has(Flags::ALIAS) || entry.grace() <= now {
                return Some(found);
            }
            // A grace is for plain rotation, which stays in its shard.
            found = self.find(&entry.target().id)?;
        }
        None
    }

    /// The id that a session has now, by one that it had: `Reused` after its grace.
    pub(crate) fn current(&self, id: &Id, now: Tick) -> Result<Id, Miss> {
        let (_, at) = self.within_grace(id, now).ok_or(Miss::Absent)?;
        let entry = Entry::at(&self.region, at);
        if entry.flags().has(Flags::ALIAS) { Err(Miss::Reused) } else { Ok(entry.id()) }
    }

    /// Returns true if an id opens a session.
    pub(crate) fn contains(&self, id: &Id, now: Tick) -> bool {
        self.live(id, now).is_some()
    }

    /// Returns the id by which an id was replaced, if it is an alias.
    pub(crate) fn target(&self, id: &Id) -> Option<SessionId> {
        let (_, at) = self.find(id)?;
        let entry = Entry::at(&self.region, at);
        entry.flags().has(Flags::ALIAS).then(|| entry.target())
    }

    /// Returns when an id was replaced, if it is an alias that is remembered.
    pub(crate) fn replaced(&self, id: &Id, now: Tick) -> Option<Tick> {
        let (_, at) = self.find(id)?;
        let entry = Entry::at(&self.region, at);
        let is_remembered = entry.flags().has(Flags::ALIAS) && entry.deadline() > now;
        is_remembered.then(|| entry.line().times().issued)
    }

    /// Writes the alias of a session, under the id that it still has, into a block of its own.
    fn leave_alias(
        &mut self,
        at: Offset,
        place: Place,
        alias: Offset,
        target: &SessionId,
        grace: Tick,
        now: Tick,
    ) {
        let line = Entry::at(&self.region, at).line();
        let entry = Entry::at(&self.region, alias);
        entry.write(&line.stamp(), &line.times(), 0, None);
        let end = remembered_until(&line.times(), now);
        // Without a grace there is none for a thread that still sees an earlier tick either.
        let until = if grace == 0 { 0 } else { end.min(now.saturating_add(grace)) };
        entry.write_alias(target, until, end, now);
        self.enter_alias(alias);
        self.index.set_offset(place, alias);
    }

    /// Turns a session into the alias of its new id, in its own block.
    fn become_alias(&mut self, place: Place, at: Offset, target: &SessionId, now: Tick) {
        self.queues.leave(&self.region, at);
        self.users.leave(&self.region, at);
        self.wheel.unfile(&self.region, at + WHEEL);
        let entry = Entry::at(&self.region, at);
        let end = remembered_until(&entry.line().times(), now);
        self.index.write(place, || entry.write_alias(target, 0, end, now));
        self.enter_alias(at);
        self.keep_ceiling(now);
    }

    fn enter_alias(&mut self, at: Offset) {
        let entry = Entry::at(&self.region, at);
        entry.wipe_behind(entry.line().len());
        self.heap.shrink(&self.region, at, entry::ALIAS);
        self.queues.enter(&self.region, at);
        self.wheel.file(&self.region, at + WHEEL, entry.deadline());
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

/// An alias is remembered for the session's idle timeout, past a lifetime too, which may be renewed meanwhile: so
/// that of a session's aliases no later one is forgotten before an earlier one, which leads to it.
fn remembered_until(times: &Times, now: Tick) -> Tick {
    now.saturating_add(times.idle_timeout)
}

/// An id that was replaced so often opens nothing, whatever its grace: the lock is held for each step.
const MOST_HOPS: usize = 64;
