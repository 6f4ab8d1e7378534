//! What the verbs of a cache give. None shows an id, a token or data in its `repr`.

use pyo3::{prelude::*, types::PyBytes};

/// Which session. Whoever holds one can read and end it: keep it out of logs and addresses.
#[pyclass(frozen, eq, hash, module = "sessile")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) sessile::SessionId);

#[pymethods]
impl SessionId {
    fn __repr__(&self) -> &'static str {
        "SessionId(..)"
    }
}

/// A session that was created, rotated or signed in to.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct IssuedSession(pub(crate) sessile::IssuedSession);

#[pymethods]
impl IssuedSession {
    /// The new id.
    #[getter]
    fn id(&self) -> SessionId {
        SessionId(self.0.id)
    }

    /// The value of the cookie to send.
    #[getter]
    fn token(&self) -> &str {
        self.0.token.as_str()
    }

    /// The version of the data.
    #[getter]
    fn version(&self) -> u32 {
        self.0.version.get()
    }

    fn __repr__(&self) -> &'static str {
        "IssuedSession(..)"
    }
}

/// A session that was found.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct Record {
    pub(crate) record: sessile::Record,
    pub(crate) data: Py<PyBytes>,
}

#[pymethods]
impl Record {
    /// The id.
    #[getter]
    fn id(&self) -> SessionId {
        SessionId(self.record.id)
    }

    /// The version of the data, for `save`.
    #[getter]
    fn version(&self) -> u32 {
        self.record.version.get()
    }

    /// The data.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    /// Whether a user is signed in.
    #[getter]
    fn is_authenticated(&self) -> bool {
        self.record.is_authenticated()
    }

    /// How sure the application was of the user, on its own scale; 0 without one.
    #[getter]
    fn assurance_level(&self) -> u8 {
        self.record.assurance_level
    }

    /// The name of the session for lists and events. It opens nothing.
    #[getter]
    fn handle(&self) -> String {
        self.record.handle().to_string()
    }

    /// How old the session is, in seconds.
    #[getter]
    fn age(&self) -> f64 {
        self.record.age().as_secs_f64()
    }

    /// How long until the session is refused if it is not used again, in seconds.
    #[getter]
    fn expires_in(&self) -> f64 {
        self.record.expires_in().as_secs_f64()
    }

    fn __repr__(&self) -> &'static str {
        "Record(..)"
    }
}

/// A session in the list of its user's.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct Device {
    device: sessile::SessionInfo,
    is_current: bool,
}

impl From<sessile::SessionInfo> for Device {
    fn from(device: sessile::SessionInfo) -> Self {
        Self { device, is_current: false }
    }
}

impl From<sessile_web::SessionInfo> for Device {
    fn from(device: sessile_web::SessionInfo) -> Self {
        let is_current = device.is_current();
        Self { device: device.into(), is_current }
    }
}

#[pymethods]
impl Device {
    /// Its name, for `end_by_handle`. It opens nothing.
    #[getter]
    fn handle(&self) -> String {
        self.device.handle.to_string()
    }

    /// What the application called it at the sign-in; empty if nothing.
    #[getter]
    fn label(&self) -> &str {
        &self.device.label
    }

    /// How sure the application was of the user, on its own scale.
    #[getter]
    fn assurance_level(&self) -> u8 {
        self.device.assurance_level
    }

    /// How old the session is, in seconds.
    #[getter]
    fn age(&self) -> f64 {
        self.device.age().as_secs_f64()
    }

    /// How long ago its user signed in, in seconds.
    #[getter]
    fn authenticated_for(&self) -> f64 {
        self.device.authenticated_for().as_secs_f64()
    }

    /// How long ago it was last used, in seconds: that long, or less by at most a sixteenth of its idle timeout.
    #[getter]
    fn last_seen(&self) -> f64 {
        self.device.last_seen().as_secs_f64()
    }

    /// Whether it is the session that asked, where one did.
    #[getter]
    fn is_current(&self) -> bool {
        self.is_current
    }

    fn __repr__(&self) -> String {
        format!("Device(label={:?})", self.device.label)
    }
}

/// Something that happened to a session. It opens nothing, so it may be logged.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct Event(pub(crate) sessile::Event);

#[pymethods]
impl Event {
    /// What happened: "created", "signed_in", "rotated", "reused", "expired", "evicted", "ended", "conflict" or
    /// "emptied".
    #[getter]
    fn what(&self) -> &'static str {
        use sessile::EventKind;
        match self.0.kind {
            EventKind::Created => "created",
            EventKind::SignedIn => "signed_in",
            EventKind::Rotated => "rotated",
            EventKind::Reused => "reused",
            EventKind::Expired => "expired",
            EventKind::Evicted => "evicted",
            EventKind::Ended(_) => "ended",
            EventKind::Conflict => "conflict",
            _ => "emptied",
        }
    }

    /// To which session; `None` if it happened to all of them.
    #[getter]
    fn handle(&self) -> Option<String> {
        self.0.handle.map(|handle| handle.to_string())
    }

    /// When it happened, in seconds since the cache's clock began to run.
    #[getter]
    fn at(&self) -> f64 {
        self.0.at().as_secs_f64()
    }

    fn __repr__(&self) -> String {
        format!("Event(what={:?})", self.what())
    }
}
