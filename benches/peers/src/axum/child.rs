//! A server in a separate process, on one core, and a client for it.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
};

use super::{COOKIE, SESSIONS, server::SERVE};

/// A server that runs until this is dropped, and the cookies of its sessions.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// Values for a `Cookie` field; placeholders if the server has no sessions.
    pub(crate) cookies: Vec<String>,
}

impl Server {
    /// Starts a server, with the URL of its store if it has one, and its sessions.
    pub(crate) fn start(name: &str, store: Option<&str>, pin: &Pin) -> io::Result<Self> {
        let mut command = pin.command(pin.server, env::current_exe()?.as_os_str());
        command
            .args([SERVE, name])
            .args(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut server = Self {
            child: command.spawn()?,
            port: 0,
            cookies: Vec::new(),
        };
        let mut line = String::new();
        if let Some(output) = server.child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        server.port = line.trim().parse().map_err(io::Error::other)?;
        let mut visitor = server.visitor()?;
        for number in 0..SESSIONS {
            let (head, _) = visitor.get("/start", None)?;
            server
                .cookies
                .push(cookie(&head).unwrap_or_else(|| made_up(number)));
        }
        Ok(server)
    }

    /// Returns the response of a route to the client of the first session.
    pub(crate) fn answer(&self, path: &str) -> io::Result<String> {
        Ok(self.visitor()?.get(path, self.cookies.first())?.1)
    }

    /// Returns the sum of the counters in the sessions.
    pub(crate) fn visits(&self) -> io::Result<u64> {
        let mut visitor = self.visitor()?;
        let mut visits = |cookie| {
            visitor
                .get("/visits", Some(cookie))?
                .1
                .parse::<u64>()
                .map_err(io::Error::other)
        };
        self.cookies.iter().map(&mut visits).sum()
    }

    /// Returns the CPU time of the server's threads in nanoseconds; zero if the system does not
    /// report it.
    pub(crate) fn ran(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = threads.into_iter().flatten().flatten();
        let ran = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        ran.sum()
    }

    fn visitor(&self) -> io::Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        Ok(Client(BufReader::new(stream)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cores of the server, of wrk, and of the store, if they can be pinned.
#[derive(Clone, Copy)]
pub(crate) struct Pin {
    pub(crate) server: Option<usize>,
    pub(crate) client: Option<usize>,
    /// A third core, or that of wrk.
    pub(crate) store: Option<usize>,
}

impl Pin {
    /// Returns cores of this process, if there are two and `taskset` is installed.
    pub(crate) fn new() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let mut cores = cores(list.unwrap_or_default().trim()).into_iter();
        let (server, client) = (cores.next(), cores.next());
        let is_pinned = client.is_some() && is_there("taskset");
        let pinned = |core: Option<usize>| core.filter(|_| is_pinned);
        Self {
            server: pinned(server),
            client: pinned(client),
            store: pinned(cores.next().or(client)),
        }
    }

    /// Moves all threads of a process to the core.
    pub(crate) fn move_process(&self, core: Option<usize>, process: u32) -> io::Result<()> {
        let Some(core) = core else {
            return Ok(());
        };
        let mut command = Command::new("taskset");
        command.args(["-a", "-c", "-p", &core.to_string(), &process.to_string()]);
        match command.output()?.status.success() {
            true => Ok(()),
            false => Err(io::Error::other("the store could not be pinned")),
        }
    }

    /// Creates a command that runs on the core.
    pub(crate) fn command(
        &self,
        core: Option<usize>,
        program: impl AsRef<std::ffi::OsStr>,
    ) -> Command {
        let Some(core) = core else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(program);
        command
    }
}

/// Returns true if the program can be run.
pub(crate) fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Parses a list such as "0-2,5".
fn cores(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// A persistent connection.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Reads the head and the body of a response, which must state its length.
    fn get(&mut self, path: &str, cookie: Option<&String>) -> io::Result<(String, String)> {
        let cookie = cookie
            .map(|cookie| format!("cookie: {cookie}\r\n"))
            .unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let len = field(&head, "content-length")
            .and_then(|len| len.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; len];
        self.0.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        match head.starts_with("HTTP/1.1 200 ") {
            true => Ok((head, body)),
            false => Err(io::Error::other(format!(
                "{path} was answered with {head}{body}"
            ))),
        }
    }
}

/// Returns the name and the value of the cookie that a response sets.
fn cookie(head: &str) -> Option<String> {
    Some(field(head, "set-cookie")?.split(';').next()?.to_owned())
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// As long as sessile's tokens.
fn made_up(number: usize) -> String {
    format!("{COOKIE}={number:048}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_become_numbers() {
        assert_eq!(cores("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cores("3"), [3]);
        assert_eq!(cores(""), [0; 0]);
    }

    #[test]
    fn the_cookie_is_read_from_the_head() {
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(cookie(head).as_deref(), Some("a=1"));
        assert_eq!(cookie("HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
