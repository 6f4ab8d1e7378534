//! A browser with a strict cookie jar, which uses one connection per request.

use crate::{Answer, Request, Site, jar};

/// A browser for one site. A cookie that a browser would reject fails the case.
pub struct Browser<'s> {
    site: &'s Site,
    jar: jar::Browser,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s Site) -> Self {
        Self {
            site,
            jar: jar::Browser::new("localhost"),
        }
    }

    /// Requests a page. Its parameters are in the path.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(&Request::get(path))
    }

    /// Sends a form.
    pub fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(&Request::post(path, form))
    }

    /// Sends a request with the jar's cookies.
    pub fn send(&mut self, request: &Request) -> Answer {
        let answer = self.site.send(&self.with_cookie(request));
        self.keep(&answer);
        answer
    }

    /// Returns the request with the jar's cookies.
    pub fn with_cookie(&self, request: &Request) -> Request {
        let cookie = self.cookie();
        let fields = if cookie.is_empty() {
            vec![]
        } else {
            vec![cookie]
        };
        request.clone().cookies(&fields)
    }

    /// Stores the cookies of a response.
    ///
    /// # Panics
    /// If a browser would reject one.
    pub fn keep(&mut self, answer: &Answer) {
        for field in answer.all("set-cookie") {
            let is_kept = self.jar.receive(field.as_bytes());
            assert!(is_kept, "browsers reject this cookie: {}", redacted(field));
        }
    }

    /// Returns the `Cookie` field; empty without a cookie.
    #[must_use]
    pub fn cookie(&self) -> String {
        String::from_utf8(self.jar.header("/")).expect("the contract's cookies are text")
    }

    /// Returns the value of `/get`.
    pub fn value(&mut self, key: &str) -> String {
        self.ok("GET", &format!("/get?key={key}"), &[])
    }

    /// Sets a key to a value.
    pub fn set(&mut self, key: &str, value: &str) {
        self.ok("POST", "/set", &[("key", key), ("value", value)]);
    }

    /// Signs a user in.
    pub fn sign_in(&mut self, user: &str, label: &str) {
        self.ok("POST", "/sign-in", &[("user", user), ("label", label)]);
    }

    /// Returns the name of the signed-in user; empty if there is none.
    pub fn user(&mut self) -> String {
        self.ok("GET", "/user", &[])
    }

    /// Sends a request whose response must be 200, and returns the body.
    fn ok(&mut self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let request = if method == "GET" {
            Request::get(path)
        } else {
            Request::post(path, form)
        };
        let answer = self.send(&request);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    }
}

/// Returns the part of a `Set-Cookie` field that may be printed: not the value.
pub(crate) fn redacted(field: &str) -> String {
    let (pair, attributes) = field.split_once(';').unwrap_or((field, ""));
    let name = pair.split('=').next().unwrap_or_default();
    format!("{name}=…;{attributes}")
}
