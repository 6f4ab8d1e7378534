//! What happened to sessions, from the events that the engine tells.
//!
//! Owns the counts and the last few lines. Visitors without a name come by the million, so they are
//! only counted; a line is for what happened to somebody who is signed in. Knows handles, which
//! open nothing.

use std::{collections::VecDeque, time::Duration};

use sessile::{EndReason, Event, EventKind, SessionCache};

use crate::format;

/// How many events the engine keeps between two looks.
pub(crate) const KEPT: usize = 1_024;

/// The lines that are shown.
pub(super) const LINES: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Journal {
    counts: [u64; KINDS.len()],
    latest: VecDeque<Event>,
}

/// What the journal holds at one moment.
#[derive(Debug)]
pub(crate) struct Happened {
    /// By the names of the figures.
    pub(crate) counts: Vec<(&'static str, u64)>,
    /// The newest first.
    pub(crate) latest: Vec<String>,
}

impl Journal {
    /// Takes what the engine has; no more than a few queues full, for robots may be adding all the
    /// while.
    pub(super) fn listen(&mut self, cache: &SessionCache) {
        for _ in 0..KEPT * 4 {
            let Some(event) = cache.next_event() else {
                return;
            };
            self.note(event);
        }
    }

    /// `now` is the time since the cache was built.
    pub(super) fn happened(&self, now: Duration) -> Happened {
        let names = KINDS.iter().map(|(name, _)| *name);
        let lines = self.latest.iter().map(|event| line(event, now));
        Happened {
            counts: names.zip(self.counts).collect(),
            latest: lines.collect(),
        }
    }

    fn note(&mut self, event: Event) {
        self.counts[kind(event.kind)] += 1;
        if event.user().is_some() {
            self.latest.truncate(LINES - 1);
            self.latest.push_front(event);
        }
    }
}

/// `Signed in, 3 s ago: …0000000100000002`. The end of a handle tells sessions apart.
fn line(event: &Event, now: Duration) -> String {
    let (_, text) = KINDS[kind(event.kind)];
    let ago = format::ago(now.saturating_sub(event.at()));
    let handle = event
        .handle
        .map(|handle| handle.to_string())
        .unwrap_or_default();
    format!(
        "{text}, {ago}: …{}",
        &handle[handle.len().saturating_sub(16)..]
    )
}

fn kind(what: EventKind) -> usize {
    match what {
        EventKind::Created => 0,
        EventKind::SignedIn => 1,
        EventKind::Rotated => 2,
        EventKind::Expired => 3,
        EventKind::Evicted => 4,
        EventKind::Ended(EndReason::Requested) => 5,
        EventKind::Ended(EndReason::UserRevoked) => 6,
        EventKind::Ended(EndReason::SessionLimit) => 7,
        EventKind::Reused | EventKind::Ended(EndReason::Reused) => 8,
        EventKind::Conflict => 9,
        _ => 10,
    }
}

/// The name of each figure, and what happened.
const KINDS: [(&str, &str); 11] = [
    ("event_created", "Created"),
    ("event_signed_in", "Signed in"),
    ("event_rotated", "Got a new id"),
    ("event_expired", "Expired"),
    ("event_evicted", "Evicted"),
    ("event_signed_out", "Signed out"),
    ("event_ended_by_user", "Ended from the list of devices"),
    ("event_ended_at_limit", "Ended, too many devices"),
    ("event_reused", "An old id was used"),
    ("event_conflict", "A save met another"),
    ("event_other", "Something else"),
];

#[cfg(test)]
mod tests {
    use sessile::KeyRing;

    use super::*;

    #[test]
    fn visitors_are_counted_and_those_signed_in_get_a_line() {
        let keys = KeyRing::generate().expect("the system has some");
        let cache = SessionCache::builder()
            .memory(8 << 20)
            .keys(keys)
            .events(KEPT);
        let cache = cache.build().expect("that is enough");
        let mut journal = Journal::default();
        for number in 0..LINES + 2 {
            let made = cache.create(b"robot").expect("there is room");
            cache
                .sign_in(&made.id, &format!("ada {number}"))
                .expect("there is room");
        }
        cache.end_user_sessions("ada 7", None);
        journal.listen(&cache);

        let happened = journal.happened(Duration::from_secs(3600));
        let count = |name| {
            happened
                .counts
                .iter()
                .find(|(given, _)| *given == name)
                .map(|(_, count)| *count)
        };
        assert_eq!(
            (count("event_created"), count("event_signed_in")),
            (Some(8), Some(8))
        );
        assert_eq!(
            (count("event_ended_by_user"), count("event_other")),
            (Some(1), Some(0))
        );
        assert_eq!(happened.latest.len(), LINES);
        assert!(happened.latest[0].starts_with("Ended from the list of devices, 1 h ago: …"));
        assert!(
            happened.latest[1..]
                .iter()
                .all(|line| line.starts_with("Signed in, 1 h ago: …"))
        );
    }
}
