//! Statistics as text: Prometheus can parse it, and it is complete.

use std::time::Duration;

use std::collections::{HashMap, HashSet};

use crate::support::{
    PLAINLY, TICK, block, cache, create, create_many, data, having, idle, opens, request, sign_in,
    signed_in,
};
use sessile::{Error, SessionCache, stats::Stats};

/// Parsed samples by name and labels, with their values as written, and the type of each metric.
#[derive(Debug, Default)]
struct Metrics {
    samples: HashMap<String, u64>,
    types: HashMap<String, String>,
}

/// Parses format 0.0.4. Stricter where the format leaves a choice: the help, the type and the
/// samples of a metric are adjacent and in that order.
fn parse(text: &str) -> Result<Metrics, String> {
    let mut parsed = Metrics::default();
    let mut helped = HashSet::new();
    let (mut help, mut current) = (None, None);
    let lines = text.strip_suffix('\n').ok_or("no newline at the end")?;
    for line in lines.split('\n') {
        let wrong = |why: &str| format!("{why}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            check_name(name)
                .then_some(())
                .ok_or_else(|| wrong("no name"))?;
            is_escaped(text, "\\n")
                .then_some(())
                .ok_or_else(|| wrong("not escaped"))?;
            helped
                .insert(name)
                .then_some(())
                .ok_or_else(|| wrong("helped twice"))?;
            help = Some(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            (help.take() == Some(name))
                .then_some(())
                .ok_or_else(|| wrong("help is not before"))?;
            let is_right = match kind {
                "counter" => name.ends_with("_total"),
                "gauge" => !name.ends_with("_total"),
                _ => false,
            };
            is_right
                .then_some(())
                .ok_or_else(|| wrong("a wrong type"))?;
            let before = parsed.types.insert(name.to_owned(), kind.to_owned());
            before
                .is_none()
                .then_some(())
                .ok_or_else(|| wrong("typed twice"))?;
            current = Some(name);
        } else {
            let (sample, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
            let name = sample.split('{').next().unwrap_or_default();
            (current == Some(name))
                .then_some(())
                .ok_or_else(|| wrong("its type is not before"))?;
            check_labels(&sample[name.len()..]).map_err(wrong)?;
            let value = value.parse().map_err(|_| wrong("no whole number"))?;
            let before = parsed.samples.insert(sample.to_owned(), value);
            before
                .is_none()
                .then_some(())
                .ok_or_else(|| wrong("a duplicate"))?;
        }
    }
    help.is_none()
        .then_some(parsed)
        .ok_or_else(|| "a help without a type".to_owned())
}

/// Accepts `[a-zA-Z_:][a-zA-Z0-9_:]*`. Names of labels have no colon, and sessile's metrics use
/// none.
fn check_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Parses `{name="value",…}` or nothing.
fn check_labels(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Ok(());
    }
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let mut rest = inner.ok_or("labels without braces")?;
    let mut names = HashSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !check_name(name) || name.starts_with("__") || !names.insert(name) {
            return Err("a label without a name, or with one twice");
        }
        let end = end_of_value(value).ok_or("a value without an end")?;
        if !is_escaped(&value[..end], "\\n\"") {
            return Err("a value that is not escaped");
        }
        match &value[end + 1..] {
            "" => return Ok(()),
            more => rest = more.strip_prefix(',').ok_or("labels without a comma")?,
        }
    }
}

/// Returns the position of the first quotation mark that is not escaped.
fn end_of_value(value: &str) -> Option<usize> {
    let mut is_escaped = false;
    value.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

/// Returns true if each backslash begins a valid escape.
fn is_escaped(text: &str, may: &str) -> bool {
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\\' && !chars.next().is_some_and(|next| may.contains(next)) {
            return false;
        }
    }
    !text.contains('\n')
}

fn stats_and_metrics(cache: &SessionCache) -> (Stats, Metrics) {
    let stats = cache.stats();
    let text = stats.prometheus().to_string();
    (
        stats,
        parse(&text).unwrap_or_else(|wrong| panic!("{wrong} in:\n{text}")),
    )
}

#[test]
fn the_parser_rejects_invalid_text() {
    let right =
        "# HELP a_total A \\\\ b.\n# TYPE a_total counter\na_total{b=\"c\\\"\\n\",d=\"\"} 1\n";
    assert_eq!(parse(right).unwrap().samples.len(), 1);
    for (from, to) in [
        (" 1\n", " 1"),
        (" 1\n", " -1\n"),
        (" 1\n", " one\n"),
        (" 1\n", "\n"),
        ("# HELP a_total A \\\\ b.\n", ""),
        ("# TYPE a_total counter\n", ""),
        ("# TYPE a_total counter", "# TYPE b_total counter"),
        ("counter", "gauge"),
        ("a_total", "a"),
        ("a_total", "1_total"),
        ("\\\\ b", "\\b"),
        ("c\\\"", "c\""),
        ("c\\\"", "c\\x"),
        (",d", "d"),
        (",d", ",b"),
        (",d=\"\"", ",d="),
        ("d=", "__d="),
        ("\"} 1", "\" 1"),
        (" 1\n", " 1\na_total{b=\"c\\\"\\n\",d=\"\"} 2\n"),
        (" 1\n", " 1\n\n"),
        (
            " 1\n",
            " 1\n# HELP a_total Again.\n# TYPE a_total counter\n",
        ),
        (" 1\n", " 1\n# HELP b No type.\n"),
    ] {
        let wrong = right.replacen(from, to, if from == "a_total" { 9 } else { 1 });
        assert!(parse(&wrong).is_err(), "{wrong}");
    }
}

/// Creates a cache in which every possible event has occurred, most of them a distinct number of
/// times.
fn cache_with_all_events() -> SessionCache {
    let (cache, clock) = cache();
    assert!(cache.create_with(b"", having(idle(TICK))).is_ok());
    clock.advance(TICK * 2);
    cache.maintain(100);
    let mut issued = create_many(&cache, 12, &[1; 256]);
    issued.truncate(8);
    assert!(opens(&cache, &issued[0].token) && opens(&cache, &issued[1].token));
    cache
        .save(&issued[0].id, issued[0].version, b"more")
        .unwrap();
    assert_eq!(
        cache.save(&issued[0].id, issued[0].version, b"other"),
        Err(Error::Conflict)
    );
    let user = signed_in(&cache, b"", "ada");
    let user = sign_in(&cache, &user.id, "ada");
    let user = cache.rotate(&user.id, Duration::ZERO).unwrap();
    assert!(cache.end(&issued[7].id) && cache.end(&create(&cache, b"").id));
    let forged = user.token.as_str().replace(|_| true, "A");
    for token in [
        "",
        "short",
        &forged,
        &forged,
        &forged,
        issued[7].token.as_str(),
    ] {
        assert!(request(&cache, token).is_none());
    }
    cache
}

#[test]
fn the_text_has_the_prometheus_format() {
    for cache in [cache().0, cache_with_all_events()] {
        let (_, parsed) = stats_and_metrics(&cache);
        assert!(parsed.types.keys().all(|name| name.starts_with("sessile_")));
        assert!(parsed.types.len() >= 17, "{parsed:?}");
    }
}

#[test]
fn every_figure_is_in_the_text() {
    for cache in [cache().0, cache_with_all_events()] {
        let (stats, Metrics { mut samples, .. }) = stats_and_metrics(&cache);
        let mut is = |name: &str, value: u64| {
            assert_eq!(
                samples.remove(&format!("sessile_{name}")),
                Some(value),
                "{name}"
            );
        };
        is("memory_budget_bytes", stats.memory.budget as u64);
        is("memory_capacity_bytes", stats.memory.capacity as u64);
        is("memory_used_bytes", stats.memory.used as u64);
        is(
            "memory_authenticated_bytes",
            stats.memory.authenticated as u64,
        );
        is("dropped_events_total", stats.events_dropped);
        is(
            "sessions{class=\"probation\"}",
            stats.sessions.probation as u64,
        );
        is(
            "sessions{class=\"anonymous\"}",
            stats.sessions.anonymous as u64,
        );
        is(
            "sessions{class=\"authenticated\"}",
            stats.sessions.authenticated as u64,
        );
        is("aliases", stats.sessions.aliases as u64);
        is("reads_total{result=\"hit\"}", stats.hits);
        is("reads_total{result=\"miss\"}", stats.misses);
        is(
            "rejected_total{cause=\"malformed\"}",
            stats.rejected.malformed,
        );
        is("rejected_total{cause=\"forged\"}", stats.rejected.forged);
        is("rejected_total{cause=\"unknown\"}", stats.rejected.unknown);
        is("rejected_total{cause=\"expired\"}", stats.rejected.expired);
        is("rejected_total{cause=\"reused\"}", stats.rejected.reused);
        is("created_total", stats.created);
        is("admission_denied_total", stats.admission_denied);
        is("saved_total", stats.saved);
        is("conflicts_total", stats.conflicts);
        is("rotated_total", stats.rotated);
        is("signed_in_total", stats.signed_in);
        is("ended_total", stats.ended);
        is("session_limit_hits_total", stats.session_limit_hits);
        is("expired_total", stats.expired);
        is("evicted_total{class=\"alias\"}", stats.evicted.aliases);
        is(
            "evicted_total{class=\"probation\"}",
            stats.evicted.probation,
        );
        is(
            "evicted_total{class=\"anonymous\"}",
            stats.evicted.anonymous,
        );
        is(
            "evicted_total{class=\"authenticated\"}",
            stats.evicted.authenticated,
        );
        is("full_total", stats.full);
        is("compactions_total", stats.compactions);
        is("shard_resets_total", stats.shard_resets);
        assert_eq!(samples, HashMap::new(), "no other sample is there");
    }
}

/// Guessed ids look like forged ones: without the key there is no tag.
// OPS-1: docs/security-checklist.md
#[test]
fn guessed_and_forged_tokens_have_a_metric() {
    let (cache, _clock) = cache();
    let issued = create(&cache, b"data");
    for guess in 0..100_u8 {
        let text = char::from(b'A' + guess % 26).to_string();
        let token = format!("{}{}", &issued.token.as_str()[..24], text.repeat(24));
        assert!(request(&cache, &token).is_none());
    }
    let (_, parsed) = stats_and_metrics(&cache);
    assert_eq!(
        parsed.samples["sessile_rejected_total{cause=\"forged\"}"],
        100
    );
    assert_eq!(parsed.samples["sessile_reads_total{result=\"miss\"}"], 100);
    assert_eq!(parsed.types["sessile_rejected_total"], "counter");
    assert!(opens(&cache, &issued.token));
    cache.end_by_token(b"no token");
    let (_, parsed) = stats_and_metrics(&cache);
    assert_eq!(
        parsed.samples["sessile_rejected_total{cause=\"malformed\"}"],
        1
    );
}

#[test]
fn memory_of_authenticated_sessions_has_a_separate_metric() {
    let (cache, _clock) = cache();
    let guest = create(&cache, &[1; 256]);
    assert_eq!(cache.stats().memory.authenticated, 0);
    let user = sign_in(&cache, &guest.id, "ada");
    assert_eq!(cache.stats().memory.authenticated, block(256, true));
    let user = cache
        .sign_in_with(&user.id, "ada", PLAINLY.label("a phone"))
        .unwrap();
    assert_eq!(cache.stats().memory.authenticated, block(256, true) + 8);
    assert!(data(&cache, &user.id).is_some() && cache.end(&user.id));
    assert_eq!(cache.stats().memory.authenticated, 0);
    assert!(cache.create(b"").is_ok());
}
