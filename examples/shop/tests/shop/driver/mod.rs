//! The real program on a free port, and a minimal browser for it.
//!
//! A shop stops when it is dropped, so no test leaves one running. A browser opens a connection for
//! each request and keeps cookies. It follows a redirect only on request. It posts the forms of the
//! last page, so a request carries the CSRF token of that page.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) mod chromium;
pub(crate) mod redis;

/// A running shop.
pub(crate) struct Shop {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) greeting: String,
}

/// The browser of a visitor.
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
    /// The CSRF token of the forms on the last page.
    pub(crate) token: Option<String>,
}

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

/// Returns the program with arguments, without the keys in the environment of the tests.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(arguments).env_remove("SESSILE_KEYS");
    command
}

/// Runs a program that ends by itself.
pub(crate) fn run(mut program: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program.output().expect("the shop can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (status.code(), text(stdout), text(stderr))
}

/// Polls until a condition is true. Fails after a minute.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(PAUSE);
    }
}

impl Shop {
    /// Starts a shop with 8 MiB and generated keys.
    pub(crate) fn open() -> Self {
        Self::opened_by(program(&["--memory", "8MiB"]))
    }

    pub(crate) fn opened_by(mut program: Command) -> Self {
        let mut child = program
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the shop can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            let read = stdout.read_line(&mut greeting).expect("it prints text");
            assert_ne!(read, 0, "the shop did not open: {greeting}");
        }
        let address = greeting.split_once("http://").map_or("", |(_, rest)| rest);
        let address = address
            .split('/')
            .next()
            .and_then(|address| address.parse().ok());
        let address = address.expect("it prints its address");
        Self {
            child,
            stdout,
            address,
            greeting,
        }
    }

    pub(crate) fn visit(&self) -> Browser {
        Browser {
            address: self.address,
            cookies: BTreeMap::new(),
            token: None,
        }
    }

    /// Sends SIGINT. Returns the exit status and the whole output.
    #[cfg(unix)]
    pub(crate) fn interrupt(mut self) -> (ExitStatus, String) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
        let status = self.child.wait().expect("it is our child");
        let mut printed = std::mem::take(&mut self.greeting);
        self.stdout
            .read_to_string(&mut printed)
            .expect("it prints text");
        (status, printed)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Each call fails only if the shop has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// Submits a form and returns the response without following a redirect.
    pub(crate) fn post(&mut self, path: &str, form: &str) -> Answer {
        let token = self
            .token
            .as_ref()
            .map(|token| format!("csrf={token}&"))
            .unwrap_or_default();
        self.send("POST", path, "", &format!("{token}{form}"))
    }

    /// Submits a form and follows the redirect.
    pub(crate) fn submit(&mut self, path: &str, form: &str) -> Answer {
        let answer = self.post(path, form);
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        let place = answer
            .header("location")
            .expect("a redirect says where")
            .to_owned();
        self.get(place.split('#').next().unwrap_or_default())
    }

    /// Requests the sign-in page and submits its form.
    pub(crate) fn sign_in(&mut self, name: &str) -> Answer {
        self.get("/sign-in");
        self.submit("/sign-in", &format!("name={name}"))
    }

    /// Returns the name and the value of the session cookie.
    pub(crate) fn cookie(&self) -> (&str, &str) {
        let (name, value) = self.cookies.iter().next().expect("there is a session");
        (name, value)
    }

    pub(crate) fn figures(&mut self) -> Value {
        serde_json::from_str(&self.get("/stats.json").body).expect("it is JSON")
    }

    /// Sends a request with additional header lines.
    pub(crate) fn send(&mut self, method: &str, path: &str, extra: &str, form: &str) -> Answer {
        let Self {
            address, cookies, ..
        } = self;
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookie = match pairs.is_empty() {
            true => String::new(),
            false => format!("cookie: {}\r\n", pairs.join("; ")),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{cookie}{extra}\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len(),
        );
        let mut stream = self.connect();
        stream
            .write_all(request.as_bytes())
            .expect("the shop reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the shop answers with text");
        let answer = Answer::read(&answer);
        self.keep_cookies(&answer);
        if answer.has("</html>") {
            self.token = answer.token().map(str::to_owned);
        }
        answer
    }

    /// Connects with a timeout, so that a shop that hangs fails the test.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the shop listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("that is not zero");
        stream
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for set in answer.headers("set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .expect("a head ends with an empty line");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("it has a status"),
            head: head.into(),
            body: body.into(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the CSRF token of the page's forms.
    pub(crate) fn token(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"")?;
        rest.split('"').next()
    }

    /// Returns the message on the page.
    pub(crate) fn message(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("role=\"status\">")?;
        rest.split('<').next()
    }

    /// Returns true if the page shows the name of the user.
    pub(crate) fn greets(&self, name: &str) -> bool {
        self.body
            .contains(&format!("<span class=\"name\">{name}</span>"))
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}

/// Much longer than any operation takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two polls.
const PAUSE: Duration = Duration::from_millis(20);
