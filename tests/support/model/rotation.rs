//! The part of the model that is about new ids: the session that an old id leads to, and until
//! when.

use std::time::Duration;

use sessile::{Error, EventKind, IssuedSession, SessionId};

use super::{LIFETIME, Pair, Session, SideEffects, TICK};

/// The state of a replaced id.
pub(super) struct Alias {
    target: SessionId,
    /// The end of its grace period, until which it opens the session.
    grace: u32,
    /// The time of the replacement, and the time until which it is remembered.
    pub(super) replaced: u32,
    until: u32,
    /// The user of the session at that time.
    pub(super) user: Option<u8>,
}

/// The session that an id leads to now.
pub(super) struct Resolved {
    /// The id that the session has, or had last.
    pub(super) end: SessionId,
    /// True if the id was replaced.
    pub(super) is_old: bool,
    /// True if the id may open the session.
    pub(super) is_open: bool,
    /// True if the cache must know all of this; otherwise it may have forgotten it.
    pub(super) is_sure: bool,
}

/// Number of remembered aliases of a session: the last ones, perhaps except one.
const ALIASES: usize = 8;

impl Pair {
    /// Follows an id to the end of its chain of replacements.
    pub(super) fn resolve(&self, id: &SessionId) -> Resolved {
        let mut resolved = Resolved {
            end: *id,
            is_old: false,
            is_open: true,
            is_sure: true,
        };
        let (mut steps, mut users) = (0, Vec::new());
        while let Some(alias) = self.aliases.get(&resolved.end) {
            steps += 1;
            users.push(alias.user);
            resolved = Resolved {
                end: alias.target,
                is_old: true,
                is_open: resolved.is_open && self.now < alias.grace,
                // A remembered id leads on, even if later ids of the chain are forgotten.
                is_sure: if steps == 1 {
                    self.is_remembered(alias)
                } else {
                    resolved.is_sure
                },
            };
        }
        let session = self.live.get(&resolved.end);
        users.extend(session.map(|session| session.user));
        // Few ids are remembered in total for sessions that changed their user, and for ended ones.
        let was_left = users
            .windows(2)
            .any(|pair| pair[0].is_some() && pair[0] != pair[1]);
        let is_bounded = steps < ALIASES && !was_left && session.is_some();
        Resolved {
            is_sure: resolved.is_sure && (steps == 0 || is_bounded),
            ..resolved
        }
    }

    pub(super) fn is_remembered(&self, alias: &Alias) -> bool {
        self.now < alias.until && !self.is_short
    }

    /// Follows an id. `is_sure` is set if `end_user_sessions` must know the chain: all its ids were
    /// the user's.
    pub(super) fn resolve_for_user(&self, id: &SessionId, user: u8) -> Resolved {
        let resolved = self.resolve(id);
        let (mut at, mut is_theirs) = (*id, true);
        while let Some(alias) = self.aliases.get(&at) {
            is_theirs &= alias.user == Some(user);
            at = alias.target;
        }
        Resolved {
            is_sure: resolved.is_sure && is_theirs,
            ..resolved
        }
    }

    pub(super) fn rotate(&mut self, which: u16, grace: Duration) {
        let Some(id) = self.pick(which) else { return };
        let resolved = self.resolve(&id);
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
            return self.expect(SideEffects::Nothing, &[]);
        }
        let Ok(issued) = answer else {
            return self.not_reissued(&resolved, answer);
        };
        let own = self.own_events(SideEffects::EvictAnonymous);
        let handle = self.live.get(&id).map(|session| session.handle);
        assert_eq!(own, [(EventKind::Rotated, handle)]);
        let grace = (grace.as_millis() / TICK.as_millis()) as u32;
        self.reissued(&resolved, issued, grace, |_| {});
    }

    /// Asserts that no id was issued because the session is gone or the id is an old one.
    pub(super) fn not_reissued(
        &mut self,
        resolved: &Resolved,
        answer: Result<IssuedSession, Error>,
    ) {
        let error = answer.expect_err("the verb failed");
        if error == Error::Full {
            self.check_full(error);
            return self.check_session(&resolved.end, true);
        }
        self.expect(SideEffects::Nothing, &[]);
        match error {
            Error::Gone => self.check_id(resolved, false),
            Error::Rotated => {
                assert!(resolved.is_old);
                self.check_id(resolved, true);
            }
            other => panic!("{other}"),
        }
    }

    /// Records the new id of a session and the alias that leads to it.
    pub(super) fn reissued(
        &mut self,
        resolved: &Resolved,
        issued: IssuedSession,
        grace: u32,
        change: impl FnOnce(&mut Session),
    ) {
        assert!(!resolved.is_old, "an old id is not rotated");
        self.check_session(&resolved.end, true);
        let mut session = self
            .live
            .remove(&resolved.end)
            .expect("the model agrees that the session was live");
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
        self.aliases.insert(resolved.end, alias);
        change(&mut session);
        assert_eq!(
            issued.version.get(),
            session.version,
            "a new id does not change the data"
        );
        assert!(
            self.live.insert(issued.id, session).is_none(),
            "an id is new"
        );
        self.known.push(issued);
    }
}
