//! A TCP proxy whose connections can be delayed, stalled, cut and refused, each kind of connection
//! and each direction by itself.
//!
//! A connection is recognised by its first commands: the channel subscribes, or asks memcached for
//! its version; the reads ask for `INFO`; all others are writes. The proxy also keeps what the
//! clients sent, for tests that look for secrets.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::Instant,
};

/// The kinds of connection of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Channel,
    Reads,
    Writes,
}

/// The direction in which bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Towards {
    Node,
    Server,
}

/// The treatment of the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Pass,
    /// Each byte arrives later by a time, and by a random part of a second time.
    Delay(Duration, Duration),
    /// Nothing is read any more: the connection is half-open.
    Stall,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Its tasks end with it.
    _runtime: Runtime,
}

struct Shared {
    upstream: AtomicU16,
    rules: watch::Sender<Rules>,
    sent: Mutex<Vec<u8>>,
    seed: AtomicU64,
}

#[derive(Clone, Default)]
struct Rules {
    behaviours: HashMap<(Lane, Towards), Behaviour>,
    /// The number of cuts of each kind of connection: a connection ends when it rises.
    cuts: HashMap<Lane, u64>,
    is_refusing: bool,
    replaced: Option<(&'static [u8], &'static [u8])>,
}

impl Rules {
    fn cuts(&self, lane: Lane) -> u64 {
        self.cuts.get(&lane).copied().unwrap_or_default()
    }
}

impl Proxy {
    /// Starts a proxy before a port of loopback.
    pub fn start(upstream: u16) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            rules: watch::Sender::new(Rules::default()),
            sent: Mutex::default(),
            seed: AtomicU64::new(SEED),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            port,
            shared,
            _runtime: runtime,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets how the bytes of one direction are treated, for present and future connections.
    pub fn set(&self, lane: Lane, towards: Towards, behaviour: Behaviour) {
        self.change(|rules| {
            rules.behaviours.insert((lane, towards), behaviour);
        });
    }

    /// Resets the connections of a kind.
    pub fn cut(&self, lane: Lane) {
        self.change(|rules| *rules.cuts.entry(lane).or_default() += 1);
    }

    /// Sets whether new connections are closed at once.
    pub fn refuse(&self, is_refusing: bool) {
        self.change(|rules| rules.is_refusing = is_refusing);
    }

    /// Sends new connections to another port.
    pub fn redirect(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Relaxed);
    }

    /// Replaces bytes of the server by others of the same length.
    pub fn replace(&self, from: &'static str, by: &'static str) {
        assert_eq!(from.len(), by.len());
        self.change(|rules| rules.replaced = Some((from.as_bytes(), by.as_bytes())));
    }

    /// Returns all bytes that clients sent.
    pub fn sent(&self) -> Vec<u8> {
        self.shared.sent.lock().expect("no thread panicked").clone()
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.rules.send_modify(change);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if shared.rules.borrow().is_refusing {
                return reset([&client]);
            }
            let upstream = ("127.0.0.1", shared.upstream.load(Relaxed));
            match TcpStream::connect(upstream).await {
                Ok(server) => relay(client, server, shared).await,
                Err(_) => reset([&client]),
            }
        });
    }
}

/// Copies both directions until one side closes or the connection is cut.
async fn relay(mut client: TcpStream, mut server: TcpStream, shared: Arc<Shared>) {
    for stream in [&client, &server] {
        // A delay comes from the rules only.
        let _ = stream.set_nodelay(true);
    }
    let lane = watch::Sender::new(Lane::Writes);
    let is_cut = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let up = Pump::new(Towards::Server, &lane, &shared);
        let down = Pump::new(Towards::Node, &lane, &shared);
        tokio::select! {
            () = up.run(client_read, server_write) => false,
            () = down.run(server_read, client_write) => false,
            () = until_cut(&lane, &shared) => true,
        }
    };
    if is_cut {
        reset([&client, &server]);
    }
}

async fn until_cut(lane: &watch::Sender<Lane>, shared: &Shared) {
    let mut rules = shared.rules.subscribe();
    let before = rules.borrow().cuts.clone();
    loop {
        let lane = *lane.borrow();
        let first = before.get(&lane).copied().unwrap_or_default();
        if rules.borrow_and_update().cuts(lane) > first {
            return;
        }
        if rules.changed().await.is_err() {
            return;
        }
    }
}

/// Makes the connections end with a reset instead of an orderly close.
fn reset<const N: usize>(streams: [&TcpStream; N]) {
    for stream in streams {
        let _ = stream.set_zero_linger();
    }
}

/// One direction of a connection.
struct Pump<'a> {
    towards: Towards,
    lane: &'a watch::Sender<Lane>,
    shared: &'a Shared,
}

impl<'a> Pump<'a> {
    fn new(towards: Towards, lane: &'a watch::Sender<Lane>, shared: &'a Shared) -> Self {
        Self {
            towards,
            lane,
            shared,
        }
    }

    async fn run(&self, from: ReadHalf<'_>, to: WriteHalf<'_>) {
        let (sender, receiver) = mpsc::channel(64);
        // Either error means that a side is closed.
        let _ = tokio::try_join!(self.read(from, sender), self.write(to, receiver));
    }

    async fn read(
        &self,
        mut from: ReadHalf<'_>,
        chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            self.until_unstalled().await;
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.inspect(&buffer[..len]);
            self.replace(&mut buffer[..len]);
            let due = Instant::now() + self.delay();
            let chunk = (due, buffer[..len].to_vec());
            chunks.send(chunk).await.map_err(io::Error::other)?;
        }
    }

    async fn write(
        &self,
        mut to: WriteHalf<'_>,
        mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            // What was read before the stall is held too.
            self.until_unstalled().await;
            to.write_all(&chunk).await?;
        }
        Ok(())
    }

    async fn until_unstalled(&self) {
        let mut rules = self.shared.rules.subscribe();
        while self.behaviour() == Behaviour::Stall {
            if rules.changed().await.is_err() {
                return;
            }
        }
    }

    fn behaviour(&self) -> Behaviour {
        let key = (*self.lane.borrow(), self.towards);
        let rules = self.shared.rules.borrow();
        rules.behaviours.get(&key).copied().unwrap_or_default()
    }

    fn delay(&self) -> Duration {
        match self.behaviour() {
            Behaviour::Delay(span, jitter) => span + jitter.mul_f64(self.random()),
            Behaviour::Pass | Behaviour::Stall => Duration::ZERO,
        }
    }

    /// Returns a number of [0, 1) from a fixed seed (Weyl sequence).
    fn random(&self) -> f64 {
        let word = self.shared.seed.fetch_add(SEED, Relaxed).wrapping_mul(SEED);
        (word >> 40) as f64 / (1u64 << 24) as f64
    }

    fn replace(&self, bytes: &mut [u8]) {
        let Some((from, by)) = self.shared.rules.borrow().replaced else {
            return;
        };
        let found = bytes.windows(from.len()).position(|window| window == from);
        if let (Towards::Node, Some(at)) = (self.towards, found) {
            bytes[at..at + by.len()].copy_from_slice(by);
        }
    }

    fn inspect(&self, bytes: &[u8]) {
        if self.towards == Towards::Node {
            return;
        }
        let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        if contains(b"SSUBSCRIBE") || bytes.starts_with(b"version\r\n") {
            self.lane.send_replace(Lane::Channel);
        } else if contains(b"\nINFO\r\n") {
            self.lane.send_replace(Lane::Reads);
        }
        let mut sent = self.shared.sent.lock().expect("no thread panicked");
        if sent.len() < MAX_KEPT {
            sent.extend_from_slice(bytes);
        }
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// The most bytes that are kept of what clients sent.
const MAX_KEPT: usize = 16 << 20;
