//! The state of the store as an application sees it.
//!
//! Owns the last state, and a signal for the first one. It does not know why a state changed.

use std::{sync::Mutex, time::Duration};

use tokio::sync::oneshot;

use crate::protocol::lock;

/// The state of the store behind a tiered cache, for readiness probes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// The state of the channel.
    pub state: StoreState,
    /// The time for which sessions in memory are still opened if the store does not answer.
    pub lease_remaining: Duration,
    /// The number of fences: how often the cache stopped trusting the sessions in its memory,
    /// because it lost the store or the store lost its data.
    pub fences: u64,
    /// The number of ends that the store has not confirmed.
    pub ends_queued: usize,
    /// The number of revocations that the store has not confirmed.
    pub revocations_queued: usize,
    /// The state of the mirror of revocations.
    pub mirror: MirrorState,
}

/// The state of the copy of a store's revocations that
/// [`mirror_revocations`](crate::TieredCache::mirror_revocations) keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorState {
    /// No sink was set.
    Off,
    /// The sink may be asked.
    Current,
    /// The revocations are being loaded, or the store does not answer. Nothing that may be revoked
    /// may be accepted.
    Behind,
    /// The sink has no room for all revocations. Nothing that may be revoked may be accepted.
    Full,
}

/// The state of the channel to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreState {
    /// The store answers.
    Up,
    /// The store does not answer, or has not answered yet. The cache connects again by itself.
    Down,
    /// The store cannot be used with these settings. The text names the setting.
    Incompatible(String),
}

/// The state, and those that wait for the first one.
pub(crate) struct Health(Mutex<Current>);

struct Current {
    state: StoreState,
    is_decided: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Default for Health {
    fn default() -> Self {
        Self(Mutex::new(Current {
            state: StoreState::Down,
            is_decided: false,
            waiting: Vec::new(),
        }))
    }
}

impl Health {
    /// Returns the state.
    pub(crate) fn state(&self) -> StoreState {
        lock(&self.0).state.clone()
    }

    /// Returns a future of the first answer, or the first failure, of the store.
    pub(crate) fn first(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut current = lock(&self.0);
        // A dropped sender resolves the future too.
        if !current.is_decided {
            current.waiting.push(sender);
        }
        receiver
    }

    /// The channel is up.
    pub(crate) fn up(&self) {
        self.set(StoreState::Up);
    }

    /// The store cannot be used.
    pub(crate) fn set_incompatible(&self, cause: String) {
        self.set(StoreState::Incompatible(cause));
    }

    /// The channel was lost.
    pub(crate) fn down(&self) {
        self.set(StoreState::Down);
    }

    /// An attempt to connect failed. An earlier reason for the failure stays.
    pub(crate) fn failed(&self) {
        self.set(self.state());
    }

    /// Logs the first state, and each change.
    fn set(&self, state: StoreState) {
        let mut current = lock(&self.0);
        let is_new = !current.is_decided || current.state != state;
        let new = is_new.then(|| state.clone());
        current.state = state;
        current.decide();
        // A subscriber may read the state.
        drop(current);
        if let Some(new) = new {
            new.log();
        }
    }
}

impl StoreState {
    fn log(&self) {
        match self {
            Self::Up => tracing::info!("store of the sessions answers"),
            Self::Down => tracing::warn!(
                "store of the sessions does not answer; sessions in memory are opened until the \
                 lease is over"
            ),
            Self::Incompatible(cause) => {
                tracing::error!(%cause, "store of the sessions cannot be used with these settings");
            }
        }
    }
}

impl Current {
    fn decide(&mut self) {
        self.is_decided = true;
        self.waiting.clear();
    }
}
