//! One reading of all instruments: as texts for people, as bars, and as JSON for the page's script.
//!
//! Every figure gets its text here and nowhere else, so the page that the server renders and the
//! one that the script keeps fresh cannot differ.

use std::{collections::BTreeMap, iter, time::Duration};

use serde_json::{Value, json};
use sessile::stats::Stats;

use super::{
    chart::Lines,
    journal::{Happened, LINES},
};
use crate::{format, robots::Progress};

/// One reading.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) engine: Stats,
    /// A lookup of the probe's session; none where there is no room for it.
    pub(crate) lookup: Option<Duration>,
    /// Sessions of the probe's size that fit.
    pub(crate) capacity: u64,
    /// The process's memory, in bytes, where the system tells.
    pub(crate) resident: Option<u64>,
    pub(crate) uptime: Duration,
    pub(crate) lines: Lines,
    pub(crate) happened: Happened,
    pub(crate) robots: Progress,
    /// The name of whoever asks, if signed in.
    pub(crate) you: Option<String>,
}

impl Report {
    /// The figures as texts, by the names that the page gives them.
    pub(crate) fn texts(&self) -> BTreeMap<&'static str, String> {
        let mut texts: BTreeMap<_, _> = self
            .counts()
            .into_iter()
            .chain(self.happened.counts.iter().copied())
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
        texts.extend(LATEST.into_iter().zip(self.latest()));
        texts
    }

    /// The width of each bar, in per cent of the longest possible.
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
                self.robots.released + self.robots.refused,
                self.robots.wave.max(1),
            ),
        );
        bars
    }

    /// Everything, for the page's script and whoever else reads JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "counts": self.counts().into_iter().collect::<BTreeMap<_, _>>(),
            "events": self.happened.counts.iter().copied().collect::<BTreeMap<_, _>>(),
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
                "refused": self.robots.refused,
                "wave": self.robots.wave,
            },
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

    /// Whole numbers by name. The first [`CLASSES`] are the sessions alive, by class.
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

    /// What stands small below the largest figures.
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
                format!("of some {} that fit", format::thousands(self.capacity)),
            ),
            (
                "of_budget",
                format!("of {}", format::mebibytes(memory.budget as u64)),
            ),
            ("of_probe", "a hot session, by its id".into()),
            ("of_reads", format!("{hit:.1} % of all lookups")),
            ("of_cookies", "cookies that opened nothing".into()),
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
            refused,
            took,
        } = self.robots;
        let gone = released + refused;
        let (released, wave) = (format::thousands(released), format::thousands(wave));
        let refused = match refused {
            0 => String::new(),
            refused => format!(", {} found no room", format::thousands(refused)),
        };
        match (running, gone) {
            (false, 0) => "None released yet.".into(),
            (true, _) => format!("{released} of {wave} are in{refused}."),
            (false, _) => {
                let rate = format::thousands((gone as f64 / took.as_secs_f64().max(1e-9)) as u64);
                let seconds = took.as_secs_f64();
                format!("{released} of {wave} came{refused}, in {seconds:.1} s: {rate} a second.")
            }
        }
    }

    /// As many lines as the page has places, the last ones empty.
    fn latest(&self) -> impl Iterator<Item = String> {
        self.happened
            .latest
            .iter()
            .cloned()
            .chain(iter::repeat(String::new()))
            .take(LINES)
    }

    fn you_text(&self) -> String {
        match &self.you {
            Some(name) => format!("You are signed in as {name}."),
            None => "You are not signed in.".into(),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}

/// The names of the lines that tell what happened, the newest first.
pub(crate) const LATEST: [&str; LINES] = [
    "latest_1", "latest_2", "latest_3", "latest_4", "latest_5", "latest_6",
];

/// How many of the counts, from the first, are classes of sessions.
const CLASSES: usize = 4;

/// What stands where there is nothing to measure.
const UNKNOWN: &str = "–";
