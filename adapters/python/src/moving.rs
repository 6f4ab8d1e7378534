//! Moves sessions from cookies of Starlette's middleware to this cache, each cookie to one session.
//!
//! Owns, for each cache and process, the mapping from a cookie to its session, and the selection of
//! the data that a session can hold. A moved cookie opens its session while it is accepted, so that
//! parallel requests and clients that ignore `Set-Cookie` share the session. It opens no session
//! once that one has ended or has another id. A sign-out is therefore permanent, and a cookie that
//! was planted before a sign-in does not open the session afterwards.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE};
use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict},
};
use sessile::Error;
use sessile_web::{Session, SessionManager, SessionRequest, adapter::SessionExt};

use crate::{
    errors::{engine_exception, session_exception},
    fork::OfProcess,
    json::{self, Encoder},
    pending::wait,
    starlette_cookie::{Importer, Signed, Tag},
};

/// The sessions of a cache that cookies were moved to. A forked child starts with none.
pub(crate) struct Moves(Mutex<OfProcess<Arc<Mutex<Table>>>>);

impl Default for Moves {
    fn default() -> Self {
        Self(Mutex::new(OfProcess::new(Arc::default())))
    }
}

impl Moves {
    /// Returns the table of this process. The outer lock is held briefly, by threads that hold the
    /// interpreter lock.
    fn table(&self) -> Arc<Mutex<Table>> {
        let mut table = self.0.lock();
        if let Some(table) = table.get() {
            return table.clone();
        }
        *table = OfProcess::new(Arc::default());
        table.get().cloned().unwrap_or_default()
    }

    /// Returns the `Cookie` field that opens the session of a signed cookie. The first request with
    /// the cookie creates the session. Returns the data if the session could not be created, and
    /// `None` if a session can hold none of the data.
    pub(crate) fn field_of(
        &self,
        py: Python<'_>,
        sessions: &SessionManager,
        importer: &Importer,
        signed: &Signed,
    ) -> PyResult<Option<Result<Bytes, Pairs>>> {
        let table = self.table();
        if let Some(field) = py.detach(|| table.lock().get(&signed.tag, signed.now)) {
            return Ok(Some(Ok(field)));
        }
        let pairs = storable(py, sessions, importer, &signed.json)?;
        if pairs.is_empty() {
            return Ok(None);
        }
        let expires = signed.expires.unwrap_or(u64::MAX);
        let lifetime = sessions.cache().lifetime().as_secs();
        let expires = expires.min(signed.now.saturating_add(lifetime));
        let field = py.detach(|| {
            // Held while the session is created, so that only one of parallel requests creates it.
            let mut table = table.lock();
            if let Some(field) = table.get(&signed.tag, signed.now) {
                return Ok(field);
            }
            let field = create(sessions, pairs)?;
            table.insert(
                signed.tag,
                Moved {
                    field: field.clone(),
                    expires,
                },
                signed.now,
            );
            Ok(field)
        });
        Ok(Some(field))
    }
}

/// Keys with their values as JSON.
pub(crate) type Pairs = Vec<(String, Bytes)>;

#[derive(Default)]
struct Table {
    by_tag: HashMap<Tag, Moved>,
    /// In order of insertion, the oldest first.
    order: VecDeque<Tag>,
}

struct Moved {
    field: Bytes,
    /// In unix seconds.
    expires: u64,
}

impl Table {
    fn get(&self, tag: &Tag, now: u64) -> Option<Bytes> {
        let moved = self.by_tag.get(tag).filter(|moved| moved.expires >= now)?;
        Some(moved.field.clone())
    }

    /// Inserts a cookie. Removes expired cookies from the front, and the oldest if the table is
    /// full.
    fn insert(&mut self, tag: Tag, moved: Moved, now: u64) {
        while let Some(oldest) = self.order.front()
            && (self.order.len() >= MAX_MOVED || self.get(oldest, now).is_none())
        {
            self.by_tag.remove(oldest);
            self.order.pop_front();
        }
        if self.by_tag.insert(tag, moved).is_none() {
            self.order.push_back(tag);
        }
    }
}

/// Creates a session and returns its `Cookie` field. Returns the data on an error.
fn create(sessions: &SessionManager, pairs: Pairs) -> Result<Bytes, Pairs> {
    let session = sessions.begin(SessionRequest::default());
    let changes = pairs
        .iter()
        .map(|(key, json)| (key.as_str(), Some(json.clone())));
    let mut headers = HeaderMap::new();
    let is_stored = session.change_json(changes).is_ok()
        && wait(SessionManager::commit(
            &session,
            StatusCode::OK,
            &mut headers,
        ))
        .is_ok();
    let cookie = headers
        .get(SET_COOKIE)
        .filter(|_| is_stored)
        .map(HeaderValue::as_bytes);
    let field = cookie.and_then(|cookie| cookie.split(|&byte| byte == b';').next());
    field.map(Bytes::copy_from_slice).ok_or(pairs)
}

/// Returns the data of a cookie that a session can hold. Numbers that are not finite become `null`,
/// and other values that a session cannot hold are omitted. Python code runs.
fn storable(
    py: Python<'_>,
    sessions: &SessionManager,
    importer: &Importer,
    payload: &[u8],
) -> PyResult<Pairs> {
    let Some(data) = read(py, payload)? else {
        return Ok(Pairs::new());
    };
    let limit = sessions.cache().max_session_size();
    let mut encoder = Encoder::copying(payload.len(), limit);
    // Checks the keys and values. It is not committed.
    let draft = sessions.begin(SessionRequest::default());
    let mut pairs = Pairs::new();
    for (key, value) in data {
        match pair(&draft, &mut encoder, &key, &value) {
            Ok(pair) => pairs.push(pair),
            Err(error) => importer.report(&error)?,
        }
    }
    while pairs.iter().map(len).sum::<usize>() > limit {
        let longest = (0..pairs.len())
            .max_by_key(|&at| len(&pairs[at]))
            .unwrap_or(0);
        pairs.remove(longest);
        importer.report(&engine_exception(Error::TooLarge {
            given: payload.len(),
            max: limit,
        }))?;
    }
    Ok(pairs)
}

/// Parses a payload as Starlette does, except for numbers that are not finite.
fn read<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Option<Bound<'py, PyDict>>> {
    let number = wrap_pyfunction!(finite, py)?;
    let settings = PyDict::new(py);
    settings.set_item(intern!(py, "parse_constant"), &number)?;
    settings.set_item(intern!(py, "parse_float"), &number)?;
    let loads = py
        .import(intern!(py, "json"))?
        .getattr(intern!(py, "loads"))?;
    let value = loads.call((PyBytes::new(py, payload),), Some(&settings));
    // Starlette writes only dicts.
    Ok(value.ok().and_then(|value| value.cast_into_exact().ok()))
}

fn pair(
    draft: &Session,
    encoder: &mut Encoder,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<(String, Bytes)> {
    let text = json::key_text(key)
        .map_err(|fault| fault.at(key))?
        .into_owned();
    let json = encoder.encode(value).map_err(|fault| fault.at(key))?;
    let json = Bytes::copy_from_slice(json);
    draft
        .insert_json(&text, json.clone())
        .map_err(session_exception)?;
    Ok((text, json))
}

/// Returns an upper bound of the stored size of a pair, in bytes.
fn len((key, json): &(String, Bytes)) -> usize {
    PAIR_OVERHEAD + key.len() + json.len()
}

/// Parses a number; `None` for `NaN`, infinities and numbers that are too large for a float.
#[pyfunction]
fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The maximum overhead of a pair besides its key and its value, in bytes.
const PAIR_OVERHEAD: usize = 7;

/// The maximum number of cookies that are remembered, at 150 bytes each.
const MAX_MOVED: usize = 1 << 14;
