//! Three Sentinels that watch one primary.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::server::{Server, free_port};

/// Three Sentinels, stopped when dropped.
pub struct Sentinels {
    children: Vec<Child>,
    ports: Vec<u16>,
    _folder: TempDir,
}

impl Sentinels {
    pub fn start(kind: &str, primary: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let start = |port: &u16| {
            let file = folder.path().join(format!("{port}.conf"));
            let settings = format!(
                "port {port}\nbind 127.0.0.1\n\
                 sentinel monitor main 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds main 1000\n\
                 sentinel failover-timeout main 5000\n",
                primary.port()
            );
            fs::write(&file, settings).expect("the folder is ours");
            Command::new(format!("{kind}-server"))
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .spawn()
                .expect("the server is installed")
        };
        let sentinels = Self {
            children: ports.iter().map(start).collect(),
            ports,
            _folder: folder,
        };
        sentinels.until_ready();
        sentinels
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }

    /// Waits until each Sentinel knows the replica and the two others.
    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_ready = |port: &u16| {
            let client = redis::Client::open(("127.0.0.1", *port)).expect("an address");
            let info: redis::RedisResult<String> = client
                .get_connection()
                .and_then(|mut open| redis::cmd("INFO").arg("sentinel").query(&mut open));
            info.is_ok_and(|info| info.contains("slaves=1,sentinels=3"))
        };
        while !self.ports.iter().all(is_ready) {
            assert!(
                Instant::now() < deadline,
                "the Sentinels do not find each other"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Each is our own child.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
