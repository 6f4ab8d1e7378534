//! A process that is told to stop while ends are queued.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use sessile::{Error, KeyRing, SessionCache};
use sessile_redis::RedisStore;
use sessile_store::StoreExt;

use crate::support::{
    node::{LEASE, permit, url},
    proxy::{Behaviour, Lane, Proxy, Towards},
    server::{self, Server},
};

const URL: &str = "SESSILE_RIG_URL";
const ENDS: usize = 10;

#[test]
fn a_process_that_stops_sends_its_queued_ends_or_reports_their_number() {
    for kind in server::kinds() {
        for (is_up, expected) in [(true, 0), (false, ENDS)] {
            let mut server = Server::start(kind, &[]);
            permit(&server);
            let proxy = Proxy::start(server.port());
            let mut program = Program::start(proxy.port());
            program.until("created");
            proxy.set(Lane::Writes, Towards::Node, Behaviour::Stall);
            program.proceed();
            assert_eq!(program.until("queued"), ENDS.to_string());
            if is_up {
                proxy.set(Lane::Writes, Towards::Node, Behaviour::Pass);
            } else {
                server.kill();
            }
            program.terminate();
            let unconfirmed = program.until("unconfirmed");
            assert_eq!(unconfirmed, expected.to_string(), "{kind}, up: {is_up}");
            if is_up {
                let keys = server.command(&["DBSIZE"]);
                assert_eq!(keys, "1", "{kind}: only the data of the data set are left");
            }
        }
    }
}

/// The process that is told to stop. It is this binary, with another test.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(port: u16) -> Self {
        let binary = env::current_exe().expect("this binary");
        let mut child = Command::new(binary)
            .args(["--exact", "shutdown::program", "--ignored", "--nocapture"])
            .env(URL, url(port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, output }
    }

    /// Reads until a line that begins with a word, and returns the rest of the line.
    fn until(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("it prints text") > 0 {
            if let Some((_, rest)) = line.split_once(&format!("rig: {word}")) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the process ended before it printed {word}");
    }

    fn proceed(&mut self) {
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("it reads");
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the process that another test starts"]
fn program() {
    let store = RedisStore::open(&env::var(URL).expect("another test starts this")).expect("a URL");
    let cache = SessionCache::builder()
        .memory(16 << 20)
        .keys(KeyRing::generate().expect("random bytes"))
        .tiered(store)
        .lease(LEASE)
        .build()
        .expect("valid settings");
    let verbs = cache.blocking();
    let sessions: Vec<_> = (0..ENDS)
        .map(|_| verbs.create(b"cart").expect("the store is up"))
        .collect();
    println!("rig: created");
    let _ = std::io::stdin().read_line(&mut String::new());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut signal = {
        let _context = runtime.enter();
        let kind = tokio::signal::unix::SignalKind::terminate();
        tokio::signal::unix::signal(kind).expect("a handler")
    };
    for session in &sessions {
        assert_eq!(verbs.end(&session.id), Err(Error::Unreachable));
    }
    println!("rig: queued {}", cache.store_health().ends_queued);
    runtime.block_on(signal.recv());
    let unconfirmed = runtime.block_on(cache.close(Duration::from_secs(3)));
    println!("rig: unconfirmed {unconfirmed}");
}
