//! The values of items: a record with its stamp, the generations of a place, the data set.
//!
//! ```text
//!  a record       the bytes of `sessile_store::record` │ generation u64 │ base u64 │ sequence u64
//!  generations    format u8: 1 │ base u64 │ latest u64 │ floor u64 │ for each user that was ended:
//!                 user hash, 16 bytes │ sequence u64 │ kept until u64
//!  the data set   "sessile" │ format u8: 1 │ epoch, 16 bytes │ user key, 32 bytes │ generation u64 │
//!                 ended before u64 │ fingerprints of keys, 8 bytes each
//! ```
//!
//! All numbers are little-endian, and times are ms of the nodes. A session is open while its stamp
//! agrees with both items. Each is drawn at random when it is created, so sessions from before the
//! loss of an item agree with none that replaces it. Invariant: hostile bytes are an error, never a
//! panic. It knows no key and no server.

use std::time::Duration;

use sessile::UserHash;
use sessile_store::ServerTime;

/// The generations under which a record was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The generation of all sessions.
    pub(crate) generation: u64,
    /// The base of the place's generations, or 0 without a user.
    pub(crate) base: u64,
    /// The latest sequence of the place at that time, or 0 without a user.
    pub(crate) sequence: u64,
}

/// The ends of the users of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    base: u64,
    latest: u64,
    /// The latest sequence of the ends that were forgotten. No older session is open.
    floor: u64,
    ended: Vec<EndedUser>,
}

/// The last end of all sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndedUser {
    user: [u8; 16],
    sequence: u64,
    /// The time at which all sessions from before have expired, so that this may be forgotten.
    until: ServerTime,
}

/// The facts that the nodes of a store have in common.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DataSet {
    pub(crate) epoch: [u8; 16],
    pub(crate) user_key: [u8; 32],
    /// Changes with each end of all sessions.
    pub(crate) generation: u64,
    pub(crate) ended_before: ServerTime,
    pub(crate) fingerprints: Vec<[u8; 8]>,
}

/// Bytes that are not a value of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

impl Stamp {
    /// Splits a value into the record and its stamp.
    pub(crate) fn split(value: &[u8]) -> Result<(usize, Self), Foreign> {
        let (record, stamp) = value.split_last_chunk::<STAMP_LEN>().ok_or(Foreign)?;
        let stamp = Self {
            generation: number(stamp, 0)?,
            base: number(stamp, 8)?,
            sequence: number(stamp, 16)?,
        };
        Ok((record.len(), stamp))
    }

    pub(crate) fn encode(&self) -> [u8; STAMP_LEN] {
        let mut bytes = [0; STAMP_LEN];
        let numbers = [self.generation, self.base, self.sequence];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

impl Generations {
    /// Creates the item of a place, from random numbers.
    pub(crate) fn new(base: u64, random: u32) -> Self {
        Self {
            base,
            latest: next(0, random),
            floor: 0,
            ended: Vec::new(),
        }
    }

    /// Returns the stamp of a session that is created now.
    pub(crate) fn stamp(&self, generation: u64) -> Stamp {
        Stamp {
            generation,
            base: self.base,
            sequence: self.latest,
        }
    }

    /// Returns the stamp of a session that outlives the next end of its user.
    pub(crate) fn next_stamp(&self, generation: u64, random: u32) -> Stamp {
        Stamp {
            sequence: next(self.latest, random),
            ..self.stamp(generation)
        }
    }

    /// Returns true if a user's session with this stamp was not ended.
    ///
    /// A session that outlives an end has exactly the sequence of that end. Two ends that began at
    /// the same time have one count and different random halves, so a session that outlives one of
    /// them does not outlive the other. An end that was forgotten counts for all users: it has
    /// ended sessions that were created under a longer lifetime than the one that it was kept for.
    pub(crate) fn permits(&self, user: &UserHash, stamp: &Stamp) -> bool {
        let user = user.to_bytes();
        let ended = self.ended.iter().find(|ended| ended.user == user);
        let outlives = |end: u64| stamp.sequence == end || count(stamp.sequence) > count(end);
        self.base == stamp.base
            && outlives(self.floor)
            && ended.is_none_or(|ended| outlives(ended.sequence))
    }

    /// Ends the sessions of a user, and forgets ends that no session is older than. The ends of
    /// other users are kept for the lifetime that they were recorded with, because nodes may have
    /// different ones.
    pub(crate) fn end(
        &mut self,
        user: &UserHash,
        sequence: u64,
        now: ServerTime,
        lifetime: Duration,
    ) {
        let user = user.to_bytes();
        let mut until = now.after(lifetime);
        for ended in self
            .ended
            .extract_if(.., |ended| ended.user == user || ended.until <= now)
        {
            if ended.user == user {
                until = until.max(ended.until);
            } else {
                self.floor = self.floor.max(ended.sequence);
            }
        }
        self.latest = sequence;
        self.ended.push(EndedUser {
            user,
            sequence,
            until,
        });
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.base.to_le_bytes());
        bytes.extend(self.latest.to_le_bytes());
        bytes.extend(self.floor.to_le_bytes());
        for ended in &self.ended {
            bytes.extend(ended.user);
            bytes.extend(ended.sequence.to_le_bytes());
            bytes.extend(ended.until.0.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Foreign> {
        let (head, rest) = value
            .split_first_chunk::<GENERATIONS_LEN>()
            .ok_or(Foreign)?;
        let (users, tail) = rest.as_chunks::<ENDED_LEN>();
        if head[0] != FORMAT || !tail.is_empty() {
            return Err(Foreign);
        }
        let ended = users.iter().map(|bytes| {
            Ok(EndedUser {
                user: array(bytes, 0)?,
                sequence: number(bytes, 16)?,
                until: ServerTime(number(bytes, 24)?),
            })
        });
        Ok(Self {
            base: number(head, 1)?,
            latest: number(head, 9)?,
            floor: number(head, 17)?,
            ended: ended.collect::<Result<_, _>>()?,
        })
    }
}

impl DataSet {
    /// Adds fingerprints that are not known. Returns true if there were some. The oldest of many
    /// are forgotten.
    pub(crate) fn add_fingerprints(&mut self, proposed: &[[u8; 8]]) -> bool {
        let mut is_changed = false;
        for print in proposed {
            if !self.fingerprints.contains(print) {
                self.fingerprints.push(*print);
                is_changed = true;
            }
        }
        let excess = self.fingerprints.len().saturating_sub(MAX_FINGERPRINTS);
        self.fingerprints.drain(..excess);
        is_changed
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        bytes.extend(self.epoch);
        bytes.extend(self.user_key);
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.ended_before.0.to_le_bytes());
        bytes.extend(self.fingerprints.as_flattened());
        bytes
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Foreign> {
        let rest = value.strip_prefix(MAGIC).ok_or(Foreign)?;
        let rest = rest.strip_prefix(&[FORMAT]).ok_or(Foreign)?;
        let (head, prints) = rest.split_at_checked(DATA_SET_LEN).ok_or(Foreign)?;
        let (fingerprints, tail) = prints.as_chunks::<8>();
        if !tail.is_empty() {
            return Err(Foreign);
        }
        Ok(Self {
            epoch: array(head, 0)?,
            user_key: array(head, 16)?,
            generation: number(head, 48)?,
            ended_before: ServerTime(number(head, 56)?),
            fingerprints: fingerprints.to_vec(),
        })
    }
}

/// Returns a sequence after another: a count in its upper half, and random bits.
fn next(sequence: u64, random: u32) -> u64 {
    (u64::from(count(sequence)) + 1) << u32::BITS | u64::from(random)
}

fn count(sequence: u64) -> u32 {
    (sequence >> u32::BITS) as u32
}

fn number(bytes: &[u8], at: usize) -> Result<u64, Foreign> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Foreign> {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    found.copied().ok_or(Foreign)
}

/// The length of the stamp behind a record, in bytes.
pub(crate) const STAMP_LEN: usize = 24;
const FORMAT: u8 = 1;
const MAGIC: &[u8] = b"sessile";
const DATA_SET_LEN: usize = 64;
/// The length of the generations of a place before the ends, in bytes.
const GENERATIONS_LEN: usize = 25;
const ENDED_LEN: usize = 32;
/// The most fingerprints in the data set: those of several full key rings.
const MAX_FINGERPRINTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn user(number: u8) -> UserHash {
        UserHash::new([number; 16])
    }

    #[test]
    fn an_end_reaches_the_sessions_from_before_and_no_other_user() {
        let mut place = Generations::new(7, 1);
        let before = place.stamp(9);
        assert!(place.permits(&user(1), &before));
        let sequence = place.next_stamp(9, 2).sequence;
        place.end(&user(1), sequence, ServerTime(5), DAY);
        assert!(!place.permits(&user(1), &before));
        assert!(place.permits(&user(2), &before));
        assert!(place.permits(&user(1), &place.stamp(9)), "created later");
    }

    #[test]
    fn a_session_outlives_the_end_that_it_was_stamped_for_only() {
        let place = Generations::new(7, 1);
        let [first, second] = [2, 3].map(|random| place.next_stamp(9, random));
        let ended_by = |stamp: Stamp| {
            let mut place = place.clone();
            place.end(&user(1), stamp.sequence, ServerTime(5), DAY);
            place
        };
        assert!(ended_by(first).permits(&user(1), &first));
        assert!(!ended_by(second).permits(&user(1), &first), "another end");
        let mut twice = ended_by(first);
        let again = twice.next_stamp(9, 2);
        twice.end(&user(1), again.sequence, ServerTime(6), DAY);
        assert!(!twice.permits(&user(1), &first), "a later end");
    }

    #[test]
    fn a_place_that_was_lost_permits_nothing_from_before() {
        let before = Generations::new(7, 1).stamp(9);
        assert!(!Generations::new(8, 1).permits(&user(1), &before));
    }

    #[test]
    fn ends_are_forgotten_when_no_session_is_older() {
        let mut place = Generations::new(7, 1);
        for (number, at) in [(1, 0), (2, 1), (3, 2)] {
            let sequence = place.next_stamp(9, 0).sequence;
            place.end(
                &user(number),
                sequence,
                ServerTime(at),
                Duration::from_millis(2),
            );
        }
        let users: Vec<_> = place.ended.iter().map(|ended| ended.user[0]).collect();
        assert_eq!(users, [2, 3]);
    }

    #[test]
    fn an_end_is_kept_for_the_longest_lifetime_that_it_was_recorded_with() {
        let mut place = Generations::new(7, 1);
        let [ada, other] = [user(1), user(2)];
        let before = place.stamp(9);
        let end = |place: &mut Generations, user, day, lifetime| {
            let sequence = place.next_stamp(9, 0).sequence;
            place.end(user, sequence, ServerTime(0).after(day * DAY), lifetime);
        };
        end(&mut place, &ada, 0, 30 * DAY);
        // From the second day on the lifetime is a day.
        for day in 2..20 {
            end(&mut place, &other, day, DAY);
            assert!(!place.permits(&ada, &before), "day {day}");
            assert!(place.permits(&user(3), &before), "day {day}");
        }
        end(&mut place, &ada, 20, DAY);
        end(&mut place, &other, 22, DAY);
        assert_eq!(place.ended.len(), 2, "both are kept");
        end(&mut place, &other, 30, DAY);
        assert_eq!(place.ended.len(), 1);
    }

    #[test]
    fn a_session_that_outlives_the_record_of_its_end_does_not_return() {
        let mut place = Generations::new(7, 1);
        let [ada, other] = [user(1), user(2)];
        // Created for 30 days, before the lifetime is a day.
        let before = place.stamp(9);
        let kept = place.next_stamp(9, 2);
        place.end(&ada, kept.sequence, ServerTime(0), DAY);
        let sequence = place.next_stamp(9, 3).sequence;
        place.end(&other, sequence, ServerTime(0).after(2 * DAY), DAY);
        assert_eq!(place.ended.len(), 1, "the first end is forgotten");
        assert!(!place.permits(&ada, &before));
        assert!(place.permits(&ada, &kept), "it outlived the end");
        assert!(place.permits(&user(3), &place.stamp(9)));
    }

    #[test]
    fn values_are_decoded_to_what_was_encoded() {
        let mut place = Generations::new(7, 1);
        place.end(
            &user(1),
            place.next_stamp(9, 2).sequence,
            ServerTime(5),
            DAY,
        );
        assert_eq!(Generations::decode(&place.encode()), Ok(place.clone()));
        let stamp = place.stamp(9);
        let value = [&b"record"[..], &stamp.encode()].concat();
        assert_eq!(Stamp::split(&value), Ok((6, stamp)));
        let mut data = DataSet {
            epoch: [1; 16],
            user_key: [2; 32],
            generation: 3,
            ended_before: ServerTime(4),
            fingerprints: vec![[5; 8]],
        };
        assert!(!data.add_fingerprints(&[[5; 8]]));
        assert!(data.add_fingerprints(&[[5; 8], [6; 8]]));
        assert!(DataSet::decode(&data.encode()).is_ok_and(|decoded| decoded == data));
        let many: Vec<_> = (0..200_u64).map(u64::to_le_bytes).collect();
        assert!(data.add_fingerprints(&many));
        assert_eq!(data.fingerprints.len(), MAX_FINGERPRINTS);
        for len in 0..value.len() {
            let _ = Generations::decode(&value[..len]);
            assert!(DataSet::decode(&data.encode()[..len]).is_err());
        }
        assert_eq!(Stamp::split(&value[..STAMP_LEN - 1]), Err(Foreign));
    }
}
