//! Settings of a store: its URL, and those that are not part of the URL.

use std::{error, fmt};

use crate::{
    MemcachedStore,
    keys::{Keys, MAX_PREFIX_LEN},
};

/// Settings of a [`MemcachedStore`].
#[derive(Clone)]
#[must_use]
pub struct MemcachedStoreBuilder {
    url: String,
    prefix: String,
}

/// Errors of the settings of a [`MemcachedStore`]. No text contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL has another scheme.
    Scheme {
        /// The scheme, or the text before the first colon. Empty if it may contain a password.
        given: String,
    },
    /// The URL cannot be read.
    Url {
        /// The reason.
        reason: String,
    },
    /// `prefix` is empty, contains a space, or makes keys longer than 250 bytes.
    Prefix {
        /// The setting.
        given: String,
        /// The maximum length, in bytes.
        max: usize,
    },
}

impl MemcachedStoreBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "sessile".to_owned(),
        }
    }

    /// Sets the prefix of all keys: 1 to 215 printable ASCII characters without spaces, `sessile`
    /// unless set. Applications with different prefixes share a server and no session.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Checks the settings. Opens no connection.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn build(self) -> Result<MemcachedStore, OpenError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        let len = self.prefix.len();
        if !(1..=MAX_PREFIX_LEN).contains(&len) || !self.prefix.bytes().all(is_plain) {
            return Err(OpenError::Prefix {
                given: self.prefix,
                max: MAX_PREFIX_LEN,
            });
        }
        let address = address(&self.url)?;
        let keys = Keys::new(&self.prefix);
        Ok(MemcachedStore::new(&address, keys))
    }
}

/// Returns the host and the port of `memcached://host:port`.
fn address(url: &str) -> Result<String, OpenError> {
    let parts = url.split_once("://");
    let (scheme, rest) = parts.ok_or_else(|| scheme_error(url))?;
    if scheme != "memcached" {
        return Err(scheme_error(scheme));
    }
    if rest.contains('@') {
        return Err(url_error("it must have no user and no password"));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_part = |letter: char| letter == '/' || letter == '?' || letter == '#';
    if authority.contains(is_part) {
        return Err(url_error("it must end after the port"));
    }
    if authority.contains(',') {
        return Err(url_error(
            "it must name one server, or a proxy before several",
        ));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "11211"),
    };
    if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
        return Err(url_error(
            "it must name a host; an IPv6 address stands in brackets",
        ));
    }
    let port: u16 = port
        .parse()
        .map_err(|_| url_error("the port must be a number up to 65535"))?;
    Ok(format!("{host}:{port}"))
}

/// Returns the error of a URL whose scheme is another. Does not quote what may be a password: the
/// login of a URL without a scheme.
fn scheme_error(given: &str) -> OpenError {
    let given = match given.contains('@') {
        true => "",
        false => given.split(':').next().unwrap_or_default(),
    };
    OpenError::Scheme {
        given: given.to_owned(),
    }
}

fn url_error(reason: &str) -> OpenError {
    OpenError::Url {
        reason: reason.to_owned(),
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { given } if given.is_empty() => {
                write!(f, "the URL of the store must begin with `memcached://`")
            }
            Self::Scheme { given } => write!(
                f,
                "the URL of the store must begin with `memcached://`, got `{given}`"
            ),
            Self::Url { reason } => write!(f, "the URL of the store is not valid: {reason}"),
            Self::Prefix { given, max } => write!(
                f,
                "`prefix` must be 1 to {max} printable ASCII characters without spaces, so that \
                 keys have at most 250 bytes, got {} bytes: {given:?}",
                given.len()
            ),
        }
    }
}

impl error::Error for OpenError {}

impl fmt::Debug for MemcachedStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemcachedStoreBuilder")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(builder: MemcachedStoreBuilder) -> String {
        let built = builder.build();
        built.expect_err("the settings are wrong").to_string()
    }

    fn url(url: &str) -> MemcachedStoreBuilder {
        MemcachedStoreBuilder::new(url)
    }

    #[test]
    fn a_url_names_a_host_and_a_port() {
        for (url, expected) in [
            ("memcached://10.0.0.5", "10.0.0.5:11211"),
            ("memcached://cache.example:11212/", "cache.example:11212"),
            ("memcached://[::1]", "[::1]:11211"),
            ("memcached://[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(address(url).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn errors_of_a_url_say_what_it_must_be() {
        for (wrong, text) in [
            (
                "redis://10.0.0.5",
                "must begin with `memcached://`, got `redis`",
            ),
            ("10.0.0.5:11211", "got `10.0.0.5`"),
            ("memcached://", "it must name a host"),
            ("memcached://::1", "in brackets"),
            ("memcached://one:port", "the port must be a number"),
            ("memcached://one:65536", "up to 65535"),
            ("memcached://one/0", "it must end after the port"),
            ("memcached://one:1,two:1", "it must name one server"),
            ("memcached://ada:hunter2@one", "no user and no password"),
            ("hunter2@one:11211", "must begin with `memcached://`"),
            ("hunter2:more@one", "must begin with `memcached://`"),
            ("hunter2@memcached://one", "must begin with `memcached://`"),
        ] {
            let error = error(url(wrong));
            assert!(error.contains(text), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn errors_name_the_setting_the_value_and_the_limits() {
        let long = "p".repeat(MAX_PREFIX_LEN + 1);
        let text = error(url("memcached://one").prefix(long));
        assert!(
            text.starts_with("`prefix` must be 1 to 215 printable"),
            "{text}"
        );
        assert!(text.contains("got 216 bytes"), "{text}");
        for prefix in ["", "a b", "ü", "a\r\n"] {
            assert!(error(url("memcached://one").prefix(prefix)).contains("`prefix`"));
        }
        let longest = "p".repeat(MAX_PREFIX_LEN);
        assert!(url("memcached://one").prefix(longest).build().is_ok());
    }
}
