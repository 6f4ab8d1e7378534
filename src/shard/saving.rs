//! Writing to a session that is there: its data, in its block or in a larger one, and its times.

use super::{
    Refusal, STEPS_PER_WRITE, Shard,
    entry::{Entry, Flags, Head, Times, WHEEL},
    list, rank,
    region::Offset,
    room::Need,
    touch,
};
use crate::{clock::Tick, error::Error, id::Id};

impl Shard {
    /// Stores data in place of a session's own, if nobody did since that version.
    pub(crate) fn save(
        &mut self,
        id: &Id,
        version: u32,
        data: &[u8],
        now: Tick,
    ) -> Result<u32, Refusal> {
        self.advance(now, STEPS_PER_WRITE);
        let (place, at) = self.live(id, now).ok_or(Refusal::Gone)?;
        let entry = Entry::at(&self.region, at);
        if entry.line().version() != version {
            self.conflict(at, now);
            return Err(Refusal::Conflict);
        }
        let next = version.wrapping_add(1);
        let at = if data.len() <= entry.room() {
            self.index.write(place, || entry.save(data, next));
            self.trim(at, data.len());
            at
        } else {
            self.grow(at, data, next, now)?
        };
        touch(Entry::at(&self.region, at), now);
        self.counts.saved += 1;
        Ok(next)
    }

    /// Counts as activity, and nothing else.
    pub(crate) fn touch(&mut self, id: &Id, now: Tick) -> Result<(), Error> {
        let (_, at) = self.live(id, now).ok_or(Error::Gone)?;
        let entry = Entry::at(&self.region, at);
        self.queues.used(&self.region, at, entry.flags());
        touch(entry, now);
        Ok(())
    }

    /// Changes a session's times, given those and the start of its lifetime.
    pub(crate) fn set_times(
        &mut self,
        id: &Id,
        now: Tick,
        change: impl FnOnce(Times, Tick) -> Times,
    ) -> Result<(), Error> {
        let (place, at) = self.live(id, now).ok_or(Error::Gone)?;
        let entry = Entry::at(&self.region, at);
        let times = change(entry.line().times(), entry.start());
        self.index.write(place, || entry.set_times(&times));
        self.wheel.unfile(&self.region, at + WHEEL);
        self.wheel.file(&self.region, at + WHEEL, entry.deadline());
        Ok(())
    }

    /// Gives back what a session's block has beyond so many bytes of data.
    fn trim(&mut self, at: Offset, len: usize) {
        let entry = Entry::at(&self.region, at);
        let before = entry.words();
        entry.wipe_behind(len);
        let words = Entry::size_with(entry.flags(), len);
        self.heap.shrink(&self.region, at, words);
        self.queues.resize(&self.region, at, before);
    }

    /// Moves a session into a larger block, with data that its own does not hold.
    fn grow(
        &mut self,
        at: Offset,
        data: &[u8],
        version: u32,
        now: Tick,
    ) -> Result<Offset, Refusal> {
        let id = Entry::at(&self.region, at).id();
        let flags = Entry::at(&self.region, at).flags();
        let (words, rank) = (Entry::size_with(flags, data.len()), rank(flags.has(Flags::USER)));
        let need = Need { words, rank, place: false, keep: Some(at) };
        let to = self.make_room(need, now)?;
        let (place, from) = self.find(&id).ok_or(Refusal::Gone)?;
        let [old, new] = [from, to].map(|at| Entry::at(&self.region, at));
        new.write_head(old);
        new.save(data, version);
        new.links().for_each(|link| list::moved(&self.region, link));
        self.queues.resize(&self.region, to, old.words());
        self.index.set_offset(place, to);
        old.wipe();
        self.heap.give(&self.region, from);
        Ok(to)
    }
}
