//! Reading in L1: a hit, or the ids that the store is asked for.

use super::Record;
use crate::{cookie::MAX_CANDIDATES, id::SessionId};

/// The result of [`L1::look_up`](super::L1::look_up).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LookUp {
    /// The first valid candidate is in L1.
    Hit(Record),
    /// The first valid candidate is not in L1: the store decides about it, then about those after it. All valid
    /// candidates from it on, in order, whether or not they are in L1, so that the content of L1 does not decide
    /// between two sessions.
    Unknown(Candidates),
    /// There is no valid candidate.
    Absent,
}

/// An id whose full MAC is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The id.
    pub id: SessionId,
    /// The number of the key that signed its token, for [`StoredSession::key_number`](super::StoredSession).
    pub key_number: u8,
}

/// Ids of one request whose full MAC is valid, in the order of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidates([Option<Candidate>; MAX_CANDIDATES]);

/// The reason why the store did not open a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The store has no such session, or it was ended with all others.
    Unknown,
    /// The session has expired.
    Expired,
    /// The id was replaced, and its grace period is over.
    Reused,
}

impl Candidates {
    /// Returns the first candidate.
    #[must_use]
    pub fn first(&self) -> Option<Candidate> {
        self.0[0]
    }

    /// Returns an iterator over the candidates.
    pub fn iter(&self) -> impl Iterator<Item = Candidate> + use<> {
        self.0.into_iter().flatten()
    }

    /// Returns the number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Returns true if there is no candidate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }
}
