//! Tasks in virtual time, on one thread, in an order that a seed decides.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use sessile::ManualClock;
use sessile_store::{BoxFuture, internals::Environment};

use crate::random::Random;

/// The time and the tasks of a schedule. Clones share both.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    now: AtomicU64,
    clock: ManualClock,
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<u64>>>,
}

struct State {
    tasks: BTreeMap<u64, Task>,
    timers: BinaryHeap<Reverse<Timer>>,
    next: u64,
    random: Random,
}

struct Task {
    owner: Owner,
    future: BoxFuture<'static, ()>,
}

/// A node, by a number that a restart changes, or the network.
pub type Owner = u64;

/// The owner of messages in transit, which survive the nodes.
pub const NETWORK: Owner = 0;

struct Timer {
    at: Duration,
    number: u64,
    waker: Waker,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            now: AtomicU64::new(0),
            clock: ManualClock::new(),
            state: Mutex::new(State {
                tasks: BTreeMap::new(),
                timers: BinaryHeap::new(),
                next: 1,
                random: Random::new(seed),
            }),
            ready: Arc::default(),
        }))
    }

    /// Returns the clock of all nodes' L1.
    pub fn clock(&self) -> ManualClock {
        self.0.clock.clone()
    }

    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    /// Calls `draw` with the random numbers of the schedule.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.0.state.lock().expect("no panic").random)
    }

    /// Returns the environment of a node.
    pub fn environment(&self, owner: Owner) -> NodeEnvironment {
        NodeEnvironment {
            world: self.clone(),
            owner,
        }
    }

    pub fn spawn(&self, owner: Owner, future: BoxFuture<'static, ()>) {
        let mut state = self.0.state.lock().expect("no panic");
        let number = state.next;
        state.next += 1;
        state.tasks.insert(number, Task { owner, future });
        self.0.ready.lock().expect("no panic").push(number);
    }

    /// Drops all tasks of a node, as a crash does.
    pub fn kill(&self, owner: Owner) {
        let mut state = self.0.state.lock().expect("no panic");
        let (killed, kept) = std::mem::take(&mut state.tasks)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, task)| task.owner == owner);
        state.tasks = kept;
        drop(state);
        // Outside the lock: a future may spawn when it is dropped.
        drop(killed);
    }

    /// Drops all tasks.
    pub fn kill_all(&self) {
        let tasks = std::mem::take(&mut self.0.state.lock().expect("no panic").tasks);
        drop(tasks);
        self.0.state.lock().expect("no panic").timers.clear();
    }

    pub fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let (world, at) = (self.clone(), self.now() + span);
        Box::pin(poll_fn(move |context| {
            if world.now() >= at {
                return Poll::Ready(());
            }
            let mut state = world.0.state.lock().expect("no panic");
            let number = state.next;
            state.next += 1;
            let waker = context.waker().clone();
            state.timers.push(Reverse(Timer { at, number, waker }));
            Poll::Pending
        }))
    }

    /// Runs all tasks until a time.
    pub fn run_until(&self, end: Duration) {
        loop {
            self.run_ready();
            let next = {
                let mut state = self.0.state.lock().expect("no panic");
                let is_due = state.timers.peek().is_some_and(|timer| timer.0.at <= end);
                if is_due { state.timers.pop() } else { None }
            };
            let Some(Reverse(timer)) = next else { break };
            self.advance(timer.at);
            timer.waker.wake();
        }
        self.advance(end);
    }

    fn advance(&self, to: Duration) {
        let by = to.saturating_sub(self.now());
        self.0
            .now
            .fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
        self.0.clock.advance(by);
    }

    fn run_ready(&self) {
        loop {
            let number = {
                let mut ready = self.0.ready.lock().expect("no panic");
                if ready.is_empty() {
                    return;
                }
                let at = self.random(|random| random.below(ready.len() as u64)) as usize;
                ready.swap_remove(at)
            };
            let task = self.0.state.lock().expect("no panic").tasks.remove(&number);
            let Some(mut task) = task else { continue };
            let waker = Waker::from(Arc::new(Ready {
                number,
                ready: Arc::clone(&self.0.ready),
            }));
            let poll = Pin::new(&mut task.future).poll(&mut Context::from_waker(&waker));
            if poll.is_pending() {
                let mut state = self.0.state.lock().expect("no panic");
                state.tasks.insert(number, task);
            }
        }
    }
}

struct Ready {
    number: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("no panic");
        if !ready.contains(&self.number) {
            ready.push(self.number);
        }
    }
}

/// Time and tasks of one node.
pub struct NodeEnvironment {
    world: World,
    owner: Owner,
}

impl Environment for NodeEnvironment {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(span)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.world.spawn(self.owner, task);
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
