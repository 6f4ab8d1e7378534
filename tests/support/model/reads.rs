//! The part of the model that is about reads: their results, and the causes of rejections.

use std::time::Duration;

use sessile::{
    EndReason, EventKind, Record, SessionId,
    stats::{RejectionCounts, Stats},
};

use super::{Pair, Resolved, SideEffects, TICK};

/// The cause of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Unproven,
    Unknown,
    Expired,
    Reused,
}

impl Pair {
    pub(super) fn open(&mut self, which: u16, forge: Option<u8>) {
        let Some(issued) = self.known.get(usize::from(which) % self.known.len().max(1)) else {
            return;
        };
        let (id, mut value) = (issued.id, issued.token.as_str().as_bytes().to_vec());
        if let Some(place) = forge {
            value[usize::from(place) % 48] ^= 1;
        }
        let field = [b"a=1; __Host-session=", &value[..], b"; b=2"].concat();
        let before = self.cache.stats();
        let record = self.cache.open([&field[..]], &mut self.buffer);
        if forge.is_some() {
            assert!(
                record.is_none() && self.buffer.is_empty(),
                "a forged token opens nothing"
            );
            assert_eq!(self.cause(&before), Cause::Unproven);
            return self.expect(SideEffects::Nothing, &[]);
        }
        self.read(&id, record, &before);
    }

    pub(super) fn load(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let before = self.cache.stats();
        let (is_contained, replaced) = (self.cache.contains(&id), self.cache.replaced(&id));
        let record = self.cache.load(&id, &mut self.buffer);
        assert_eq!(
            record.is_some(),
            is_contained,
            "`contains` agrees with a read"
        );
        self.check_replaced(&id, replaced);
        self.read(&id, record, &before);
    }

    fn read(&mut self, id: &SessionId, record: Option<Record>, before: &Stats) {
        let resolved = self.resolve(id);
        let Some(record) = record else {
            assert!(self.buffer.is_empty());
            return self.rejected_read(&resolved, self.cause(before));
        };
        let after = self.cache.stats();
        assert_eq!((after.hits, after.misses), (before.hits + 1, before.misses));
        assert_eq!(after.rejected, before.rejected);
        self.expect(SideEffects::Nothing, &[]);
        self.check_id(&resolved, true);
        assert_eq!((record.id, record.is_alias()), (*id, resolved.is_old));
        self.compare(&resolved.end, &record);
        self.used(&resolved.end);
    }

    /// Checks that a remembered replaced id has the time of its replacement.
    fn check_replaced(&self, id: &SessionId, replaced: Option<Duration>) {
        let then = self
            .aliases
            .get(id)
            .map(|alias| TICK * (self.now - alias.replaced));
        assert!(replaced.is_none() || replaced == then);
        assert!(
            replaced.is_some() || then.is_none() || !self.resolve(id).is_sure,
            "the id is forgotten"
        );
    }

    /// Checks that the read returned what was written.
    fn compare(&mut self, id: &SessionId, record: &Record) {
        let (session, now) = (&self.live[id], self.now);
        assert_eq!(
            &self.buffer[..],
            &session.data,
            "a read returns the written data"
        );
        assert_eq!(record.version.get(), session.version);
        let user = session.user.zip(record.user);
        assert_eq!(record.user.is_some(), session.user.is_some());
        assert!(user.is_none_or(|(user, hash)| *self.users.entry(user).or_insert(hash) == hash));
        assert!(
            self.users
                .values()
                .filter(|&&hash| Some(hash) == record.user)
                .count()
                <= 1
        );
        assert_eq!(record.age(), TICK * now.saturating_sub(session.created));
        assert_eq!(
            record.assurance_level, session.label,
            "the model uses one number for both"
        );
        assert_eq!(record.handle(), session.handle);
        let signed_in = session.user.map(|_| TICK * (now - session.signed_in));
        assert_eq!(record.authenticated_for(), signed_in);
        let until = session.end.min(now + session.idle_timeout) - now;
        let left = record.expires_in();
        assert!(left <= TICK * until && left + TICK * (session.idle_timeout / 16) >= TICK * until);
    }

    fn rejected_read(&mut self, resolved: &Resolved, cause: Cause) {
        if cause == Cause::Reused {
            return self.reused(resolved);
        }
        self.expect(SideEffects::Nothing, &[]);
        let is_there = self.live.contains_key(&resolved.end);
        match cause {
            Cause::Unknown if !resolved.is_sure => {}
            Cause::Unknown => assert!(
                resolved.is_open && !is_there,
                "the session is live, or its id was reused"
            ),
            Cause::Expired => {
                assert!(resolved.is_open && is_there);
                self.check_session(&resolved.end, false);
            }
            other => panic!("{other:?} for an issued token"),
        }
    }

    /// Reuse of an old id emits an event if the session is live, and ends it if configured.
    fn reused(&mut self, resolved: &Resolved) {
        assert!(!resolved.is_open, "only an old id is reused");
        let own = self.own_events(SideEffects::Nothing);
        if own.is_empty() {
            if resolved.is_sure {
                self.check_session(&resolved.end, false);
            }
            return;
        }
        self.check_session(&resolved.end, true);
        let handle = Some(self.live[&resolved.end].handle);
        let all = [
            (EventKind::Reused, handle),
            (EventKind::Ended(EndReason::Reused), handle),
        ];
        assert_eq!(own, all[..1 + usize::from(self.end_reused)]);
        if self.end_reused {
            self.live.remove(&resolved.end);
        }
    }

    /// Returns the cause of the last read's rejection, which is counted once and alone.
    fn cause(&self, before: &Stats) -> Cause {
        let after = self.cache.stats();
        assert_eq!((after.hits, after.misses), (before.hits, before.misses + 1));
        let causes = |rejected: RejectionCounts| {
            let unproven = rejected.malformed + rejected.forged;
            [
                (Cause::Unproven, unproven),
                (Cause::Unknown, rejected.unknown),
                (Cause::Expired, rejected.expired),
                (Cause::Reused, rejected.reused),
            ]
        };
        let pairs = causes(before.rejected)
            .into_iter()
            .zip(causes(after.rejected));
        let changed: Vec<_> = pairs.filter(|(old, new)| old != new).collect();
        let [((cause, old), (_, new))] = changed[..] else {
            panic!("{changed:?}")
        };
        assert_eq!(new, old + 1, "{cause:?}");
        cause
    }
}
