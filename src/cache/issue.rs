//! Issues ids and tokens for created, rotated and signed-in sessions, and computes their times.

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
    /// Creates an anonymous session in the emptier of two random shards, or in the other if that
    /// one is full.
    pub(super) fn create_anonymous(
        &self,
        timeouts: Timeouts,
        data: &[u8],
    ) -> Result<IssuedSession, Error> {
        for _ in 0..MAX_ID_DRAWS {
            let (id, [emptier, other]) = self.generate_id()?;
            let create_at = |place| self.create_at(SessionId { id, place }, timeouts, data);
            let issued = match create_at(emptier) {
                Err(WriteError::Verb(Error::Full)) if other != emptier => create_at(other),
                issued => issued,
            };
            match issued {
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
        view.prefetch(self.hasher.candidates(&id.id));
        let signed = self.sign(id);
        view.prefetch_links(&self.hasher);
        self.with_room(id.place, || {
            self.write(id.place, |shard, now| {
                let times = self.new_times(shard, timeouts, now);
                let entry = NewEntry {
                    token: signed.token,
                    times,
                    user: None,
                    data: None,
                };
                shard.create(&entry, self.limit(), data, None, now)
            })
        })?;
        view.prefetch_victim();
        Ok(self.confirm(signed))
    }

    /// Replaces a session's id with a new one.
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

    /// Generates ids until one is free, and passes each to a verb that binds a session to it.
    pub(super) fn issue_in(
        &self,
        place: Place,
        verb: impl Fn(&SessionId, &TokenParts) -> Result<u32, WriteError>,
    ) -> Result<IssuedSession, Error> {
        for _ in 0..MAX_ID_DRAWS {
            let (id, _) = self.generate_id()?;
            let id = SessionId { id, place };
            let signed = self.sign(id);
            match self.with_room(place, || verb(&id, &signed.token)) {
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

    /// Runs a verb that makes room. If more blocks must be moved than one lock hold permits, moves
    /// them in several, between which other threads can take the lock.
    pub(super) fn with_room<R>(
        &self,
        place: Place,
        verb: impl Fn() -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        let answer = verb();
        let Err(WriteError::Unfinished { words }) = answer else {
            return answer;
        };
        let has_room = |_| self.write(place, |shard, _| shard.make_hole(words));
        let answer = if (0..MAX_LOCK_HOLDS).any(has_room) {
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

    /// Generates an id and two random shards, the one with more free space first. Requests all
    /// random bytes in one call, since the call dominates the time.
    pub(super) fn generate_id(&self) -> Result<(Id, [Place; 2]), Error> {
        let mut bytes = [0; Id::LEN + 4];
        (self.settings.entropy)(&mut bytes)?;
        let [id @ .., a, b, c, d] = bytes;
        let places = self.two_places(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        let [first, second] = places.map(|place| {
            self.locked_shards[usize::from(place)]
                .free_for_anonymous
                .load(Relaxed)
        });
        let places = if second > first {
            [places[1], places[0]]
        } else {
            places
        };
        Ok((Id::from_bytes(id), places))
    }

    /// Returns two different shards if the cache has more than one.
    fn two_places(&self, one: u16, other: u16) -> [Place; 2] {
        let first = self.place(one);
        let others = self.locked_shards.len() as u16 - 1;
        let step = other.checked_rem(others).map_or(0, |step| step + 1);
        [first, first ^ step]
    }

    /// Signs an id with the first key of the ring.
    fn sign(&self, id: SessionId) -> SignedId {
        let (parts, epoch) = self.keys.sign(id.place, &id.id);
        let token = TokenParts {
            id: id.id,
            tag: parts.tag,
            key: parts.key,
        };
        SignedId {
            id,
            parts,
            token,
            epoch,
        }
    }

    /// Issues the token of an id that is stored in its shard. If the ring was replaced since the id
    /// was signed and its key is retired, signs it again: a token that is issued after `set_keys`
    /// has returned is valid.
    fn confirm(&self, mut signed: SignedId) -> IssuedSession {
        while self.keys.epoch() != signed.epoch && !self.keys.verify(&signed.parts) {
            signed = self.sign(signed.id);
            self.write(signed.id.place, |shard, _| shard.replace_tag(&signed.token));
        }
        let version = Version::new(FIRST_VERSION);
        IssuedSession {
            id: signed.id,
            token: Token::encode(&signed.parts),
            version,
        }
    }

    /// Returns the times of a session that is created now. Applies the revocation cutoff to the
    /// shard, whose lock the caller holds.
    pub(super) fn new_times(&self, shard: &mut Shard, timeouts: Timeouts, now: Tick) -> Times {
        let Inner {
            idle_timeout,
            lifetime,
            ..
        } = *self;
        let end = now.saturating_add(lifetime);
        let Creation { created, cutoff } = self.cutoff.creation(now);
        shard.apply_cutoff(cutoff);
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

    /// Returns a session's times under new timeouts, capped by the cache's. The lifetime counts
    /// from `start`.
    pub(super) fn change(&self, times: Times, start: Tick, timeouts: Timeouts, now: Tick) -> Times {
        let cap = |span| to_tick(span).min(self.idle_timeout);
        let idle_timeout = timeouts.idle_timeout.map_or(times.idle_timeout, cap);
        // After several `end_all` in one tick, sessions are created in a future tick.
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

/// An id, its token, and the parts of the token that an entry stores.
struct SignedId {
    id: SessionId,
    parts: Parts,
    token: TokenParts,
    /// The epoch of the key ring that signed it.
    epoch: u32,
}

/// The number of ids that are generated before a creation fails with `Full`. An id cannot be used
/// if both of its index buckets are full.
const MAX_ID_DRAWS: usize = 8;

/// The maximum number of further lock holds in which blocks are moved for one verb.
const MAX_LOCK_HOLDS: usize = 64;

#[cfg(all(test, not(sessile_loom)))]
mod tests {
    use super::*;
    use crate::{KeyRing, SessionCache};

    #[test]
    fn token_is_signed_again_if_its_key_was_retired_before_issue() {
        let ring = || KeyRing::generate().expect("random bytes");
        let builder = SessionCache::builder().memory(8 << 20).keys(ring());
        let cache = builder.build().expect("valid settings");
        for _ in 0..10 {
            let (id, [place, _]) = cache.0.generate_id().expect("random bytes");
            let signed = cache.0.sign(SessionId { id, place });
            // One new key in 256 has the number of an earlier key.
            while cache.set_keys(&ring()).is_err() {}
            let stale = Token::encode(&signed.parts);
            let issued = cache.0.write(place, |shard, now| {
                let times = cache.0.new_times(shard, Timeouts::new(), now);
                let entry = NewEntry {
                    token: signed.token,
                    times,
                    user: None,
                    data: None,
                };
                shard.create(&entry, cache.0.limit(), b"data", None, now)
            });
            assert_eq!(issued, Ok(()));
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
