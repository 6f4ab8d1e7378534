//! Carving a cache out of its memory: how many shards, and how much each of them gets.

use core::num::NonZero;
use std::{sync::Arc, thread};

use crossbeam::utils::CachePadded;

use super::{Inner, SessionCache, Stripe, horizon::Horizon, stats::Counters};
use crate::{
    config::Builder,
    cookie::{Keys, Prf, Reader},
    error::BuildError,
    events::Journal,
    id::Home,
    shard::{
        Plan, Shard,
        region::{Arena, WORD},
    },
    sync::AtomicU32,
};

impl Builder {
    /// Carves the memory and touches it.
    ///
    /// A process that forks does so before this: a lock that another thread holds at that moment stays
    /// held in the child.
    ///
    /// # Errors
    /// What is wrong with the settings: the error names the one, what it was and what it must be.
    pub fn build(mut self) -> Result<SessionCache, BuildError> {
        self.check()?;
        let shards = self.shards.map_or_else(|| fitting_shards(&self), |own| own.get().into());
        debug_assert!(shards.is_power_of_two(), "any 16 bits name a shard");
        let fixed = footprint(shards, self.events);
        let least = (shards * Plan::least(self.max_session_size)).saturating_add(fixed);
        let most = shards.saturating_mul(Plan::MOST).saturating_add(fixed);
        if !(least..=most).contains(&self.memory) {
            return Err(BuildError::Memory { given: self.memory, least, most });
        }
        let ring = self.keys.take().ok_or(BuildError::NoKeys)?;
        let [idle_timeout, lifetime] = self.ticks();
        let keys = Keys::new(&ring, &self.cookie_name).map_err(BuildError::Keys)?;
        let users = Prf::random(self.entropy).map_err(|_| BuildError::Entropy)?;
        let plan = plan(&self, shards)?;
        let journal = Journal::new(self.events);
        let spots = plan.spots(index_keys(&self)?);
        let mut arena = Arena::new(shards * plan.footprint(), self.pages);
        let stripe = |home| {
            let (largest, journal) = (self.max_session_size, journal.clone());
            let arena = arena.as_mut()?;
            let (spots, home) = (spots.clone(), home as Home);
            let shard = Shard::new(arena, plan, largest, idle_timeout, spots, home, journal)?;
            Some(CachePadded::new(Stripe::new(shard)))
        };
        let stripes = (0..shards).map(stripe).collect::<Option<_>>();
        let stripes = stripes.ok_or(BuildError::Allocation { bytes: self.memory })?;
        Ok(SessionCache(Arc::new(Inner {
            stripes,
            spots,
            keys,
            users,
            reader: Reader::new(&self.cookie_name),
            counters: Counters::new(),
            journal,
            horizon: Horizon::new(),
            cursor: AtomicU32::new(0),
            plan,
            idle_timeout,
            lifetime,
            settings: self,
        })))
    }
}

/// The largest power of two that is at most four to a core and leaves each shard 1 MiB and 32 of the
/// largest sessions; at least one.
fn fitting_shards(settings: &Builder) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let most = (4 * cores).min(1 << 15);
    let is_roomy = |shards| {
        let bytes = bytes_per_shard(settings, shards);
        bytes >= 1 << 20 && Plan::new(bytes).sessions(settings.max_session_size) >= 32
    };
    let mut shards = 1 << most.ilog2();
    while shards > 1 && !is_roomy(shards) {
        shards /= 2;
    }
    shards
}

/// How each shard divides its bytes.
fn plan(settings: &Builder, shards: usize) -> Result<Plan, BuildError> {
    let plan = Plan::new(bytes_per_shard(settings, shards));
    let (given, largest) = (settings.reserved_for_authenticated, settings.max_session_size);
    let most = plan.highest_floor(largest) * shards * WORD;
    let share = given.div_ceil(shards * WORD);
    plan.with_floor(share, largest).ok_or(BuildError::ReservedForAuthenticated { given, most })
}

/// Draws the keys that the indexes hash with.
fn index_keys(settings: &Builder) -> Result<[u64; 4], BuildError> {
    let mut bytes = [0; 32];
    (settings.entropy)(&mut bytes).map_err(|_| BuildError::Entropy)?;
    let (keys, _) = bytes.as_chunks();
    Ok(core::array::from_fn(|i| u64::from_le_bytes(keys[i])))
}

/// What a shard can divide, when the fixed parts are taken off.
fn bytes_per_shard(settings: &Builder, shards: usize) -> usize {
    settings.memory.saturating_sub(footprint(shards, settings.events)) / shards
}

/// The bytes of a cache beside what its shards divide.
fn footprint(shards: usize, events: usize) -> usize {
    let stripes = shards * size_of::<CachePadded<Stripe>>();
    Journal::footprint(events).saturating_add(size_of::<Inner>() + stripes)
}
