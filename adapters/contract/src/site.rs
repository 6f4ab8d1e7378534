//! The application that is driven: where it is, what it can do, and what cookies it has issued.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Mutex, PoisonError},
};

use crate::{Answer, Browser, COOKIE_NAME, Connection, Request, laws};

/// An application at its address.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    /// `None` for one that does not claim to keep the contract.
    features: Option<Vec<String>>,
    issued: Mutex<Vec<String>>,
}

impl Site {
    /// Any application, of whose responses nothing is demanded.
    ///
    /// # Errors
    /// If the address is not `http://HOST:PORT`, or has no such host.
    pub fn any(base_url: &str) -> io::Result<Self> {
        let place = base_url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let place = place.ok_or_else(|| io::Error::other("an address begins with http://"))?;
        let address = place.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("there is no such host"))?;
        Ok(Self {
            address,
            features: None,
            issued: Mutex::default(),
        })
    }

    /// An application that has the routes of the contract: each of its responses is held to the
    /// laws.
    ///
    /// # Errors
    /// As [`any`](Self::any), or if it does not say what it can do.
    pub fn of_contract(base_url: &str) -> io::Result<Self> {
        let site = Self::any(base_url)?;
        let answer = Connection::open(site.address)?.exchange(&Request::get("/features"));
        let answer = answer.filter(|answer| answer.status == 200);
        let answer = answer.ok_or_else(|| io::Error::other("there is no GET /features"))?;
        let features = answer.body.lines().map(str::to_owned).collect();
        Ok(Self {
            features: Some(features),
            ..site
        })
    }

    /// Whether the application says that it has that feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().flatten().any(|own| own == feature)
    }

    /// Somebody with an empty jar.
    #[must_use]
    pub fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the application listens")
    }

    /// Sends a request on a connection of its own; `None` if that ends without a response.
    #[must_use]
    pub fn try_send(&self, request: &Request) -> Option<Answer> {
        let answer = self
            .connect()
            .exchange(&request.clone().field("Connection", b"close"))?;
        if self.features.is_some() {
            laws::hold(&answer);
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

    /// The same where there must be a response.
    ///
    /// # Panics
    /// If there is none.
    pub fn send(&self, request: &Request) -> Answer {
        self.try_send(request)
            .expect("the connection was closed without a response")
    }

    /// `GET` with those `Cookie` fields.
    pub fn get(&self, path: &str, cookies: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&Request::get(path).cookies(cookies))
    }

    /// `POST` with those `Cookie` fields.
    pub fn post(&self, path: &str, form: &[(&str, &str)], cookies: &[impl AsRef<[u8]>]) -> Answer {
        self.send(&Request::post(path, form).cookies(cookies))
    }

    /// All values that the session's cookie was given until now.
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

    /// How many sessions there are, and how many were ever created and saved.
    ///
    /// # Panics
    /// If the application says something else.
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

/// For requests without a `Cookie` field.
pub(crate) const NO_COOKIES: &[&str] = &[];
