//! A real memcached on a free loopback port, stopped by its process id when dropped.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sessile_memcached::MemcachedStore;

use super::client::Client;

/// A server of its own for a test.
pub struct Server {
    options: Vec<String>,
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server with further options, and waits until it answers. `None` if memcached is not
    /// installed.
    pub fn start(options: &[&str]) -> Option<Self> {
        let mut version = Command::new("memcached");
        version.arg("-V").stdout(Stdio::null());
        if !version.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let port = free_port();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self {
            child: spawn(port, &options),
            options,
            port,
        };
        server.until_ready();
        Some(server)
    }

    /// Kills the process at once.
    pub fn kill(&mut self) {
        // The process is our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the server again after [`kill`](Self::kill), on the same port.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.options);
        self.until_ready();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port)
    }

    /// Returns a store with default settings.
    pub fn store(&self) -> MemcachedStore {
        MemcachedStore::open(&self.url()).expect("a valid URL")
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Stops the process without closing its connections.
    pub fn pause(&self) {
        assert!(self.signal("STOP"), "the process runs");
    }

    pub fn resume(&self) {
        assert!(self.signal("CONT"), "the process runs");
    }

    fn signal(&self, name: &str) -> bool {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        status.is_ok_and(|status| status.success())
    }

    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "memcached does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(port: u16, options: &[String]) -> Child {
    let mut command = Command::new("memcached");
    command
        .args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()])
        .args(options);
    // memcached refuses to run as root unless a user is named.
    let id = Command::new("id").arg("-un").output();
    if let Ok(id) = id {
        command.args(["-u", String::from_utf8_lossy(&id.stdout).trim()]);
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("memcached does not start: {error}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process is our own child. If it has ended, its id may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.signal("CONT");
            self.kill();
        }
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
