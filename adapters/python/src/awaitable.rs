//! The awaitable variants of a cache's methods, with the prefix `a`. Each returns a coroutine.
//!
//! The work begins when the method is called, and on a local cache it is done when the method
//! returns. The coroutine returns the result or raises the error.

use pyo3::prelude::*;

use crate::{
    arguments::Argument::{self, Value},
    cache::{Seconds, SessionCache, duration, timeouts, with_header},
    errors::value_error,
    records::SessionId,
    verbs::{Name, SignIn, coroutine},
};

/// A coroutine.
type Coroutine<'py> = PyResult<Bound<'py, PyAny>>;

#[pymethods]
impl SessionCache {
    /// Awaitable variant of `create`.
    #[pyo3(signature = (data, *, idle_timeout = None, lifetime = None))]
    fn acreate<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        idle_timeout: Seconds,
        lifetime: Seconds,
    ) -> Coroutine<'py> {
        let timeouts = timeouts(idle_timeout, lifetime)?;
        coroutine(py, self.creating(py, data, timeouts))
    }

    /// Awaitable variant of `open`.
    fn aopen<'py>(&self, py: Python<'py>, cookie: &Bound<'py, PyAny>) -> Coroutine<'py> {
        let name = with_header(cookie, |header| Name::Header(header.to_vec()))?;
        coroutine(py, self.opening(py, name))
    }

    /// Awaitable variant of `open_token`.
    fn aopen_token<'py>(&self, py: Python<'py>, token: &Bound<'py, PyAny>) -> Coroutine<'py> {
        let name = with_header(token, |value| Name::Token(value.to_vec()))?;
        coroutine(py, self.opening(py, name))
    }

    /// Awaitable variant of `load`.
    fn aload<'py>(&self, py: Python<'py>, id: &SessionId) -> Coroutine<'py> {
        coroutine(py, self.opening(py, Name::Id(id.0)))
    }

    /// Awaitable variant of `save`.
    fn asave<'py>(
        &self,
        py: Python<'py>,
        id: &SessionId,
        version: u32,
        data: &[u8],
    ) -> Coroutine<'py> {
        coroutine(py, self.saving(py, id.0, version, data))
    }

    /// Awaitable variant of `touch`.
    fn atouch<'py>(&self, py: Python<'py>, id: &SessionId) -> Coroutine<'py> {
        coroutine(py, self.touching(py, id.0))
    }

    /// Awaitable variant of `set_timeouts`.
    #[pyo3(signature = (id, version, *, idle_timeout = None, lifetime = None))]
    fn aset_timeouts<'py>(
        &self,
        py: Python<'py>,
        id: &SessionId,
        version: u32,
        idle_timeout: Seconds,
        lifetime: Seconds,
    ) -> Coroutine<'py> {
        let timeouts = timeouts(idle_timeout, lifetime)?;
        coroutine(py, self.setting_timeouts(py, id.0, version, timeouts))
    }

    /// Awaitable variant of `sign_in`.
    #[pyo3(signature = (
        id, user, *, label = "", assurance_level = Value(0), idle_timeout = None, lifetime = None, renew_lifetime = false,
    ), text_signature = "($self, id, user, *, label='', assurance_level=0, idle_timeout=None, lifetime=None, \
        renew_lifetime=False)")]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn asign_in<'py>(
        &self,
        py: Python<'py>,
        id: &SessionId,
        user: &str,
        label: &str,
        assurance_level: Argument<u8>,
        idle_timeout: Seconds,
        lifetime: Seconds,
        renew_lifetime: bool,
    ) -> Coroutine<'py> {
        let sign_in = SignIn {
            user: user.to_owned(),
            label: label.to_owned(),
            assurance_level: assurance_level.named("assurance_level")?,
            timeouts: timeouts(idle_timeout, lifetime)?,
            renew_lifetime,
        };
        coroutine(py, self.signing_in(py, id.0, sign_in))
    }

    /// Awaitable variant of `rotate`.
    #[pyo3(signature = (id, *, grace = Value(0.0)), text_signature = "($self, id, *, grace=0.0)")]
    fn arotate<'py>(
        &self,
        py: Python<'py>,
        id: &SessionId,
        grace: Argument<f64>,
    ) -> Coroutine<'py> {
        let grace = duration("grace", grace)?;
        coroutine(py, self.rotating(py, id.0, grace))
    }

    /// Awaitable variant of `end`.
    fn aend<'py>(&self, py: Python<'py>, id: &SessionId) -> Coroutine<'py> {
        coroutine(py, self.ending(py, id.0))
    }

    /// Awaitable variant of `end_by_token`.
    fn aend_by_token<'py>(&self, py: Python<'py>, token: &Bound<'py, PyAny>) -> Coroutine<'py> {
        let token = with_header(token, <[u8]>::to_vec)?;
        coroutine(py, self.ending_token(py, &token))
    }

    /// Awaitable variant of `end_if_unchanged`.
    fn aend_if_unchanged<'py>(
        &self,
        py: Python<'py>,
        id: &SessionId,
        version: u32,
    ) -> Coroutine<'py> {
        coroutine(py, self.ending_unchanged(py, id.0, version))
    }

    /// Awaitable variant of `end_by_handle`.
    fn aend_by_handle<'py>(&self, py: Python<'py>, handle: &str) -> Coroutine<'py> {
        let handle = handle.parse::<sessile::Handle>().map_err(value_error)?;
        coroutine(py, self.ending_handle(py, handle))
    }

    /// Awaitable variant of `end_user_sessions`.
    #[pyo3(signature = (user, *, except_id = None))]
    fn aend_user_sessions<'py>(
        &self,
        py: Python<'py>,
        user: &str,
        except_id: Option<&SessionId>,
    ) -> Coroutine<'py> {
        coroutine(py, self.ending_user(py, user, except_id.map(|id| id.0)))
    }

    /// Awaitable variant of `end_all`.
    fn aend_all<'py>(&self, py: Python<'py>) -> Coroutine<'py> {
        coroutine(py, self.ending_all(py))
    }

    /// Awaitable variant of `user_sessions`.
    fn auser_sessions<'py>(&self, py: Python<'py>, user: &str) -> Coroutine<'py> {
        coroutine(py, self.listing(py, user))
    }

    /// Awaitable variant of `close`.
    #[pyo3(signature = (deadline = Value(5.0)), text_signature = "($self, deadline=5.0)")]
    fn aclose<'py>(&self, py: Python<'py>, deadline: Argument<f64>) -> Coroutine<'py> {
        let deadline = duration("deadline", deadline)?;
        coroutine(py, self.closing(py, deadline))
    }
}
