//! One run of `wrk`, with a script that sends each session's cookie in turn and prints the figures
//! on one line.

use std::{env, fs, io, path::PathBuf, process};

use super::child::{Pin, Server};

/// The name of the program and of its Debian package.
pub(crate) const WRK: &str = "wrk";

/// The script for one server, in a file that is removed on drop.
pub(crate) struct Script(PathBuf);

/// Figures of a run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Latency in µs: p50, p99, p99.9.
    pub(crate) latency: [f64; 3],
}

impl Script {
    pub(crate) fn new(server: &Server) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("sessile-{}-{}.lua", process::id(), server.port));
        let cookies: Vec<_> = server
            .cookies
            .iter()
            .map(|cookie| format!("{cookie:?}"))
            .collect();
        fs::write(
            &path,
            format!("local cookies = {{ {} }}\n{LUA}", cookies.join(", ")),
        )?;
        Ok(Self(path))
    }

    /// Loads the route for `seconds` seconds. Returns an error if any request failed or its status
    /// was not 200.
    pub(crate) fn run(&self, url: &str, seconds: u32, pin: &Pin) -> io::Result<Load> {
        let output = pin
            .command(pin.client, WRK)
            .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            // Longer than any pause of a busy machine.
            .args(["--timeout", "30s", "--script"])
            .arg(&self.0)
            .arg(url)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures = text.lines().find_map(|line| line.strip_prefix("figures "));
        let figures = figures.unwrap_or_default().split(' ').map(str::parse);
        match figures.collect::<Result<Vec<f64>, _>>().as_deref() {
            Ok(&[requests, micros, p50, p99, p999, 0.0]) => Ok(Load {
                requests: requests as u64,
                seconds: micros / 1e6,
                latency: [p50, p99, p999],
            }),
            _ => Err(io::Error::other(format!("wrk on {url} said: {text}"))),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // A leftover temporary file is harmless.
        let _ = fs::remove_file(&self.0);
    }
}

/// Enough to keep the server busy at all times.
pub(crate) const CONNECTIONS: u64 = 32;

/// Callbacks of wrk: `init` once, `request` for each request, `done` at the end.
const LUA: &str = r#"
local requests, turn = {}, 0

function init(arguments)
    for at, cookie in ipairs(cookies) do
        requests[at] = wrk.format(nil, nil, { Host = wrk.headers.Host, Cookie = cookie })
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format("figures %d %d %d %d %d %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;
