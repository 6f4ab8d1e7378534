//! The part of the model that is about new ids: where an old one leads, and until when.

use std::time::Duration;

use sessile::{Error, EventKind, IssuedSession, SessionId};

use super::{Along, LIFETIME, Pair, Session, TICK};

/// Where an id went that was replaced.
pub(super) struct Alias {
    target: SessionId,
    /// Until when it opens the session all the same.
    grace: u32,
    /// When it was replaced, and until when it is remembered.
    pub(super) replaced: u32,
    until: u32,
    /// Whose it was.
    pub(super) user: Option<u8>,
}

/// Where an id leads now.
pub(super) struct Way {
    /// The id that the session has, or had last.
    pub(super) end: SessionId,
    /// Whether it is another.
    pub(super) is_old: bool,
    /// Whether the id may open the session.
    pub(super) is_open: bool,
    /// Whether the cache is to know all of this: what it need not remember, it may have forgotten.
    pub(super) is_sure: bool,
}

/// How many aliases of a session are remembered: the last ones, perhaps but for one.
const ALIASES: usize = 8;

impl Pair {
    /// Follows an id as far as it leads.
    pub(super) fn way(&self, id: &SessionId) -> Way {
        let mut way = Way {
            end: *id,
            is_old: false,
            is_open: true,
            is_sure: true,
        };
        let (mut steps, mut users) = (0, Vec::new());
        while let Some(alias) = self.aliases.get(&way.end) {
            steps += 1;
            users.push(alias.user);
            way = Way {
                end: alias.target,
                is_old: true,
                is_open: way.is_open && self.now < alias.grace,
                // One that is remembered leads on, whatever became of those behind it.
                is_sure: if steps == 1 {
                    self.is_remembered(alias)
                } else {
                    way.is_sure
                },
            };
        }
        let session = self.live.get(&way.end);
        users.extend(session.map(|session| session.user));
        // Of what a user's sessions left behind, and of those that ended, few ids are remembered in all.
        let was_left = users
            .windows(2)
            .any(|pair| pair[0].is_some() && pair[0] != pair[1]);
        let is_bounded = steps < ALIASES && !was_left && session.is_some();
        Way {
            is_sure: way.is_sure && (steps == 0 || is_bounded),
            ..way
        }
    }

    pub(super) fn is_remembered(&self, alias: &Alias) -> bool {
        self.now < alias.until && !self.is_short
    }

    /// Where an id leads, and whether `end_user_sessions` is to know: all ids on the way were that user's.
    pub(super) fn way_of_user(&self, id: &SessionId, user: u8) -> Way {
        let way = self.way(id);
        let (mut at, mut is_theirs) = (*id, true);
        while let Some(alias) = self.aliases.get(&at) {
            is_theirs &= alias.user == Some(user);
            at = alias.target;
        }
        Way {
            is_sure: way.is_sure && is_theirs,
            ..way
        }
    }

    pub(super) fn rotate(&mut self, which: u16, grace: Duration) {
        let Some(id) = self.pick(which) else { return };
        let way = self.way(&id);
        let answer = self.cache.rotate(&id, grace);
        let limit = TICK * LIFETIME;
        if grace > limit {
            assert_eq!(
                answer.err(),
                Some(Error::GraceTooLong {
                    given: grace,
                    max: limit
                })
            );
            return self.expect(Along::Nothing, &[]);
        }
        let Ok(issued) = answer else {
            return self.not_reissued(&way, answer);
        };
        let own = self.told(Along::Anonymous);
        let handle = self.live.get(&id).map(|session| session.handle);
        assert_eq!(own, [(EventKind::Rotated, handle)]);
        let grace = (grace.as_millis() / TICK.as_millis()) as u32;
        self.reissued(&way, issued, grace, |_| {});
    }

    /// No new id for what is gone, nor for whoever has only an old one.
    pub(super) fn not_reissued(&mut self, way: &Way, answer: Result<IssuedSession, Error>) {
        let error = answer.expect_err("it was refused");
        if error == Error::Full {
            self.refused(error);
            return self.judge(&way.end, true);
        }
        self.expect(Along::Nothing, &[]);
        match error {
            Error::Gone => self.agree(way, false),
            Error::Rotated => {
                assert!(way.is_old);
                self.agree(way, true);
            }
            other => panic!("{other}"),
        }
    }

    /// The session has a new id, and the old one leads there.
    pub(super) fn reissued(
        &mut self,
        way: &Way,
        issued: IssuedSession,
        grace: u32,
        change: impl FnOnce(&mut Session),
    ) {
        assert!(!way.is_old, "an old id is no way to a new one");
        self.judge(&way.end, true);
        let mut session = self
            .live
            .remove(&way.end)
            .expect("both agree that it was there");
        session.used = self.now;
        let until = self.now + session.idle_timeout;
        let alias = Alias {
            target: issued.id,
            grace: if grace == 0 {
                0
            } else {
                until.min(self.now + grace)
            },
            replaced: self.now,
            until,
            user: session.user,
        };
        self.aliases.insert(way.end, alias);
        change(&mut session);
        assert_eq!(
            issued.version.get(),
            session.version,
            "a new id leaves the data alone"
        );
        assert!(
            self.live.insert(issued.id, session).is_none(),
            "an id is new"
        );
        self.known.push(issued);
    }
}
