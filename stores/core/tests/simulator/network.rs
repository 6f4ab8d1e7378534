//! The connections of one node to the store: delays, losses, half-open channels.
//!
//! A call that was sent reaches the store even if its caller stopped waiting. Messages and the
//! replies to heartbeats share one connection, and keep their order.

mod calls;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sessile_store::{BoxFuture, Change, MemoryStore, Sink, Store, StoreError};
use tokio::sync::{Notify, oneshot};

use crate::{
    executor::{NETWORK, World},
    known_ends::KnownEnds,
};

/// The network between one node and the store. Clones share it; it survives restarts of the node.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    world: World,
    store: MemoryStore,
    state: Mutex<State>,
    /// The store publishes changes.
    push: bool,
    reads: AtomicU64,
    revalidations: AtomicU64,
    cut: Notify,
}

struct State {
    /// The longest time that a call or a reply takes, in ms.
    slowest: u64,
    /// The longest time that the reply to a read takes, in ms.
    slowest_read: u64,
    /// The calls that are lost, in percent.
    lost: u64,
    /// The number of the last watch.
    watch: u64,
    /// Messages of this watch and earlier ones are lost.
    broken: u64,
    /// No connection can be made.
    is_refused: bool,
    /// The ends of all sessions are lost.
    loses_end_of_all: bool,
    /// Touches are rejected: the store has no memory left.
    is_full: bool,
    /// No replica acknowledges a call.
    is_unreplicated: bool,
    /// The time at which the last message arrives.
    last: Duration,
    /// The number of times that all connections were closed.
    closed: u64,
    /// The last time at which the channel lost messages or was about to.
    faults: Vec<Duration>,
    ends: KnownEnds,
}

impl Network {
    pub fn new(world: World, store: MemoryStore) -> Self {
        Self::with_push(world, store, true)
    }

    /// The network of a store that publishes changes, or none.
    pub fn with_push(world: World, store: MemoryStore, push: bool) -> Self {
        let state = State {
            slowest: 20,
            slowest_read: 20,
            lost: 0,
            watch: 0,
            broken: 0,
            is_refused: false,
            loses_end_of_all: false,
            is_full: false,
            is_unreplicated: false,
            last: Duration::ZERO,
            closed: 0,
            faults: Vec::new(),
            ends: KnownEnds::default(),
        };
        Self(Arc::new(Shared {
            world,
            store,
            state: Mutex::new(state),
            push,
            reads: AtomicU64::new(0),
            revalidations: AtomicU64::new(0),
            cut: Notify::new(),
        }))
    }

    /// Returns the number of reads that were sent.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// Returns the number of comparisons that were sent.
    pub fn revalidations(&self) -> u64 {
        self.0.revalidations.load(Ordering::Relaxed)
    }

    /// Calls `access` with the ends that the node knows of.
    pub fn ends<T>(&self, access: impl FnOnce(&mut KnownEnds) -> T) -> T {
        access(&mut self.state().ends)
    }

    /// Sets the longest delay of calls, and the percentage of those that are lost.
    pub fn set_calls(&self, slowest: u64, lost: u64) {
        let mut state = self.state();
        (state.slowest, state.slowest_read, state.lost) = (slowest, slowest, lost);
    }

    /// Sets the longest delay of the replies to reads.
    pub fn set_reads(&self, slowest: u64) {
        self.state().slowest_read = slowest;
    }

    /// Refuses new connections.
    pub fn refuse(&self, is_refused: bool) {
        self.state().is_refused = is_refused;
        self.note_fault();
    }

    /// Loses the ends of all sessions, and no other call.
    pub fn lose_end_of_all(&self, is_lost: bool) {
        self.state().loses_end_of_all = is_lost;
    }

    /// Rejects touches at once.
    pub fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Lets no replica acknowledge a call.
    pub fn set_unreplicated(&self, is_unreplicated: bool) {
        self.state().is_unreplicated = is_unreplicated;
    }

    /// Loses all messages of the current channel, without a sign of it.
    pub fn break_channel(&self) {
        let mut state = self.state();
        state.broken = state.watch;
        drop(state);
        self.note_fault();
    }

    /// Closes the channel.
    pub fn cut_channel(&self) {
        self.break_channel();
        self.0.cut.notify_waiters();
    }

    /// Closes the connections of calls: those in progress are not answered.
    pub fn close_calls(&self) {
        self.state().closed += 1;
    }

    /// Records that the channel is not whole at this time.
    pub fn note_fault(&self) {
        let now = self.0.world.now();
        self.state().faults.push(now);
    }

    /// Returns true if the channel was whole from one time to another.
    pub fn was_whole(&self, from: Duration, to: Duration) -> bool {
        let is_between = |at: &Duration| (from..=to).contains(at);
        !self.state().faults.iter().any(is_between)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic")
    }

    /// Sends a call, which is executed whether or not the caller waits for it.
    fn send<T: Send + 'static>(
        &self,
        call: impl FnOnce(MemoryStore) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let slowest = self.state().slowest;
        self.send_with(slowest, call)
    }

    /// Sends a call that waits for a replica.
    fn send_replicated<T: Send + 'static>(
        &self,
        call: impl FnOnce(MemoryStore) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (network, sent) = (self.clone(), self.send(call));
        Box::pin(async move {
            let reply = sent.await?;
            if network.state().is_unreplicated {
                return Err(StoreError::Unreplicated("0 of 1 replicas".into()));
            }
            Ok(reply)
        })
    }

    fn send_with<T: Send + 'static>(
        &self,
        slowest_reply: u64,
        call: impl FnOnce(MemoryStore) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (slowest, lost, closed) = {
            let state = self.state();
            (state.slowest, state.lost, state.closed)
        };
        let world = self.0.world.clone();
        let draw = |random: &mut crate::random::Random| {
            let delays = [slowest, slowest_reply].map(|slowest| random.millis(0, slowest));
            (delays, [(); 2].map(|()| random.chance(lost)))
        };
        let ([request, reply], [is_request_lost, is_reply_lost]) = world.random(draw);
        let (sender, receiver) = oneshot::channel();
        let (network, store) = (self.clone(), self.0.store.clone());
        let transit = async move {
            world.sleep(request).await;
            if network.state().closed != closed {
                return;
            }
            if is_request_lost {
                std::future::pending::<()>().await;
            }
            let result = call(store).await;
            world.sleep(reply).await;
            if is_reply_lost {
                std::future::pending::<()>().await;
            }
            if network.state().closed == closed {
                let _ = sender.send(result);
            }
        };
        self.0.world.spawn(NETWORK, Box::pin(transit));
        Box::pin(async move {
            let closed = |_| Err(StoreError::Unreachable("the connection was closed".into()));
            receiver.await.unwrap_or_else(closed)
        })
    }

    /// Returns the time at which a message that is sent now arrives: after all earlier ones.
    fn arrival(&self) -> Duration {
        let delay = self
            .0
            .world
            .random(|random| random.millis(0, SLOWEST_MESSAGE));
        let mut state = self.state();
        let at = (self.0.world.now() + delay).max(state.last + Duration::from_micros(1));
        state.last = at;
        at
    }

    fn is_broken(&self, watch: u64) -> bool {
        watch <= self.state().broken
    }

    async fn watch(self, sink: Arc<dyn Sink>, timeout: Duration) -> StoreError {
        let world = self.0.world.clone();
        let delay = world.random(|random| random.millis(0, SLOWEST_MESSAGE));
        world.sleep(delay).await;
        if self.state().is_refused {
            return StoreError::Unreachable("the connection was refused".into());
        }
        let watch = {
            let mut state = self.state();
            state.watch += 1;
            state.watch
        };
        let channel: Arc<dyn Sink> = Arc::new(Channel {
            network: self.clone(),
            watch,
            sink,
        });
        let cut = self.0.cut.notified();
        let ended = self.0.store.watch(channel, timeout);
        tokio::select! {
            biased;
            () = cut => {}
            _ = ended => {}
        }
        if self.is_broken(watch) && !world.random(|random| random.chance(50)) {
            // A half-open connection tells nothing.
            std::future::pending::<()>().await;
        }
        StoreError::Unreachable("the channel was closed".into())
    }
}

/// The longest time that a message takes, in ms.
pub const SLOWEST_MESSAGE: u64 = 40;

/// One subscription.
struct Channel {
    network: Network,
    watch: u64,
    sink: Arc<dyn Sink>,
}

impl Sink for Channel {
    fn change(&self, change: Change) {
        if !self.network.0.push && change != Change::Subscribed {
            return;
        }
        let (network, watch) = (self.network.clone(), self.watch);
        let (at, sink) = (network.arrival(), Arc::downgrade(&self.sink));
        let world = network.0.world.clone();
        world.clone().spawn(
            NETWORK,
            Box::pin(async move {
                world.sleep(at.saturating_sub(world.now())).await;
                if network.is_broken(watch) {
                    return;
                }
                // Closing the connection drops the sink.
                if let Some(sink) = sink.upgrade() {
                    sink.change(change);
                }
            }),
        );
    }
}
