//! Converts the headers of ASGI messages that a session may change to a header map and back.
//!
//! Owns the conversion between a list of pairs of bytes and a header map. It does not know why a
//! header is set.

use core::{
    ffi::CStr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, SET_COOKIE, VARY},
};
use pyo3::{
    exceptions::{PyRuntimeWarning, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple},
};
use sessile_web::{Cache, CommitError, Session, SessionManager, adapter::SessionExt};

/// The kinds of messages of the application that concern a session.
pub(crate) enum Kind {
    /// The response begins, with a status and headers.
    Start,
    /// A websocket is accepted: the response to its handshake has headers.
    Accept,
    /// A websocket is closed, or rejected without headers.
    Close,
    /// Does not concern the session's headers.
    Other,
}

/// Returns a message's value of a key. A message may be any mapping.
fn get<'py>(
    message: &Bound<'py, PyAny>,
    key: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(dict) = message.cast::<PyDict>() {
        return dict.get_item(key);
    }
    let value = message.call_method1(intern!(message.py(), "get"), (key,))?;
    Ok((!value.is_none()).then_some(value))
}

/// Returns a copy of a message as a dict. The original must not change, because the application may
/// send it again.
pub(crate) fn copy<'py>(message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    if let Ok(dict) = message.cast::<PyDict>() {
        return dict.copy();
    }
    let copy = PyDict::new(message.py());
    copy.update(message.cast::<PyMapping>()?)?;
    Ok(copy)
}

/// Returns the kind of a message.
pub(crate) fn kind(message: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let kind = get(message, intern!(message.py(), "type"))?;
    let Some(kind) = kind.as_ref().and_then(|kind| kind.cast::<PyString>().ok()) else {
        return Ok(Kind::Other);
    };
    Ok(match kind.to_str()? {
        "http.response.start" | "websocket.http.response.start" => Kind::Start,
        "websocket.accept" => Kind::Accept,
        "websocket.close" => Kind::Close,
        _ => Kind::Other,
    })
}

/// Returns true if a message announces more of the body.
pub(crate) fn has_more(message: &Bound<'_, PyAny>) -> PyResult<bool> {
    let more = get(message, intern!(message.py(), "more_body"))?;
    more.map_or(Ok(false), |more| more.is_truthy())
}

/// Returns the status of an `http.response.start`.
pub(crate) fn status(message: &Bound<'_, PyAny>) -> PyResult<StatusCode> {
    let status = get(message, intern!(message.py(), "status"))?;
    let code: u16 = status.map_or(Ok(200), |status| status.extract())?;
    StatusCode::from_u16(code).map_err(|_| {
        PyValueError::new_err(format!(
            "the status of a response must be 100 to 999, got {code}"
        ))
    })
}

/// A commit, and the headers of the response.
pub(crate) struct Begun {
    /// `None` if it waits for a store.
    pub(crate) stored: Option<Result<(), CommitError>>,
    /// The headers that a session may change.
    pub(crate) headers: HeaderMap,
    /// The other headers.
    pub(crate) others: Py<PyList>,
}

/// Writes the headers of responses.
pub(crate) struct Response<'py> {
    pub(crate) py: Python<'py>,
    pub(crate) sessions: SessionManager,
    /// The `Max-Age` of cookies if it is 0 or less: they expire immediately.
    pub(crate) expired: Option<i64>,
    /// True if the application read the session.
    pub(crate) is_read: bool,
}

impl<'py> Response<'py> {
    /// Commits a session, unless that waits for a store, or `waits` says that something else does.
    pub(crate) fn begin(
        &self,
        session: &Session,
        status: StatusCode,
        message: &Bound<'_, PyDict>,
        waits: bool,
    ) -> PyResult<Begun> {
        let given = message.get_item(intern!(self.py, "headers"))?;
        let (others, mut headers) = self.split(given.as_ref())?;
        let stored = match waits {
            true => None,
            false => self.commit_now(session, status, &mut headers),
        };
        Ok(Begun {
            stored,
            headers,
            others: others.unbind(),
        })
    }

    /// Writes the response's headers after a commit. If the session could not be stored, turns the
    /// message into the start of an error response, and returns the body of that response.
    pub(crate) fn finish(
        &self,
        stored: Result<(), CommitError>,
        headers: &HeaderMap,
        others: &Bound<'_, PyList>,
        message: &Bound<'_, PyDict>,
    ) -> PyResult<Option<String>> {
        let Err(error) = stored else {
            self.append(headers, others)?;
            message.set_item(intern!(self.py, "headers"), others)?;
            return Ok(None);
        };
        let mut all = header_map(Some(others))?;
        error.replace_headers(&mut all);
        headers.keys().for_each(|name| drop(all.remove(name)));
        for (name, value) in headers {
            all.append(name, value.clone());
        }
        self.replace(&error, &all, message)?;
        Ok(Some(error.to_string()))
    }

    /// Returns the error for a value that is too large, which is detected before the session is
    /// committed, and the headers of the error response.
    pub(crate) fn too_large(
        &self,
        message: &Bound<'_, PyDict>,
    ) -> PyResult<(CommitError, HeaderMap)> {
        let max = self.sessions.cache().max_session_size();
        let error = CommitError::from(sessile::Error::TooLarge {
            given: max + 1,
            max,
        });
        let mut headers = header_map(message.get_item(intern!(self.py, "headers"))?.as_ref())?;
        error.replace_headers(&mut headers);
        Ok((error, headers))
    }

    /// Returns the body of that response. The exact size is unknown: encoding stops at the limit.
    pub(crate) fn too_large_body(&self) -> String {
        let max = self.sessions.cache().max_session_size();
        format!("The session would take more than {max} bytes (max_session_size).")
    }

    /// Adds the cookie of a session that was committed to the acceptance of a websocket.
    pub(crate) fn accept(
        &self,
        mut headers: HeaderMap,
        message: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let Some(cookie) = headers.remove(SET_COOKIE) else {
            return Ok(());
        };
        let given = message.get_item(intern!(self.py, "headers"))?;
        let (list, given) = self.split(given.as_ref())?;
        let mut headers = without_cookie_named(given, self.name());
        headers.append(SET_COOKIE, cookie);
        self.append(&headers, &list)?;
        message.set_item(intern!(self.py, "headers"), list)
    }

    /// Commits, unless that waits for a store.
    pub(crate) fn commit_now(
        &self,
        session: &Session,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Option<Result<(), CommitError>> {
        if session.is_busy() || self.is_read && session.has_work() {
            self.py.detach(|| session.commit_now(status, headers))
        } else {
            // Nothing is stored, so this does not wait for a lock.
            session.commit_now(status, headers)
        }
    }

    /// Turns a message into the start of an error response.
    pub(crate) fn replace(
        &self,
        error: &CommitError,
        headers: &HeaderMap,
        message: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let list = PyList::empty(self.py);
        self.append(headers, &list)?;
        message.set_item(intern!(self.py, "status"), error.status().as_u16())?;
        message.set_item(intern!(self.py, "headers"), list)
    }

    /// Appends headers to a list of pairs, and formats the session's cookie as Starlette does.
    fn append(&self, headers: &HeaderMap, list: &Bound<'_, PyList>) -> PyResult<()> {
        for (name, value) in headers {
            let name = PyBytes::new(self.py, name.as_str().as_bytes());
            // `sessile-web` marks the session's cookie as sensitive.
            if value.is_sensitive() {
                let cookie = self.as_starlette(&String::from_utf8_lossy(value.as_bytes()));
                list.append((name, PyBytes::new(self.py, cookie.as_bytes())))?;
            } else {
                list.append((name, PyBytes::new(self.py, value.as_bytes())))?;
            }
        }
        Ok(())
    }

    /// Returns a `Set-Cookie` in Starlette's format: `path=/; Max-Age=60; httponly; samesite=lax`.
    /// Ends the session if its cookie expires immediately.
    fn as_starlette(&self, cookie: &str) -> String {
        let (pair, attributes) = cookie.split_once("; ").unwrap_or((cookie, ""));
        let mut text = pair.to_owned();
        for attribute in attributes.split("; ") {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            text.push_str("; ");
            match (name, self.expired) {
                ("Max-Age", Some(seconds)) => text.push_str(&format!("Max-Age={seconds}")),
                ("Max-Age", None) => text.push_str(attribute),
                ("Path" | "Domain" | "Expires", _) => {
                    text.push_str(&format!("{}={value}", name.to_ascii_lowercase()));
                }
                _ => text.push_str(&attribute.to_ascii_lowercase()),
            }
        }
        if self.expired.is_some() {
            let (_, token) = pair.split_once('=').unwrap_or((pair, ""));
            self.end(token.as_bytes());
        }
        text
    }

    fn end(&self, token: &[u8]) {
        match self.sessions.cache() {
            Cache::Local(cache) => drop(self.py.detach(|| cache.end_by_token(token))),
            Cache::Tiered(cache) => {
                if let Some(id) = cache.id_of_token(token) {
                    cache.end_later(&id);
                }
            }
        }
    }

    fn name(&self) -> &str {
        self.sessions.cache().cookie_name()
    }

    /// Returns the other headers as they are, and the headers that a session may change as a map.
    /// Invalid headers are in the list, for the server to reject.
    fn split(
        &self,
        given: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyList>, HeaderMap)> {
        let (others, mut headers) = (PyList::empty(self.py), HeaderMap::new());
        let Some(given) = given else {
            return Ok((others, headers));
        };
        for header in given.try_iter()? {
            let header = header?;
            match session_header(&header)? {
                Some((name, value)) => {
                    if name == SET_COOKIE && is_foreign(value.as_bytes(), self.name()) {
                        warn_of_foreign_cookie(self.py)?;
                    }
                    headers.append(name, value);
                }
                None => others.append(header)?,
            }
        }
        Ok((others, headers))
    }
}

/// Warns if another middleware set a cookie of that name in the headers of a message.
pub(crate) fn look_for_foreign_cookie(name: &str, message: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = message.py();
    let headers = header_map(get(message, intern!(py, "headers"))?.as_ref())?;
    let mut cookies = headers.get_all(SET_COOKIE).iter();
    if cookies.any(|cookie| is_foreign(cookie.as_bytes(), name)) {
        warn_of_foreign_cookie(py)?;
    }
    Ok(())
}

/// Returns true if a `Set-Cookie` sets the session's cookie to a value. An application that removes
/// the cookie itself sets an empty value.
fn is_foreign(cookie: &[u8], name: &str) -> bool {
    let value = cookie
        .strip_prefix(name.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"="));
    value.is_some_and(|value| {
        let end = value
            .iter()
            .position(|&byte| byte == b';')
            .unwrap_or(value.len());
        !matches!(value[..end].trim_ascii(), b"" | b"\"\"")
    })
}

/// Warns once per process.
fn warn_of_foreign_cookie(py: Python<'_>) -> PyResult<()> {
    if WARNED_OF_FOREIGN_COOKIE.swap(true, Relaxed) {
        return Ok(());
    }
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), FOREIGN_COOKIE, 1)
}

/// Returns the valid headers of a response.
fn header_map(given: Option<&Bound<'_, PyAny>>) -> PyResult<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(given) = given else {
        return Ok(headers);
    };
    for header in given.try_iter()? {
        let (name, value) = name_and_value(&header?)?;
        let (Ok(name), Ok(value)) = (name.cast::<PyBytes>(), value.cast::<PyBytes>()) else {
            continue;
        };
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

fn without_cookie_named(mut headers: HeaderMap, name: &str) -> HeaderMap {
    let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    let is_named = |cookie: &HeaderValue| {
        let rest = cookie.as_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    };
    for cookie in cookies.into_iter().filter(|cookie| !is_named(cookie)) {
        headers.append(SET_COOKIE, cookie);
    }
    headers
}

/// Returns a header that a session may change, or `None` for another or an invalid one.
fn session_header(header: &Bound<'_, PyAny>) -> PyResult<Option<(HeaderName, HeaderValue)>> {
    let (name, value) = name_and_value(header)?;
    let Ok(name) = name.cast::<PyBytes>() else {
        return Ok(None);
    };
    let name = SESSION_HEADERS.iter().find(|known| {
        known
            .as_str()
            .as_bytes()
            .eq_ignore_ascii_case(name.as_bytes())
    });
    let Some(name) = name else {
        return Ok(None);
    };
    let value = value
        .cast::<PyBytes>()
        .ok()
        .and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
    Ok(value.map(|value| (name.clone(), value)))
}

/// Returns the `Cookie` fields of a request, in order.
pub(crate) fn cookies(headers: &Bound<'_, PyAny>) -> PyResult<Vec<Bytes>> {
    let mut fields = Vec::new();
    for header in headers.try_iter()? {
        let header = header?;
        let (name, value) = name_and_value(&header)?;
        if name
            .cast::<PyBytes>()
            .is_ok_and(|name| name.as_bytes() == b"cookie")
        {
            fields.push(Bytes::copy_from_slice(value.cast::<PyBytes>()?.as_bytes()));
        }
    }
    Ok(fields)
}

/// Returns the name and the value of a header.
fn name_and_value<'py>(
    header: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    match header.cast::<PyTuple>() {
        Ok(pair) => Ok((pair.get_item(0)?, pair.get_item(1)?)),
        Err(_) => Ok((header.get_item(0)?, header.get_item(1)?)),
    }
}

const SESSION_HEADERS: [HeaderName; 3] = [VARY, SET_COOKIE, CACHE_CONTROL];

/// `Relaxed` is sufficient: it protects no other data. At worst two threads warn.
static WARNED_OF_FOREIGN_COOKIE: AtomicBool = AtomicBool::new(false);

const FOREIGN_COOKIE: &CStr = c"another middleware sets the session's cookie in the same \
    response and overwrites the session, for instance Starlette's `SessionMiddleware` added by a \
    library. Give one of them another `session_cookie`, keep the library from adding its \
    middleware, or call `sessile.starlette.install()` before the library is imported";
