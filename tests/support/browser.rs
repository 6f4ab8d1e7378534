//! A model browser: it parses, stores and returns cookies as RFC 6265bis requires, with the
//! prefixes of its successor. It knows one origin and no other sites; time is a number of seconds.

#![allow(dead_code)]

/// A browser with one origin.
pub(crate) struct Browser {
    host: &'static str,
    is_secure: bool,
    now: i64,
    jar: Vec<Cookie>,
}

/// A stored cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) path: String,
    /// `None`: for the host alone.
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: Option<String>,
    pub(crate) partitioned: bool,
    pub(crate) expires: Option<i64>,
}

/// The attributes as given, the last of each kind.
#[derive(Default)]
struct Attributes {
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<i64>,
    is_past: bool,
    secure: bool,
    http_only: bool,
    same_site: Option<String>,
    partitioned: bool,
}

impl Browser {
    /// Creates a browser that talks TLS to `host`.
    pub(crate) fn new(host: &'static str) -> Self {
        Self {
            host,
            is_secure: true,
            now: 1_000_000_000,
            jar: Vec::new(),
        }
    }

    /// Creates a browser that talks to `host` without TLS.
    pub(crate) fn insecure(host: &'static str) -> Self {
        Self {
            is_secure: false,
            ..Self::new(host)
        }
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.now += seconds;
    }

    /// Receives a header in a response to a request of `/`. Returns true if the cookie was
    /// accepted.
    pub(crate) fn receive(&mut self, header: &[u8]) -> bool {
        let Some(cookie) = self.accept(header) else {
            return false;
        };
        let is_same = |old: &Cookie| {
            (&old.name, &old.domain, &old.path, old.partitioned)
                == (
                    &cookie.name,
                    &cookie.domain,
                    &cookie.path,
                    cookie.partitioned,
                )
        };
        // A cookie that replaces another keeps its position, as if it had been created then.
        match self.jar.iter().position(is_same) {
            Some(at) => self.jar[at] = cookie,
            None => self.jar.push(cookie),
        }
        true
    }

    /// Returns the cookies that a request of `path` on `host` carries.
    pub(crate) fn cookies(&self, host: &str, path: &str) -> Vec<Cookie> {
        let is_sent = |cookie: &&Cookie| {
            cookie.expires.is_none_or(|at| at > self.now)
                && cookie
                    .domain
                    .as_ref()
                    .map_or(host == self.host, |own| domain_matches(host, own))
                && path_matches(path, &cookie.path)
                && (self.is_secure || !cookie.secure)
        };
        self.jar.iter().filter(is_sent).cloned().collect()
    }

    /// Returns the `Cookie` header of a request of `path`.
    pub(crate) fn header(&self, path: &str) -> Vec<u8> {
        let pair = |cookie: &Cookie| match &cookie.name[..] {
            b"" => cookie.value.clone(),
            name => [name, b"=", &cookie.value].concat(),
        };
        self.cookies(self.host, path)
            .iter()
            .map(pair)
            .collect::<Vec<_>>()
            .join(&b"; "[..])
    }

    /// RFC 6265bis, sections 5.6 (parsing) and 5.7 (storing).
    fn accept(&self, header: &[u8]) -> Option<Cookie> {
        if header
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return None;
        }
        let mut pieces = header.split(|byte| *byte == b';');
        let (name, value) = name_and_value(pieces.next()?);
        if name.len() + value.len() > 4096 || name.len() + value.len() == 0 {
            return None;
        }
        let given = attributes(pieces);
        let path = given.path.clone().filter(|path| path.starts_with('/'));
        let cookie = Cookie {
            name: name.to_vec(),
            value: value.to_vec(),
            path: path.unwrap_or_else(|| "/".to_owned()),
            domain: given.domain.clone().filter(|domain| !domain.is_empty()),
            secure: given.secure,
            http_only: given.http_only,
            same_site: given.same_site.clone(),
            partitioned: given.partitioned,
            expires: self.expiry(&given),
        };
        (self.may_store(&cookie) && prefixes_hold(&cookie, given.path.as_deref())).then_some(cookie)
    }

    fn expiry(&self, given: &Attributes) -> Option<i64> {
        match given.max_age {
            Some(age) if age <= 0 => Some(i64::MIN),
            Some(age) => Some(self.now + age.min(400 * 24 * 60 * 60)),
            None => given.is_past.then_some(i64::MIN),
        }
    }

    fn may_store(&self, cookie: &Cookie) -> bool {
        let cross_site = cookie.same_site.as_deref() == Some("none");
        cookie
            .domain
            .as_ref()
            .is_none_or(|domain| domain_matches(self.host, domain))
            && (self.is_secure || !cookie.secure)
            && (cookie.secure || !cross_site && !cookie.partitioned)
    }
}

fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => (trim(&pair[..equals]), trim(&pair[equals + 1..])),
        None => (b"", trim(pair)),
    }
}

fn attributes<'h>(pieces: impl Iterator<Item = &'h [u8]>) -> Attributes {
    let mut given = Attributes::default();
    for piece in pieces {
        let (name, value) = match piece.contains(&b'=') {
            true => name_and_value(piece),
            false => (trim(piece), &b""[..]),
        };
        if value.len() > 1024 {
            continue;
        }
        let value = String::from_utf8_lossy(value);
        match name.to_ascii_lowercase().as_slice() {
            b"path" => given.path = Some(value.into_owned()),
            b"domain" => given.domain = Some(value.trim_start_matches('.').to_ascii_lowercase()),
            b"max-age" => given.max_age = value.parse().ok().or(given.max_age),
            // The only date that sessile sends; this model ignores other dates.
            b"expires" => given.is_past = value == "Thu, 01 Jan 1970 00:00:00 GMT",
            b"secure" => given.secure = true,
            b"httponly" => given.http_only = true,
            b"samesite" => given.same_site = Some(value.to_ascii_lowercase()),
            b"partitioned" => given.partitioned = true,
            _ => {}
        }
    }
    given
}

fn prefixes_hold(cookie: &Cookie, path: Option<&str>) -> bool {
    let of_host = cookie.domain.is_none() && path == Some("/");
    let holds = |prefix: &str| match prefix {
        "__secure-" => cookie.secure,
        "__host-" => cookie.secure && of_host,
        "__http-" => cookie.secure && cookie.http_only,
        _ => cookie.secure && of_host && cookie.http_only,
    };
    let prefixes = ["__secure-", "__host-", "__http-", "__host-http-"];
    let starts =
        |text: &[u8], prefix: &str| text.to_ascii_lowercase().starts_with(prefix.as_bytes());
    // A nameless cookie is sent as its bare value, and must not look like one with a prefix.
    let disguised =
        cookie.name.is_empty() && prefixes.iter().any(|prefix| starts(&cookie.value, prefix));
    !disguised
        && prefixes
            .iter()
            .all(|prefix| !starts(&cookie.name, prefix) || holds(prefix))
}

fn domain_matches(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn path_matches(path: &str, own: &str) -> bool {
    path.strip_prefix(own)
        .is_some_and(|rest| rest.is_empty() || own.ends_with('/') || rest.starts_with('/'))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else {
        return b"";
    };
    let end = bytes
        .iter()
        .rposition(|byte| !is_blank(byte))
        .unwrap_or(start);
    &bytes[start..=end]
}
