//! The values that the methods of a cache return. No `repr` shows an id, a token or data.

use pyo3::{prelude::*, types::PyBytes};
use sessile_store::StoreState;

use crate::keys;

/// The id of a session. It gives access to the session, so keep it out of logs and URLs.
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

/// A session that was read.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct Record {
    pub(crate) record: sessile::Record,
    pub(crate) data: Py<PyBytes>,
}

#[pymethods]
impl Record {
    /// The id of the session.
    #[getter]
    fn id(&self) -> SessionId {
        SessionId(self.record.id)
    }

    /// The version of the data, for `save`.
    #[getter]
    fn version(&self) -> u32 {
        self.record.version.get()
    }

    /// The session's data.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyBytes> {
        self.data.clone_ref(py)
    }

    /// True if a user is signed in.
    #[getter]
    fn is_authenticated(&self) -> bool {
        self.record.is_authenticated()
    }

    /// The authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`); 0 without a user.
    #[getter]
    fn assurance_level(&self) -> u8 {
        self.record.assurance_level
    }

    /// The name of the session in lists and events. It gives no access to the session.
    #[getter]
    fn handle(&self) -> String {
        self.record.handle().to_string()
    }

    /// Seconds since the session was created.
    #[getter]
    fn age(&self) -> f64 {
        self.record.age().as_secs_f64()
    }

    /// Seconds until the session expires if it is not used again.
    #[getter]
    fn expires_in(&self) -> f64 {
        self.record.expires_in().as_secs_f64()
    }

    fn __repr__(&self) -> &'static str {
        "Record(..)"
    }
}

/// A session in the list of a user's sessions.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct SessionInfo {
    info: sessile::SessionInfo,
    is_current: bool,
}

impl From<sessile::SessionInfo> for SessionInfo {
    fn from(info: sessile::SessionInfo) -> Self {
        Self {
            info,
            is_current: false,
        }
    }
}

impl From<sessile_web::SessionInfo> for SessionInfo {
    fn from(info: sessile_web::SessionInfo) -> Self {
        let is_current = info.is_current();
        Self {
            info: info.into(),
            is_current,
        }
    }
}

#[pymethods]
impl SessionInfo {
    /// The name of the session, for `end_by_handle`. It gives no access to the session.
    #[getter]
    fn handle(&self) -> String {
        self.info.handle.to_string()
    }

    /// The label that the application gave it at the sign-in; empty without one.
    #[getter]
    fn label(&self) -> &str {
        &self.info.label
    }

    /// The authentication assurance level (NIST SP 800-63B AAL, OIDC `acr`).
    #[getter]
    fn assurance_level(&self) -> u8 {
        self.info.assurance_level
    }

    /// Seconds since the session was created.
    #[getter]
    fn age(&self) -> f64 {
        self.info.age().as_secs_f64()
    }

    /// Seconds since its user signed in.
    #[getter]
    fn authenticated_for(&self) -> f64 {
        self.info.authenticated_for().as_secs_f64()
    }

    /// Seconds since its last use, at most a sixteenth of the idle timeout too large.
    #[getter]
    fn last_seen(&self) -> f64 {
        self.info.last_seen().as_secs_f64()
    }

    /// True if it is the session of the request that listed them.
    #[getter]
    fn is_current(&self) -> bool {
        self.is_current
    }

    fn __repr__(&self) -> String {
        format!("SessionInfo(label={:?})", self.info.label)
    }
}

/// The state of the store, for readiness probes.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct StoreHealth {
    pub(crate) health: sessile_store::StoreHealth,
    /// The name of the setting that defines the keys.
    pub(crate) keys_setting: &'static str,
}

#[pymethods]
impl StoreHealth {
    /// "up", "down" or "incompatible".
    #[getter]
    fn state(&self) -> &'static str {
        match self.health.state {
            StoreState::Up => "up",
            StoreState::Incompatible(_) => "incompatible",
            _ => "down",
        }
    }

    /// The reason why the store cannot be used with these settings; `None` in other states.
    #[getter]
    fn cause(&self) -> Option<String> {
        match &self.health.state {
            StoreState::Incompatible(cause) => Some(keys::with_setting(cause, self.keys_setting)),
            _ => None,
        }
    }

    /// Seconds for which sessions in memory are still opened if the store does not answer.
    #[getter]
    fn lease_remaining(&self) -> f64 {
        self.health.lease_remaining.as_secs_f64()
    }

    /// The number of ends that the store has not confirmed.
    #[getter]
    fn ends_queued(&self) -> usize {
        self.health.ends_queued
    }

    fn __repr__(&self) -> String {
        format!("StoreHealth(state={:?})", self.state())
    }
}

/// An event of a session. It gives no access to the session, so it may be logged.
#[pyclass(frozen, module = "sessile")]
pub(crate) struct Event(pub(crate) sessile::Event);

#[pymethods]
impl Event {
    /// The kind: "created", "signed_in", "rotated", "reused", "expired", "evicted", "ended",
    /// "conflict" or "shard_reset".
    #[getter]
    fn kind(&self) -> &'static str {
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
            _ => "shard_reset",
        }
    }

    /// The session's handle; `None` if the event concerns all sessions.
    #[getter]
    fn handle(&self) -> Option<String> {
        self.0.handle.map(|handle| handle.to_string())
    }

    /// The time of the event, in seconds since the cache's clock started.
    #[getter]
    fn at(&self) -> f64 {
        self.0.at().as_secs_f64()
    }

    fn __repr__(&self) -> String {
        format!("Event(kind={:?})", self.kind())
    }
}
