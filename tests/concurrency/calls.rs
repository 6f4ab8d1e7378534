//! Calls and answers for histories that are written by hand.

use std::ops::Range;

use crate::history::{Answer, Call, Id, Verb};

pub(crate) const A: Id = 0;
pub(crate) const B: Id = 1;
pub(crate) const C: Id = 2;
pub(crate) const D: Id = 3;
pub(crate) const E: Id = 4;
pub(crate) const F: Id = 5;
pub(crate) const LOAD_A: Verb = Verb::Load { id: A };
pub(crate) const END_A: Verb = Verb::End { id: A };
pub(crate) const ROTATE_A: Verb = Verb::Rotate {
    id: A,
    grace: false,
};
pub(crate) const END_USER: Verb = Verb::EndUserSessions {
    user: 0,
    except: None,
};
pub(crate) const SESSIONS: Verb = Verb::UserSessions { user: 0 };
pub(crate) const ENDED: Answer = Answer::Ended(true);

/// The call that creates the session of most histories.
pub(crate) fn created() -> Call {
    call(0..1, Verb::Create { value: 7 }, issued(A, 1))
}

/// The calls that create two sessions and sign user 0 in to both. Their ids are then C and D.
pub(crate) fn two_sessions_of_a_user() -> [Call; 4] {
    [
        created(),
        call(0..1, Verb::Create { value: 5 }, issued(B, 1)),
        call(2..3, Verb::SignIn { id: A, user: 0 }, issued(C, 1)),
        call(4..5, Verb::SignIn { id: B, user: 0 }, issued(D, 1)),
    ]
}

pub(crate) fn call(span: Range<u64>, verb: Verb, answer: Answer) -> Call {
    Call {
        called: span.start,
        returned: span.end,
        verb,
        answer,
    }
}

pub(crate) fn issued(id: Id, version: u32) -> Answer {
    Answer::Issued { id, version }
}

/// The answer to a read of an anonymous session.
pub(crate) fn read(version: u32, value: u32) -> Answer {
    Answer::Read {
        version,
        value,
        user: None,
    }
}

/// The answer to a read of a session of user 0.
pub(crate) fn read_of_user(version: u32, value: u32) -> Answer {
    Answer::Read {
        version,
        value,
        user: Some(0),
    }
}
