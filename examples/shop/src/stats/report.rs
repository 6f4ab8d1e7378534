//! A report of all instruments: as texts, as bars, and as JSON for the page's script.
//!
//! Every text is created here, so the page that the server renders and the updates by the script
//! cannot differ.

use std::{collections::BTreeMap, iter, time::Duration};

use serde_json::{Value, json};
use sessile::stats::Stats;
use sessile_store::{StoreHealth, StoreState};

use super::{
    chart::Lines,
    journal::{EventSummary, LINES},
};
use crate::{format, robots::Progress};

/// The values of all instruments at one time.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) engine: Stats,
    /// The time of a lookup of the probe's session; `None` if the cache has no space for it.
    pub(crate) lookup: Option<Duration>,
    /// The number of sessions of the probe's size that fit.
    pub(crate) capacity: u64,
    /// The resident memory of the process, in bytes, if known.
    pub(crate) resident: Option<u64>,
    pub(crate) uptime: Duration,
    pub(crate) lines: Lines,
    pub(crate) events: EventSummary,
    pub(crate) robots: Progress,
    /// The state of the store, if the shop has one.
    pub(crate) store: Option<StoreHealth>,
    /// The name of the signed-in user who requested the report.
    pub(crate) you: Option<String>,
}

impl Report {
    /// Returns the figures as texts, by name.
    pub(crate) fn texts(&self) -> BTreeMap<&'static str, String> {
        let mut texts: BTreeMap<_, _> = self
            .counts()
            .into_iter()
            .chain(self.events.counts.iter().copied())
            .map(|(name, count)| (name, format::thousands(count)))
            .collect();
        texts.insert("used", format::mebibytes(self.engine.memory.used as u64));
        texts.insert(
            "budget",
            format::mebibytes(self.engine.memory.budget as u64),
        );
        texts.insert("filled", format!("{:.1} %", self.filled()));
        texts.insert(
            "resident",
            self.resident.map_or(UNKNOWN.into(), format::mebibytes),
        );
        texts.insert(
            "lookup",
            self.lookup.map_or(UNKNOWN.into(), format::instant),
        );
        texts.extend(self.notes());
        texts.insert("uptime", format::span(self.uptime));
        texts.insert("robots", self.robots_text());
        texts.insert("you", self.you_text());
        texts.extend(self.store_texts());
        texts.extend(LATEST.into_iter().zip(self.latest()));
        texts
    }

    /// Returns the width of each bar, as a percentage of the longest one.
    pub(crate) fn bars(&self) -> BTreeMap<&'static str, f64> {
        let classes = &self.counts()[..CLASSES];
        let longest = classes
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
            .max(1);
        let mut bars: BTreeMap<_, _> = classes
            .iter()
            .map(|(name, count)| (*name, share(*count, longest)))
            .collect();
        bars.insert(
            "robots",
            share(
                self.robots.released + self.robots.rejected,
                self.robots.wave.max(1),
            ),
        );
        bars
    }

    /// Returns everything as JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "counts": self.counts().into_iter().collect::<BTreeMap<_, _>>(),
            "events": self.events.counts.iter().copied().collect::<BTreeMap<_, _>>(),
            "memory": {
                "budget": self.engine.memory.budget,
                "capacity": self.engine.memory.capacity,
                "used": self.engine.memory.used,
                "resident": self.resident,
            },
            "lookup_nanos": self.lookup.map(|lookup| lookup.as_nanos() as u64),
            "uptime_seconds": self.uptime.as_secs(),
            "robots": {
                "running": self.robots.running,
                "released": self.robots.released,
                "rejected": self.robots.rejected,
                "wave": self.robots.wave,
            },
            "store": self.store.as_ref().map(store_json),
            "you": self.you,
            "texts": self.texts(),
            "bars": self.bars(),
            "lines": {
                "budget": self.lines.budget,
                "resident": self.lines.resident,
                "used": self.lines.used,
            },
        })
    }

    /// Returns integers by name. The first [`CLASSES`] are the live sessions by class.
    fn counts(&self) -> [(&'static str, u64); 26] {
        let Stats {
            sessions,
            evicted,
            rejected,
            ..
        } = self.engine;
        let engine = &self.engine;
        [
            ("authenticated", sessions.authenticated as u64),
            ("anonymous", sessions.anonymous as u64),
            ("probation", sessions.probation as u64),
            ("aliases", sessions.aliases as u64),
            (
                "alive",
                (sessions.authenticated + sessions.anonymous + sessions.probation) as u64,
            ),
            ("capacity", self.capacity),
            ("hits", engine.hits),
            ("misses", engine.misses),
            ("rejected_malformed", rejected.malformed),
            ("rejected_forged", rejected.forged),
            ("rejected_unknown", rejected.unknown),
            ("rejected_expired", rejected.expired),
            ("rejected_reused", rejected.reused),
            ("evicted_authenticated", evicted.authenticated),
            ("evicted_anonymous", evicted.anonymous),
            ("evicted_probation", evicted.probation),
            ("evicted_aliases", evicted.aliases),
            ("created", engine.created),
            ("saved", engine.saved),
            ("signed_in", engine.signed_in),
            ("ended", engine.ended),
            ("expired", engine.expired),
            ("conflicts", engine.conflicts),
            ("full", engine.full),
            ("compactions", engine.compactions),
            ("events_dropped", engine.events_dropped),
        ]
    }

    /// Returns the notes below the figures.
    fn notes(&self) -> [(&'static str, String); 5] {
        let Stats {
            hits,
            misses,
            memory,
            ..
        } = self.engine;
        let hit = share(hits, (hits + misses).max(1));
        [
            (
                "of_capacity",
                format!("of about {} that fit", format::thousands(self.capacity)),
            ),
            (
                "of_budget",
                format!("of {}", format::mebibytes(memory.budget as u64)),
            ),
            ("of_probe", "a session in the CPU caches, by id".into()),
            ("of_reads", format!("{hit:.1} % of all lookups")),
            ("of_cookies", "rejected or unknown cookies".into()),
        ]
    }

    fn filled(&self) -> f64 {
        share(
            self.engine.memory.used as u64,
            self.engine.memory.budget.max(1) as u64,
        )
    }

    fn robots_text(&self) -> String {
        let Progress {
            running,
            wave,
            released,
            rejected,
            took,
        } = self.robots;
        let gone = released + rejected;
        let (released, wave) = (format::thousands(released), format::thousands(wave));
        let rejected = match rejected {
            0 => String::new(),
            rejected => format!(", {} rejected", format::thousands(rejected)),
        };
        match (running, gone) {
            (false, 0) => "None released yet.".into(),
            (true, _) => format!("{released} of {wave} created{rejected}."),
            (false, _) => {
                let rate = format::thousands((gone as f64 / took.as_secs_f64().max(1e-9)) as u64);
                let seconds = took.as_secs_f64();
                format!(
                    "{released} of {wave} created{rejected}, in {seconds:.1} s: {rate} per second."
                )
            }
        }
    }

    /// As many lines as the page has places, the last ones empty.
    fn latest(&self) -> impl Iterator<Item = String> {
        self.events
            .latest
            .iter()
            .cloned()
            .chain(iter::repeat(String::new()))
            .take(LINES)
    }

    /// Returns the texts of the store; none without one.
    fn store_texts(&self) -> Vec<(&'static str, String)> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        let lease = store.lease_remaining.as_secs_f64();
        vec![
            ("store_state", state_text(&store.state).to_owned()),
            ("store_lease", format!("{lease:.1} s")),
            ("store_ends", format::thousands(store.ends_queued as u64)),
            ("store_fences", format::thousands(store.fences)),
        ]
    }

    fn you_text(&self) -> String {
        match &self.you {
            Some(name) => format!("You are signed in as {name}."),
            None => "You are not signed in.".into(),
        }
    }
}

fn store_json(store: &StoreHealth) -> Value {
    json!({
        "state": state_text(&store.state),
        "lease_millis": store.lease_remaining.as_millis() as u64,
        "ends_queued": store.ends_queued,
        "fences": store.fences,
    })
}

fn state_text(state: &StoreState) -> &str {
    match state {
        StoreState::Up => "up",
        StoreState::Incompatible(cause) => cause,
        _ => "down",
    }
}

fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}

/// The names of the lines about the latest events, the newest first.
pub(crate) const LATEST: [&str; LINES] = [
    "latest_1", "latest_2", "latest_3", "latest_4", "latest_5", "latest_6",
];

/// The number of leading counts that are classes of sessions.
const CLASSES: usize = 4;

/// The text of a figure that is not available.
const UNKNOWN: &str = "–";
