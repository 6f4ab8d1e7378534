//! The parts of a history, which are checked one by one.
//!
//! A history is partitioned by session, each with all ids that it ever had. If a verb is about a
//! user, the user's sessions form one part. A history is linearizable if and only if its parts are
//! (Horn and Kroening 2015).
//!
//! Reads take no lock. While `end_user_sessions` runs, a read may find one session ended, and a
//! later read may still find another session of that user. If a call ended several sessions, the
//! history is therefore checked once per session: all calls that take a lock, and the reads of that
//! session.

use std::{collections::BTreeSet, iter};

use crate::history::{Answer, Call, IDS, USERS, Verb};

/// Returns the parts of a history, which is accepted if each of them has an order.
pub(crate) fn parts(history: &[Call]) -> Vec<Vec<Call>> {
    if !ends_several(history) {
        return partition(history);
    }
    let about_one = history.iter().filter(|call| !call.verb.is_about_users());
    let sessions = Groups::of(about_one.map(|call| call.verb.names(call.answer, false)));
    let read = |call: &Call| match call.verb {
        Verb::Load { id } => Some(sessions.find(id.into())),
        _ => None,
    };
    let with_reads_of = |session: Option<usize>| {
        let is_in = |call: &&Call| read(call).is_none() || read(call) == session;
        partition(&history.iter().filter(is_in).copied().collect::<Vec<_>>())
    };
    let are_read: BTreeSet<usize> = history.iter().filter_map(read).collect();
    let each = are_read.into_iter().map(Some);
    iter::once(None)
        .chain(each)
        .flat_map(with_reads_of)
        .collect()
}

/// Returns true if `end_user_sessions` ended more than one session.
pub(crate) fn ends_several(history: &[Call]) -> bool {
    let ended = |call: &Call| match (call.verb, call.answer) {
        (Verb::EndUserSessions { .. }, Answer::Sessions(number)) => number,
        _ => 0,
    };
    history.iter().any(|call| ended(call) > 1)
}

/// Returns the calls of each session, or of each user's sessions, sorted by when they were made.
fn partition(history: &[Call]) -> Vec<Vec<Call>> {
    let about_users = history.iter().any(|call| call.verb.is_about_users());
    let names = |call: &Call| call.verb.names(call.answer, about_users);
    let groups = Groups::of(history.iter().map(names));
    let mut parts = vec![Vec::new(); NAMES];
    for call in history {
        let first = *names(call).first().expect("every call names something");
        parts[groups.find(first)].push(*call);
    }
    parts.retain(|part| !part.is_empty());
    parts
        .iter_mut()
        .for_each(|part| part.sort_by_key(|call| call.called));
    parts
}

impl Verb {
    fn is_about_users(self) -> bool {
        matches!(
            self,
            Self::EndUserSessions { .. } | Self::UserSessions { .. } | Self::EndAll
        )
    }

    /// Returns the names that assign a call to a part. Users matter only if a verb is about them.
    fn names(self, answer: Answer, about_users: bool) -> Vec<usize> {
        let (id, user) = match self {
            Self::Create { .. } => (None, None),
            Self::Load { id }
            | Self::Save { id, .. }
            | Self::Touch { id }
            | Self::Rotate { id, .. }
            | Self::End { id }
            | Self::EndIfUnchanged { id, .. } => (Some(id), None),
            Self::SignIn { id, user } => (Some(id), Some(user)),
            Self::EndUserSessions { user, except } => (except, Some(user)),
            Self::UserSessions { user } => (None, Some(user)),
            Self::EndAll => return (0..NAMES).collect(),
        };
        let issued = if let Answer::Issued { id, .. } = answer {
            Some(id)
        } else {
            None
        };
        let user = user
            .filter(|_| about_users)
            .map(|user| IDS + usize::from(user));
        [id, issued]
            .into_iter()
            .flatten()
            .map(usize::from)
            .chain(user)
            .collect()
    }
}

/// Sets of names that belong together (union and find; Galler and Fischer 1964).
struct Groups([usize; NAMES]);

impl Groups {
    /// Returns the groups in which the names of each call are together.
    fn of(calls: impl Iterator<Item = Vec<usize>>) -> Self {
        let mut groups = Self(std::array::from_fn(|name| name));
        for names in calls {
            names
                .windows(2)
                .for_each(|pair| groups.join(pair[0], pair[1]));
        }
        groups
    }

    fn find(&self, mut name: usize) -> usize {
        while self.0[name] != name {
            name = self.0[name];
        }
        name
    }

    fn join(&mut self, one: usize, other: usize) {
        self.0[self.find(one)] = self.find(other);
    }
}

const NAMES: usize = IDS + USERS;
