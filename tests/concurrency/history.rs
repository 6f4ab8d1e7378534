//! Histories of concurrent calls, and a search for an order in which they could have been made one
//! by one.
//!
//! A call carries two stamps of one counter, drawn before the call and after it returned. A history
//! is linearizable if its calls can be ordered such that every call precedes those made after it
//! had returned, and a sequential model gives the recorded answers (Herlihy and Wing 1990). The
//! search tries each call that may come next (Wing and Gong 1993) and visits no set of finished
//! calls twice with the same state (Lowe 2017). Since that is costly, a history is first
//! partitioned (`parts`).
//!
//! Time does not pass in a history. The recorder numbers ids and users.
//!
//! A new verb is a variant of [`Verb`] and an arm of [`State::accepts`]. If it names anything but
//! ids and users, it also needs an arm of `Verb::names`.

#![allow(dead_code)]

use std::collections::HashSet;

use crate::parts::parts;

/// The number of an id, below [`IDS`].
pub(crate) type Id = u8;

/// The number of a user, below [`USERS`].
pub(crate) type User = u8;

/// A call that returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) called: u64,
    pub(crate) returned: u64,
    pub(crate) verb: Verb,
    pub(crate) answer: Answer,
}

/// A verb with its arguments. Values stand for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create { value: u32 },
    Load { id: Id },
    Save { id: Id, version: u32, value: u32 },
    Touch { id: Id },
    Rotate { id: Id, grace: bool },
    SignIn { id: Id, user: User },
    End { id: Id },
    EndIfUnchanged { id: Id, version: u32 },
    EndUserSessions { user: User, except: Option<Id> },
    UserSessions { user: User },
    EndAll,
}

/// The result of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Issued {
        id: Id,
        version: u32,
    },
    Read {
        version: u32,
        value: u32,
        user: Option<User>,
    },
    Saved {
        version: u32,
    },
    /// The result of a verb that returns nothing.
    Done,
    /// True if there was a session to end.
    Ended(bool),
    /// The number of sessions listed or ended.
    Sessions(usize),
    Conflict,
    /// The id is an old one, though it opens the session.
    Rotated,
    /// The session does not exist; also the result of a read that missed.
    Gone,
}

/// Finds an order for each part of a history, or returns the part that has none.
pub(crate) fn check(history: &[Call]) -> Result<(), Vec<Call>> {
    let has_order = |part: &Vec<Call>| order(part).is_some();
    parts(history)
        .into_iter()
        .find(|part| !has_order(part))
        .map_or(Ok(()), Err)
}

/// Formats a part, in the order of the calls.
pub(crate) fn describe(part: &[Call]) -> String {
    let line = |call: &Call| {
        format!(
            "{:>9}..{:<9} {:?} → {:?}\n",
            call.called, call.returned, call.verb, call.answer
        )
    };
    part.iter().map(line).collect()
}

/// Returns an order that the model accepts. `calls` are sorted by when they were made.
pub(crate) fn order(calls: &[Call]) -> Option<Vec<usize>> {
    assert!(
        calls.len() <= MAX_CALLS,
        "{} calls in one part",
        calls.len()
    );
    let all = u128::MAX
        .checked_shr((MAX_CALLS - calls.len()) as u32)
        .unwrap_or(0);
    let mut seen = HashSet::new();
    let mut path: Vec<Step> = Vec::new();
    let mut step = Step::new(0, State::default(), calls);
    loop {
        if step.done == all {
            return Some(path.iter().map(|step| step.last).collect());
        }
        let next = step.next(calls);
        match next {
            Some((at, state)) => {
                let done = step.done | 1 << at;
                if seen.insert((done, state.clone())) {
                    path.push(Step { last: at, ..step });
                    step = Step::new(done, state, calls);
                }
            }
            None => step = path.pop()?,
        }
    }
}

/// A node of the search: the calls done, the resulting state, and the calls still to try.
struct Step {
    done: u128,
    state: State,
    /// The return time of the first unfinished call; calls made after it come later.
    until: u64,
    try_next: usize,
    /// The call that was done next.
    last: usize,
}

impl Step {
    fn new(done: u128, state: State, calls: &[Call]) -> Self {
        let first = done.trailing_ones() as usize;
        let is_done = |at: usize| done >> at & 1 == 1;
        let mut until = u64::MAX;
        for (at, call) in calls.iter().enumerate().skip(first) {
            if call.called > until {
                break;
            }
            if !is_done(at) {
                until = until.min(call.returned);
            }
        }
        Self {
            done,
            state,
            until,
            try_next: first,
            last: 0,
        }
    }

    /// Returns the next call that may come now, with the state after it.
    fn next(&mut self, calls: &[Call]) -> Option<(usize, State)> {
        while let Some(call) = calls
            .get(self.try_next)
            .filter(|call| call.called <= self.until)
        {
            let at = self.try_next;
            self.try_next += 1;
            if self.done >> at & 1 == 0 {
                let mut state = self.state.clone();
                if state.accepts(call.verb, call.answer) {
                    return Some((at, state));
                }
            }
        }
        None
    }
}

/// The model: the live sessions, ordered by their first id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State(Vec<Session>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    /// All ids that the session had, by which it is ended; one bit each.
    ids: u64,
    /// The ids that it has had since its current user signed in.
    theirs: u64,
    /// The ids that open it: the newest, and those within a grace period.
    open: u64,
    /// The newest id.
    newest: u64,
    version: u32,
    value: u32,
    user: Option<User>,
}

impl State {
    /// Applies a call if this is its result in the current state.
    pub(crate) fn accepts(&mut self, verb: Verb, answer: Answer) -> bool {
        match verb {
            Verb::Create { value } => self.create(value, answer),
            Verb::Load { id } => {
                let read = |session: &mut Session| session.read();
                answer == self.opened(id).map_or(Answer::Gone, read)
            }
            Verb::Save { id, version, value } => self.save(id, version, value, answer),
            Verb::Touch { id } => {
                answer
                    == if self.opened(id).is_some() {
                        Answer::Done
                    } else {
                        Answer::Gone
                    }
            }
            Verb::Rotate { id, grace } => self.reissue(id, answer, |session, new| {
                session.open = if grace { session.open | new } else { new };
                session.theirs |= session.user.map_or(0, |_| new);
            }),
            Verb::SignIn { id, user } => self.reissue(id, answer, |session, new| {
                session.open = new;
                session.theirs = if session.user == Some(user) {
                    session.theirs | new
                } else {
                    new
                };
                session.user = Some(user);
            }),
            Verb::End { id } => {
                answer == Answer::Ended(self.end(|each| each.ids & bit(id) != 0) > 0)
            }
            Verb::EndIfUnchanged { id, version } => self.end_if_unchanged(id, version, answer),
            Verb::EndUserSessions { user, except } => {
                let kept = except.map_or(0, bit);
                let has_user = |each: &Session| each.user == Some(user) && each.theirs & kept == 0;
                answer == Answer::Sessions(self.end(has_user))
            }
            Verb::UserSessions { user } => {
                let all = self.0.iter().filter(|session| session.user == Some(user));
                answer == Answer::Sessions(all.count())
            }
            Verb::EndAll => {
                self.0.clear();
                answer == Answer::Done
            }
        }
    }

    fn create(&mut self, value: u32, answer: Answer) -> bool {
        let Answer::Issued { id, version } = answer else {
            return false;
        };
        let [ids, open, newest] = [bit(id); 3];
        let session = Session {
            ids,
            theirs: 0,
            open,
            newest,
            version,
            value,
            user: None,
        };
        self.0.push(session);
        // The lowest bit of a session is its first id and is kept.
        self.0.sort_by_key(|session| session.ids.trailing_zeros());
        true
    }

    fn save(&mut self, id: Id, version: u32, value: u32, answer: Answer) -> bool {
        match (self.opened(id), answer) {
            (None, Answer::Gone) => true,
            (Some(session), Answer::Conflict) => session.version != version,
            (Some(session), Answer::Saved { version: next }) => {
                let is_right = session.version == version && next > version;
                (session.version, session.value) = (next, value);
                is_right
            }
            _ => false,
        }
    }

    fn reissue(&mut self, id: Id, answer: Answer, change: impl FnOnce(&mut Session, u64)) -> bool {
        match (self.opened(id), answer) {
            (None, Answer::Gone) => true,
            (Some(session), Answer::Rotated) => session.newest != bit(id),
            (Some(session), Answer::Issued { id: new, version }) => {
                let is_right = session.version == version && session.newest == bit(id);
                session.ids |= bit(new);
                session.newest = bit(new);
                change(session, bit(new));
                is_right
            }
            _ => false,
        }
    }

    fn end_if_unchanged(&mut self, id: Id, version: u32, answer: Answer) -> bool {
        let found = self.opened(id);
        let found = found.map(|session| (session.newest == bit(id), session.version == version));
        match (found, answer) {
            // An old id is remembered past its grace period and past its session; the order does
            // not depend on it.
            (None, Answer::Gone | Answer::Rotated)
            | (Some((false, _)), Answer::Rotated)
            | (Some((true, false)), Answer::Conflict) => true,
            (Some((true, true)), Answer::Done) => {
                self.end(|session| session.open & bit(id) != 0) == 1
            }
            _ => false,
        }
    }

    /// Ends the sessions for which the predicate holds and returns their number.
    fn end(&mut self, is_ended: impl Fn(&Session) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|session| !is_ended(session));
        before - self.0.len()
    }

    fn opened(&mut self, id: Id) -> Option<&mut Session> {
        self.0
            .iter_mut()
            .find(|session| session.open & bit(id) != 0)
    }
}

impl Session {
    fn read(&self) -> Answer {
        Answer::Read {
            version: self.version,
            value: self.value,
            user: self.user,
        }
    }
}

fn bit(id: Id) -> u64 {
    1 << id
}

/// Ids, users and calls are bits, which limits their number in a history, and that of calls in a
/// part.
pub(crate) const IDS: usize = u64::BITS as usize;
pub(crate) const USERS: usize = 8;
const MAX_CALLS: usize = u128::BITS as usize;
