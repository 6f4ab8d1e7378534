//! From the options to an open shop, and how it closes.
//!
//! Owns the cache, its maintenance thread, the listener and the runtime. They go in this order: no
//! new requests, those under way get a moment, the robots stop, the maintenance thread ends.

#[cfg(unix)]
use std::{future::poll_fn, task::Poll};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use sessile::{BuildError, KeyError, KeyRing, SessionCache, Timeouts};
use sessile_tower::{SessionLayer, SessionManager};
use tokio::{runtime::Runtime, sync::watch, time};

use crate::{
    format,
    options::{LIFETIME, Options},
    robots::Robots,
    routes::{self, Shop},
    say,
    stats::{INTERVAL, Instruments, KEPT},
};

/// Why the shop did not open: a setting to mend, or the machine's refusal.
#[derive(Debug)]
pub(crate) enum Trouble {
    Setting(String),
    Opening(String),
}

/// Opens the shop, says where, and serves until Ctrl-C.
pub(crate) fn serve(options: &Options) -> Result<(), Trouble> {
    let (keys, origin) = keys()?;
    let cache = build(options, keys)?;
    let listener = listen(options.port)?;
    let address = listener.local_addr().map_err(opening("the address"))?;
    let maintenance = cache
        .start_maintenance()
        .map_err(opening("the maintenance thread"))?;
    let runtime = Runtime::new().map_err(opening("the runtime"))?;

    let timeouts = Timeouts::new()
        .idle_timeout(options.idle)
        .lifetime(LIFETIME);
    let robots = Arc::new(Robots::new(options.robots, timeouts));
    let instruments = Instruments::new(options.memory);
    let shop = Arc::new(Shop {
        cache: cache.clone(),
        instruments,
        robots: Arc::clone(&robots),
    });
    let served = runtime.block_on(async {
        // Listened for before the greeting, so that whoever has read it can stop the shop.
        let signals = Signals::new()?;
        greet(address, options, &cache, origin);
        let router = routes::router(Arc::clone(&shop), sessions(&cache, timeouts));
        until_stopped(signals, listener, shop, router).await
    });
    robots.close();
    drop(runtime);
    drop(maintenance);
    say("Closed.");
    served.map_err(opening("the listener"))
}

fn keys() -> Result<(KeyRing, &'static str), Trouble> {
    let (keys, origin) = match KeyRing::from_env(KEYS) {
        Err(KeyError::Unset { .. }) => (KeyRing::generate(), FRESH),
        given => (given, "from SESSILE_KEYS"),
    };
    let keys = keys.map_err(|wrong| Trouble::Setting(format!("{KEYS}: {wrong}")))?;
    Ok((keys, origin))
}

fn build(options: &Options, keys: KeyRing) -> Result<SessionCache, Trouble> {
    let builder = SessionCache::builder()
        .memory(options.memory)
        .idle_timeout(REMEMBERED)
        .lifetime(REMEMBERED)
        .cookie_name("__Host-shop")
        .events(KEPT)
        .keys(keys);
    builder.build().map_err(|wrong| {
        let option = match wrong {
            BuildError::Memory { .. } => "--memory: ",
            _ => "",
        };
        Trouble::Setting(format!("{option}{wrong}"))
    })
}

/// The cache's timeouts are those of visitors who are remembered; all others get shorter ones. On
/// plain HTTP, for the shop listens on the loopback address only.
fn sessions(cache: &SessionCache, timeouts: Timeouts) -> SessionLayer {
    let manager = SessionManager::builder(cache.clone())
        .timeouts(timeouts)
        .rotate_every(ROTATION)
        .sign_in_page("/sign-in")
        .insecure_http();
    SessionLayer::new(manager.build().expect("the settings are constants"))
}

/// Bound before anything is started, so that a taken port leaves nothing to clear away.
fn listen(port: u16) -> Result<TcpListener, Trouble> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|wrong| {
        Trouble::Opening(match wrong.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "port {port} is taken: stop what listens there, or choose another with --port \
                     (0 takes any free one)"
                )
            }
            _ => format!("port {port}: {wrong}"),
        })
    })
}

fn greet(address: SocketAddr, options: &Options, cache: &SessionCache, origin: &str) {
    let memory = format::mebibytes(options.memory as u64);
    let fit = format::thousands(cache.capacity_for(256) as u64);
    let idle = format::span(options.idle);
    say(format_args!(
        "Holdfast is open at http://{address}/ and its engine at http://{address}/stats"
    ));
    say(format_args!(
        "  memory    {memory}, fixed: some {fit} sessions of 256 bytes fit"
    ));
    let remembered = format::span(REMEMBERED);
    say(format_args!(
        "  sessions  end {idle} after their last request, remembered ones {remembered} after the \
         sign-in, and all when the shop closes"
    ));
    say(format_args!("  keys      {origin}"));
    say("  cookies   go without Secure: plain HTTP is for this machine alone");
    say("Ctrl-C closes it.");
}

/// Serves until a signal; then lets open requests finish, but not for longer than [`PATIENCE`].
async fn until_stopped(
    mut signals: Signals,
    listener: TcpListener,
    shop: Arc<Shop>,
    router: Router,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let sampling = tokio::spawn(sample(shop));
    let (stop, stopped) = watch::channel(());
    let server = axum::serve(listener, router).with_graceful_shutdown(stopping(stopped));
    let server = tokio::spawn(async move { server.await });
    signals.stop().await;
    drop(stop);
    sampling.abort();
    // Past the patience, the runtime's end closes what is still open.
    let _ = time::timeout(PATIENCE, server).await;
    Ok(())
}

/// Ends when the other end of the channel is dropped.
async fn stopping(mut stopped: watch::Receiver<()>) {
    let _ = stopped.changed().await;
}

async fn sample(shop: Arc<Shop>) {
    let mut tick = time::interval(INTERVAL);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        shop.instruments.sample(&shop.cache);
    }
}

/// Ctrl-C; on Unix also the signal by which a supervisor asks a program to stop.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            interrupt,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn stop(&mut self) {
        poll_fn(|context| match self.interrupt.poll_recv(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.terminate.poll_recv(context).map(drop),
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn stop(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

fn opening(what: &'static str) -> impl Fn(io::Error) -> Trouble {
    move |wrong| Trouble::Opening(format!("{what}: {wrong}"))
}

/// How long a visitor is kept signed in who asks for that, whether they come by or not.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How old an id gets.
const ROTATION: Duration = Duration::from_secs(60 * 60);

/// Where the keys come from, if it is set.
const KEYS: &str = "SESSILE_KEYS";

const FRESH: &str = "fresh ones: sign-ins will not survive a restart";

/// How long a request under way may hold up the end.
const PATIENCE: Duration = Duration::from_secs(2);
