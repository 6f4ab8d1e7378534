//! The verbs of a cache, on either kind: without a store they are done when they return, with one
//! they may return a `_Pending`.
//!
//! Owns the way from a verb to its two methods in Python: one that waits, and one that is awaited.
//! It does not know the arguments as Python passes them.

use bytes::BytesMut;
use pyo3::{IntoPyObjectExt, prelude::*, types::PyBytes};
use sessile::{CreateOptions, Error, Handle, SignInOptions, Timeouts, Version};
use sessile_store::TieredCache;
use sessile_web::Cache;
use std::time::Duration;

use crate::{
    cache::{SessionCache, read},
    errors::engine_exception,
    pending::{Pending, settle},
    records::{IssuedSession, Record, SessionInfo},
};

/// A result, or a [`Pending`] that returns it.
pub(crate) struct Answer(Py<PyAny>);

impl Answer {
    fn of<'py>(py: Python<'py>, value: impl IntoPyObjectExt<'py>) -> PyResult<Self> {
        value.into_py_any(py).map(Self)
    }

    /// Waits without the interpreter lock.
    pub(crate) fn wait(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.0.bind(py).cast::<Pending>() {
            Ok(pending) => Pending::block(pending),
            Err(_) => Ok(self.0),
        }
    }
}

/// Returns a coroutine with the result or the error of a verb.
pub(crate) fn coroutine(py: Python<'_>, answer: PyResult<Answer>) -> PyResult<Bound<'_, PyAny>> {
    let module = py.import("sessile._waiting")?;
    match answer {
        Ok(answer) => module.call_method1("settle", (answer.0,)),
        Err(error) => module.call_method1("fail", (error.into_value(py),)),
    }
}

/// The new state of a session at its sign-in.
pub(crate) struct SignIn {
    pub(crate) user: String,
    pub(crate) label: String,
    pub(crate) assurance_level: u8,
    pub(crate) timeouts: Timeouts,
    pub(crate) renew_lifetime: bool,
}

impl SignIn {
    fn options(&self) -> SignInOptions<'_> {
        SignInOptions::new()
            .timeouts(self.timeouts)
            .assurance_level(self.assurance_level)
            .label(&self.label)
            .renew_lifetime(self.renew_lifetime)
    }
}

/// The name under which a cache is asked for a session.
pub(crate) enum Name {
    /// A `Cookie` header.
    Header(Vec<u8>),
    /// The value of a cookie.
    Token(Vec<u8>),
    /// An id.
    Id(sessile::SessionId),
}

impl SessionCache {
    /// Calls a verb of the cache of this process.
    fn verb<T, F>(
        &self,
        py: Python<'_>,
        local: impl FnOnce(&sessile::SessionCache) -> Result<T, Error> + Send,
        tiered: impl FnOnce(TieredCache) -> F,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Answer> + Send + 'static,
    ) -> PyResult<Answer>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        match self.engine.cache(py)? {
            Cache::Local(cache) => {
                let result = py.detach(|| local(&cache)).map_err(engine_exception)?;
                convert(py, result)
            }
            Cache::Tiered(cache) => settle(py, tiered(cache), |py, result| {
                Ok(convert(py, result.map_err(engine_exception)?)?.0)
            })
            .map(Answer),
        }
    }

    pub(crate) fn creating(
        &self,
        py: Python<'_>,
        data: &[u8],
        timeouts: Timeouts,
    ) -> PyResult<Answer> {
        let owned = data.to_vec();
        self.verb(
            py,
            |cache| cache.create_with(data, CreateOptions::new().timeouts(timeouts)),
            |cache| async move {
                let options = CreateOptions::new().timeouts(timeouts);
                cache.create_with(&owned, options).await
            },
            |py, issued| Answer::of(py, IssuedSession(issued)),
        )
    }

    /// Opens a session. On a local cache it keeps the interpreter lock, as `open` does.
    pub(crate) fn opening(&self, py: Python<'_>, name: Name) -> PyResult<Answer> {
        let cache = match self.engine.cache(py)? {
            Cache::Local(cache) => {
                let found = read(py, |buffer| match &name {
                    Name::Header(header) => cache.open([&header[..]], buffer),
                    Name::Token(token) => cache.open_token(token, buffer),
                    Name::Id(id) => cache.load(id, buffer),
                });
                return found.map(Answer);
            }
            Cache::Tiered(cache) => cache,
        };
        let work = async move {
            let mut buffer = BytesMut::new();
            let found = match &name {
                Name::Header(header) => cache.open([&header[..]], &mut buffer).await,
                Name::Token(token) => cache.open_token(token, &mut buffer).await,
                Name::Id(id) => cache.load(id, &mut buffer).await,
            };
            found.map(|record| record.map(|record| (record, buffer)))
        };
        settle(py, work, |py, found| {
            let found = found.map_err(engine_exception)?;
            let record = found.map(|(record, data)| Record {
                record,
                data: PyBytes::new(py, &data).unbind(),
            });
            Ok(Answer::of(py, record)?.0)
        })
        .map(Answer)
    }

    pub(crate) fn saving(
        &self,
        py: Python<'_>,
        id: sessile::SessionId,
        version: u32,
        data: &[u8],
    ) -> PyResult<Answer> {
        let (version, owned) = (Version::new(version), data.to_vec());
        self.verb(
            py,
            |cache| cache.save(&id, version, data),
            |cache| async move { cache.save(&id, version, &owned).await },
            |py, version| Answer::of(py, version.get()),
        )
    }

    pub(crate) fn touching(&self, py: Python<'_>, id: sessile::SessionId) -> PyResult<Answer> {
        self.verb(
            py,
            |cache| cache.touch(&id),
            |cache| async move { cache.touch(&id).await },
            none,
        )
    }

    pub(crate) fn setting_timeouts(
        &self,
        py: Python<'_>,
        id: sessile::SessionId,
        version: u32,
        timeouts: Timeouts,
    ) -> PyResult<Answer> {
        let version = Version::new(version);
        self.verb(
            py,
            |cache| cache.set_timeouts(&id, version, timeouts),
            |cache| async move { cache.set_timeouts(&id, version, timeouts).await },
            |py, version| Answer::of(py, version.get()),
        )
    }

    pub(crate) fn signing_in(
        &self,
        py: Python<'_>,
        id: sessile::SessionId,
        sign_in: SignIn,
    ) -> PyResult<Answer> {
        let sign_in = std::sync::Arc::new(sign_in);
        let owned = sign_in.clone();
        self.verb(
            py,
            |cache| cache.sign_in_with(&id, &sign_in.user, sign_in.options()),
            |cache| async move { cache.sign_in_with(&id, &owned.user, owned.options()).await },
            |py, issued| Answer::of(py, IssuedSession(issued)),
        )
    }

    pub(crate) fn rotating(
        &self,
        py: Python<'_>,
        id: sessile::SessionId,
        grace: Duration,
    ) -> PyResult<Answer> {
        self.verb(
            py,
            |cache| cache.rotate(&id, grace),
            |cache| async move { cache.rotate(&id, grace).await },
            |py, issued| Answer::of(py, IssuedSession(issued)),
        )
    }

    pub(crate) fn ending(&self, py: Python<'_>, id: sessile::SessionId) -> PyResult<Answer> {
        self.verb(
            py,
            |cache| Ok(cache.end(&id)),
            |cache| async move { cache.end(&id).await },
            flag,
        )
    }

    pub(crate) fn ending_token(&self, py: Python<'_>, token: &[u8]) -> PyResult<Answer> {
        let owned = token.to_owned();
        self.verb(
            py,
            |cache| Ok(cache.end_by_token(token)),
            |cache| async move { cache.end_by_token(&owned).await },
            flag,
        )
    }

    pub(crate) fn ending_unchanged(
        &self,
        py: Python<'_>,
        id: sessile::SessionId,
        version: u32,
    ) -> PyResult<Answer> {
        let version = Version::new(version);
        self.verb(
            py,
            |cache| cache.end_if_unchanged(&id, version),
            |cache| async move { cache.end_if_unchanged(&id, version).await },
            none,
        )
    }

    pub(crate) fn ending_handle(&self, py: Python<'_>, handle: Handle) -> PyResult<Answer> {
        self.verb(
            py,
            |cache| Ok(cache.end_by_handle(&handle)),
            |cache| async move { cache.end_by_handle(&handle).await },
            flag,
        )
    }

    pub(crate) fn ending_user(
        &self,
        py: Python<'_>,
        user: &str,
        except: Option<sessile::SessionId>,
    ) -> PyResult<Answer> {
        let owned = user.to_owned();
        self.verb(
            py,
            |cache| Ok(cache.end_user_sessions(user, except.as_ref())),
            |cache| async move { cache.end_user_sessions(&owned, except.as_ref()).await },
            number,
        )
    }

    pub(crate) fn ending_all(&self, py: Python<'_>) -> PyResult<Answer> {
        self.verb(
            py,
            |cache| {
                cache.end_all();
                Ok(())
            },
            |cache| async move { cache.end_all().await },
            none,
        )
    }

    pub(crate) fn closing(&self, py: Python<'_>, deadline: Duration) -> PyResult<Answer> {
        let Some(cache) = self.engine.take() else {
            return Answer::of(py, 0);
        };
        let work = async move { cache.close(deadline).await };
        settle(py, work, |py, unconfirmed| Ok(number(py, unconfirmed)?.0)).map(Answer)
    }

    pub(crate) fn listing(&self, py: Python<'_>, user: &str) -> PyResult<Answer> {
        let owned = user.to_owned();
        self.verb(
            py,
            |cache| Ok(cache.user_sessions(user)),
            |cache| async move { cache.user_sessions(&owned).await },
            |py, sessions| {
                let sessions = sessions.into_iter().map(SessionInfo::from);
                Answer::of(py, sessions.collect::<Vec<_>>())
            },
        )
    }
}

fn flag(py: Python<'_>, is_true: bool) -> PyResult<Answer> {
    Answer::of(py, is_true)
}

fn number(py: Python<'_>, number: usize) -> PyResult<Answer> {
    Answer::of(py, number)
}

fn none(py: Python<'_>, (): ()) -> PyResult<Answer> {
    Ok(Answer(py.None()))
}
