//! What one request knows of its session: what is stored, what it changed, what it asked for.
//!
//! Invariant: after `end` there is no stored session to this request, whatever its cookies say. It is
//! read here and committed in `commit`; it does not know who locks it.

use bytes::{Bytes, BytesMut};
use sessile::{Error, SessionId};

use crate::{
    Sessions,
    changes::{Changes, Verdict},
    cookies::Cookies,
    pairs::Pairs,
};

/// What a request brought.
pub(crate) struct Request {
    pub(crate) sessions: Sessions,
    pub(crate) cookies: Cookies,
}

/// The state of one request's session.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) looked_at: bool,
    pub(crate) committed: bool,
    /// The handler ended the session, and the browser has a cookie that is to go.
    pub(crate) ended: bool,
    pub(crate) stored: Stored,
    pub(crate) changes: Changes,
    /// To be signed in at commit.
    pub(crate) user: Option<Box<str>>,
    /// To be given a new id at commit.
    pub(crate) rotate: bool,
}

/// What the engine has for this request.
#[derive(Default)]
pub(crate) enum Stored {
    #[default]
    Unread,
    Absent,
    Live(Live),
}

/// A session that was found.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) version: u32,
    pub(crate) authenticated: bool,
    pub(crate) data: Pairs,
}

impl State {
    /// The raw value of a key, as this request sees it.
    pub(crate) fn json(&mut self, request: &Request, key: &str) -> Option<Bytes> {
        match self.changes.of(key) {
            Verdict::Is(json) => Some(json),
            Verdict::Absent => None,
            Verdict::Untouched => self.live(request)?.data.find(key),
        }
    }

    /// All keys, as this request sees them.
    pub(crate) fn keys(&mut self, request: &Request) -> Vec<String> {
        let stored = self.live(request).map(|live| live.data.clone()).unwrap_or_default();
        let pairs = self.changes.applied_to(&stored);
        pairs.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    pub(crate) fn is_authenticated(&mut self, request: &Request) -> bool {
        self.user.is_some() || self.live(request).is_some_and(|live| live.authenticated)
    }

    /// Ends the stored session at once and forgets all that was asked for.
    pub(crate) fn end(&mut self, request: &Request) {
        if let Stored::Live(live) = &self.stored {
            request.sessions.cache().end(&live.id);
        }
        self.ended |= request.sessions.end(&request.cookies);
        (self.stored, self.changes) = (Stored::Absent, Changes::default());
        (self.user, self.rotate) = (None, false);
    }

    /// The stored session; the first call asks the engine for it.
    pub(crate) fn live(&mut self, request: &Request) -> Option<&mut Live> {
        if matches!(self.stored, Stored::Unread) {
            self.stored = Stored::read(request);
        }
        match &mut self.stored {
            Stored::Live(live) => Some(live),
            _ => None,
        }
    }
}

impl Stored {
    fn read(request: &Request) -> Self {
        let mut buffer = BytesMut::new();
        match request.sessions.open(&request.cookies, &mut buffer) {
            Some(record) => Self::Live(Live {
                id: record.id,
                version: record.version,
                authenticated: record.is_authenticated(),
                data: Pairs::read(buffer.freeze()),
            }),
            None => Self::Absent,
        }
    }
}

impl Live {
    /// Reads it again, after somebody else changed it.
    pub(crate) fn reload(&mut self, sessions: &Sessions) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        let record = sessions.cache().load(&self.id, &mut buffer).ok_or(Error::Gone)?;
        (self.version, self.authenticated) = (record.version, record.is_authenticated());
        self.data = Pairs::read(buffer.freeze());
        Ok(())
    }
}
