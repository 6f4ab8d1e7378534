//! The part of the model that is about reads: what they give, and for what cause they are refused.

use std::time::Duration;

use sessile::{
    EndReason, EventKind, Record, SessionId,
    stats::{RejectionCounts, Stats},
};

use super::{Along, Pair, TICK, Way};

/// Why a read was refused.
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
            return self.expect(Along::Nothing, &[]);
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
            "a look says what a read finds"
        );
        self.check_replaced(&id, replaced);
        self.read(&id, record, &before);
    }

    fn read(&mut self, id: &SessionId, record: Option<Record>, before: &Stats) {
        let way = self.way(id);
        let Some(record) = record else {
            assert!(self.buffer.is_empty());
            return self.refused_read(&way, self.cause(before));
        };
        let after = self.cache.stats();
        assert_eq!((after.hits, after.misses), (before.hits + 1, before.misses));
        assert_eq!(after.rejected, before.rejected);
        self.expect(Along::Nothing, &[]);
        self.agree(&way, true);
        assert_eq!((record.id, record.is_alias()), (*id, way.is_old));
        self.compare(&way.end, &record);
        self.used(&way.end);
    }

    /// A replaced id that is remembered tells since when it is one.
    fn check_replaced(&self, id: &SessionId, replaced: Option<Duration>) {
        let then = self
            .aliases
            .get(id)
            .map(|alias| TICK * (self.now - alias.replaced));
        assert!(replaced.is_none() || replaced == then);
        assert!(
            replaced.is_some() || then.is_none() || !self.way(id).is_sure,
            "it is forgotten"
        );
    }

    /// What is read is what was written and said.
    fn compare(&mut self, id: &SessionId, record: &Record) {
        let (session, now) = (&self.live[id], self.now);
        assert_eq!(
            &self.buffer[..],
            &session.data,
            "what was written is what is read"
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
            "both are one number here"
        );
        assert_eq!(record.handle(), session.handle);
        let signed_in = session.user.map(|_| TICK * (now - session.signed_in));
        assert_eq!(record.authenticated_for(), signed_in);
        let until = session.end.min(now + session.idle_timeout) - now;
        let left = record.expires_in();
        assert!(left <= TICK * until && left + TICK * (session.idle_timeout / 16) >= TICK * until);
    }

    fn refused_read(&mut self, way: &Way, cause: Cause) {
        if cause == Cause::Reused {
            return self.reused(way);
        }
        self.expect(Along::Nothing, &[]);
        let is_there = self.live.contains_key(&way.end);
        match cause {
            Cause::Unknown if !way.is_sure => {}
            Cause::Unknown => assert!(way.is_open && !is_there, "it is there, or was reused"),
            Cause::Expired => {
                assert!(way.is_open && is_there);
                self.judge(&way.end, false);
            }
            other => panic!("{other:?} of what was issued"),
        }
    }

    /// The use of an old id is told, if the session is there, and ends it, if that is wished.
    fn reused(&mut self, way: &Way) {
        assert!(!way.is_open, "only what is over is reused");
        let own = self.told(Along::Nothing);
        if own.is_empty() {
            if way.is_sure {
                self.judge(&way.end, false);
            }
            return;
        }
        self.judge(&way.end, true);
        let handle = Some(self.live[&way.end].handle);
        let all = [
            (EventKind::Reused, handle),
            (EventKind::Ended(EndReason::Reused), handle),
        ];
        assert_eq!(own, all[..1 + usize::from(self.end_reused)]);
        if self.end_reused {
            self.live.remove(&way.end);
        }
    }

    /// The cause for which the last read was refused: it is counted once, and no other is.
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
