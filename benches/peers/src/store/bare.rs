//! Bare commands through a thread with a runtime, as a node sends its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::server::open_client;

/// A thread with a connection.
pub(super) struct Bare {
    handle: Handle,
    connection: MultiplexedConnection,
    /// The number of messages that have arrived.
    received: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Bare {
    pub(super) fn connect(url: &str) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            sender
                .send(runtime.handle().clone())
                .expect("it is awaited");
            let _ = runtime.block_on(stopped);
        });
        let handle: Handle = receiver.recv().expect("the thread runs");
        let received = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&received);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::SMessage {
                // Pairs with the load in `received`.
                counted.fetch_add(1, Ordering::Release);
            }
            Ok::<_, redis::aio::SendError>(())
        });
        let client = open_client(url);
        let connection = on(&handle, async move {
            let connect = client.get_multiplexed_async_connection_with_config(&config);
            connect.await.expect("the server is reachable")
        });
        Self {
            handle,
            connection,
            received,
            _stop: stop,
        }
    }

    /// Sends a command and waits for its reply.
    pub(super) fn call(&self, words: &[&[u8]]) -> Value {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let mut connection = self.connection.clone();
        on(&self.handle, async move {
            let reply = command.query_async(&mut connection);
            reply.await.expect("the server answers")
        })
    }

    pub(super) fn subscribe(&self) {
        self.call(&[b"SSUBSCRIBE", CHANNEL]);
    }

    /// Publishes a message as long as that of an end.
    pub(super) fn publish(&self) {
        self.call(&[b"SPUBLISH", CHANNEL, &[b'X'; 33]]);
    }

    /// Returns the number of messages that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }
}

/// Runs a future on a thread, and waits for its result.
fn on<T: Send + 'static>(handle: &Handle, future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    handle.spawn(async move {
        // The receiver waits.
        let _ = sender.send(future.await);
    });
    receiver.recv().expect("the thread runs")
}

/// Longer than any pause of a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const CHANNEL: &[u8] = b"bench:{00}:c";
