//! The engine at work. The server fills every figure in; the script fetches them anew each second.
//!
//! A figure is an element with `data-value`, a bar one with `data-bar`, a line of the chart one
//! with `data-line`: each names what it shows, and [`Report`] has it under that name.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::{Frame, SCRIPT};
use crate::{
    format,
    stats::{HEIGHT, LATEST, Report, WIDTH},
};

/// The figures of one reading, kept fresh by the script.
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
                    "One block of memory, taken when the shop opened " (figures.text("uptime"))
                    " ago. It holds every session, and it does not grow. "
                    span id="away" hidden { "The shop does not answer: these figures are old." }
                }
            }
            (figures.tiles())
            div.pair {
                (memory(&figures, report))
                div.stack { (robots(frame, &figures, report)) (figures.classes()) }
            }
            div.triple {
                @for (title, rows) in TABLES { (figures.table(title, rows)) }
            }
            (figures.events())
            (method())
            script { (PreEscaped(SCRIPT)) }
        },
    )
}

fn memory(figures: &Figures, report: &Report) -> Markup {
    html! {
        section.panel {
            h2 { "Memory, the last two minutes" }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label="Memory over the last two minutes; the figures are listed below." {
                path.used data-line="used" d=(report.lines.used) {}
                path.budget data-line="budget" d=(report.lines.budget) {}
                path.resident data-line="resident" d=(report.lines.resident) {}
            }
            p.ends aria-hidden="true" { span { "2 minutes ago" } span { "now" } }
            dl.legend {
                div { dt.resident { "The whole process" } dd { (figures.text("resident")) } }
                div { dt.budget { "The budget, fixed" } dd { (figures.text("budget")) } }
                div { dt.used { "Of it in use" } dd { (figures.text("used")) } }
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
            p { "Each comes once, gets a session, and never shows its cookie again." }
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

fn method() -> Markup {
    html! {
        section.method {
            h2 { "What is measured" }
            p {
                "A lookup: one session of 256 bytes, loaded by its id and copied out, 1,024 times in "
                "a row whenever this page asks; the median of 16 rounds. It is hot in the processor's "
                "caches, so this is the floor. The foot of each page says what that one request paid: a "
                "visitor who comes by once a second finds the caches cold. "
                "These lookups are not counted as hits, but their session counts as one that came back. "
                "This page asks with your cookie, once a second: those are your hits, and they keep your session alive."
            }
            @if cfg!(debug_assertions) {
                p { strong { "This is a debug build." } " With --release it is many times faster." }
            }
        }
    }
}

/// The texts and bars of one reading, by name.
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

    /// What the engine's events told. Handles may be shown to anybody: they open nothing.
    fn events(&self) -> Markup {
        html! {
            section.panel.events {
                h2 { "Events" }
                dl.rows.columns {
                    @for (label, name) in EVENTS { div { dt { (label) } dd { (self.text(name)) } } }
                }
                h3 { "The latest of visitors who are signed in" }
                ol.latest { @for name in LATEST { li data-value=(name) { (self.plain(name)) } } }
            }
        }
    }

    /// A rectangle as wide as its share: attributes, for the policy allows no inline style.
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

/// A label, a figure, and the one that stands small below it.
const TILES: [(&str, &str, &str); 5] = [
    ("Sessions alive", "alive", "of_capacity"),
    ("Memory in use", "filled", "of_budget"),
    ("One lookup", "lookup", "of_probe"),
    ("Hits", "hits", "of_reads"),
    ("Misses", "misses", "of_cookies"),
];

const CLASSES: [Row; 4] = [
    ("Signed in", "authenticated"),
    ("Came back", "anonymous"),
    ("Never came back", "probation"),
    ("Old ids, after a rotation", "aliases"),
];

const EVENTS: [Row; 12] = [
    ("Created", "event_created"),
    ("Signed in", "event_signed_in"),
    ("Signed out", "event_signed_out"),
    ("Ended from the list of devices", "event_ended_by_user"),
    ("Ended, too many devices", "event_ended_at_limit"),
    ("Expired", "event_expired"),
    ("Evicted", "event_evicted"),
    ("Got a new id", "event_rotated"),
    ("An old id was used", "event_reused"),
    ("A save met another", "event_conflict"),
    ("Something else", "event_other"),
    ("Not told, the queue was full", "events_dropped"),
];

const TABLES: [(&str, &[Row]); 3] = [
    (
        "Refused cookies",
        &[
            ("Malformed", "rejected_malformed"),
            ("Forged", "rejected_forged"),
            ("Genuine, but unknown", "rejected_unknown"),
            ("Expired", "rejected_expired"),
            ("Rotated away", "rejected_reused"),
        ],
    ),
    (
        "Evicted to make room",
        &[
            ("Never came back", "evicted_probation"),
            ("Came back", "evicted_anonymous"),
            ("Old ids", "evicted_aliases"),
            ("Signed in", "evicted_authenticated"),
            ("Turned away, cache full", "full"),
            ("Blocks moved", "compactions"),
        ],
    ),
    (
        "Done",
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
