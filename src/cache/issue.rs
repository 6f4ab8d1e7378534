//! Issuing: new ids and their tokens, for a session that is created, rotated or signed in to, and its times.

use super::{Inner, IssuedSession, Version, cutoff::Creation};
use crate::{
    clock::{Tick, to_tick},
    config::{Lifetime, Timeouts},
    cookie::{Parts, Token},
    error::Error,
    id::{Id, Place, SessionId},
    shard::{
        NewEntry, Shard, WriteError,
        entry::{FIRST_VERSION, Times, TokenParts},
    },
    sync::Relaxed,
};

impl Inner {
    /// Creates a session without a user, in the emptier of two shards, or in the other if there is no room.
    pub(super) fn create_anonymous(
        &self,
        timeouts: Timeouts,
        data: &[u8],
    ) -> Result<IssuedSession, Error> {
        for _ in 0..MINTS {
            let (id, [emptier, other]) = self.mint()?;
            let create_at = |place| self.create_at(SessionId { id, place }, timeouts, data);
            let made = match create_at(emptier) {
                Err(WriteError::Verb(Error::Full)) if other != emptier => create_at(other),
                made => made,
            };
            match made {
                Ok(issued) => return Ok(issued),
                Err(WriteError::IdTaken) => {}
                Err(_) => break,
            }
        }
        Err(self.full())
    }

    fn create_at(
        &self,
        id: SessionId,
        timeouts: Timeouts,
        data: &[u8],
    ) -> Result<IssuedSession, WriteError> {
        let view = &self.locked_shards[usize::from(id.place)].view;
        view.prefetch(self.spots.candidates(&id.id));
        let signed = self.sign(id);
        view.prefetch_links(&self.spots);
        self.with_room(id.place, || {
            self.write(id.place, |shard, now| {
                let times = self.new_times(shard, timeouts, now);
                let newcomer = NewEntry {
                    token: signed.stamp,
                    times,
                    user: None,
                    data: None,
                };
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
        place: Place,
        verb: impl Fn(&SessionId, &TokenParts) -> Result<u32, WriteError>,
    ) -> Result<IssuedSession, Error> {
        if self.has_shard(old) {
            self.issue_in(place, verb)
        } else {
            Err(Error::Gone)
        }
    }

    /// Mints ids until one is free, and has a session take it.
    pub(super) fn issue_in(
        &self,
        place: Place,
        verb: impl Fn(&SessionId, &TokenParts) -> Result<u32, WriteError>,
    ) -> Result<IssuedSession, Error> {
        for _ in 0..MINTS {
            let (id, _) = self.mint()?;
            let id = SessionId { id, place };
            let signed = self.sign(id);
            match self.with_room(place, || verb(&id, &signed.stamp)) {
                Ok(version) => {
                    let version = Version::new(version);
                    return Ok(IssuedSession {
                        version,
                        ..self.confirm(signed)
                    });
                }
                Err(WriteError::IdTaken) => {}
                Err(error) => return Err(self.public_error(error)),
            }
        }
        Err(self.full())
    }

    /// Carries out a verb that makes room. Where more blocks must be moved than one hold of the lock permits, they are
    /// moved under several, between which others get the lock.
    pub(super) fn with_room<R>(
        &self,
        place: Place,
        verb: impl Fn() -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        let answer = verb();
        let Err(WriteError::Unfinished { words }) = answer else {
            return answer;
        };
        let is_made = |_| self.write(place, |shard, _| shard.make_hole(words));
        let answer = if (0..HOLDS).any(is_made) {
            verb()
        } else {
            answer
        };
        answer.map_err(|error| match error {
            WriteError::Unfinished { .. } => Error::Full.into(),
            error => error,
        })
    }

    /// Returns the public error, and counts `Full`.
    pub(super) fn public_error(&self, error: WriteError) -> Error {
        match error {
            WriteError::Verb(Error::Full) | WriteError::Unfinished { .. } | WriteError::IdTaken => {
                self.full()
            }
            WriteError::Verb(error) => error,
        }
    }

    /// A new id, and two shards with the one that has more room first, drawn at random: in one
    /// call, since that is what takes the time.
    pub(super) fn mint(&self) -> Result<(Id, [Place; 2]), Error> {
        let mut bytes = [0; Id::LEN + 4];
        (self.settings.entropy)(&mut bytes)?;
        let [id @ .., a, b, c, d] = bytes;
        let places = self.two_places(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let [first, second] =
            places.map(|place| self.locked_shards[usize::from(place)].room.load(Relaxed));
        let places = if second > first {
            [places[1], places[0]]
        } else {
            places
        };
        Ok((Id::from_bytes(id), places))
    }

    /// Two different shards, if there are two.
    fn two_places(&self, one: u16, other: u16) -> [Place; 2] {
        let first = self.place(one);
        let others = self.locked_shards.len() as u16 - 1;
        let step = other.checked_rem(others).map_or(0, |step| step + 1);
        [first, first ^ step]
    }

    /// Signs an id.
    fn sign(&self, id: SessionId) -> Signed {
        let (parts, epoch) = self.keys.sign(id.place, &id.id);
        let stamp = TokenParts {
            id: id.id,
            tag: parts.tag,
            key: parts.key,
        };
        Signed {
            id,
            parts,
            stamp,
            epoch,
        }
    }

    /// Issues the token of an id that is in its shard. If the keys were replaced since it was signed, and its own is
    /// retired, it is signed again: a token that is issued after `set_keys` has returned is valid.
    fn confirm(&self, mut signed: Signed) -> IssuedSession {
        while self.keys.epoch() != signed.epoch && !self.keys.verify(&signed.parts) {
            signed = self.sign(signed.id);
            self.write(signed.id.place, |shard, _| shard.replace_tag(&signed.stamp));
        }
        let version = Version::new(FIRST_VERSION);
        IssuedSession {
            id: signed.id,
            token: Token::encode(&signed.parts),
            version,
        }
    }

    /// The times of a session that is created now, in a shard whose lock is held. The shard learns of all that has
    /// ended before.
    pub(super) fn new_times(&self, shard: &mut Shard, timeouts: Timeouts, now: Tick) -> Times {
        let Inner {
            idle_timeout,
            lifetime,
            ..
        } = *self;
        let end = now.saturating_add(lifetime);
        let Creation { created, horizon } = self.horizon.creation(now);
        shard.apply_cutoff(horizon);
        let times = Times {
            created,
            authenticated: 0,
            issued: now,
            idle: 0,
            end,
            idle_timeout,
        };
        self.change(times, now, timeouts, now)
    }

    /// A session's times under new timeouts, capped by the cache's. Its lifetime counts from `start`.
    pub(super) fn change(&self, times: Times, start: Tick, timeouts: Timeouts, now: Tick) -> Times {
        let cap = |span| to_tick(span).min(self.idle_timeout);
        let idle_timeout = timeouts.idle_timeout.map_or(times.idle_timeout, cap);
        // After several `end_all` in one tick, sessions are created in a tick to come.
        let start = start.min(now);
        let latest = start.saturating_add(self.lifetime);
        let end = match timeouts.lifetime {
            None => times.end,
            Some(Lifetime::FromStart(span)) => start.saturating_add(to_tick(span)).min(latest),
            Some(Lifetime::FromNow(span)) => now.saturating_add(to_tick(span)).min(latest),
        };
        Times {
            idle: now.saturating_add(idle_timeout),
            end,
            idle_timeout,
            ..times
        }
    }
}

/// An id, its token, and what an entry keeps of it.
struct Signed {
    id: SessionId,
    parts: Parts,
    stamp: TokenParts,
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
    use crate::{KeyRing, SessionCache};

    #[test]
    fn a_token_whose_key_was_retired_after_it_was_signed_is_signed_again() {
        let ring = || KeyRing::generate().expect("random bytes");
        let settings = SessionCache::builder().memory(8 << 20).keys(ring());
        let cache = settings.build().expect("settings that hold");
        for _ in 0..10 {
            let (id, [place, _]) = cache.0.mint().expect("random bytes");
            let signed = cache.0.sign(SessionId { id, place });
            // One fresh key in 256 has the number of one before.
            while cache.set_keys(&ring()).is_err() {}
            let stale = Token::encode(&signed.parts);
            let made = cache.0.write(place, |shard, now| {
                let times = cache.0.new_times(shard, Timeouts::new(), now);
                let newcomer = NewEntry {
                    token: signed.stamp,
                    times,
                    user: None,
                    data: None,
                };
                shard.create(&newcomer, cache.0.limit(), b"data", None, now)
            });
            assert_eq!(made, Ok(()));
            let issued = cache.0.confirm(signed);
            let opens = |token: &Token| {
                cache
                    .open_token(token.as_str().as_bytes(), &mut bytes::BytesMut::new())
                    .is_some()
            };
            assert!(opens(&issued.token) && !opens(&stale));
        }
    }
}
