//! The application under test: its address, its features, and the cookies that it issued.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Mutex, PoisonError},
};

use crate::{Answer, Browser, COOKIE_NAME, Connection, Request, invariants};

/// An application at its address.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    /// `None` for an application that does not claim to satisfy the contract.
    features: Option<Vec<String>>,
    issued: Mutex<Vec<String>>,
}

impl Site {
    /// Creates a site for an application whose responses are not checked.
    ///
    /// # Errors
    /// If the address is not `http://HOST:PORT`, or its host does not exist.
    pub fn any(base_url: &str) -> io::Result<Self> {
        let place = base_url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let place = place.ok_or_else(|| io::Error::other("an address begins with http://"))?;
        let address = place.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("unknown host"))?;
        Ok(Self {
            address,
            features: None,
            issued: Mutex::default(),
        })
    }

    /// Creates a site for an application that has the routes of the contract. All its responses are
    /// checked against the invariants.
    ///
    /// # Errors
    /// As [`any`](Self::any), or if it does not list its features.
    pub fn of_contract(base_url: &str) -> io::Result<Self> {
        let site = Self::any(base_url)?;
        let answer = Connection::open(site.address)?.exchange(&Request::get("/features"));
        let answer = answer.filter(|answer| answer.status == 200);
        let answer = answer.ok_or_else(|| io::Error::other("GET /features is missing"))?;
        let features = answer.body.lines().map(str::to_owned).collect();
        Ok(Self {
            features: Some(features),
            ..site
        })
    }

    /// Returns true if the application claims a feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().flatten().any(|own| own == feature)
    }

    /// Returns a browser with an empty jar.
    #[must_use]
    pub fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// Opens a connection.
    ///
    /// # Panics
    /// If no server listens.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the application listens")
    }

    /// Sends a request on a new connection. Returns `None` if the connection is closed without a
    /// response.
    #[must_use]
    pub fn try_send(&self, request: &Request) -> Option<Answer> {
        let answer = self
            .connect()
            .exchange(&request.clone().field("Connection", b"close"))?;
        if self.features.is_some() {
            invariants::check(&answer);
        }
        let prefix = format!("{COOKIE_NAME}=");
        let cookie = |field: &&str| {
            field
                .strip_prefix(&prefix)?
                .split(';')
                .next()
                .map(str::to_owned)
        };
        let cookies = answer
            .all("set-cookie")
            .iter()
            .filter_map(cookie)
            .collect::<Vec<_>>();
        self.issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(cookies);
        Some(answer)
    }

    /// Sends a request that must get a response.
    ///
    /// # Panics
    /// If there is none.
    pub fn send(&self, request: &Request) -> Answer {
        self.try_send(request)
            .expect("the connection was closed without a response")
    }

    /// Sends a `GET` with `Cookie` fields.
    pub fn get(&self, path: &str, cookies: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&Request::get(path).cookies(cookies))
    }

    /// Sends a `POST` with `Cookie` fields.
    pub fn post(&self, path: &str, form: &[(&str, &str)], cookies: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&Request::post(path, form).cookies(cookies))
    }

    /// Returns all values of the session cookie that were issued so far.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        let mut issued = self
            .issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        issued.retain(|value| !value.is_empty());
        issued
    }

    /// Returns the number of sessions, and the numbers ever created and saved.
    ///
    /// # Panics
    /// If the response has another format.
    #[must_use]
    pub fn stats(&self) -> [u64; 3] {
        let answer = self.get("/stats", NO_COOKIES);
        let numbers = answer.body.split(' ').map(|number| number.parse().ok());
        let numbers = numbers
            .collect::<Option<Vec<u64>>>()
            .and_then(|all| all.try_into().ok());
        numbers.expect("/stats says three numbers")
    }
}

/// The argument for requests without a `Cookie` field.
pub(crate) const NO_COOKIES: &[&str] = &[];
