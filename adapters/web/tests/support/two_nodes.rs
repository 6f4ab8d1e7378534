//! Two nodes over one store, and a browser that visits both.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sessile::KeyRing;
use sessile_store::TieredCache;
use sessile_web::{CommitError, Session, SessionManager};

use crate::switched::{LEASE, Switched, Time, node};

/// Two nodes over one store.
pub(crate) struct World {
    pub(crate) time: Time,
    pub(crate) store: Switched,
    pub(crate) nodes: [SessionManager; 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let (time, keys) = (Time::new(), KeyRing::generate().unwrap());
        let store = Switched::new(&time);
        let nodes = [(); 2].map(|()| SessionManager::new(node(&store, &time, &keys)));
        Self { time, store, nodes }
    }

    pub(crate) fn cache(&self, at: usize) -> &TieredCache {
        self.nodes[at].cache().tiered().unwrap()
    }

    /// Switches the store off, and ends the lease of the nodes.
    pub(crate) fn turn_off(&self) {
        self.store.turn_off();
        self.time.advance(LEASE);
    }

    pub(crate) fn advance(&self, by: Duration, at: usize) {
        self.time.advance_with(by, &self.store, self.cache(at));
    }

    pub(crate) fn turn_on(&self) {
        (0..2).for_each(|at| self.store.turn_on(self.cache(at)));
    }
}

/// A browser: its cookie.
#[derive(Clone, Default)]
pub(crate) struct Browser(pub(crate) Option<String>);

/// The headers of a response, and the result of the commit.
pub(crate) struct Reply(pub(crate) HeaderMap, pub(crate) Result<(), CommitError>);

impl Browser {
    pub(crate) fn begin(&self, node: &SessionManager) -> Session {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = &self.0 {
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        node.begin(&headers)
    }

    pub(crate) async fn loaded(&self, node: &SessionManager) -> Session {
        let session = self.begin(node);
        session.load().await.unwrap();
        session
    }

    pub(crate) async fn finish(&mut self, session: &Session, status: StatusCode) -> Reply {
        let mut headers = HeaderMap::new();
        let result = SessionManager::commit(session, status, &mut headers).await;
        if let Some(set) = headers.get(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            self.0 = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Reply(headers, result)
    }

    /// Performs a whole request with the status 200.
    pub(crate) async fn visit<R>(
        &mut self,
        node: &SessionManager,
        act: impl FnOnce(&Session) -> R,
    ) -> R {
        let session = self.loaded(node).await;
        let result = act(&session);
        self.finish(&session, StatusCode::OK).await.1.unwrap();
        result
    }
}

/// Waits for a future from within a test that asks again and again.
pub(crate) fn futures<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}
