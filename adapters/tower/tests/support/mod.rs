//! A server on a free port of the loopback, and a browser of a few lines: HTTP/1.1 over a socket, so
//! that a test can send any bytes and see each header as it came.

// Each test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use axum::{Router, http::StatusCode, routing::get};
use sessile::{KeyRing, SessionCache};
use sessile_tower::{Session, SessionError, SessionLayer};
use tokio::{net::TcpListener, runtime::Runtime};

pub(crate) const KEY: &[u8] = b"0f1e2d3c4b5a69788796a5b4c3d2e1f0-a key of the tests";

pub(crate) fn cache() -> SessionCache {
    SessionCache::builder()
        .memory(4 << 20)
        .keys(KeyRing::from_bytes(&[KEY]).unwrap())
        .build()
        .unwrap()
}

type Answer = Result<String, SessionError>;

/// What most tests ask for, a route a verb.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/quiet", get(|| async { "quiet" }))
        .route("/read", get(|session: Session| async move { read(&session) }))
        .route("/count", get(count))
        .route("/same", get(|session: Session| async move { session.insert("count", 1).map(|()| String::new()) }))
        .route("/sign-in", get(|session: Session| async move { session.sign_in("alice").map(|()| String::new()) }))
        .route("/rotate", get(|session: Session| async move { session.rotate().map(|()| String::new()) }))
        .route("/end", get(|session: Session| async move { session.sign_out() }))
        .route("/end-and-count", get(end_and_count))
        .route("/fail", get(fail))
        .route("/end-and-fail", get(end_and_fail))
}

pub(crate) fn app(cache: &SessionCache) -> Router {
    routes().layer(SessionLayer::new(cache.clone()))
}

/// The count, and who is there.
pub(crate) fn read(session: &Session) -> Answer {
    let count: u32 = session.get("count")?.unwrap_or(0);
    Ok(format!("{count}{}", if session.is_authenticated() { " signed in" } else { "" }))
}

async fn count(session: Session) -> Answer {
    session.insert("count", session.get("count")?.unwrap_or(0) + 1)?;
    read(&session)
}

async fn end_and_count(session: Session) -> Answer {
    session.sign_out();
    count(session).await
}

async fn fail(session: Session) -> Result<StatusCode, SessionError> {
    session.insert("count", 1_000)?;
    session.sign_in("mallory")?;
    Ok(StatusCode::BAD_GATEWAY)
}

async fn end_and_fail(session: Session) -> Result<StatusCode, SessionError> {
    session.sign_out();
    session.insert("count", 1_000)?;
    Ok(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Stops when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(app: Router) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, _runtime: runtime }
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { server: self, jar: BTreeMap::new() }
    }

    /// One request with those `Cookie` fields.
    pub(crate) fn get(&self, path: &str, cookies: &[&[u8]]) -> Reply {
        self.send("GET", path, cookies)
    }

    /// The same with another method.
    pub(crate) fn send(&self, method: &str, path: &str, cookies: &[&[u8]]) -> Reply {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
                .into_bytes();
        for cookie in cookies {
            request.extend([b"Cookie: ", *cookie, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        self.send_raw(&request)
    }

    /// Sends those bytes, and reads until the server closes the connection or switches protocols.
    pub(crate) fn send_raw(&self, request: &[u8]) -> Reply {
        self.answer(&self.connect(request))
    }

    /// Sends those bytes and hangs up, with the answer if there is one.
    pub(crate) fn send_half(&self, request: &[u8]) -> Reply {
        let stream = self.connect(request);
        stream.shutdown(Shutdown::Write).unwrap();
        self.answer(&stream)
    }

    fn connect(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request).unwrap();
        stream
    }

    fn answer(&self, mut stream: &TcpStream) -> Reply {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        while !(bytes.starts_with(b"HTTP/1.1 101") && bytes.ends_with(b"\r\n\r\n")) {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        }
        Reply::read(&bytes)
    }
}

/// A response; all empty where the server closed the connection without one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Self::default();
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        };
        Self {
            status,
            body: body.to_owned(),
            headers: lines.map(|line| header(line).unwrap()).collect(),
        }
    }

    /// All that does not change from one second to the next.
    pub(crate) fn without_date(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "date");
        self
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only header of that name; none is `None`, two fail the test.
    pub(crate) fn only(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times", all.len());
        all.first().copied()
    }

    /// Name and value of the only cookie that was set.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.only("set-cookie").map(pair)
    }
}

/// Keeps cookies by name, as one browser at one site does.
pub(crate) struct Browser<'s> {
    server: &'s Server,
    pub(crate) jar: BTreeMap<String, String>,
}

impl Browser<'_> {
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        let cookies: Vec<_> =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let fields = if cookies.is_empty() { vec![] } else { vec![cookies.as_bytes()] };
        let reply = self.server.get(path, &fields);
        for cookie in reply.all("set-cookie") {
            self.keep(cookie);
        }
        reply
    }

    /// The header that the jar makes.
    pub(crate) fn cookie(&self) -> String {
        let (name, value) = self.jar.first_key_value().expect("a cookie");
        format!("{name}={value}")
    }

    fn keep(&mut self, set_cookie: &str) {
        let (name, value) = pair(set_cookie).split_once('=').unwrap();
        if set_cookie.to_lowercase().contains("max-age=0") {
            self.jar.remove(name);
        } else {
            self.jar.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn pair(set_cookie: &str) -> &str {
    set_cookie.split(';').next().unwrap_or_default()
}
