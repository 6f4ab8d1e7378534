//! Revocations in fixed memory.
//!
//! Owns the entries: a chained hash table whose chains are read without a lock. Invariants: an
//! entry is in the chain of its bucket or in the free list; an entry is never freed before its
//! expiry. It knows neither tokens nor a clock.
//!
//! ```text
//!  heads      capacity × u32     bucket → first entry
//!  entries    capacity × 32 B    name 16 │ cut-off 8 │ expiry 4 │ next 4
//!  sequences  1,024 × u64        a bucket's sequence is odd while a writer changes its chain
//! ```

use std::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

use parking_lot::Mutex;

use crate::name::Name;

/// A table of `capacity` entries.
pub(crate) struct Table {
    heads: Box<[AtomicU32]>,
    entries: Box<[Entry]>,
    sequences: Box<[AtomicU64]>,
    /// Random and odd: a client that chooses names cannot choose their buckets.
    multipliers: [u64; 2],
    /// The number of entries in use, by [`Kind`].
    used: [AtomicUsize; 2],
    writer: Mutex<Writer>,
}

struct Entry {
    name: [AtomicU64; 2],
    cutoff: AtomicU64,
    /// In Unix seconds, or 0 if the entry is free.
    expires_at: AtomicU32,
    next: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() + size_of::<AtomicU32>() == ENTRY_LEN);

/// The state of the writers.
struct Writer {
    /// The first entry of the free list.
    free: u32,
    /// The entry at which the next sweep begins.
    hand: u32,
    /// The second of the last sweep of the whole table.
    swept_at: u64,
}

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A token.
    Token,
    /// The tokens of a subject from before a cut-off.
    Subject,
}

/// The table has no free entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Table {
    /// Allocates a table, or returns `None` without memory. The capacity is between 1 and
    /// [`MAX_CAPACITY`].
    pub(crate) fn new(capacity: usize, random: [u64; 2]) -> Option<Self> {
        debug_assert!((1..=MAX_CAPACITY).contains(&capacity));
        let count = capacity as u32;
        let next = |at: u32| if at + 1 == count { NONE } else { at + 1 };
        Some(Self {
            heads: allocate(count, |_| AtomicU32::new(NONE))?,
            entries: allocate(count, |at| Entry::free(next(at)))?,
            sequences: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            multipliers: random.map(|number| number | 1),
            used: [AtomicUsize::new(0), AtomicUsize::new(0)],
            writer: Mutex::new(Writer {
                free: 0,
                hand: 0,
                swept_at: 0,
            }),
        })
    }

    /// Returns the number of entries that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of entries of a kind, with those that expired and are not freed yet.
    pub(crate) fn used(&self, kind: Kind) -> usize {
        // A writer counts an entry before it returns; what orders the two calls orders this load.
        self.used[kind as usize].load(Ordering::Relaxed)
    }

    /// Returns the cut-off of a name, or `None` if it has no entry at the time `now`.
    pub(crate) fn cutoff(&self, name: Name, now: u64) -> Option<u64> {
        let bucket = self.bucket(name);
        for _ in 0..MAX_TRIES {
            if let Ok(found) = self.try_read(bucket, name) {
                return found
                    .filter(|found| found.is_live(now))
                    .map(|found| found.cutoff);
            }
            hint::spin_loop();
        }
        // No writer changes a chain while this thread holds the lock.
        let _writer = self.writer.lock();
        let found = self.try_read(bucket, name).ok().flatten()?;
        found.is_live(now).then_some(found.cutoff)
    }

    /// Adds an entry, or raises the cut-off and the expiry of the one that the name has.
    pub(crate) fn insert(
        &self,
        name: Name,
        cutoff: u64,
        expires_at: u64,
        now: u64,
    ) -> Result<(), Full> {
        if expires_at <= now {
            return Ok(());
        }
        let expires_at = u32::try_from(expires_at).unwrap_or(u32::MAX);
        let mut writer = self.writer.lock();
        self.sweep(&mut writer, SWEEP_STEP, now);
        let bucket = self.bucket(name);
        if let Some(at) = self.find(bucket, name) {
            self.raise(bucket, &self.entries[at as usize], cutoff, expires_at);
            return Ok(());
        }
        let at = self.take_free(&mut writer, now)?;
        let head = &self.heads[bucket];
        let next = head.load(Ordering::Relaxed);
        self.write(bucket, || {
            self.entries[at as usize].fill(name, cutoff, expires_at, next);
            head.store(at, Ordering::Relaxed);
        });
        self.count(cutoff, 1);
        Ok(())
    }

    /// Raises the cut-off and the expiry of an entry. A name of one kind does not get the other,
    /// but a store may contain anything, and the counts must agree with the entries.
    fn raise(&self, bucket: usize, entry: &Entry, cutoff: u64, expires_at: u32) {
        let before = entry.cutoff.load(Ordering::Relaxed);
        self.write(bucket, || entry.raise(cutoff, expires_at));
        if Kind::of(before) != Kind::of(before.max(cutoff)) {
            self.count(cutoff, 1);
            self.count(before, -1);
        }
    }

    /// Frees all entries that expired.
    pub(crate) fn sweep_all(&self, now: u64) {
        self.sweep(&mut self.writer.lock(), self.entries.len(), now);
    }

    /// Takes an entry from the free list. If it is empty, sweeps the whole table, at most once a
    /// second.
    fn take_free(&self, writer: &mut Writer, now: u64) -> Result<u32, Full> {
        if writer.free == NONE && now > writer.swept_at {
            writer.swept_at = now;
            self.sweep(writer, self.entries.len(), now);
        }
        let at = writer.free;
        let entry = self.entries.get(at as usize).ok_or(Full)?;
        writer.free = entry.next.load(Ordering::Relaxed);
        Ok(at)
    }

    /// Frees the entries that expired among the next `steps`.
    fn sweep(&self, writer: &mut Writer, steps: usize, now: u64) {
        for _ in 0..steps.min(self.entries.len()) {
            let at = writer.hand;
            writer.hand = (at + 1) % self.entries.len() as u32;
            let expires_at = self.entries[at as usize].expires_at.load(Ordering::Relaxed);
            if expires_at != FREE && u64::from(expires_at) <= now {
                self.free(writer, at);
            }
        }
    }

    /// Removes an entry from its chain and adds it to the free list.
    fn free(&self, writer: &mut Writer, at: u32) {
        let entry = &self.entries[at as usize];
        let bucket = self.bucket(entry.name());
        let cutoff = entry.cutoff.load(Ordering::Relaxed);
        let mut link = &self.heads[bucket];
        while link.load(Ordering::Relaxed) != at {
            link = &self.entries[link.load(Ordering::Relaxed) as usize].next;
        }
        let next = entry.next.load(Ordering::Relaxed);
        self.write(bucket, || {
            link.store(next, Ordering::Relaxed);
            entry.expires_at.store(FREE, Ordering::Relaxed);
            entry.next.store(writer.free, Ordering::Relaxed);
        });
        writer.free = at;
        self.count(cutoff, -1);
    }

    /// Returns the entry of a name. The caller holds the lock.
    fn find(&self, bucket: usize, name: Name) -> Option<u32> {
        let mut at = self.heads[bucket].load(Ordering::Relaxed);
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.name() == name {
                return Some(at);
            }
            at = entry.next.load(Ordering::Relaxed);
        }
        None
    }

    /// Reads the entry of a name. Fails if a writer changed the chain at the same time.
    fn try_read(&self, bucket: usize, name: Name) -> Result<Option<Found>, Interrupted> {
        let sequence = &self.sequences[bucket % STRIPES];
        // Pairs with the last store of `write`: the chain of that writer is visible.
        let before = sequence.load(Ordering::Acquire);
        if before % 2 == 1 {
            return Err(Interrupted);
        }
        let mut found = None;
        let mut at = self.heads[bucket].load(Ordering::Relaxed);
        while at != NONE && found.is_none() {
            let entry = &self.entries[at as usize];
            found = (entry.name() == name).then(|| entry.found());
            at = entry.next.load(Ordering::Relaxed);
            // A freed entry leads into the free list or into another chain. Its removal changed the
            // sequence of this one.
            if sequence.load(Ordering::Relaxed) != before {
                return Err(Interrupted);
            }
        }
        // Pairs with the fence of `write`: if a load above saw a store of a writer, the load below
        // sees its odd sequence.
        fence(Ordering::Acquire);
        match sequence.load(Ordering::Relaxed) == before {
            true => Ok(found),
            false => Err(Interrupted),
        }
    }

    /// Changes the chain of a bucket. The caller holds the lock.
    fn write(&self, bucket: usize, change: impl FnOnce()) {
        let sequence = &self.sequences[bucket % STRIPES];
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before + 1, Ordering::Relaxed);
        // Pairs with the fence of `try_read`.
        fence(Ordering::Release);
        change();
        // Pairs with the first load of `try_read`.
        sequence.store(before + 2, Ordering::Release);
    }

    /// The top bits of a sum of products with random odd numbers: two names that differ collide
    /// with a probability of about 1 in `capacity`, however they were chosen.
    fn bucket(&self, name: Name) -> usize {
        let [one, two] = self.multipliers;
        let mixed = name.0[0]
            .wrapping_mul(one)
            .wrapping_add(name.0[1].wrapping_mul(two));
        ((u128::from(mixed) * self.heads.len() as u128) >> 64) as usize
    }

    fn count(&self, cutoff: u64, change: isize) {
        let used = &self.used[Kind::of(cutoff) as usize];
        // The caller holds the lock.
        let count = used.load(Ordering::Relaxed).wrapping_add_signed(change);
        used.store(count, Ordering::Relaxed);
    }
}

fn allocate<T>(count: u32, item: impl FnMut(u32) -> T) -> Option<Box<[T]>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count as usize).ok()?;
    items.extend((0..count).map(item));
    Some(items.into_boxed_slice())
}

impl Kind {
    fn of(cutoff: u64) -> Self {
        match cutoff {
            TOKEN => Self::Token,
            _ => Self::Subject,
        }
    }
}

/// Accessed with relaxed ordering: [`Table::write`] and [`Table::try_read`] order the accesses.
impl Entry {
    fn free(next: u32) -> Self {
        Self {
            name: [AtomicU64::new(0), AtomicU64::new(0)],
            cutoff: AtomicU64::new(0),
            expires_at: AtomicU32::new(FREE),
            next: AtomicU32::new(next),
        }
    }

    fn name(&self) -> Name {
        Name([0, 1].map(|half: usize| self.name[half].load(Ordering::Relaxed)))
    }

    fn found(&self) -> Found {
        Found {
            cutoff: self.cutoff.load(Ordering::Relaxed),
            expires_at: self.expires_at.load(Ordering::Relaxed),
        }
    }

    fn fill(&self, name: Name, cutoff: u64, expires_at: u32, next: u32) {
        self.name[0].store(name.0[0], Ordering::Relaxed);
        self.name[1].store(name.0[1], Ordering::Relaxed);
        self.cutoff.store(cutoff, Ordering::Relaxed);
        self.expires_at.store(expires_at, Ordering::Relaxed);
        self.next.store(next, Ordering::Relaxed);
    }

    fn raise(&self, cutoff: u64, expires_at: u32) {
        self.cutoff.fetch_max(cutoff, Ordering::Relaxed);
        self.expires_at.fetch_max(expires_at, Ordering::Relaxed);
    }
}

/// A consistent copy of an entry.
struct Found {
    cutoff: u64,
    expires_at: u32,
}

impl Found {
    fn is_live(&self, now: u64) -> bool {
        u64::from(self.expires_at) > now
    }
}

/// A writer changed the chain during a read.
struct Interrupted;

/// The bytes of an entry and its share of the buckets.
pub(crate) const ENTRY_LEN: usize = 36;
pub(crate) const MAX_CAPACITY: usize = 1 << 28;
/// The cut-off of an entry that revokes a token, and not the tokens of a subject.
pub(crate) const TOKEN: u64 = u64::MAX;
const NONE: u32 = u32::MAX;
const FREE: u32 = 0;
const STRIPES: usize = 1_024;
/// Attempts of a read before it takes the lock.
const MAX_TRIES: usize = 64;
/// Entries that each insertion looks at: expired ones are freed faster than new ones arrive.
const SWEEP_STEP: usize = 4;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
