//! A Redis server that a test starts, kills and starts again.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{Shop, program, until};
use crate::program::KEY;

/// A server on a free port, stopped when it is dropped.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
    is_durable: bool,
}

impl Redis {
    /// Starts a server that loses its data when it is killed; `None` if there is none to start.
    pub(crate) fn start() -> Option<Self> {
        Self::is_wanted().then(|| Self::open(false))
    }

    /// Starts a server that stores each write on disk before it confirms it; `None` if there is
    /// none to start.
    pub(crate) fn start_durable() -> Option<Self> {
        Self::is_wanted().then(|| Self::open(true))
    }

    fn is_wanted() -> bool {
        let mut version = Command::new("redis-server");
        let version = version.arg("--version").stdout(Stdio::null()).status();
        match env::var("SESSILE_TEST_SERVERS") {
            Ok(list) => list.split(',').any(|name| name == "redis"),
            Err(_) => version.is_ok_and(|status| status.success()),
        }
    }

    fn open(is_durable: bool) -> Self {
        let port = free_port();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{port}"));
        fs::create_dir_all(&folder).expect("target is ours");
        let child = launch(port, &folder, is_durable);
        Self {
            child,
            port,
            folder,
            is_durable,
        }
    }

    /// Opens a shop whose sessions are in this server. All such shops have the same keys.
    pub(crate) fn shop(&self) -> Shop {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let mut program = program(&["--memory", "16MiB", "--store", &url]);
        program.env("SESSILE_KEYS", KEY);
        Shop::opened_by(program)
    }

    /// Kills the server without a warning.
    pub(crate) fn kill(&mut self) {
        // Each call fails only if the server has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the killed server on the same port.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.port, &self.folder, self.is_durable);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        // Leftover files in `target` are harmless.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &Path, is_durable: bool) -> Child {
    let durable = if is_durable { "yes" } else { "no" };
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", durable])
        .args(["--appendfsync", "always"])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server can be started");
    until("the server", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    child
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}
