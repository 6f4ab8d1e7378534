//! Carving a cache out of its memory: how many shards, and how much each of them gets.

use core::num::NonZero;
use std::{sync::Arc, thread};

use crossbeam::utils::CachePadded;

use super::{
    Inner, LockedShard, SessionCache, cutoff::RevocationCutoff, stats::Counters, tier::PARTITIONS,
};
use crate::{
    config::SessionCacheBuilder,
    cookie::{Keys, Prf, Reader},
    error::BuildError,
    events::EventQueue,
    id::Place,
    shard::{
        Layout, Shard,
        region::{Arena, WORD},
    },
    sync::AtomicU32,
};

impl SessionCacheBuilder {
    /// Carves the memory and touches it.
    ///
    /// A process that forks does so before this: a lock that another thread holds at that moment stays
    /// held in the child.
    ///
    /// # Errors
    /// What is wrong with the settings: the error names the one, what it was and what it must be.
    pub fn build(self) -> Result<SessionCache, BuildError> {
        self.build_as(Kind::Local)
    }

    pub(super) fn build_as(mut self, kind: Kind) -> Result<SessionCache, BuildError> {
        self.check()?;
        let shards = self
            .shards
            .map_or_else(|| fitting_shards(&self, kind), |own| own.get().into());
        debug_assert!(shards.is_power_of_two(), "any 16 bits name a shard");
        let fixed = footprint(shards, self.events);
        let largest = kind.largest(&self);
        let min = (shards * Layout::least(largest)).saturating_add(fixed);
        let max = shards.saturating_mul(Layout::MOST).saturating_add(fixed);
        if !(min..=max).contains(&self.memory) {
            return Err(BuildError::Memory {
                given: self.memory,
                min,
                max,
            });
        }
        let ring = self.keys.take().ok_or(BuildError::NoKeys)?;
        let [idle_timeout, lifetime] = self.ticks();
        let keys = Keys::new(&ring, &self.cookie_name).map_err(BuildError::Keys)?;
        let users = Prf::random(self.entropy).map_err(|_| BuildError::Entropy)?;
        let plan = plan(&self, shards, kind)?;
        let journal = EventQueue::new(self.events);
        let spots = plan.spots(index_keys(&self)?);
        let mut arena = Arena::new(shards * plan.footprint(), self.pages);
        let locked = |place| {
            let journal = kind.journal(&journal);
            let arena = arena.as_mut()?;
            let (spots, place) = (spots.clone(), place as Place);
            let shard = Shard::new(arena, plan, largest, idle_timeout, spots, place, journal)?;
            Some(CachePadded::new(LockedShard::new(shard)))
        };
        let locked_shards = (0..shards).map(locked).collect::<Option<_>>();
        let locked_shards = locked_shards.ok_or(BuildError::Allocation { given: self.memory })?;
        Ok(SessionCache(Arc::new(Inner {
            locked_shards,
            spots,
            keys,
            users,
            reader: Reader::new(&self.cookie_name),
            counters: Counters::new(),
            journal,
            horizon: RevocationCutoff::new(),
            cursor: AtomicU32::new(0),
            plan,
            idle_timeout,
            lifetime,
            settings: self,
        })))
    }
}

/// A local cache, or the L1 of a tiered one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Tiered,
}

impl Kind {
    /// The largest number of shards that is chosen for a machine.
    fn max_shards(self) -> usize {
        match self {
            Self::Local => 1 << 15,
            Self::Tiered => PARTITIONS,
        }
    }

    /// The bytes that the largest session takes as data. A tiered cache adds one word for the time
    /// of creation.
    fn largest(self, settings: &SessionCacheBuilder) -> usize {
        match self {
            Self::Local => settings.max_session_size,
            Self::Tiered => settings.max_session_size + WORD,
        }
    }

    /// The queue of the shards' events. Expiry and eviction in L1 are not those of the session, so
    /// its shards have none.
    fn journal(self, journal: &EventQueue) -> EventQueue {
        match self {
            Self::Local => journal.clone(),
            Self::Tiered => EventQueue::new(0),
        }
    }
}

/// The largest power of two that is at most four to a core and leaves each shard 1 MiB and 32 of the
/// largest sessions; at least one.
fn fitting_shards(settings: &SessionCacheBuilder, kind: Kind) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let most = (4 * cores).min(kind.max_shards());
    let is_roomy = |shards| {
        let bytes = bytes_per_shard(settings, shards);
        bytes >= 1 << 20 && Layout::new(bytes).sessions(kind.largest(settings)) >= 32
    };
    let mut shards = 1 << most.ilog2();
    while shards > 1 && !is_roomy(shards) {
        shards /= 2;
    }
    shards
}

/// How each shard divides its bytes.
fn plan(settings: &SessionCacheBuilder, shards: usize, kind: Kind) -> Result<Layout, BuildError> {
    let plan = Layout::new(bytes_per_shard(settings, shards));
    let (given, largest) = (settings.reserved_for_authenticated, kind.largest(settings));
    let max = plan.max_reservation(largest) * shards * WORD;
    let share = given.div_ceil(shards * WORD);
    plan.with_reservation(share, largest)
        .ok_or(BuildError::ReservedForAuthenticated { given, max })
}

/// Draws the keys that the indexes hash with.
fn index_keys(settings: &SessionCacheBuilder) -> Result<[u64; 4], BuildError> {
    let mut bytes = [0; 32];
    (settings.entropy)(&mut bytes).map_err(|_| BuildError::Entropy)?;
    let (keys, _) = bytes.as_chunks();
    Ok(core::array::from_fn(|i| u64::from_le_bytes(keys[i])))
}

/// What a shard can divide, when the fixed parts are taken off.
fn bytes_per_shard(settings: &SessionCacheBuilder, shards: usize) -> usize {
    settings
        .memory
        .saturating_sub(footprint(shards, settings.events))
        / shards
}

/// The bytes of a cache beside what its shards divide.
fn footprint(shards: usize, events: usize) -> usize {
    let locked_shards = shards * size_of::<CachePadded<LockedShard>>();
    EventQueue::footprint(events).saturating_add(size_of::<Inner>() + locked_shards)
}
