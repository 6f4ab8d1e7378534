//! One request's session, between the dict that a handler sees and the engine.
//!
//! Owns each value as it was when the dict was last compared, its spelling and what it was made of: what differs from
//! that is a change. It never keeps the dict, and runs no code of Python's while it walks it.

mod respond;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};
use sessile_web::{self as web, Incoming, Session, SignIn};

use crate::{
    cache::SessionCache,
    errors::{Forked, TooLarge, refusal, seconds},
    fork, json,
    records::Device,
    response::{self, Kind},
    sessions::Sessions,
};

/// The session of one request.
#[pyclass(module = "sessile._sessile")]
pub(crate) struct Visit {
    sessions: Py<Sessions>,
    headers: Py<PyAny>,
    is_websocket: bool,
    /// The application has returned.
    is_over: bool,
    stage: Stage,
    /// More of the response's body was to come.
    is_stream: bool,
    session: Option<Session>,
    /// The session of a request that counts as a use of it, though it was not read.
    touched: Option<Session>,
    generation: u32,
    /// The engine has it, or had it when it was last looked for.
    was_stored: bool,
    /// The data is out of a cookie of Starlette's.
    is_imported: bool,
    /// By ascending key.
    known: Vec<Known>,
}

/// A value that the dict had when it was last compared.
struct Known {
    key: String,
    json: Bytes,
    /// What it was made of, if that tells whether it is as it was.
    pieces: Option<json::Pieces>,
}

impl Known {
    fn is_unchanged(&self, value: &Bound<'_, PyAny>) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.are_those_of(value))
    }
}

/// How far the response is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its headers have not left.
    Open,
    /// They have left: a session can be saved, and nothing else.
    Detached,
    /// It says that something went wrong, and nothing is stored.
    Failed,
    /// The session could not be stored: it is another response than the application's.
    Refused,
}

#[pymethods]
impl Visit {
    /// Reads the session into a dict, in place of what is there.
    fn read(&mut self, py: Python<'_>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        dict.clear();
        let cookies = cookies(self.headers.bind(py))?;
        let sessions = self.sessions.get().current(py)?;
        let session = self
            .touched
            .take()
            .unwrap_or_else(|| sessions.begin(cookies.iter().cloned().collect::<Incoming>()));
        if self.stage != Stage::Open {
            session.detach();
        }
        self.known.clear();
        for (key, json) in session.pairs() {
            let (value, pieces) = json::decode_in_pieces(py, &json)
                .map_err(|_| PyValueError::new_err("a value in the session is no JSON"))?;
            dict.set_item(&key, value)?;
            self.known.push(Known { key, json, pieces: Some(pieces) });
        }
        self.was_stored = session.is_stored();
        if !self.was_stored {
            let name = sessions.cache().cookie_name();
            self.import(py, name, &cookies, dict)?;
        }
        (self.session, self.generation) = (Some(session), fork::generation());
        Ok(())
    }

    /// Counts the request as a use of its session, as the middleware was told to.
    fn touch(&mut self, py: Python<'_>) -> PyResult<()> {
        let cookies = cookies(self.headers.bind(py))?;
        if !cookies.is_empty() {
            let sessions = self.sessions.get().current(py)?;
            self.touched = Some(sessions.begin(cookies.into_iter().collect::<Incoming>()));
            self.generation = fork::generation();
        }
        Ok(())
    }

    /// Handles the response's next message. With the first one the session is stored, and its headers are written.
    /// Returns `None` if the message is to be sent as it is now; `True` if `save_late` is to follow it; and the body
    /// of another response if the session cannot be stored, whose start the message is now. Messages after that one
    /// are not to be sent: their body is empty.
    fn respond<'py>(
        slf: &Bound<'py, Self>,
        dict: &Bound<'py, PyDict>,
        message: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match response::kind(message)? {
            Kind::Start => return Self::commit(slf, dict, message),
            Kind::Accept => Self::accept(slf, dict, message)?,
            Kind::Close => slf.borrow_mut().close(),
            Kind::Rest => return slf.borrow_mut().go_on(message),
        }
        Ok(None)
    }

    /// Warns of a cookie of the session's name that another middleware put into a response.
    fn look_for_foreign_cookie(&self, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<()> {
        response::look_for_foreign_cookie(py, &self.cookie_name(py)?, message)
    }

    /// Stores what changed, now.
    fn save(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let work = slf.borrow().work(dict)?;
        if let Some((session, changes)) = work {
            slf.py().detach(|| session.save()).map_err(refusal)?;
            slf.borrow_mut().stored(&session, changes);
        }
        Ok(())
    }

    /// Stores what changed since the headers left, if the session was read. One that has ended stays ended.
    fn save_late(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let visit = slf.borrow();
        if visit.stage != Stage::Detached || visit.session.is_none() {
            return Ok(());
        }
        let work = visit.work(dict)?;
        drop(visit);
        if let Some((session, changes)) = work {
            match slf.py().detach(|| session.save()) {
                Err(error) if !is_gone(&error) => return Err(refusal(error)),
                _ => slf.borrow_mut().stored(&session, changes),
            }
        }
        Ok(())
    }

    /// The application has returned: `save_late`, for the last time.
    fn finish(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        slf.borrow_mut().is_over = true;
        Self::save_late(slf, dict)
    }

    /// The application has failed. If no response has begun, what is stored even so is: that keys which name the
    /// user were removed. No error here hides the application's.
    fn fail(slf: &Bound<'_, Self>, dict: &Bound<'_, PyDict>) {
        slf.borrow_mut().is_over = true;
        let visit = slf.borrow();
        let Ok(session) = visit.session() else {
            return;
        };
        let removals = if visit.stage == Stage::Open { visit.removals(dict) } else { return };
        drop(visit);
        if removals.is_ok_and(|removals| Self::push(&session, &removals).is_ok()) {
            let failure = StatusCode::INTERNAL_SERVER_ERROR;
            let commit = || web::Sessions::commit(&session, failure, &mut HeaderMap::new());
            // Nothing can report that it failed.
            drop(slf.py().detach(commit));
        }
        slf.borrow_mut().stage = Stage::Failed;
        session.detach();
    }

    /// Whether the application has returned.
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it is a session of that cache.
    fn is_of(&self, cache: &Bound<'_, SessionCache>) -> bool {
        self.sessions.get().cache().is(cache)
    }

    /// The name of the cookie.
    fn cookie_name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.sessions.get().current(py)?.cache().cookie_name().to_owned())
    }

    /// Whether the dict differs from what was read, or last stored.
    fn differs(&self, dict: &Bound<'_, PyDict>) -> PyResult<bool> {
        let changes = match self.changes(dict) {
            Err(error) if error.is_instance_of::<TooLarge>(dict.py()) => return Ok(true),
            changes => changes?,
        };
        Ok(self.is_imported || !changes.is_empty())
    }

    fn sign_in(
        &mut self,
        user: &str,
        label: &str,
        assurance: u8,
        remember: Option<f64>,
    ) -> PyResult<()> {
        let session = self.open_session()?;
        let mut sign_in = SignIn::of(user).label(label).assurance(assurance);
        if let Some(span) = remember {
            sign_in = sign_in.remember(seconds("remember", span)?);
        }
        session.sign_in(sign_in).map_err(refusal)
    }

    fn sign_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let session = slf.borrow().session()?;
        slf.py().detach(|| session.sign_out());
        slf.borrow_mut().forget();
        Ok(())
    }

    fn rotate(&self) -> PyResult<()> {
        self.open_session()?.rotate().map_err(refusal)
    }

    fn user(&self) -> PyResult<Option<String>> {
        Ok(self.session()?.user())
    }

    fn csrf_token(slf: &Bound<'_, Self>) -> PyResult<String> {
        let session = slf.borrow().session()?;
        slf.py().detach(|| session.csrf_token()).map_err(refusal)
    }

    fn check_csrf(&self, token: &str) -> PyResult<()> {
        self.session()?.check_csrf(token).map_err(refusal)
    }

    /// Whether the session is still there.
    fn is_alive(&self) -> PyResult<bool> {
        Ok(self.session()?.is_alive())
    }

    fn devices(slf: &Bound<'_, Self>) -> PyResult<Vec<Device>> {
        let session = slf.borrow().session()?;
        let devices = slf.py().detach(|| session.devices());
        Ok(devices.into_iter().map(Device::from).collect())
    }

    fn sign_out_others(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let session = slf.borrow().session()?;
        Ok(slf.py().detach(|| session.sign_out_others()))
    }

    fn sign_out_everywhere(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let session = slf.borrow().session()?;
        let ended = slf.py().detach(|| session.sign_out_everywhere());
        slf.borrow_mut().forget();
        Ok(ended)
    }
}

/// What one comparison found: keys with their new spelling and what it is of, `None` if they are gone.
type Changes = Vec<Change>;
type Change = (String, Option<(Bytes, Option<json::Pieces>)>);

impl Visit {
    pub(crate) fn new(sessions: Py<Sessions>, headers: Py<PyAny>, is_websocket: bool) -> Self {
        Self {
            sessions,
            headers,
            is_websocket,
            is_over: false,
            stage: Stage::Open,
            is_stream: false,
            session: None,
            touched: None,
            generation: 0,
            was_stored: false,
            is_imported: false,
            known: Vec::new(),
        }
    }

    fn session(&self) -> PyResult<Session> {
        let session = self.session.as_ref().ok_or_else(|| {
            PyRuntimeError::new_err("the session was not asked for: use request.session")
        })?;
        if self.generation != fork::generation() {
            return Err(Forked::new_err(
                "this process was forked while a request was under way: its session is the parent's",
            ));
        }
        Ok(session.clone())
    }

    /// For what the browser must be told of.
    fn open_session(&self) -> PyResult<Session> {
        if self.stage == Stage::Open { self.session() } else { Err(self.too_late()) }
    }

    fn too_late(&self) -> PyErr {
        PyRuntimeError::new_err(if self.is_websocket {
            "a websocket that was accepted cannot create a session or give it a new id, because no response carries \
             the cookie: do it before `accept()`"
        } else {
            "the response's headers have left, so that no session can be created or get a new id: do it before the \
             handler returns"
        })
    }

    fn import(
        &mut self,
        py: Python<'_>,
        name: &str,
        cookies: &[Bytes],
        dict: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let json = self.sessions.get().starlettes(name, cookies);
        let value = json.and_then(|json| json::decode(py, &json).ok());
        if let Some(data) = value.as_ref().and_then(|value| value.cast::<PyDict>().ok()) {
            dict.update(data.as_mapping())?;
            self.is_imported = !data.is_empty() && self.stage == Stage::Open;
            if self.stage != Stage::Open {
                // It can be read, and moved in another request.
                self.know(self.changes(dict)?);
            }
        }
        Ok(())
    }

    /// Hands the changes of the dict over, if there is something to save. An error if that would make a session when it
    /// is too late for that: then nothing was handed over.
    fn work(&self, dict: &Bound<'_, PyDict>) -> PyResult<Option<(Session, Changes)>> {
        let session = self.session()?;
        let changes = self.changes(dict)?;
        if changes.is_empty() && !session.has_work() {
            return Ok(None);
        }
        if self.stage != Stage::Open && !self.was_stored {
            return Err(self.too_late());
        }
        Self::push(&session, &changes)?;
        Ok(Some((session, changes)))
    }

    /// Hands changes over to be saved. On an error none of them is.
    fn push(session: &Session, changes: &Changes) -> PyResult<()> {
        let json = |(json, _): &(Bytes, _)| json.clone();
        let changes = changes.iter().map(|(key, value)| (key.as_str(), value.as_ref().map(json)));
        session.change_json(changes).map_err(refusal)
    }

    /// Notes that those changes are stored, and no others: what failed is found again.
    fn stored(&mut self, session: &Session, changes: Changes) {
        self.was_stored |= session.is_stored();
        self.know(changes);
    }

    /// Notes that the session is gone, and empty.
    fn forget(&mut self) {
        self.was_stored = false;
        self.known.clear();
        self.is_imported = false;
    }

    fn know(&mut self, changes: Changes) {
        for (key, value) in changes {
            let place = self.known.binary_search_by(|known| known.key.cmp(&key));
            match (value, place) {
                (Some((json, pieces)), Ok(at)) => self.known[at] = Known { key, json, pieces },
                (Some((json, pieces)), Err(at)) => {
                    self.known.insert(at, Known { key, json, pieces });
                }
                (None, Ok(at)) => drop(self.known.remove(at)),
                (None, Err(_)) => {}
            }
        }
    }

    /// Returns what differs between the dict and what is known of it.
    fn changes(&self, dict: &Bound<'_, PyDict>) -> PyResult<Changes> {
        match self.changes_with(dict, || self.encoder(json::Encoder::new)) {
            // Code in Python may run, and must find no dict that is being walked.
            Err(fault) if fault.needs_copies() => {
                let copy = json::with_own_keys(dict)?;
                Ok(self.changes_with(&copy, || self.encoder(json::Encoder::copying))?)
            }
            changes => Ok(changes?),
        }
    }

    /// The dict's keys are mostly in the order of those that are known, since it was filled from them.
    fn changes_with(
        &self,
        dict: &Bound<'_, PyDict>,
        new_encoder: impl Fn() -> json::Encoder,
    ) -> Result<Changes, json::Fault> {
        let mut changes = Changes::new();
        let mut encoder = None;
        let (mut next, mut seen) = (0, 0);
        for (key, value) in dict {
            if !key.is_exact_instance_of::<PyString>() {
                return Err(json::Fault::new_needs_copies());
            }
            let text = json::key_text(&key).map_err(|fault| fault.at(&key))?;
            let known = self.place(&text, next).map(|at| {
                (next, seen) = (at + 1, seen + 1);
                &self.known[at]
            });
            if known.is_some_and(|known| known.is_unchanged(&value)) {
                continue;
            }
            let encoder = encoder.get_or_insert_with(&new_encoder);
            let json = encoder.encode(&value).map_err(|fault| fault.at(&key))?;
            if known.is_none_or(|known| known.json != json) {
                let json = Bytes::copy_from_slice(json);
                changes.push((text.into_owned(), Some((json, json::Pieces::of(&value)))));
            }
        }
        if seen < self.known.len() {
            changes.extend(self.removals(dict)?);
        }
        Ok(changes)
    }

    /// The keys that are known and are not in the dict.
    fn removals(&self, dict: &Bound<'_, PyDict>) -> PyResult<Changes> {
        let mut removals = Changes::new();
        for Known { key, .. } in &self.known {
            if !dict.contains(key)? {
                removals.push((key.clone(), None));
            }
        }
        Ok(removals)
    }

    /// With room for the longest value.
    fn encoder(&self, new: impl Fn(usize, usize) -> json::Encoder) -> json::Encoder {
        let longest = self.known.iter().map(|known| known.json.len()).max();
        new(longest.unwrap_or(0) + SPARE, self.sessions.get().max_session_size())
    }

    fn place(&self, key: &str, next: usize) -> Option<usize> {
        if self.known.get(next).is_some_and(|known| known.key == key) {
            return Some(next);
        }
        self.known.binary_search_by(|known| known.key.as_str().cmp(key)).ok()
    }
}

/// The `Cookie` fields of a request, in order.
fn cookies(headers: &Bound<'_, PyAny>) -> PyResult<Vec<Bytes>> {
    let mut fields = Vec::new();
    for header in headers.try_iter()? {
        let header = header?;
        let (name, value) = response::halves(&header)?;
        if name.cast::<PyBytes>().is_ok_and(|name| name.as_bytes() == b"cookie") {
            fields.push(Bytes::copy_from_slice(value.cast::<PyBytes>()?.as_bytes()));
        }
    }
    Ok(fields)
}

/// Room for a value that got longer, or the first one, in bytes.
const SPARE: usize = 128;

fn is_gone(error: &sessile_web::SessionError) -> bool {
    matches!(error, sessile_web::SessionError::Store(error) if error.cause() == sessile::Error::Gone)
}

/// Does nothing. A method of Python's for the same would show its session in its `repr`.
#[pyfunction]
pub(crate) fn nothing() {}
