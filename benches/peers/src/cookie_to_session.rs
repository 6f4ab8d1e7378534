//! From a `Cookie` header to the session's bytes, 1 k sessions, hot.
//!
//! Lower bound: the two compressions of one HMAC-SHA-256 over a short message, measured in the same
//! run. Rejections are measured too, since any client can cause them.
//!
//! A server finds the header in a buffer that it has just filled, so the header is hot here as
//! well. There are four buffers in turn; the value of the lookup after next is written while the
//! current lookup runs. That copy of some 50 bytes is included. Each lookup depends on the one
//! before, as in `lookup`; a rejection through its answer.

use std::{hint::black_box, time::Instant};

use bytes::BytesMut;
use cookie::{Cookie, CookieJar, Key};
use sessile::{Clock, SessionCache};
use sha2::block_api::compress256;

use crate::{
    Plan,
    contender::nanos_each,
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Entrant, Sample},
    sessile_cache,
    workload::{self, VALUE_LEN, Workload},
};

/// Writes one table: the lower bound, sessile, rejections, the `cookie` crate.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let fixture = Fixture::new(plan.cookie_lookups);
    let mut entrants = vec![Entrant::new(LOWER_BOUND, || {
        two_compressions(plan.cookie_lookups)
    })];
    entrants.extend(fixture.hits());
    entrants.extend(fixture.rejections());
    entrants.extend(fixture.peers());
    report_samples(&rounds::run(entrants, plan.rounds), report);
}

/// The sessions, and the possible values of cookies.
struct Fixture {
    workload: Workload,
    cache: SessionCache,
    tokens: Tokens,
    key: Key,
    signed: Vec<[u8; SIGNED_LEN]>,
    lookups: usize,
}

impl Fixture {
    fn new(lookups: usize) -> Self {
        let workload = Workload::new(SESSIONS);
        let cache = sessile_cache::cache_for(2 * SESSIONS, &Clock::system());
        let tokens = Tokens::new(&cache, &workload);
        let key = Key::from(&[0x5e; 64]);
        let signed = signed_values(&key, &workload);
        Self {
            workload,
            cache,
            tokens,
            key,
            signed,
            lookups,
        }
    }

    fn hits(&self) -> [Entrant<'_>; 3] {
        let live = &self.tokens.live;
        let bare = |value: &[u8], buffer: &mut _| self.cache.open_token(value, buffer).is_some();
        [
            self.chain(OPEN, true, live, &Header::long(), self.open()),
            self.chain(
                "sessile, header with one cookie",
                true,
                live,
                &Header::short(),
                self.open(),
            ),
            self.chain("sessile, the bare value", true, live, &Header::bare(), bare),
        ]
    }

    fn rejections(&self) -> [Entrant<'_>; 3] {
        let Tokens {
            live,
            forged,
            unknown,
        } = &self.tokens;
        let (header, foreign) = (Header::long(), Header::foreign());
        [
            self.chain("sessile, forged tag", false, forged, &header, self.open()),
            self.chain("sessile, unknown id", false, unknown, &header, self.open()),
            self.chain(
                "sessile, no session cookie",
                false,
                live,
                &foreign,
                self.open(),
            ),
        ]
    }

    fn peers(&self) -> [Entrant<'_>; 2] {
        let verify = |header: &[u8], _: &mut BytesMut| verified(&self.key, header);
        let (short, long) = (Header::short(), Header::long());
        [
            self.chain(
                "cookie crate, header with one cookie",
                true,
                &self.signed,
                &short,
                verify,
            ),
            self.chain(
                "cookie crate, header of 800 bytes",
                true,
                &self.signed,
                &long,
                verify,
            ),
        ]
    }

    fn open(&self) -> impl Fn(&[u8], &mut BytesMut) -> bool {
        |header, buffer| self.cache.open([header], buffer).is_some()
    }

    /// Opens headers with these values; each depends on the result of the one before.
    fn chain<'a, const LEN: usize>(
        &'a self,
        name: &'static str,
        expected: bool,
        values: &'a [[u8; LEN]],
        header: &Header,
        open: impl Fn(&[u8], &mut BytesMut) -> bool + 'a,
    ) -> Entrant<'a> {
        let mut ring = Ring::new(header, &values[0]);
        let mut buffer = BytesMut::with_capacity(VALUE_LEN);
        let (order, lookups) = (self.workload.order(), self.lookups);
        Entrant::new(name, move || {
            follow(&mut ring, values, order, SESSIONS, &mut buffer, &open);
            let start = Instant::now();
            let found = follow(&mut ring, values, order, lookups, &mut buffer, &open);
            let elapsed = start.elapsed();
            assert_eq!(
                found,
                if expected { lookups } else { 0 },
                "{name}: a wrong answer"
            );
            nanos_each(elapsed, lookups)
        })
    }
}

/// Values of the session cookie, in the order of positions.
struct Tokens {
    live: Vec<[u8; TOKEN_LEN]>,
    /// Of live sessions, with the last character of the tag replaced.
    forged: Vec<[u8; TOKEN_LEN]>,
    /// Correctly signed; the sessions have ended.
    unknown: Vec<[u8; TOKEN_LEN]>,
}

impl Tokens {
    fn new(cache: &SessionCache, workload: &Workload) -> Self {
        let mut value = [0; VALUE_LEN];
        let mut issue = |number| {
            workload::write_value(number, &mut value);
            let issued = sessile_cache::create(cache, &value);
            let mut token = [0; TOKEN_LEN];
            token.copy_from_slice(issued.token.as_str().as_bytes());
            (issued.id, token)
        };
        let live: Vec<_> = (0..workload.sessions())
            .map(|number| issue(number).1)
            .collect();
        let end = |(id, token)| {
            assert!(cache.end(&id), "a session that was just made can be ended");
            token
        };
        let unknown = (0..workload.sessions()).map(&mut issue).map(end).collect();
        let live = workload.by_position(&live);
        let forged = live.iter().copied().map(forge).collect();
        Self {
            live,
            forged,
            unknown,
        }
    }
}

fn forge(mut token: [u8; TOKEN_LEN]) -> [u8; TOKEN_LEN] {
    let last = &mut token[TOKEN_LEN - 1];
    *last = if *last == b'A' { b'B' } else { b'A' };
    token
}

/// The rest of a header around the cookie's value.
struct Header {
    before: String,
    after: String,
    len: Option<usize>,
}

impl Header {
    /// The session cookie among typical cookies of a shop with analytics: 800 bytes.
    fn long() -> Self {
        Self {
            before: format!("{BEFORE}{NAME}="),
            after: AFTER.into(),
            len: Some(HEADER_LEN),
        }
    }

    fn short() -> Self {
        Self {
            before: format!("{NAME}="),
            after: String::new(),
            len: None,
        }
    }

    fn bare() -> Self {
        Self {
            before: String::new(),
            after: String::new(),
            len: None,
        }
    }

    /// Of the same length, but the name differs.
    fn foreign() -> Self {
        Self {
            before: format!("{BEFORE}__Host-sassion="),
            after: AFTER.into(),
            len: Some(HEADER_LEN),
        }
    }

    fn with<const LEN: usize>(&self, value: &[u8; LEN]) -> Vec<u8> {
        let mut header = [self.before.as_bytes(), value, self.after.as_bytes()].concat();
        if let Some(len) = self.len {
            assert!(
                header.len() <= len,
                "the other cookies leave room for the session cookie"
            );
            header.resize(len, b'x');
        }
        header
    }
}

/// Four headers in turn, so that each is written long before it is read.
struct Ring {
    headers: [Vec<u8>; AHEAD + 1],
    value_at: usize,
}

impl Ring {
    fn new<const LEN: usize>(header: &Header, value: &[u8; LEN]) -> Self {
        Self {
            headers: std::array::from_fn(|_| header.with(value)),
            value_at: header.before.len(),
        }
    }

    #[inline(always)]
    fn write<const LEN: usize>(&mut self, turn: usize, value: &[u8; LEN]) {
        let header = &mut self.headers[turn % (AHEAD + 1)];
        header[self.value_at..self.value_at + LEN].copy_from_slice(value);
    }

    #[inline(always)]
    fn read(&self, turn: usize) -> &[u8] {
        &self.headers[turn % (AHEAD + 1)]
    }
}

/// Opens `lookups` headers one after the other; returns the number accepted.
#[inline(never)]
fn follow<const LEN: usize>(
    ring: &mut Ring,
    values: &[[u8; LEN]],
    order: &[u32],
    lookups: usize,
    buffer: &mut BytesMut,
    open: &impl Fn(&[u8], &mut BytesMut) -> bool,
) -> usize {
    let value = |turn: usize| &values[order[turn % order.len()] as usize];
    (0..AHEAD).for_each(|turn| ring.write(turn, value(turn)));
    let (mut turn, mut found) = (0, 0);
    for _ in 0..lookups {
        ring.write(turn + AHEAD, value(turn + AHEAD));
        let accepted = open(ring.read(turn), buffer);
        found += usize::from(accepted);
        // Zero, but known only from the answer and the value: the next header depends on them.
        turn += 1 + workload::fold(buffer) + (black_box(usize::from(accepted)) >> 1);
    }
    found
}

/// The lower bound: two compressions, the second from the state that the first left.
fn two_compressions(times: usize) -> f64 {
    let block = [black_box([0x5e; 64])];
    let mut state = [0x6a09_e667; 8];
    let start = Instant::now();
    for _ in 0..times {
        compress256(&mut state, &block);
        compress256(&mut state, &block);
    }
    let elapsed = start.elapsed();
    black_box(state);
    nanos_each(elapsed, times)
}

/// Ids in hexadecimal, signed by the `cookie` crate: tag and value in one.
fn signed_values(key: &Key, workload: &Workload) -> Vec<[u8; SIGNED_LEN]> {
    let sign = |number| {
        let id: String = workload::id(number)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut jar = CookieJar::new();
        jar.signed_mut(key).add(Cookie::new(NAME, id));
        let signed = jar
            .get(NAME)
            .map(|cookie| cookie.value().as_bytes().to_vec());
        let signed = signed.and_then(|value| value.try_into().ok());
        signed.expect("a signed value is a tag of 44 characters and the value")
    };
    workload.by_position(&(0..workload.sessions()).map(sign).collect::<Vec<_>>())
}

/// The shortest path through the `cookie` crate: split, find the session's cookie by name, verify
/// it.
fn verified(key: &Key, header: &[u8]) -> bool {
    let Ok(header) = std::str::from_utf8(header) else {
        return false;
    };
    let mut cookies = Cookie::split_parse(header).flatten();
    let own = cookies
        .find(|cookie| cookie.name() == NAME)
        .map(Cookie::into_owned);
    own.and_then(|cookie| CookieJar::new().signed(key).verify(cookie))
        .is_some()
}

fn report_samples(samples: &[Sample], report: &mut Report) {
    let lower_bound = rounds::named(samples, LOWER_BOUND);
    let mut table = Table::new(&["", "min", "median", "min ×", "median ×", VERDICT]);
    for sample in samples {
        let ratio = sample.min() / lower_bound.min();
        let verdict = match sample.name == OPEN {
            true => Target::AtMost(2.0).verdict(ratio, "× two compressions"),
            false => blank(),
        };
        table.row([
            sample.name.clone(),
            figure(sample.min(), 1),
            figure(sample.median(), 1),
            figure(ratio, 2),
            figure(sample.median() / lower_bound.median(), 2),
            verdict,
        ]);
    }
    report.heading("cookie_to_session: a Cookie header in, 256 bytes out, 1 k sessions, ns");
    report.table(&table);
}

const SESSIONS: usize = 1_000;
const HEADER_LEN: usize = 800;
const TOKEN_LEN: usize = 48;
/// 44 characters of tag, 32 of id.
const SIGNED_LEN: usize = 76;
/// Number of lookups between writing and reading a header, so that its stores have completed.
const AHEAD: usize = 3;
const NAME: &str = "__Host-session";
const LOWER_BOUND: &str = "two SHA-256 compressions";
const OPEN: &str = "sessile, header of 800 bytes";
const BEFORE: &str = "_ga=GA1.2.1483920571.1763812345; _ga_3XK9QW7LMB=GS2.1.s1763812345$o7$g1$t1763812399$j6$l0$h0; \
    _gid=GA1.2.902173645.1763812345; _fbp=fb.1.1763812345123.582049176; csrftoken=\
    q7Yt0bVn3KxLw9RzJm2PfHs8DcGa5UeT; consent=analytics:1|ads:0|version:4; lang=en-GB; theme=dark; ";
const AFTER: &str = "; cart_hint=3; ab_bucket=checkout-b; _hjSessionUser_2918374=eyJpZCI6IjNmMmI5YzQ4LTdhMWUtNTM0My\
    05YzBkLTE4ZTZmMmE3YjkwNCIsImNyZWF0ZWQiOjE3NjM4MTIzNDUxMjMsImV4aXN0aW5nIjp0cnVlfQ==; \
    recent=8841.1207.5530.9914; filler=";
