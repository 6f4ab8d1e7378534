//! Counts and the latest lines from the events of the engine.
//!
//! Events of anonymous sessions are only counted, because there are millions of them. Events of
//! signed-in users also become a line. The module shows handles, which do not open sessions.

use std::{collections::VecDeque, time::Duration};

use sessile::{EndReason, Event, EventKind};
use sessile_tower::Cache;

use crate::format;

/// The length of the engine's event queue.
pub(crate) const EVENT_QUEUE_LEN: usize = 1_024;

/// The number of lines shown.
pub(super) const LINES: usize = 6;

#[derive(Debug, Default)]
pub(super) struct Journal {
    counts: [u64; KINDS.len()],
    latest: VecDeque<Event>,
}

/// The contents of the journal at one time.
#[derive(Debug)]
pub(crate) struct EventSummary {
    /// The counts, by the names of the figures.
    pub(crate) counts: Vec<(&'static str, u64)>,
    /// The latest lines, the newest first.
    pub(crate) latest: Vec<String>,
}

impl Journal {
    /// Takes the queued events. The number is limited, because robots may add events concurrently.
    pub(super) fn drain(&mut self, cache: &Cache) {
        for _ in 0..EVENT_QUEUE_LEN * 4 {
            let Some(event) = cache.next_event() else {
                return;
            };
            self.note(event);
        }
    }

    /// Returns the counts and lines. `now` is the time since the cache was built.
    pub(super) fn events(&self, now: Duration) -> EventSummary {
        let names = KINDS.iter().map(|(name, _)| *name);
        let lines = self.latest.iter().map(|event| line(event, now));
        EventSummary {
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

/// Returns a line such as `Signed in, 3 s ago: …0000000100000002`. The end of a handle
/// distinguishes sessions.
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

/// The name of each figure, and its label.
const KINDS: [(&str, &str); 11] = [
    ("event_created", "Created"),
    ("event_signed_in", "Signed in"),
    ("event_rotated", "Id rotated"),
    ("event_expired", "Expired"),
    ("event_evicted", "Evicted"),
    ("event_signed_out", "Signed out"),
    ("event_ended_by_user", "Ended from the list of devices"),
    ("event_ended_at_limit", "Ended, too many devices"),
    ("event_reused", "Replaced id reused"),
    ("event_conflict", "Save conflict"),
    ("event_other", "Other"),
];

#[cfg(test)]
mod tests {
    use sessile::{KeyRing, SessionCache};

    use super::*;

    #[test]
    fn visitors_are_counted_and_those_signed_in_get_a_line() {
        let keys = KeyRing::generate().expect("the system has some");
        let cache = SessionCache::builder()
            .memory(8 << 20)
            .keys(keys)
            .events(EVENT_QUEUE_LEN);
        let cache = cache.build().expect("that is enough");
        let mut journal = Journal::default();
        for number in 0..LINES + 2 {
            let made = cache.create(b"robot").expect("there is room");
            cache
                .sign_in(&made.id, &format!("ada {number}"))
                .expect("there is room");
        }
        cache.end_user_sessions("ada 7", None);
        journal.drain(&Cache::from(cache.clone()));

        let events = journal.events(Duration::from_secs(3600));
        let count = |name| {
            events
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
        assert_eq!(events.latest.len(), LINES);
        assert!(events.latest[0].starts_with("Ended from the list of devices, 1 h ago: …"));
        assert!(
            events.latest[1..]
                .iter()
                .all(|line| line.starts_with("Signed in, 1 h ago: …"))
        );
    }
}
