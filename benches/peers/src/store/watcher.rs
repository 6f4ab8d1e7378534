//! A second process with a node, which watches until it rejects a session that this process ends,
//! or until a bare message arrives.
//!
//! The child is this program with a hidden argument. It reads one command a line, and answers with
//! two lines: the first once it watches, the second with the time at which it saw the change. If it
//! could not open the session, it answers with one line. Both processes read the machine's
//! monotonic clock.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use bytes::BytesMut;
use rustix::time::{ClockId, clock_gettime};
use sessile_store::{LookUp, TieredCache};

use super::{DATA_LEN, bare::Bare, node};

/// The argument that makes this program a watcher: `watch URL`.
pub(crate) const WATCH: &str = "watch";

/// A child that runs until this is dropped.
pub(super) struct Watcher {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Watcher {
    /// Starts the process. Its node is up when the first command is answered.
    pub(super) fn start(url: &str) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args([WATCH, url]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be started");
        let commands = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            commands,
            answers,
        }
    }

    /// Makes the other process open a session. Returns true once it watches the session, and false
    /// if the store did not answer it in time.
    pub(super) fn watch_session(&mut self, token: &str) -> bool {
        self.watch(&format!("{SESSION} {token}"))
    }

    /// Returns once the other process watches for a bare message.
    pub(super) fn watch_messages(&mut self) {
        assert!(self.watch(MESSAGE));
    }

    fn watch(&mut self, command: &str) -> bool {
        writeln!(self.commands, "{command}").expect("the watcher runs");
        self.answer() == READY
    }

    /// Returns the time at which the other process saw the change, in ns, as [`now`].
    pub(super) fn seen(&mut self) -> u64 {
        self.answer().parse().expect("it sends a time")
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "the watcher has ended");
        line.truncate(line.trim_end().len());
        line
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The process is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the machine's monotonic time in ns: the same in all processes.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Executes the commands on standard input, and exits when it is closed.
///
/// # Errors
/// Those of standard output.
pub(crate) fn watch(url: &str) -> io::Result<()> {
    let cache = node(url);
    let subscriber = Bare::connect(url);
    subscriber.subscribe();
    for command in commands() {
        let at = match command.split_once(' ') {
            Some((SESSION, token)) => await_end(&cache, token.as_bytes())?,
            _ => Some(await_message(&subscriber)?),
        };
        answer(&at.map_or(FAILED.to_owned(), |at| at.to_string()))?;
    }
    Ok(())
}

/// Reads commands on a thread, so that this process ends with its parent while it watches.
fn commands() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            // The receiver lives as long as the process.
            let _ = sender.send(line);
        }
        process::exit(0);
    });
    receiver
}

/// Opens a session, so that it is in memory, and watches until it is rejected. Returns `None` if
/// the store did not answer in time.
fn await_end(cache: &TieredCache, token: &[u8]) -> io::Result<Option<u64>> {
    let mut data = BytesMut::new();
    match cache.blocking().open_token(token, &mut data) {
        Ok(opened) => assert!(opened.is_some() && data.len() == DATA_LEN),
        Err(_) => return Ok(None),
    }
    answer(READY)?;
    loop {
        while matches!(cache.try_open_token(token, &mut data), LookUp::Hit(_)) {
            thread::yield_now();
        }
        let at = now();
        // Without a lease, L1 does not answer for a session that is still open.
        if let Ok(None) = cache.blocking().open_token(token, &mut data) {
            return Ok(Some(at));
        }
    }
}

fn await_message(subscriber: &Bare) -> io::Result<u64> {
    let before = subscriber.received();
    answer(READY)?;
    while subscriber.received() == before {
        thread::yield_now();
    }
    Ok(now())
}

fn answer(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

const SESSION: &str = "session";
const MESSAGE: &str = "message";
const READY: &str = "ready";
const FAILED: &str = "failed";
