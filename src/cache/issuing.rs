//! Issuing: new ids and their tokens, for a session that is created, rotated or signed in to, and its times.

use super::{Inner, Issued, SessionCache, horizon::Creation};
use crate::{
    clock::{Tick, to_tick},
    config::Deadlines,
    cookie::{Parts, Token},
    error::Error,
    id::{Home, Id, SessionId},
    shard::{
        Newcomer, Refusal, Shard,
        entry::{FIRST_VERSION, Stamp, Times},
    },
    sync::Relaxed,
};

impl SessionCache {
    /// Creates a session without a user, in the emptier of two shards, or in the other if there is no room.
    pub(super) fn create_anonymous(
        &self,
        deadlines: Deadlines,
        data: &[u8],
    ) -> Result<Issued, Error> {
        for _ in 0..MINTS {
            let (id, [emptier, other]) = self.mint()?;
            let create_at = |home| self.create_at(SessionId { id, home }, deadlines, data);
            let made = match create_at(emptier) {
                Err(Refusal::Full) if other != emptier => create_at(other),
                made => made,
            };
            match made {
                Ok(issued) => return Ok(issued),
                Err(Refusal::Taken) => {}
                Err(_) => break,
            }
        }
        Err(self.full())
    }

    fn create_at(
        &self,
        id: SessionId,
        deadlines: Deadlines,
        data: &[u8],
    ) -> Result<Issued, Refusal> {
        let view = &self.0.stripes[usize::from(id.home)].view;
        view.prefetch(self.0.spots.of(&id.id));
        let signed = self.sign(id);
        view.prefetch_links(&self.0.spots);
        self.with_room(id.home, || {
            self.write(id.home, |shard, now| {
                let times = self.new_times(shard, deadlines, now);
                let newcomer = Newcomer { stamp: signed.stamp, times, member: None, data: None };
                shard.create(&newcomer, self.limit(), data, None, now)
            })
        })?;
        view.prefetch_victim();
        Ok(self.confirm(signed))
    }

    /// Moves a session to a new id, which is free.
    pub(super) fn reissue(
        &self,
        old: &SessionId,
        home: Home,
        verb: impl Fn(&SessionId, &Stamp) -> Result<u32, Refusal>,
    ) -> Result<Issued, Error> {
        if self.has_home(old) { self.issue_in(home, verb) } else { Err(Error::Gone) }
    }

    /// Mints ids until one is free, and has a session take it.
    pub(super) fn issue_in(
        &self,
        home: Home,
        verb: impl Fn(&SessionId, &Stamp) -> Result<u32, Refusal>,
    ) -> Result<Issued, Error> {
        for _ in 0..MINTS {
            let (id, _) = self.mint()?;
            let id = SessionId { id, home };
            let signed = self.sign(id);
            match self.with_room(home, || verb(&id, &signed.stamp)) {
                Ok(version) => return Ok(Issued { version, ..self.confirm(signed) }),
                Err(Refusal::Taken) => {}
                Err(refusal) => return Err(self.refuse(refusal)),
            }
        }
        Err(self.full())
    }

    /// Carries out a verb that makes room. Where more blocks must be moved than one hold of the lock permits, they are
    /// moved under several, between which others get the lock.
    pub(super) fn with_room<R>(
        &self,
        home: Home,
        verb: impl Fn() -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let answer = verb();
        let Err(Refusal::Unfinished { words }) = answer else { return answer };
        let is_made = |_| self.write(home, |shard, _| shard.make_hole(words));
        let answer = if (0..HOLDS).any(is_made) { verb() } else { answer };
        answer.map_err(|refusal| match refusal {
            Refusal::Unfinished { .. } => Refusal::Full,
            refusal => refusal,
        })
    }

    /// The error of a refusal. That there was no room is counted.
    pub(super) fn refuse(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Gone => Error::Gone,
            Refusal::Rotated => Error::Rotated,
            Refusal::Conflict => Error::Conflict,
            Refusal::Over => Error::LifetimeOver,
            Refusal::TooMany => Error::TooManySessions,
            Refusal::Full | Refusal::Unfinished { .. } | Refusal::Taken => self.full(),
        }
    }

    /// A new id, and two shards with the one that has more room first, drawn at random: in one
    /// call, since that is what takes the time.
    pub(super) fn mint(&self) -> Result<(Id, [Home; 2]), Error> {
        let mut bytes = [0; Id::LEN + 4];
        (self.0.settings.entropy)(&mut bytes)?;
        let [id @ .., a, b, c, d] = bytes;
        let homes = self.two_homes(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let [first, second] =
            homes.map(|home| self.0.stripes[usize::from(home)].room.load(Relaxed));
        let homes = if second > first { [homes[1], homes[0]] } else { homes };
        Ok((Id::from_bytes(id), homes))
    }

    /// Two different shards, if there are two.
    fn two_homes(&self, one: u16, other: u16) -> [Home; 2] {
        let first = self.home(one);
        let others = self.0.stripes.len() as u16 - 1;
        let step = other.checked_rem(others).map_or(0, |step| step + 1);
        [first, first ^ step]
    }

    /// Signs an id.
    fn sign(&self, id: SessionId) -> Signed {
        let (parts, epoch) = self.0.keys.sign(id.home, &id.id);
        let stamp = Stamp { id: id.id, tag: parts.tag, key: parts.key };
        Signed { id, parts, stamp, epoch }
    }

    /// Issues the token of an id that is in its shard. If the keys were replaced since it was signed, and its own is
    /// retired, it is signed again: a token that is issued after `set_keys` has returned is valid.
    fn confirm(&self, mut signed: Signed) -> Issued {
        while self.0.keys.epoch() != signed.epoch && !self.0.keys.verify(&signed.parts) {
            signed = self.sign(signed.id);
            self.write(signed.id.home, |shard, _| shard.restamp(&signed.stamp));
        }
        Issued { id: signed.id, token: Token::encode(&signed.parts), version: FIRST_VERSION }
    }

    /// The times of a session that is created now, in a shard whose lock is held. The shard learns of all that has
    /// ended before.
    pub(super) fn new_times(&self, shard: &mut Shard, deadlines: Deadlines, now: Tick) -> Times {
        let Inner { idle_timeout, lifetime, .. } = *self.0;
        let end = now.saturating_add(lifetime);
        let Creation { created, horizon } = self.0.horizon.creation(now);
        shard.renew(horizon);
        let times = Times { created, authenticated: 0, issued: now, idle: 0, end, idle_timeout };
        self.change(times, now, deadlines, now)
    }

    /// A session's times under new deadlines, capped by the cache's. Its lifetime counts from `start`.
    pub(super) fn change(
        &self,
        times: Times,
        start: Tick,
        deadlines: Deadlines,
        now: Tick,
    ) -> Times {
        let cap = |own: Option<_>, cap: Tick| own.map(|span| to_tick(span).min(cap));
        let idle_timeout =
            cap(deadlines.idle_timeout, self.0.idle_timeout).unwrap_or(times.idle_timeout);
        let lifetime = cap(deadlines.lifetime, self.0.lifetime);
        // Several ends of all in one tick have what comes after them created in one to come.
        let start = start.min(now);
        let mut end = lifetime.map_or(times.end, |lifetime| start.saturating_add(lifetime));
        if let Some(span) = deadlines.lifetime_from_now {
            let most = start.saturating_add(self.0.lifetime);
            end = now.saturating_add(to_tick(span)).min(most);
        }
        Times { idle: now.saturating_add(idle_timeout), end, idle_timeout, ..times }
    }
}

/// An id, its token, and what an entry keeps of it.
struct Signed {
    id: SessionId,
    parts: Parts,
    stamp: Stamp,
    /// Which ring of keys signed it.
    epoch: u32,
}

/// How often an id is minted before the answer is that there is no room. Both lines of an id are full
/// twice in ten thousand times, three quarters full as the index is at most.
const MINTS: usize = 8;

/// How many more times the lock is held to move blocks for one verb.
const HOLDS: usize = 64;

#[cfg(all(test, not(sessile_loom)))]
mod tests {
    use super::*;
    use crate::KeyRing;

    #[test]
    fn a_token_whose_key_was_retired_after_it_was_signed_is_signed_again() {
        let ring = || KeyRing::random().expect("random bytes");
        let settings = SessionCache::builder().memory(8 << 20).keys(ring());
        let cache = settings.build().expect("settings that hold");
        for _ in 0..10 {
            let (id, [home, _]) = cache.mint().expect("random bytes");
            let signed = cache.sign(SessionId { id, home });
            // One fresh key in 256 has the number of one before.
            while cache.set_keys(&ring()).is_err() {}
            let stale = Token::encode(&signed.parts);
            let made = cache.write(home, |shard, now| {
                let times = cache.new_times(shard, Deadlines::default(), now);
                let newcomer = Newcomer { stamp: signed.stamp, times, member: None, data: None };
                shard.create(&newcomer, cache.limit(), b"data", None, now)
            });
            assert_eq!(made, Ok(()));
            let issued = cache.confirm(signed);
            let opens = |token: &Token| {
                cache.open_token(token.as_str().as_bytes(), &mut bytes::BytesMut::new()).is_some()
            };
            assert!(opens(&issued.token) && !opens(&stale));
        }
    }
}
