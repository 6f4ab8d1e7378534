//! The wake-ups of an event loop: a queue that the thread of a store fills, and a socket that the
//! loop watches.
//!
//! Invariant: while the queue has a ticket, the socket has a byte or the loop is about to take the
//! queue. The writer needs no interpreter lock. The module does not know what a ticket is for.

use std::{
    io::{ErrorKind, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
    task::{Wake, Waker},
};

use parking_lot::Mutex;
use pyo3::prelude::*;

/// The wake-ups of one event loop.
#[pyclass(frozen, name = "_Wakeups", module = "sessile._sessile")]
pub(crate) struct Wakeups {
    reader: UnixStream,
    queue: Arc<Queue>,
}

struct Queue {
    tickets: Mutex<Vec<u64>>,
    writer: UnixStream,
}

#[pymethods]
impl Wakeups {
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let queue = Arc::new(Queue {
            tickets: Mutex::default(),
            writer,
        });
        Ok(Self { reader, queue })
    }

    /// Returns the descriptor that is readable while there are tickets.
    fn fileno(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// Returns the tickets that were added since the last call.
    fn take(&self) -> Vec<u64> {
        // Before the queue is taken: a ticket that is added in between is in the queue, and its
        // byte makes the loop look once more.
        self.drain();
        core::mem::take(&mut *self.queue.tickets.lock())
    }
}

impl Wakeups {
    /// Returns a waker that adds a ticket.
    pub(crate) fn waker(&self, ticket: u64) -> Waker {
        Waker::from(Arc::new(Ticket {
            queue: Arc::clone(&self.queue),
            number: ticket,
        }))
    }

    fn drain(&self) {
        let mut bytes = [0; 64];
        loop {
            match (&self.reader).read(&mut bytes) {
                Ok(len) if len == bytes.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

struct Ticket {
    queue: Arc<Queue>,
    number: u64,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        let mut tickets = self.queue.tickets.lock();
        let is_first = tickets.is_empty();
        tickets.push(self.number);
        drop(tickets);
        if is_first {
            // A full socket is readable as well. A closed one belongs to a loop that is gone.
            let _ = (&self.queue.writer).write(&[0]);
        }
    }
}
