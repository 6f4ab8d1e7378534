//! The parts of a tiered cache that all verbs share: calls with a bound, reads that are joined,
//! messages.
//!
//! Owns L1 together with the protocol's state. Invariant: L1 changes only under the rules of
//! [`Operations`](crate::protocol::operations) or by a fence. It does not know a verb.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use sessile::{
    Error, Handle, Record, SessionId, Version,
    tier::{L1, StoredSession, Ticks},
};
use tokio::sync::{Notify, oneshot};

use super::{
    echo::Echo,
    fetched::{BadRecord, Found, decode, is_cut_off},
    health::Health,
    metrics::{Metrics, Verb},
    settings::Settings,
};
use crate::{
    encryption::Encryption,
    environment::{Environment, First, race},
    protocol::{
        ends::Ends,
        lease::{Lease, Trust},
        lock,
        mirror::Mirror,
        operations::{Floor, Join, MAX_IN_FLIGHT, Operations, Ticket},
        revocations::Revocations,
        server_time::ServerClock,
        switches::Rule,
        touches::Touches,
    },
    store::{Change, ServerTime, Store, StoreError, StoredRecord},
};

/// The result of a read, for all that wait for it.
pub(crate) type ReadResult = Result<Found, Error>;

/// The moment at which a read was sent.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    at: Ticks,
    generation: u64,
}

/// The state of one node.
pub(crate) struct Inner {
    pub(crate) l1: L1,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) env: Arc<dyn Environment>,
    pub(crate) settings: Settings,
    pub(crate) lease: Lease,
    pub(crate) operations: Operations<oneshot::Sender<ReadResult>>,
    pub(crate) touches: Mutex<Touches>,
    pub(crate) ends: Ends,
    pub(crate) revocations: Revocations,
    pub(crate) mirror: Mirror,
    pub(crate) server: ServerClock,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) echo: Echo,
    pub(crate) inbox: super::driver::Inbox,
    pub(crate) encryption: RwLock<Option<Encryption>>,
    /// The revocation cutoff: sessions created until then have ended. In ms of the server.
    ended_before: AtomicU64,
    /// Verbs in progress.
    jobs: AtomicUsize,
    pub(crate) is_closed: AtomicBool,
    /// Wakes the driver.
    pub(crate) wake: Notify,
}

impl Inner {
    pub(crate) fn new(
        l1: L1,
        store: Arc<dyn Store>,
        env: Arc<dyn Environment>,
        settings: Settings,
    ) -> Self {
        let inner = Self {
            l1,
            store,
            env,
            settings,
            lease: Lease::default(),
            operations: Operations::new(settings.rules),
            touches: Mutex::default(),
            ends: Ends::default(),
            revocations: Revocations::default(),
            mirror: Mirror::default(),
            server: ServerClock::default(),
            metrics: Metrics::default(),
            health: Health::default(),
            echo: Echo::default(),
            inbox: super::driver::Inbox::default(),
            encryption: RwLock::default(),
            ended_before: AtomicU64::new(0),
            jobs: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            wake: Notify::new(),
        };
        inner.renew_encryption();
        inner.lease_entries();
        inner
    }

    /// Returns the end of the lease. It is taken before L1 is read.
    #[inline]
    pub(crate) fn trust(&self) -> Trust {
        if self.settings.rules.has(Rule::LeaseAndFence) {
            self.lease.trust()
        } else {
            Trust::FOREVER
        }
    }

    /// Fails at once if the channel is not up.
    pub(crate) fn check_up(&self) -> Result<(), Error> {
        if self.lease.is_up() {
            Ok(())
        } else {
            Err(Error::Unreachable)
        }
    }

    /// Fails at once if the channel is not up, or the cache is closed.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        // The flag orders nothing: a write that began before it was set may still be done.
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::Unreachable);
        }
        self.check_up()
    }

    /// Fails if the channel was lost since a generation, or is another one: a reply may be that of
    /// a server which has been replaced since, so it confirms nothing.
    pub(crate) fn check_generation(&self, generation: u64) -> Result<(), StoreError> {
        if self.lease.generation() == generation {
            Ok(())
        } else {
            Err(StoreError::Unreachable("the channel was lost".into()))
        }
    }

    /// Returns the deadline of a commit that begins now.
    pub(crate) fn commit_deadline(&self) -> Duration {
        self.env.now() + 2 * self.settings.timeout
    }

    /// Runs a verb on the side of the store: it ends even if its caller stops waiting.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        verb: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(guard) = JobGuard::new(self) else {
            return Err(Error::Unreachable);
        };
        let (sender, receiver) = oneshot::channel();
        self.env.spawn(Box::pin(async move {
            let result = verb.await;
            drop(guard);
            // The caller may have stopped waiting.
            let _ = sender.send(result);
        }));
        receiver.await.unwrap_or(Err(Error::Unreachable))
    }

    /// Waits for a call to the store, for at most the timeout and until the deadline.
    pub(crate) async fn call<T>(
        &self,
        verb: Verb,
        deadline: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = self.env.now();
        let span = self.bound(began, deadline);
        let result = match race(call, self.env.sleep(span)).await {
            First::Left(result) => result,
            First::Right(()) => Err(StoreError::Unreachable("no answer in time".into())),
        };
        self.metrics
            .call(verb, self.env.now().saturating_sub(began));
        if let Err(StoreError::Unreachable(_) | StoreError::Unreplicated(_) | StoreError::Late) =
            result
        {
            self.metrics.unreachable(verb);
        }
        result
    }

    /// Returns the bound of a write that is sent now, in the time of the server.
    pub(crate) fn not_after(&self, deadline: Duration) -> ServerTime {
        let now = self.env.now();
        self.server.not_after(now + self.bound(now, deadline))
    }

    fn bound(&self, now: Duration, deadline: Duration) -> Duration {
        deadline.saturating_sub(now).min(self.settings.timeout)
    }

    /// Starts the read of an id, or joins one that is in progress.
    pub(crate) fn start_read(
        self: &Arc<Self>,
        id: SessionId,
        key_number: Option<u8>,
        deadline: Duration,
    ) -> oneshot::Receiver<ReadResult> {
        let (sender, receiver) = oneshot::channel();
        match self.operations.join(&id, sender, &self.lease) {
            Join::Joined => {}
            Join::Start(ticket) => {
                let inner = Arc::clone(self);
                self.env.spawn(Box::pin(async move {
                    let read = inner.open_into(ticket, id, key_number, deadline);
                    // Those that wait were answered.
                    drop(read.await);
                }));
            }
            Join::Absent(waiter) => drop(waiter.send(Ok(Found::Absent))),
            Join::Full(waiter) => drop(waiter.send(Err(Error::Unreachable))),
        }
        receiver
    }

    /// Reads an id from the store, without joining a read that began earlier.
    pub(crate) async fn read(&self, id: SessionId, deadline: Duration) -> ReadResult {
        let Some(ticket) = self.operations.begin(&id, &self.lease) else {
            return Err(Error::Unreachable);
        };
        self.read_into(ticket, id, None, deadline).await
    }

    /// Reads an id from the store, for a list: the session does not enter L1.
    pub(crate) async fn look(&self, id: SessionId, deadline: Duration) -> ReadResult {
        let sent = self.sent_now();
        let read = self.call(Verb::Read, deadline, self.store.read(id)).await;
        let stored = read.map_err(|_| Error::Unreachable)?;
        Ok(self.translate(id, stored, sent))
    }

    /// Reads an id, installs the session if that is permitted, and answers all that wait.
    pub(super) async fn read_into(
        &self,
        ticket: Ticket,
        id: SessionId,
        key_number: Option<u8>,
        deadline: Duration,
    ) -> ReadResult {
        let sent = self.sent_now();
        let read = self.call(Verb::Read, deadline, self.store.read(id)).await;
        let result = match read {
            Ok(stored) => Ok(self.translate(id, stored, sent)),
            Err(_) => Err(Error::Unreachable),
        };
        self.finish_read(ticket, key_number, &result);
        result
    }

    /// Returns the moment at which a read is sent.
    pub(super) fn sent_now(&self) -> Sent {
        Sent {
            at: self.l1.now(),
            generation: self.lease.generation(),
        }
    }

    pub(super) fn translate(
        &self,
        id: SessionId,
        stored: Option<StoredRecord>,
        sent: Sent,
    ) -> Found {
        let Some(stored) = stored else {
            let generation = sent.generation;
            self.operations
                .remember_absent(&id, generation, &self.lease);
            return Found::Absent;
        };
        let decoded = self.with_encryption(|keys| decode(id, &stored, sent.at, keys));
        match decoded {
            Ok(Found::Session(found)) if found.is_cut_off(self.ended_before()) => Found::CutOff,
            Ok(_) if self.ends.is_queued(&id) => Found::Absent,
            Ok(found) => found,
            Err(BadRecord) => {
                self.metrics.bad_record();
                Found::Absent
            }
        }
    }

    pub(super) fn finish_read(&self, ticket: Ticket, key_number: Option<u8>, result: &ReadResult) {
        let session = match result {
            Ok(Found::Session(found)) => Some(found),
            _ => None,
        };
        let version = session.map(|found| found.session.version);
        let waiters = self.operations.finish(ticket, version, &self.lease, || {
            let Some(found) = session else { return };
            let is_ended = is_cut_off(&found.header, self.ended_before())
                || self.ends.is_queued(&found.session.id);
            if !is_ended {
                let session = StoredSession {
                    key_number,
                    ..found.session
                };
                self.l1.install(&session, &found.data);
            }
        });
        for waiter in waiters {
            // A request may have stopped waiting.
            let _ = waiter.send(result.clone());
        }
    }

    /// Ends a write whose result is not installed.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        self.operations.finish(ticket, None, &self.lease, || ());
    }

    /// Handles a message of the channel.
    pub(crate) fn change(&self, change: Change) {
        match change {
            Change::Written { id, version } => {
                self.echo.arrived(&id, version, self.env.now());
                self.outdate(&id, version);
            }
            Change::Ended { id } => self.forget(&id),
            Change::AllEnded { ended_before } => self.cut_off(ended_before),
            Change::Revoked(revocation) => {
                self.apply_revocation(&revocation);
            }
            // Those are events of the channel, not of a session.
            Change::Subscribed | Change::DataLost => {}
        }
    }

    /// Drops what L1 has of an id below a version, and keeps operations from installing it.
    pub(crate) fn outdate(&self, id: &SessionId, version: Version) {
        let floor = Floor::Version(version.get());
        self.operations.raise(&id.to_bytes(), floor, || {
            self.invalidate(id, version);
        });
    }

    /// Drops what L1 has of an id, and keeps operations from installing it.
    pub(crate) fn forget(&self, id: &SessionId) {
        self.operations.raise(&id.to_bytes(), Floor::Infinite, || {
            self.invalidate(id, Version::MAX);
        });
    }

    fn invalidate(&self, id: &SessionId, below: Version) {
        self.l1.invalidate_in(id.partition(), id.to_bytes(), below);
    }

    /// Ends all sessions that were created until a time of the server.
    pub(crate) fn cut_off(&self, ended_before: ServerTime) {
        // Pairs with the load in `ended_before`: an installation that begins after the locks were
        // passed compares with this cutoff.
        let before = self
            .ended_before
            .fetch_max(ended_before.0, Ordering::AcqRel);
        if before < ended_before.0 {
            self.lease.count_cutoff();
            self.operations.pass_installations();
            self.l1.invalidate_all();
        }
    }

    /// Takes the cutoff of another data set.
    pub(crate) fn reset_cutoff(&self, ended_before: ServerTime) {
        self.ended_before.store(ended_before.0, Ordering::Release);
    }

    /// Returns the revocation cutoff.
    pub(crate) fn ended_before(&self) -> ServerTime {
        ServerTime(self.ended_before.load(Ordering::Acquire))
    }

    /// Enters a use into the queue of touches, if it moved the idle deadline.
    #[inline]
    pub(crate) fn note_use(&self, record: &Record) {
        if record.needs_touch() {
            self.queue_touch(record.id);
        }
    }

    /// Enters an id into the queue of touches.
    #[cold]
    pub(crate) fn queue_touch(&self, id: SessionId) {
        if lock(&self.touches).push(id, self.env.now()) {
            self.wake.notify_one();
        }
    }

    /// Returns what L1 has of a session, and its data, whether or not the lease covers it.
    pub(crate) fn known(&self, id: &SessionId) -> Option<(StoredSession, BytesMut)> {
        let mut data = BytesMut::new();
        let record = self.l1.peek(id, &mut data)?;
        Some((record.to_stored(), data))
    }

    /// Returns the handle of a session, if L1 has it.
    pub(crate) fn known_handle(&self, id: &SessionId) -> Option<Handle> {
        let record = self.l1.peek(id, &mut BytesMut::new())?;
        Some(record.handle())
    }

    /// Calls `work` with the keys of the encryption at rest, if it is on.
    pub(crate) fn with_encryption<T>(&self, work: impl FnOnce(Option<&Encryption>) -> T) -> T {
        let keys = self.encryption.read();
        work(keys.unwrap_or_else(PoisonError::into_inner).as_ref())
    }

    /// Derives the keys of the encryption at rest from the key ring.
    pub(crate) fn renew_encryption(&self) {
        if !self.settings.is_encrypted {
            return;
        }
        let derived = Encryption::derive(&self.l1);
        let encryption = self.encryption.write();
        *encryption.unwrap_or_else(PoisonError::into_inner) = Some(derived);
    }
}

/// Counts a verb in progress.
struct JobGuard(Arc<Inner>);

impl JobGuard {
    /// Returns `None` if there are too many.
    fn new(inner: &Arc<Inner>) -> Option<Self> {
        let more = |number| (number < MAX_IN_FLIGHT).then_some(number + 1);
        // The count orders nothing.
        let counted = inner
            .jobs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.ok().map(|_| Self(Arc::clone(inner)))
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}
