//! Partitions the memory of a new cache: the number of shards, and the size of each.

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
    /// Creates the cache: allocates its memory and touches the pages.
    ///
    /// A process that forks must build the cache after the fork. Otherwise a lock that another
    /// thread holds during the fork remains locked in the child.
    ///
    /// # Errors
    /// [`BuildError`] names the invalid setting, its value and its limits.
    pub fn build(self) -> Result<SessionCache, BuildError> {
        self.build_as(Kind::Local)
    }

    pub(super) fn build_as(mut self, kind: Kind) -> Result<SessionCache, BuildError> {
        self.check()?;
        let shards = self
            .shards
            .map_or_else(|| fitting_shards(&self, kind), |shards| shards.get().into());
        debug_assert!(shards.is_power_of_two(), "any 16 bits name a shard");
        let fixed = footprint(shards, self.events);
        let min = (shards * Layout::min_bytes(kind.max_data_len(&self))).saturating_add(fixed);
        let max = shards
            .saturating_mul(Layout::MAX_BYTES)
            .saturating_add(fixed);
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
        let layout = divide(&self, shards, kind)?;
        let events = EventQueue::new(self.events);
        let hasher = layout.hasher(index_keys(&self)?);
        let mut arena = Arena::new(shards * layout.footprint(), self.pages);
        let largest = kind.max_data_len(&self);
        let new_shard = |place| {
            let events = kind.shard_events(&events);
            let arena = arena.as_mut()?;
            let (hasher, place) = (hasher.clone(), place as Place);
            let shard = Shard::new(arena, layout, largest, idle_timeout, hasher, place, events)?;
            Some(CachePadded::new(LockedShard::new(shard)))
        };
        let locked_shards = (0..shards).map(new_shard).collect::<Option<_>>();
        let locked_shards = locked_shards.ok_or(BuildError::Allocation { given: self.memory })?;
        Ok(SessionCache(Arc::new(Inner {
            locked_shards,
            hasher,
            keys,
            users,
            reader: Reader::new(&self.cookie_name),
            counters: Counters::new(),
            events,
            cutoff: RevocationCutoff::new(),
            cursor: AtomicU32::new(0),
            layout,
            idle_timeout,
            lifetime,
            settings: self,
        })))
    }
}

/// A local cache, or the L1 of a tiered cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Tiered,
}

impl Kind {
    /// Returns the largest number of shards that is chosen for a machine.
    fn max_shards(self) -> usize {
        match self {
            Self::Local => 1 << 15,
            Self::Tiered => PARTITIONS,
        }
    }

    /// Returns the bytes of data in the entry of the largest session. An entry of a tiered cache
    /// has one word more, for the time of creation.
    fn max_data_len(self, builder: &SessionCacheBuilder) -> usize {
        match self {
            Self::Local => builder.max_session_size,
            Self::Tiered => builder.max_session_size + WORD,
        }
    }

    /// Returns the event queue of the shards. Expiry and eviction in L1 do not end a session, so
    /// the shards of a tiered cache emit no events.
    fn shard_events(self, events: &EventQueue) -> EventQueue {
        match self {
            Self::Local => events.clone(),
            Self::Tiered => EventQueue::new(0),
        }
    }
}

/// Returns the number of shards: at least one, at most four per core, and a power of two. Each
/// shard gets at least 1 MiB and space for 32 sessions of the maximum size.
fn fitting_shards(builder: &SessionCacheBuilder, kind: Kind) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let max = (4 * cores).min(kind.max_shards());
    let is_roomy = |shards| {
        let bytes = bytes_per_shard(builder, shards);
        bytes >= 1 << 20 && Layout::new(bytes).sessions(kind.max_data_len(builder)) >= 32
    };
    let mut shards = 1 << max.ilog2();
    while shards > 1 && !is_roomy(shards) {
        shards /= 2;
    }
    shards
}

/// Partitions the memory of each shard.
fn divide(builder: &SessionCacheBuilder, shards: usize, kind: Kind) -> Result<Layout, BuildError> {
    let layout = Layout::new(bytes_per_shard(builder, shards));
    let (given, largest) = (
        builder.reserved_for_authenticated,
        kind.max_data_len(builder),
    );
    let max = layout.max_reservation(largest) * shards * WORD;
    let share = given.div_ceil(shards * WORD);
    layout
        .with_reservation(share, largest)
        .ok_or(BuildError::ReservedForAuthenticated { given, max })
}

/// Generates the keys of the indexes' hash.
fn index_keys(builder: &SessionCacheBuilder) -> Result<[u64; 4], BuildError> {
    let mut bytes = [0; 32];
    (builder.entropy)(&mut bytes).map_err(|_| BuildError::Entropy)?;
    let (keys, _) = bytes.as_chunks();
    Ok(core::array::from_fn(|i| u64::from_le_bytes(keys[i])))
}

/// Returns the bytes of each shard's memory, without the fixed parts of the cache.
fn bytes_per_shard(builder: &SessionCacheBuilder, shards: usize) -> usize {
    builder
        .memory
        .saturating_sub(footprint(shards, builder.events))
        / shards
}

/// Returns the bytes of the fixed parts: the cache itself, the shard headers and the event queue.
fn footprint(shards: usize, events: usize) -> usize {
    let locked_shards = shards * size_of::<CachePadded<LockedShard>>();
    EventQueue::footprint(events).saturating_add(size_of::<Inner>() + locked_shards)
}
