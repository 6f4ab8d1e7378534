//! The task that keeps the channel, and sends touches and queued ends.
//!
//! Owns the state machine of the channel and executes its actions. Invariant: L1 is empty, and the
//! server has executed all ends, before the channel is up. It does not know a verb.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use sessile::tier::Ticks;
use tokio::sync::oneshot;

use super::{inner::Inner, metrics::Verb};
use crate::{
    environment::{First, race},
    protocol::{
        channel::{Action, Cause, Channel, Event, State, UNANSWERED_LIMIT},
        lock,
        switches::Rule,
        touches::{self, Batch},
    },
    store::{Change, Heartbeat, Proposal, Sink, StoreError},
};

/// Events of watches that the driver has not taken.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<VecDeque<(u64, Incoming)>>);

enum Incoming {
    Event(Event),
    Incompatible(String),
    Heartbeat {
        number: u64,
        sent_at: Ticks,
        reply: Box<Heartbeat>,
    },
}

/// Receives the messages of one watch.
struct Messages {
    inner: Arc<Inner>,
    watch: u64,
}

/// The state of the task.
struct Driver {
    inner: Arc<Inner>,
    channel: Channel,
    watch: u64,
    /// Dropping it closes the connection.
    connection: Option<oneshot::Sender<()>>,
    /// The epoch of the store's data, once a heartbeat was answered.
    epoch: Option<[u8; 16]>,
    user_key: [u8; 32],
    /// The key ring has a key in common with those of the other nodes.
    is_checked: bool,
    /// The time at which the last answered heartbeat was sent.
    answered: Ticks,
    next_touches: Duration,
    next_ends: Duration,
}

/// Runs until the node stops.
pub(crate) async fn run(inner: Arc<Inner>, user_key: [u8; 32]) {
    let now = inner.env.now();
    let mut driver = Driver {
        channel: Channel::new(now, inner.settings.timeout),
        watch: 0,
        connection: None,
        epoch: None,
        user_key,
        is_checked: false,
        answered: Ticks::ZERO,
        next_touches: now + touches::INTERVAL,
        next_ends: now,
        inner,
    };
    loop {
        driver.step();
        driver.wait().await;
    }
}

impl Driver {
    /// Takes all events, and does what is due.
    fn step(&mut self) {
        loop {
            let incoming = lock(&self.inner.inbox.0).pop_front();
            let Some((watch, incoming)) = incoming else {
                break;
            };
            // Lost data counts whichever watch reports it: L1 was emptied then.
            let is_void = matches!(incoming, Incoming::Event(Event::DataLost));
            if watch == self.watch || is_void {
                self.take(incoming);
            }
        }
        let now = self.inner.env.now();
        let actions = self.channel.tick(now);
        self.execute(actions);
        if self.channel.state() == State::Up {
            self.send_touches(now);
            self.send_queued_ends(now);
        }
        self.inner.tend_revocations(self.channel.state(), now);
    }

    async fn wait(&self) {
        let now = self.inner.env.now();
        let mut at = self.channel.wake_at();
        if self.channel.state() == State::Up {
            at = at.min(self.next_touches);
            if self.inner.ends.queued() > 0 || self.inner.ends.is_all_queued() {
                at = at.min(self.next_ends);
            }
        }
        at = at.min(
            self.inner
                .revocations_due(self.channel.state())
                .unwrap_or(at),
        );
        let sleep = self.inner.env.sleep(at.saturating_sub(now));
        race(self.inner.wake.notified(), sleep).await;
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Event(event) => self.handle(event),
            Incoming::Incompatible(cause) => {
                self.inner.health.set_incompatible(cause);
                self.handle(Event::Lost);
            }
            Incoming::Heartbeat {
                number,
                sent_at,
                reply,
            } => self.take_heartbeat(number, sent_at, &reply),
        }
    }

    fn handle(&mut self, event: Event) {
        let mut random = [0];
        // Without random bytes the pause is the longest one.
        let _ = self.inner.l1.fill_random(&mut random);
        self.channel.set_jitter(random[0]);
        let actions = self.channel.handle(self.inner.env.now(), event);
        self.execute(actions);
    }

    fn take_heartbeat(&mut self, number: u64, sent_at: Ticks, reply: &Heartbeat) {
        if !self.is_checked {
            self.is_checked = self.shares_a_key(reply);
            // Records the own keys soon, so that a node with others sees them.
            self.channel.hurry(self.inner.env.now());
        }
        if !self.is_checked {
            self.inner.health.set_incompatible(NO_COMMON_KEY.to_owned());
            return self.handle(Event::Lost);
        }
        let is_known = self.epoch == Some(reply.epoch);
        if self.channel.state() == State::Up && !is_known {
            return self.void();
        }
        if !is_known {
            self.adopt(reply);
        }
        self.inner.cut_off(reply.ended_before);
        self.inner.server.set(reply.now, self.inner.env.now());
        self.answered = self.answered.max(sent_at);
        if self.channel.state() == State::Up && self.inner.lease.is_up() {
            self.extend_lease();
        }
        self.handle(Event::Answered(number));
    }

    /// Takes the user key and the cutoff of a data set that this node has not seen before. The
    /// channel is not up.
    fn adopt(&mut self, reply: &Heartbeat) {
        if self.epoch.is_some() {
            self.inner.reset_cutoff(reply.ended_before);
        }
        self.epoch = Some(reply.epoch);
        if self.user_key != reply.user_key {
            self.user_key = reply.user_key;
            self.inner.l1.set_user_key(reply.user_key);
        }
    }

    fn shares_a_key(&self, reply: &Heartbeat) -> bool {
        let own = self.inner.l1.key_fingerprints();
        let recorded = &reply.key_fingerprints;
        recorded.is_empty() || recorded.iter().any(|print| own.contains(print))
    }

    fn void(&mut self) {
        self.inner.void_l1();
        self.handle(Event::DataLost);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartWatch => self.start_watch(),
                Action::StopWatch => self.stop_watch(),
                Action::SendHeartbeat(number) => self.send_heartbeat(number),
                Action::SendEnds => self.send_all_ends(),
                Action::Fence(cause) => self.inner.fence(cause),
                Action::GoUp => self.go_up(),
            }
        }
    }

    fn start_watch(&mut self) {
        self.watch += 1;
        let (connection, closed) = oneshot::channel();
        self.connection = Some(connection);
        let (inner, watch) = (Arc::clone(&self.inner), self.watch);
        self.inner.env.spawn(Box::pin(async move {
            let sink = Arc::new(Messages {
                inner: Arc::clone(&inner),
                watch,
            });
            let watching = inner.store.watch(sink, inner.settings.timeout);
            let ended = race(closed, watching).await;
            match ended {
                First::Left(_) => {}
                First::Right(StoreError::Incompatible(cause)) => {
                    inner.push(watch, Incoming::Incompatible(cause.to_string()));
                }
                First::Right(_) => inner.push(watch, Incoming::Event(Event::Lost)),
            }
        }));
    }

    fn stop_watch(&mut self) {
        self.connection = None;
        // Events of this watch that are still in the inbox no longer count.
        self.watch += 1;
        self.inner.health.failed();
    }

    fn send_heartbeat(&self, number: u64) {
        let (inner, watch, user_key) = (Arc::clone(&self.inner), self.watch, self.user_key);
        // The store records what is proposed, so a node proposes nothing until it has compared.
        let key_fingerprints = if self.is_checked {
            inner.l1.key_fingerprints()
        } else {
            Vec::new()
        };
        let sent_at = self.inner.l1.now();
        self.inner.env.spawn(Box::pin(async move {
            let mut epoch = [0; 16];
            if inner.l1.fill_random(&mut epoch).is_err() {
                return;
            }
            // A new number each time: after a loss of the data the store records one that no node
            // has seen.
            let proposal = Proposal {
                epoch,
                user_key,
                key_fingerprints,
            };
            if let Some(incoming) = inner.heartbeat(number, sent_at, &proposal).await {
                inner.push(watch, incoming);
            }
        }));
    }

    fn send_all_ends(&self) {
        let (inner, watch) = (Arc::clone(&self.inner), self.watch);
        self.inner.env.spawn(Box::pin(async move {
            let is_sent = inner.send_all_ends().await && inner.send_all_revocations().await;
            inner.push(watch, Incoming::Event(Event::EndsSent(is_sent)));
        }));
    }

    fn go_up(&mut self) {
        let rules = self.inner.settings.rules;
        if rules.has(Rule::LeaseAndFence) && rules.has(Rule::FenceAtReconnection) {
            self.inner.l1.invalidate_all();
        }
        self.inner.lease.go_up();
        self.inner.operations.begin_generation();
        self.inner.lease_entries();
        self.extend_lease();
        self.inner.health.up();
        self.next_touches = self.inner.env.now() + touches::INTERVAL;
    }

    fn extend_lease(&self) {
        let settings = &self.inner.settings;
        let span = settings.lease + settings.stale_while_down;
        let until = self.answered.after(span);
        self.inner.lease.extend(until);
        self.inner
            .mirror
            .extend(self.inner.lease.generation(), until);
    }

    fn send_touches(&mut self, now: Duration) {
        let is_full = lock(&self.inner.touches).len() >= touches::FULL_BATCHES;
        if now < self.next_touches && !is_full {
            return;
        }
        self.next_touches = now + touches::INTERVAL;
        let batches = lock(&self.inner.touches).drain(now);
        for batch in batches {
            let inner = Arc::clone(&self.inner);
            self.inner.env.spawn(Box::pin(
                async move { inner.send_touches(batch, now).await },
            ));
        }
    }

    fn send_queued_ends(&mut self, now: Duration) {
        let ends = &self.inner.ends;
        if now < self.next_ends || (ends.queued() == 0 && !ends.is_all_queued()) {
            return;
        }
        self.next_ends = now + RETRY;
        let inner = Arc::clone(&self.inner);
        self.inner.env.spawn(Box::pin(async move {
            inner.send_queued_ends().await;
        }));
    }
}

/// Sends all queued touches, and waits for the store.
pub(super) async fn send_touches_now(inner: &Arc<Inner>) {
    let now = inner.env.now();
    let batches = lock(&inner.touches).drain(now);
    for batch in batches {
        inner.send_touches(batch, now).await;
    }
}

impl Inner {
    fn push(&self, watch: u64, incoming: Incoming) {
        lock(&self.inbox.0).push_back((watch, incoming));
        self.wake.notify_one();
    }

    /// Sends a heartbeat. Returns `None` if it is not answered, which is noticed by its time.
    async fn heartbeat(
        &self,
        number: u64,
        sent_at: Ticks,
        proposal: &Proposal,
    ) -> Option<Incoming> {
        let limit = self.env.sleep(UNANSWERED_LIMIT);
        match race(self.store.heartbeat(proposal), limit).await {
            First::Left(Ok(reply)) => Some(Incoming::Heartbeat {
                number,
                sent_at,
                reply: Box::new(reply),
            }),
            First::Left(Err(StoreError::Incompatible(cause))) => {
                Some(Incoming::Incompatible(cause.to_string()))
            }
            First::Left(Err(_)) | First::Right(()) => None,
        }
    }

    /// Keeps everything that began before from entering L1.
    fn fence(&self, cause: Cause) {
        self.metrics.fence(cause);
        self.lease.go_down();
        self.lease_entries();
        self.operations.begin_generation();
        self.health.down();
        if cause == Cause::DataLost {
            self.void_l1();
        }
    }

    /// Ends the lease and empties L1.
    pub(crate) fn void_l1(&self) {
        if !self.settings.rules.has(Rule::LeaseAndFence) {
            return;
        }
        self.lease.revoke();
        self.lease.go_down();
        self.mirror.void();
        self.operations.begin_generation();
        self.l1.invalidate_all();
    }

    async fn send_touches(&self, batch: Batch, drained_at: Duration) {
        let deadline = self.env.now() + self.settings.timeout;
        let call = self.store.touch(&batch, self.not_after(deadline));
        let Ok(touched) = self.call(Verb::Touch, deadline, call).await else {
            return self.retry_touches(&batch, drained_at);
        };
        for ((id, _), is_touched) in batch.iter().zip(touched) {
            if !is_touched {
                self.forget(id);
            }
        }
    }

    /// Enters touches again: L1 has moved these deadlines, so the store must learn of them.
    fn retry_touches(&self, batch: &[(sessile::SessionId, Duration)], drained_at: Duration) {
        let mut touches = lock(&self.touches);
        for (id, since) in batch {
            touches.push(*id, drained_at.saturating_sub(*since));
        }
    }
}

impl Sink for Messages {
    fn change(&self, change: Change) {
        match change {
            Change::Subscribed => self
                .inner
                .push(self.watch, Incoming::Event(Event::Subscribed)),
            Change::DataLost => {
                // L1 must not answer until the driver runs.
                self.inner.void_l1();
                self.inner
                    .push(self.watch, Incoming::Event(Event::DataLost));
            }
            change => self.inner.change(change),
        }
    }
}

const NO_COMMON_KEY: &str = "`keys` has no key in common with the key rings of the other nodes of \
                             this store; configure at least one of theirs";
/// The time between two attempts to send queued ends.
const RETRY: Duration = Duration::from_millis(250);
