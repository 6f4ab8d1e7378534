//! Builds the shop from the options, serves it, and shuts it down.
//!
//! Owns the cache, its maintenance thread, the listener and the runtime. The shutdown has this
//! order: new requests are rejected, current requests get [`SHUTDOWN_TIMEOUT`], the robots stop,
//! and the maintenance thread ends.

#[cfg(unix)]
use std::{future::poll_fn, task::Poll};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use sessile::{BuildError, KeyError, KeyRing, SessionCache, SessionCacheBuilder, Timeouts};
use sessile_memcached::MemcachedStore;
use sessile_redis::RedisStore;
use sessile_store::{StoreBuildError, StoreExt};
use sessile_tower::{Cache, SessionLayer, SessionManager};
use tokio::{runtime::Runtime, sync::watch, time};

use crate::{
    format,
    options::{LIFETIME, Options},
    robots::Robots,
    routes::{self, Shop},
    say,
    stats::{EVENT_QUEUE_LEN, INTERVAL, Instruments},
};

/// An error at startup: an invalid setting, or a failure of the operating system.
#[derive(Debug)]
pub(crate) enum StartError {
    Setting(String),
    System(String),
}

/// Starts the shop, prints its address, and serves until Ctrl-C.
pub(crate) fn serve(options: &Options) -> Result<(), StartError> {
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
        // Registered before the greeting is printed, so that a reader of the greeting can stop the
        // shop.
        let signals = Signals::new()?;
        greet(address, options, &cache, origin);
        let router = routes::router(Arc::clone(&shop), sessions(&cache, timeouts));
        until_stopped(signals, listener, shop, router).await
    });
    robots.close();
    drop(runtime);
    drop(maintenance);
    close(&cache);
    say("Stopped.");
    served.map_err(opening("the listener"))
}

fn keys() -> Result<(KeyRing, &'static str), StartError> {
    let (keys, origin) = match KeyRing::from_env(KEYS) {
        Err(KeyError::Unset { .. }) => (KeyRing::generate(), GENERATED),
        given => (given, "from SESSILE_KEYS"),
    };
    let keys = keys.map_err(|wrong| StartError::Setting(format!("{KEYS}: {wrong}")))?;
    Ok((keys, origin))
}

fn build(options: &Options, keys: KeyRing) -> Result<Cache, StartError> {
    let builder = SessionCache::builder()
        .memory(options.memory)
        .idle_timeout(REMEMBERED)
        .lifetime(REMEMBERED)
        .cookie_name("__Host-shop")
        .events(EVENT_QUEUE_LEN)
        .keys(keys);
    match &options.store {
        None => builder
            .build()
            .map(Cache::from)
            .map_err(|wrong| invalid(&wrong)),
        Some(url) => with_store(builder, url),
    }
}

fn with_store(builder: SessionCacheBuilder, url: &str) -> Result<Cache, StartError> {
    let wrong = |wrong: &dyn std::fmt::Display| StartError::Setting(format!("--store: {wrong}"));
    let cache = if url.starts_with("memcached://") {
        let store = MemcachedStore::open(url).map_err(|error| wrong(&error))?;
        // It has no list of devices, so it cannot limit their number.
        builder.max_sessions_per_user(None).store(store)
    } else {
        let store = RedisStore::open(url).map_err(|error| wrong(&error))?;
        builder.store(store)
    };
    match cache {
        Ok(cache) => Ok(cache.into()),
        Err(StoreBuildError::Cache(error)) => Err(invalid(&error)),
        Err(error) => Err(wrong(&error)),
    }
}

fn invalid(wrong: &BuildError) -> StartError {
    let option = match wrong {
        BuildError::Memory { .. } => "--memory: ",
        _ => "",
    };
    StartError::Setting(format!("{option}{wrong}"))
}

/// Sends what is queued for the store.
fn close(cache: &Cache) {
    if let Cache::Tiered(cache) = cache {
        let left = cache.blocking().close(SHUTDOWN_TIMEOUT);
        if left > 0 {
            say(format_args!(
                "{left} ends of sessions did not reach the store."
            ));
        }
    }
}

/// Returns the session layer. The cache's timeouts are those of remembered sessions, and all others
/// are shorter. Plain HTTP is allowed, because the shop listens on the loopback address only.
fn sessions(cache: &Cache, timeouts: Timeouts) -> SessionLayer {
    let manager = SessionManager::builder(cache.clone())
        .timeouts(timeouts)
        .rotate_every(ROTATION)
        .sign_in_page("/sign-in")
        .insecure_http();
    SessionLayer::new(manager.build().expect("the settings are constants"))
}

/// Binds the port before anything is started, so that nothing has to be cleaned up if it is in use.
fn listen(port: u16) -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|wrong| {
        StartError::System(match wrong.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "port {port} is in use; stop the program that listens there, or choose another with \
                     --port (0 means any free one)"
                )
            }
            _ => format!("port {port}: {wrong}"),
        })
    })
}

fn greet(address: SocketAddr, options: &Options, cache: &Cache, origin: &str) {
    let memory = format::mebibytes(options.memory as u64);
    let fit = format::thousands(cache.capacity_for(256) as u64);
    let idle = format::span(options.idle);
    say(format_args!(
        "Holdfast is open at http://{address}/ and its statistics at http://{address}/stats"
    ));
    say(format_args!(
        "  memory    {memory}, fixed: about {fit} sessions of 256 bytes fit"
    ));
    let remembered = format::span(REMEMBERED);
    let end = match cache.store_health() {
        None => "all end when the shop stops",
        Some(_) => "the store keeps them when the shop stops",
    };
    say(format_args!(
        "  sessions  expire {idle} after their last use, remembered ones {remembered} after the \
         sign-in; {end}"
    ));
    say(format_args!("  keys      {origin}"));
    say("  cookies   are not Secure: plain HTTP is for this machine only");
    say("Press Ctrl-C to stop.");
}

/// Serves until a signal, then waits up to [`SHUTDOWN_TIMEOUT`] for current requests.
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
    // After the timeout, dropping the runtime closes the remaining connections.
    let _ = time::timeout(SHUTDOWN_TIMEOUT, server).await;
    Ok(())
}

/// Completes when the sender is dropped.
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

/// Ctrl-C and, on Unix, SIGTERM.
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

fn opening(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |wrong| StartError::System(format!("{what}: {wrong}"))
}

/// The span for which a remembered user remains signed in, used or not.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The age at which an id is rotated.
const ROTATION: Duration = Duration::from_secs(60 * 60);

/// The environment variable with the keys.
const KEYS: &str = "SESSILE_KEYS";

const GENERATED: &str = "generated: sign-ins will not survive a restart";

/// The maximum time that current requests delay the shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
