//! A client of HTTP/1.1 that sends requests byte for byte and returns responses as received.
//!
//! It follows no redirects and keeps no cookies. A server that does not respond within a minute
//! fails the case.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// A request.
#[derive(Clone)]
#[must_use]
pub struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    /// Creates a request with a method and a path. The caller encodes a query.
    pub fn new(method: &str, path: &str) -> Self {
        Self::of_host("localhost", method, path)
    }

    /// Sets another `Host`.
    pub fn of_host(host: &str, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        Self {
            head,
            body: Vec::new(),
        }
    }

    /// Creates a `GET` request.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Creates a `POST` request with a form.
    pub fn post(path: &str, form: &[(&str, &str)]) -> Self {
        let pairs = form
            .iter()
            .map(|(key, value)| format!("{}={}", escaped(key), escaped(value)));
        let body = pairs.collect::<Vec<_>>().join("&").into_bytes();
        let len = body.len().to_string();
        let request = Self {
            body,
            ..Self::new("POST", path)
        };
        request
            .field("Content-Type", b"application/x-www-form-urlencoded")
            .field("Content-Length", len.as_bytes())
    }

    /// Adds a header field with arbitrary bytes.
    pub fn field(mut self, name: &str, value: &[u8]) -> Self {
        self.head
            .extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        self
    }

    /// Adds a `Cookie` field for each value.
    pub fn cookies(self, fields: &[impl AsRef<[u8]>]) -> Self {
        fields.iter().fold(self, |request, field| {
            request.field("Cookie", field.as_ref())
        })
    }

    /// Returns the request as sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.head[..], b"\r\n", &self.body].concat()
    }
}

/// Encodes text for a form or a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                escaped.push(byte as char);
            }
            _ => write!(escaped, "%{byte:02X}").expect("a text grows"),
        }
    }
    escaped
}

/// A connection for successive requests.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// If no server listens at the address.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends bytes without waiting. A connection that the server closed already is not an error
    /// here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Closes the sending direction.
    pub fn send_no_more(&mut self) {
        let _ = self.0.get_mut().shutdown(Shutdown::Write);
    }

    /// Returns the next response; `None` if the connection is closed instead.
    ///
    /// # Panics
    /// If the received bytes are not a response, or nothing is received within a minute.
    #[must_use]
    pub fn receive(&mut self) -> Option<Answer> {
        let head = self.head()?;
        let mut answer = Answer {
            status: status(&head),
            head,
            body: String::new(),
        };
        let body = self.body(&answer)?;
        answer.body = String::from_utf8(body).expect("the contract's bodies are text");
        Some(answer)
    }

    /// Sends a request and returns its response; `None` if the connection is closed instead.
    #[must_use]
    pub fn exchange(&mut self, request: &Request) -> Option<Answer> {
        self.send(&request.to_bytes());
        self.receive()
    }

    fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.0.read_line(&mut head) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if is_closed(&error) => return None,
                Err(error) => panic!("no response: {error}"),
            }
        }
        head.truncate(head.len() - 4);
        Some(head)
    }

    fn body(&mut self, answer: &Answer) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if answer.only("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else if let Some(len) = answer.only("content-length") {
            body = self.bytes(len.parse().expect("a length is a number"))?;
        } else if ![101, 204, 304].contains(&answer.status) {
            self.0.read_to_end(&mut body).ok()?;
        }
        Some(body)
    }

    /// Returns a chunk of a body; `Some(None)` after the last.
    fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|&len| len > 0)?;
        let len = usize::from_str_radix(line.trim(), 16).expect("a chunk has a length");
        let chunk = self.bytes(len)?;
        self.bytes(2)?;
        Some((len > 0).then_some(chunk))
    }

    fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).ok().map(|()| bytes)
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

fn status(head: &str) -> u16 {
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    status.expect("a response begins with a status")
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, without framing.
    pub body: String,
    head: String,
}

impl Answer {
    /// Returns the values of all header fields of a name, which is compared case-insensitively.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// Returns the value of the only header field of a name.
    ///
    /// # Panics
    /// If there are several.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times", all.len());
        all.first().copied()
    }

    /// Returns the name and the value of the only cookie that was set.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        self.only("set-cookie")
            .and_then(|field| field.split(';').next())
    }

    /// Returns the whole response except its date.
    #[must_use]
    pub fn undated(&self) -> String {
        let is_date = |line: &&str| line.to_ascii_lowercase().starts_with("date:");
        let lines = self
            .head
            .lines()
            .filter(|line| !is_date(line))
            .collect::<Vec<_>>();
        format!("{}\n\n{}", lines.join("\n"), self.body)
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Parses the received bytes.
    fn received(bytes: &'static [u8]) -> Vec<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client connects");
            stream.write_all(bytes).expect("they read");
        });
        let mut connection = Connection::open(address).expect("a server listens");
        let answers = std::iter::from_fn(|| connection.receive()).collect();
        server.join().expect("it does not panic");
        answers
    }

    #[test]
    fn responses_are_read_one_after_the_other_however_they_are_framed() {
        let answers = received(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nVary: a\r\nvary:b\r\n\r\none\
              HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n\
              HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oh\r\nDate: now\r\n\r\nto the end",
        );
        let bodies: Vec<_> = answers.iter().map(|answer| answer.body.as_str()).collect();
        assert_eq!(bodies, ["one", "two", "", "to the end"]);
        assert_eq!(answers[0].all("VARY"), ["a", "b"]);
        assert_eq!(answers[3].undated(), "HTTP/1.1 500 Oh\n\nto the end");
    }

    #[test]
    fn a_response_that_breaks_off_is_none() {
        assert_eq!(received(b""), []);
        assert_eq!(received(b"HTTP/1.1 200 OK\r\nContent-Le"), []);
        assert_eq!(
            received(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non"),
            []
        );
        assert_eq!(
            received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n"),
            []
        );
    }

    #[test]
    fn a_form_may_hold_anything() {
        let request =
            Request::post("/set", &[("key", "a b"), ("value", "ü&=\r\n")]).cookies(&[b"\xff"]);
        let bytes = request.to_bytes();
        assert!(bytes.ends_with(b"\r\n\r\nkey=a%20b&value=%C3%BC%26%3D%0D%0A"));
        assert!(
            bytes
                .windows(13)
                .any(|line| line == b"Cookie: \xff\r\n\r\n")
        );
    }
}
