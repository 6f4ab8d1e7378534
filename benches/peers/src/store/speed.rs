//! The median time of a hit, a miss and a save, beside bare commands and a peer, in turns.

use std::hint::black_box;

use bytes::BytesMut;
use sessile::{Clock, IssuedSession, SessionCache, Version};
use sessile_store::{LookUp, TieredCache};

use super::{DATA_LEN, MEMORY, bare::Bare, node, peer::Peer, server::Server, times::Times};
use crate::{
    Plan,
    report::{Report, Target, blank, count},
    sessile_cache,
};

pub(super) fn run(plan: &Plan, server: &Server, name: &str, report: &mut Report) {
    let url = server.url();
    let [one, two] = [(); 2].map(|()| node(&url));
    let (bare, peer) = (Bare::connect(&url), Peer::connect(&url));
    let local = sessile_cache::cache_of(MEMORY, &Clock::system());
    let mut times = Times::new();
    let record = peer.create();
    let hot_local = local.create(&[7; DATA_LEN]).expect("it fits");
    let hot = two.blocking().create(&[7; DATA_LEN]).expect("it is up");
    for number in 0..plan.calls {
        let session = one.blocking().create(&[7; DATA_LEN]).expect("it is up");
        let key = format!("bench:{}", number % 1_000);
        let value = [7; DATA_LEN + 64];
        times.add(SET, || {
            black_box(bare.call(&[b"SET", key.as_bytes(), &value, b"PX", b"600000"]));
        });
        times.add(GET, || {
            black_box(bare.call(&[b"GET", key.as_bytes()]));
        });
        times.add(MISS, || open(&two, &session));
        times.add_many(HIT, || hit(&two, &hot));
        times.add_many(LOCAL_HIT, || open_locally(&local, &hot_local));
        let version = version(&two, &session);
        times.add(SAVE, || {
            let saved = two.blocking().save(&session.id, version, &[8; DATA_LEN]);
            black_box(saved).expect("no other request saves it");
        });
        times.add(PEER_LOAD, || peer.load(&record.id));
        times.add(PEER_SAVE, || peer.save(&record));
    }
    report.heading(&format!(
        "store: calls on {name}, medians of {} in turns, µs",
        count(plan.calls)
    ));
    report.table(&times.table(&NAMES, verdict));
}

fn open(cache: &TieredCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    let opened = cache.blocking().open_token(token, &mut data);
    assert!(matches!(opened, Ok(Some(_))) && data.len() == DATA_LEN);
}

fn hit(cache: &TieredCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    let opened = cache.try_open_token(token, &mut data);
    assert!(matches!(opened, LookUp::Hit(_)) && data.len() == DATA_LEN);
}

fn open_locally(cache: &SessionCache, session: &IssuedSession) {
    let mut data = BytesMut::with_capacity(DATA_LEN);
    let token = session.token.as_str().as_bytes();
    assert!(cache.open_token(token, &mut data).is_some() && data.len() == DATA_LEN);
}

fn version(cache: &TieredCache, session: &IssuedSession) -> Version {
    let mut data = BytesMut::new();
    let record = cache.blocking().load(&session.id, &mut data);
    record.expect("it is up").expect("it is there").version
}

fn verdict(kind: usize, medians: &[f64; NAMES.len()]) -> String {
    let over = |other: usize| medians[kind] - medians[other];
    let ratio = |other: usize| medians[kind] / medians[other];
    match kind {
        MISS => Target::AtMost(20.0).verdict(over(GET), "µs more than `GET`"),
        SAVE => Target::AtMost(40.0).verdict(over(SET), "µs more than `SET`"),
        HIT => Target::AtMost(1.05).verdict(ratio(LOCAL_HIT), "× a local hit"),
        _ => blank(),
    }
}

const LOCAL_HIT: usize = 0;
const HIT: usize = 1;
const GET: usize = 2;
const MISS: usize = 3;
const SET: usize = 4;
const SAVE: usize = 5;
const PEER_LOAD: usize = 6;
const PEER_SAVE: usize = 7;
const NAMES: [&str; 8] = [
    "hit, local cache",
    "hit, tiered cache",
    "bare `GET` of 320 bytes",
    "miss",
    "bare `SET` of 320 bytes",
    "save",
    "tower-sessions, load",
    "tower-sessions, save",
];
