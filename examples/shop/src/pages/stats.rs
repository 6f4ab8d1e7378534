//! The statistics page. The server renders all figures, and the script updates them each second.
//!
//! An element with `data-value` shows a text, one with `data-bar` a bar, and one with `data-line` a
//! line of the chart. The attribute is the name of the figure in [`Report`].

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::{Frame, SCRIPT};
use crate::{
    format,
    stats::{HEIGHT, LATEST, Report, WIDTH},
};

/// Returns the page with the figures of a report.
pub(crate) fn stats(frame: &Frame<'_>, report: &Report) -> Markup {
    let figures = Figures {
        texts: report.texts(),
        bars: report.bars(),
    };
    frame.page(
        "The engine",
        "/stats",
        &html! {
            section.hero {
                h1 { "The engine at work" }
                p {
                    "The cache holds every session in one block of memory. It was allocated when the shop "
                    "started " (figures.text("uptime")) " ago, and does not grow. "
                    span id="away" hidden { "The shop does not respond: these figures are out of date." }
                }
            }
            (figures.tiles())
            @if report.store.is_some() { (figures.table("Store", &STORE)) }
            div.pair {
                (memory(&figures, report))
                div.stack { (robots(frame, &figures, report)) (figures.classes()) }
            }
            div.triple {
                @for (title, rows) in TABLES { (figures.table(title, rows)) }
            }
            (figures.events())
            (method(report.store.is_some()))
            script { (PreEscaped(SCRIPT)) }
        },
    )
}

fn memory(figures: &Figures, report: &Report) -> Markup {
    html! {
        section.panel {
            h2 { "Memory in the last two minutes" }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label="Memory in the last two minutes. The figures are listed below." {
                path.used data-line="used" d=(report.lines.used) {}
                path.budget data-line="budget" d=(report.lines.budget) {}
                path.resident data-line="resident" d=(report.lines.resident) {}
            }
            p.ends aria-hidden="true" { span { "2 minutes ago" } span { "now" } }
            dl.legend {
                div { dt.resident { "Process (resident)" } dd { (figures.text("resident")) } }
                div { dt.budget { "Budget (fixed)" } dd { (figures.text("budget")) } }
                div { dt.used { "Budget in use" } dd { (figures.text("used")) } }
            }
        }
    }
}

fn robots(frame: &Frame<'_>, figures: &Figures, report: &Report) -> Markup {
    let crowd = match report.robots.wave {
        1_000_000 => "a million".into(),
        wave => format::thousands(wave),
    };
    html! {
        section.panel {
            h2 { "Robots" }
            p { "Each robot creates a session once and never returns its cookie." }
            form id="release" method="post" action="/robots" {
                (frame.token_field())
                button type="submit" disabled[report.robots.running] {
                    "Release " (crowd) " robots"
                }
            }
            (figures.bar("robots", "robots"))
            p { (figures.text("robots")) }
            p.you { (figures.text("you")) }
        }
    }
}

fn method(has_store: bool) -> Markup {
    html! {
        section.method {
            h2 { "Method" }
            p {
                "A lookup loads a session of 256 bytes by its id and copies its data. Each update of this "
                "page measures 16 rounds of 64 lookups and shows the median. The session is in the "
                "processor's caches, so this is a lower bound. The footer of each page shows the time "
                "for that one request, which usually finds the caches cold. "
                "These lookups are not counted as hits, but their session counts as a returning visitor. "
                "This page sends your cookie once a second: those are your hits, and they keep your session alive."
            }
            @if has_store {
                p {
                    "While the store does not answer, the sessions in memory are used until the lease is "
                    "over. A fence counts each time that the memory could not be trusted any more, so that "
                    "it was emptied. A queued end is a session that ended here, and that the store has not "
                    "confirmed yet."
                }
            }
            @if cfg!(debug_assertions) {
                p { strong { "This is a debug build." } " With --release it is many times faster." }
            }
        }
    }
}

/// The texts and bars of a report, by name.
struct Figures {
    texts: BTreeMap<&'static str, String>,
    bars: BTreeMap<&'static str, f64>,
}

impl Figures {
    fn text(&self, name: &str) -> Markup {
        html! { span data-value=(name) { (self.plain(name)) } }
    }

    fn plain(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    fn tiles(&self) -> Markup {
        html! {
            dl.tiles {
                @for (label, name, beside) in TILES {
                    div {
                        dt { (label) }
                        dd { (self.text(name)) }
                        dd.beside { (self.text(beside)) }
                    }
                }
            }
        }
    }

    fn classes(&self) -> Markup {
        html! {
            section.panel {
                h2 { "Sessions by class" }
                dl.bars {
                    @for (label, name) in CLASSES {
                        div {
                            dt { (label) }
                            dd { (self.text(name)) }
                            (self.bar(name, name))
                        }
                    }
                }
            }
        }
    }

    /// Returns the counts of events and the latest ones. Handles may be shown to anyone: they do
    /// not open sessions.
    fn events(&self) -> Markup {
        html! {
            section.panel.events {
                h2 { "Events" }
                dl.rows.columns {
                    @for (label, name) in EVENTS { div { dt { (label) } dd { (self.text(name)) } } }
                }
                h3 { "Latest events of signed-in users" }
                ol.latest { @for name in LATEST { li data-value=(name) { (self.plain(name)) } } }
            }
        }
    }

    /// Returns a bar. Its width is an attribute, because the policy allows no inline style.
    fn bar(&self, name: &str, class: &str) -> Markup {
        let width = self.bars.get(name).copied().unwrap_or(0.0);
        html! {
            svg.bar.(class) aria-hidden="true" {
                rect.track width="100%" height="100%" rx="5" {}
                rect data-bar=(name) width={ (width) "%" } height="100%" rx="5" {}
            }
        }
    }

    fn table(&self, title: &str, rows: &[Row]) -> Markup {
        html! {
            section.panel {
                h2 { (title) }
                dl.rows {
                    @for (label, name) in rows { div { dt { (label) } dd { (self.text(name)) } } }
                }
            }
        }
    }
}

/// A label and the name of a figure.
type Row = (&'static str, &'static str);

/// A label, the name of a figure, and the name of the note below it.
const TILES: [(&str, &str, &str); 5] = [
    ("Sessions alive", "alive", "of_capacity"),
    ("Memory in use", "filled", "of_budget"),
    ("One lookup", "lookup", "of_probe"),
    ("Hits", "hits", "of_reads"),
    ("Misses", "misses", "of_cookies"),
];

const STORE: [Row; 4] = [
    ("State", "store_state"),
    ("Lease left", "store_lease"),
    ("Ends queued", "store_ends"),
    ("Fences", "store_fences"),
];

const CLASSES: [Row; 4] = [
    ("Signed in", "authenticated"),
    ("Anonymous, returned", "anonymous"),
    ("On probation, never returned", "probation"),
    ("Aliases (replaced ids)", "aliases"),
];

const EVENTS: [Row; 12] = [
    ("Created", "event_created"),
    ("Signed in", "event_signed_in"),
    ("Signed out", "event_signed_out"),
    ("Ended from the list of devices", "event_ended_by_user"),
    ("Ended, too many devices", "event_ended_at_limit"),
    ("Expired", "event_expired"),
    ("Evicted", "event_evicted"),
    ("Id rotated", "event_rotated"),
    ("Replaced id reused", "event_reused"),
    ("Save conflict", "event_conflict"),
    ("Other", "event_other"),
    ("Dropped, the queue was full", "events_dropped"),
];

const TABLES: [(&str, &[Row]); 3] = [
    (
        "Rejected cookies",
        &[
            ("Malformed", "rejected_malformed"),
            ("Forged", "rejected_forged"),
            ("Valid, unknown session", "rejected_unknown"),
            ("Expired", "rejected_expired"),
            ("Replaced id", "rejected_reused"),
        ],
    ),
    (
        "Evicted",
        &[
            ("On probation", "evicted_probation"),
            ("Anonymous", "evicted_anonymous"),
            ("Aliases", "evicted_aliases"),
            ("Signed in", "evicted_authenticated"),
            ("Rejected, cache full", "full"),
            ("Blocks moved", "compactions"),
        ],
    ),
    (
        "Totals",
        &[
            ("Created", "created"),
            ("Saved", "saved"),
            ("Signed in", "signed_in"),
            ("Ended", "ended"),
            ("Expired", "expired"),
            ("Conflicts", "conflicts"),
        ],
    ),
];
