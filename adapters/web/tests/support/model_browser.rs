//! The browser of the model: the cookies that it keeps, and the sessions that they open.

use std::{cell::Cell, rc::Rc};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sessile_web::{
    CommitError, Session, SessionManager,
    adapter::{SessionExt, ready},
};

use super::{LIFETIME, Life, REMEMBERED, Tab, UNKNOWN, View, World};

impl World {
    /// Returns the lifetime of the session after the response.
    pub(super) fn life_after(&self, tab: &Tab, before: Option<&View>, age: Option<u64>) -> Life {
        let stays = before.is_some() && !(age.is_some() && tab.user().is_some());
        let old = tab
            .cookie
            .as_ref()
            .filter(|_| stays)
            .map(|cookie| self.lives[cookie].get());
        let old = old.filter(|_| !(age.is_some() && tab.renames(before)));
        let keep = tab.keep();
        let signs_in = tab.user().is_some();
        let (start, end) = match old {
            Some((start, _)) if signs_in && keep.is_some() => {
                (start.max(self.now), self.now + keep.unwrap())
            }
            Some((start, _)) if !signs_in && keep == Some(REMEMBERED) => {
                (start, (self.now + REMEMBERED).min(start + LIFETIME))
            }
            Some((start, end)) if !signs_in && keep.is_some() => {
                // A session that was remembered returns to the default lifetime.
                let usual = (self.now + LIFETIME).min(start + LIFETIME);
                (start, if end < start + LIFETIME { usual } else { end })
            }
            Some(life) => life,
            None => (self.now, self.now + keep.unwrap_or(LIFETIME)),
        };
        Rc::new(Cell::new((start, end)))
    }

    pub(super) fn is_of_browser(&self, tab: &Tab) -> bool {
        let life = |cookie: &Option<String>| {
            cookie
                .as_ref()
                .map(|cookie| Rc::as_ptr(&self.lives[cookie]))
        };
        tab.cookie.is_some() && (life(&tab.cookie) == life(&self.jar) || self.jar == tab.cookie)
    }

    /// Sets or removes the browser's cookie as the response requires.
    pub(super) fn deliver(&mut self, set: Option<Option<String>>, life: Option<Life>) {
        let Some(cookie) = set else { return };
        if let Some(cookie) = &cookie {
            // The model does not predict the lifetime of an opaque request.
            let life = life.unwrap_or_else(|| Rc::new(Cell::new((self.now, UNKNOWN))));
            self.lives.insert(cookie.clone(), life);
        }
        self.jar = cookie;
    }

    pub(super) fn request(&self, cookie: Option<&str>) -> Session {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        self.sessions.begin(&headers)
    }

    /// Returns the session that a cookie opens.
    pub(super) fn view(&self, cookie: Option<&str>) -> Option<View> {
        let session = self.request(cookie);
        let number =
            |(key, json): (String, bytes::Bytes)| (key, serde_json::from_slice(&json).unwrap());
        let data = session.pairs().into_iter().map(number).collect();
        session.is_stored().then(|| View {
            user: session.user(),
            data,
        })
    }

    /// Returns the seconds since the id of a cookie was replaced.
    pub(super) fn replaced(&self, cookie: &str) -> Option<u64> {
        let (_, token) = cookie.split_once('=').unwrap();
        self.sessions
            .cache()
            .local()
            .unwrap()
            .replaced_token(token.as_bytes())
            .map(|age| age.as_secs())
    }

    /// Commits a request. Returns the result, and the cookie that the response sets (`Some(Some)`)
    /// or removes (`Some(None)`).
    pub(super) fn commit(
        &self,
        tab: &Tab,
        status: StatusCode,
    ) -> (Result<(), CommitError>, Option<Option<String>>) {
        let mut headers = HeaderMap::new();
        let result = ready(SessionManager::commit(&tab.session, status, &mut headers));
        let set = headers.get(header::SET_COOKIE).map(|set| {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            (!pair.ends_with('=')).then(|| pair.to_owned())
        });
        (result, set)
    }
}
