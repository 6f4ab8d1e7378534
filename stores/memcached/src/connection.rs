//! A connection: commands of many calls are sent without waiting for each other's replies.
//!
//! Owns the socket, the bytes that it did not take yet, and the calls that wait. Invariant: each
//! reply is given to the call whose command has its number; a reply that does not fit closes the
//! connection, and so does a call that stops waiting. It does not know what a command does.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Buf, BytesMut};
use sessile_store::StoreError;
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{Notify, oneshot},
};

use crate::meta::{Commands, Failure, Line, Reply, parse};

/// A connection to the server. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Handle>);

struct Handle(Arc<Shared>);

struct Shared {
    socket: TcpStream,
    state: Mutex<State>,
    /// There are bytes to send, or the connection is closed.
    wake: Notify,
    /// Notified when the connection is closed.
    lost: Arc<Notify>,
    is_closed: AtomicBool,
    /// The server sent what is not of the protocol.
    is_foreign: AtomicBool,
}

#[derive(Default)]
struct State {
    unsent: BytesMut,
    waiting: VecDeque<Waiting>,
}

/// A call that waits for its replies.
struct Waiting {
    expected: Expected,
    lines: Vec<Line>,
    sender: oneshot::Sender<Vec<Line>>,
}

/// The lines that answer a call.
enum Expected {
    /// One for each command, which are numbered.
    Replies { next: u32, left: usize },
    /// One line.
    Line,
    /// All lines until `END`.
    List,
}

impl Connection {
    /// Starts a task that serves a socket.
    pub(crate) fn start(socket: TcpStream, lost: Arc<Notify>) -> Self {
        let shared = Arc::new(Shared {
            socket,
            state: Mutex::default(),
            wake: Notify::new(),
            lost,
            is_closed: AtomicBool::new(false),
            is_foreign: AtomicBool::new(false),
        });
        tokio::spawn(serve(Arc::clone(&shared)));
        Self(Arc::new(Handle(shared)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.0.is_closed()
    }

    /// Returns true if the server sent what is not of the protocol.
    pub(crate) fn is_foreign(&self) -> bool {
        // Set before the calls that wait fail.
        self.0.0.is_foreign.load(Ordering::Acquire)
    }

    /// Closes the connection. The calls that wait fail.
    pub(crate) fn close(&self) {
        self.0.0.close();
    }

    /// Sends commands and returns a reply for each.
    pub(crate) async fn call(&self, commands: &Commands) -> Result<Vec<Reply>, StoreError> {
        let expected = Expected::Replies {
            next: commands.first(),
            left: commands.len(),
        };
        let lines = self.exchange(commands.bytes(), expected).await?;
        lines.into_iter().map(reply).collect()
    }

    /// Returns the version of the server.
    pub(crate) async fn version(&self) -> Result<String, StoreError> {
        let lines = self.exchange(b"version\r\n", Expected::Line).await?;
        match lines.into_iter().next() {
            Some(Line::Version(version)) => Ok(version),
            Some(Line::Failed(failure)) => Err(failed(failure)),
            _ => Err(unexpected()),
        }
    }

    /// Returns a setting of the server.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let lines = self.exchange(b"stats settings\r\n", Expected::List).await?;
        let mut values = lines.into_iter().filter_map(|line| match line {
            Line::Stat(stat, value) if stat == name => Some(value),
            _ => None,
        });
        Ok(values.next())
    }

    async fn exchange(&self, bytes: &[u8], expected: Expected) -> Result<Vec<Line>, StoreError> {
        let shared = &self.0.0;
        let (sender, receiver) = oneshot::channel();
        let mut guard = CloseUnlessDone {
            shared,
            is_done: false,
        };
        shared.send(bytes, expected, sender)?;
        let lines = receiver.await;
        guard.is_done = true;
        lines.map_err(|_| closed())
    }
}

/// Closes the connection of a call that stops waiting, so that a command which the server has not
/// received is never sent again.
struct CloseUnlessDone<'a> {
    shared: &'a Shared,
    is_done: bool,
}

impl Drop for CloseUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.close();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of it is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        // Pairs with the store in `close`.
        self.is_closed.load(Ordering::Acquire)
    }

    /// Sends bytes, or keeps those that the socket does not take for the task.
    fn send(
        &self,
        bytes: &[u8],
        expected: Expected,
        sender: oneshot::Sender<Vec<Line>>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        if self.is_closed() || state.unsent.len() > MAX_UNSENT {
            return Err(closed());
        }
        state.waiting.push_back(Waiting {
            expected,
            lines: Vec::new(),
            sender,
        });
        let sent = match state.unsent.is_empty() {
            true => self.socket.try_write(bytes).unwrap_or(0),
            false => 0,
        };
        if sent < bytes.len() {
            // An error of the socket is met again by the task.
            state.unsent.extend_from_slice(&bytes[sent..]);
            self.wake.notify_one();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        while !state.unsent.is_empty() {
            match self.socket.try_write(&state.unsent) {
                Ok(sent) => state.unsent.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has arrived, and gives complete lines to the calls that wait.
    fn receive(&self, arrived: &mut BytesMut) -> io::Result<()> {
        loop {
            arrived.reserve(READ_LEN);
            match self.socket.try_read_buf(arrived) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(line) = parse(arrived).map_err(|_| ErrorKind::InvalidData)? {
                self.deliver(line)?;
            }
        }
    }

    fn deliver(&self, line: Line) -> io::Result<()> {
        let is_fatal = matches!(line, Line::Failed(Failure::Rejected(_)));
        let mut state = self.state();
        let first = state.waiting.front_mut();
        let first = first.ok_or(io::Error::from(ErrorKind::InvalidData))?;
        let is_complete = first.take(line)?;
        if is_complete && let Some(done) = state.waiting.pop_front() {
            // The call may have stopped waiting.
            let _ = done.sender.send(done.lines);
        }
        match is_fatal {
            true => Err(ErrorKind::InvalidData.into()),
            false => Ok(()),
        }
    }

    /// Closes the connection. What was not sent is dropped, also by the operating system.
    fn close(&self) {
        // Pairs with the loads in `is_closed`.
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        // A connection that is broken already cannot be set.
        let _ = self.socket.set_zero_linger();
        let failed = {
            let mut state = self.state();
            state.unsent.clear();
            mem::take(&mut state.waiting)
        };
        // The calls see that their senders are gone.
        drop(failed);
        self.wake.notify_one();
        self.lost.notify_one();
    }
}

impl Waiting {
    /// Takes a line. Returns true if it was the last one.
    fn take(&mut self, line: Line) -> io::Result<bool> {
        let is_complete = match (&mut self.expected, &line) {
            (Expected::Replies { next, left }, Line::Reply(reply)) => {
                if reply.opaque != Some(*next) {
                    return Err(ErrorKind::InvalidData.into());
                }
                *next = next.wrapping_add(1);
                *left -= 1;
                *left == 0
            }
            // Such a line has no number, and takes the place of a reply.
            (Expected::Replies { next, left }, Line::Failed(_)) => {
                *next = next.wrapping_add(1);
                *left -= 1;
                *left == 0
            }
            (Expected::Replies { .. }, _) => return Err(ErrorKind::InvalidData.into()),
            (Expected::Line, _) => true,
            (Expected::List, Line::Stat(..)) if self.lines.len() < MAX_LIST => false,
            (Expected::List, Line::End | Line::Failed(_)) => true,
            (Expected::List, _) => return Err(ErrorKind::InvalidData.into()),
        };
        self.lines.push(line);
        Ok(is_complete)
    }
}

/// Runs until the connection is closed.
async fn serve(shared: Arc<Shared>) {
    let mut arrived = BytesMut::new();
    while !shared.is_closed() {
        let interest = match shared.state().unsent.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let served = tokio::select! {
            ready = shared.socket.ready(interest) => match ready {
                Ok(_) => shared.flush().and_then(|()| shared.receive(&mut arrived)),
                Err(error) => Err(error),
            },
            () = shared.wake.notified() => Ok(()),
        };
        if let Err(error) = served {
            let is_foreign = error.kind() == ErrorKind::InvalidData;
            // Pairs with the load in `is_foreign`.
            shared.is_foreign.store(is_foreign, Ordering::Release);
            break;
        }
    }
    shared.close();
}

fn reply(line: Line) -> Result<Reply, StoreError> {
    match line {
        Line::Reply(reply) => Ok(reply),
        Line::Failed(failure) => Err(failed(failure)),
        _ => Err(unexpected()),
    }
}

fn failed(failure: Failure) -> StoreError {
    let text = match failure {
        Failure::Full => return StoreError::Full,
        Failure::Server(text) => format!("the server failed: {text}"),
        Failure::Rejected(text) if text.contains("unauthenticated") => {
            let text = "the server must not ask for authentication, which is not supported";
            return StoreError::Incompatible(text.into());
        }
        Failure::Rejected(text) => format!("the server rejected a command: {text}"),
    };
    StoreError::Unreachable(text.into())
}

pub(crate) fn unexpected() -> StoreError {
    StoreError::Unreachable("the server sent a reply of another shape".into())
}

fn closed() -> StoreError {
    StoreError::Unreachable("the connection was closed".into())
}

/// The bytes that wait for the socket before further calls fail.
const MAX_UNSENT: usize = 64 << 20;
/// The room for each read of the socket, in bytes.
const READ_LEN: usize = 16 << 10;
/// The most lines of a list.
const MAX_LIST: usize = 1_000;
