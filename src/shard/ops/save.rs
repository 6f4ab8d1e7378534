//! Writes to an existing session: its data, in its block or in a larger one, and its times.

use crate::shard::{
    STEPS_PER_WRITE, Shard, WriteError,
    entry::{Entry, Flags, HeaderFields, Times, WHEEL},
    list,
    ops::make_room::SpaceRequest,
    priority_of,
    region::Offset,
    touch,
};
use crate::{clock::Tick, error::Error, id::Id};

impl Shard {
    /// Replaces a session's data if it still has `version`, and returns the next version. The error
    /// is `Gone` if there is no live session, `Conflict` if the version differs, and that of
    /// [`make_room`](Self::make_room) if larger data does not fit.
    pub(crate) fn save(
        &mut self,
        id: &Id,
        version: u32,
        data: &[u8],
        now: Tick,
    ) -> Result<u32, WriteError> {
        self.advance(now, STEPS_PER_WRITE);
        let (slot, at) = self.find_live(id, now).ok_or(Error::Gone)?;
        let entry = Entry::at(&self.region, at);
        if entry.header().version() != version {
            self.conflict(at, now);
            return Err(Error::Conflict.into());
        }
        let next = version.wrapping_add(1);
        let at = if data.len() <= entry.data_capacity() {
            self.index.write(slot, || entry.save(data, next));
            self.trim(at, data.len());
            at
        } else {
            self.grow(at, data.len(), now, |entry| entry.save(data, next))?
        };
        touch(Entry::at(&self.region, at), now);
        self.counts.saved += 1;
        Ok(next)
    }

    /// Records a use and moves the idle deadline.
    pub(crate) fn touch(&mut self, id: &Id, now: Tick) -> Result<(), Error> {
        let (_, at) = self.find_live(id, now).ok_or(Error::Gone)?;
        let entry = Entry::at(&self.region, at);
        self.queues.record_use(&self.region, at, entry.flags());
        touch(entry, now);
        Ok(())
    }

    /// Changes a session's times if it still has `version`, and returns the next version. `change`
    /// maps the times and the start of the lifetime to the new times.
    pub(crate) fn set_times(
        &mut self,
        id: &Id,
        version: u32,
        now: Tick,
        change: impl FnOnce(Times, Tick) -> Times,
    ) -> Result<u32, Error> {
        let (slot, at) = self.find_live(id, now).ok_or(Error::Gone)?;
        let entry = Entry::at(&self.region, at);
        if entry.header().version() != version {
            self.conflict(at, now);
            return Err(Error::Conflict);
        }
        let next = version.wrapping_add(1);
        let times = change(entry.header().times(), entry.start());
        self.index.write(slot, || {
            entry.set_times(&times);
            entry.set_version(next);
        });
        self.wheel.remove(&self.region, at + WHEEL);
        self.wheel
            .insert(&self.region, at + WHEEL, entry.deadline());
        Ok(next)
    }

    /// Shrinks a session's block to `len` bytes of data.
    pub(in crate::shard) fn trim(&mut self, at: Offset, len: usize) {
        let entry = Entry::at(&self.region, at);
        let before = entry.words();
        entry.wipe_behind(len);
        let words = Entry::size_with(entry.flags(), len);
        self.heap.shrink(&self.region, at, words);
        self.queues.resize(&self.region, at, before);
    }

    /// Moves a session into a larger block for `len` bytes of data, which its own block does not
    /// hold. `fill` writes the data.
    pub(in crate::shard) fn grow(
        &mut self,
        at: Offset,
        len: usize,
        now: Tick,
        fill: impl FnOnce(Entry<'_>),
    ) -> Result<Offset, WriteError> {
        let id = Entry::at(&self.region, at).id();
        let flags = Entry::at(&self.region, at).flags();
        let (words, priority) = (
            Entry::size_with(flags, len),
            priority_of(flags.has(Flags::USER)),
        );
        let request = SpaceRequest {
            words,
            priority,
            needs_slot: false,
            keep: Some(at),
        };
        let to = self.make_room(request, now)?;
        let (slot, from) = self.find(&id).ok_or(Error::Gone)?;
        let [old, new] = [from, to].map(|at| Entry::at(&self.region, at));
        new.copy_header(old);
        fill(new);
        new.links().for_each(|link| list::moved(&self.region, link));
        self.queues.resize(&self.region, to, old.words());
        self.index.set_offset(slot, to);
        old.wipe();
        self.heap.free(&self.region, from);
        Ok(to)
    }
}
