//! Loads sessions from a store ahead of the first access.
//!
//! Invariant: loading counts as no use, is done at most once per request, and its failure is kept.
//! On a local cache nothing is loaded ahead. The module does not know which verb needs the session.

use bytes::BytesMut;
use sessile_store::{Candidates, LookUp};

use crate::{
    Cache, Session, SessionError,
    state::{Live, Request, State, Stored},
};

impl Session {
    /// Loads the session, so that the synchronous verbs can read it. With a store, await it before
    /// the first of them; the extractors for axum do. On a local cache it does nothing.
    ///
    /// It counts as no use: a request that only loads its session neither keeps it alive nor gets
    /// its headers. A session in memory is loaded without waiting. Otherwise the store is asked,
    /// once per request: an error is kept, and every verb returns it. The verbs without an error,
    /// such as [`user`](Self::user) and [`keys`](Self::keys), then answer as for an empty session,
    /// and the response is 503.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::{SessionError, SessionManager};
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let session = SessionManager::new(cache).begin(&HeaderMap::new());
    /// # let visits: Result<_, SessionError> = sessile_web::adapter::ready(async {
    /// session.load().await?;
    /// let visits = session.increment("visits", 1)?;
    /// # Ok(visits)
    /// # });
    /// # assert_eq!(visits?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unreachable`](SessionError::Unreachable).
    pub async fn load(&self) -> Result<(), SessionError> {
        let cache = self.manager().cache();
        if cache.local().is_some() {
            return Ok(());
        }
        let unknown = self.state().peek(self.request());
        if let Some(candidates) = unknown {
            Box::pin(self.fetch(cache, candidates)).await;
        }
        match self.state().stored {
            Stored::Failed => Err(SessionError::Unreachable),
            _ => Ok(()),
        }
    }

    async fn fetch(&self, cache: &Cache, candidates: Candidates) {
        let mut buffer = BytesMut::new();
        let found = cache.fetch_unused(candidates, &mut buffer).await;
        let mut state = self.state();
        // Another request of the same session may have been faster, or have signed out.
        if matches!(state.stored, Stored::Unread) {
            state.stored = match found {
                Ok(Some(record)) => Stored::Loaded(Box::new(Live::new(record, buffer))),
                Ok(None) => Stored::Absent,
                Err(_) => Stored::Failed,
            };
        }
    }
}

impl State {
    /// Loads the session if it is in memory. Returns what the store is asked otherwise.
    fn peek(&mut self, request: &Request) -> Option<Candidates> {
        let cache = request.manager.cache().tiered()?;
        if !matches!(self.stored, Stored::Unread) {
            return None;
        }
        let mut buffer = BytesMut::new();
        let cookies = &request.incoming.cookies;
        self.stored = match request.manager.peek(cache, cookies, &mut buffer) {
            LookUp::Hit(record) => Stored::Loaded(Box::new(Live::new(record, buffer))),
            LookUp::Unknown(candidates) => return Some(candidates),
            _ => Stored::Absent,
        };
        None
    }

    /// Fails if the session cannot be read. It opens the session of a tiered cache; that of a local
    /// cache is opened when its data is needed.
    #[inline]
    pub(crate) fn check_readable(&mut self, request: &Request) -> Result<(), SessionError> {
        if request.manager.cache().local().is_some() {
            return Ok(());
        }
        self.stored.open(request)
    }

    /// Records that a verb without an error is about to read a session that cannot be read.
    #[inline]
    pub(crate) fn note_read(&mut self, request: &Request) {
        self.is_blind |= self.check_readable(request).is_err();
    }
}

impl Stored {
    /// Opens the session, which counts as a use. Later calls do nothing.
    ///
    /// # Errors
    /// With a store: [`NotLoaded`](SessionError::NotLoaded),
    /// [`Unreachable`](SessionError::Unreachable).
    #[inline]
    pub(crate) fn open(&mut self, request: &Request) -> Result<(), SessionError> {
        match self {
            Self::Unread | Self::Loaded(_) => self.open_first(request),
            Self::Failed => Err(SessionError::Unreachable),
            _ => Ok(()),
        }
    }

    fn open_first(&mut self, request: &Request) -> Result<(), SessionError> {
        let mut buffer = BytesMut::new();
        let cookies = &request.incoming.cookies;
        *self = match request.manager.try_open(cookies, &mut buffer) {
            LookUp::Hit(record) => Self::Live(Live::new(record, buffer)),
            LookUp::Unknown(_) => self.use_loaded(request.manager.cache())?,
            _ => Self::Absent,
        };
        Ok(())
    }

    /// Returns the session that was loaded, and is not in memory.
    fn use_loaded(&mut self, cache: &Cache) -> Result<Self, SessionError> {
        let Self::Loaded(live) = core::mem::take(self) else {
            return Err(SessionError::NotLoaded);
        };
        if let Some(cache) = cache.tiered() {
            cache.count_use(&live.id);
        }
        Ok(Self::Live(*live))
    }
}
