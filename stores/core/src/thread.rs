//! The thread on which a tiered cache talks to its store.
//!
//! Owns a thread and its runtime, which end with this. It does not know the tasks that run there.

use std::{
    io,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use crate::{environment::Environment, store::BoxFuture};

/// A thread with a runtime. It stops, with its tasks, when this is dropped.
pub(crate) struct IoThread {
    handle: Handle,
    /// Dropping it stops the thread.
    _stop: oneshot::Sender<()>,
}

/// Time and tasks of an [`IoThread`].
pub(crate) struct IoEnvironment {
    handle: Handle,
    start: Instant,
}

impl IoThread {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = mpsc::channel();
        let work = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = sender.send(Ok(runtime.handle().clone()));
                run(&runtime, stopped);
            }
            Err(error) => {
                let _ = sender.send(Err(error));
            }
        };
        thread::Builder::new()
            .name("sessile-store".to_owned())
            .spawn(work)?;
        let handle = receiver.recv().map_err(io::Error::other)??;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }

    /// Returns the environment of tasks on this thread.
    pub(crate) fn environment(&self) -> IoEnvironment {
        IoEnvironment {
            handle: self.handle.clone(),
            start: Instant::now(),
        }
    }
}

fn run(runtime: &Runtime, stopped: oneshot::Receiver<()>) {
    // The sender is never used, only dropped.
    let _ = runtime.block_on(stopped);
}

impl Environment for IoEnvironment {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep(span).await })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(task));
    }
}
