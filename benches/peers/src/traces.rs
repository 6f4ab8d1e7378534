//! Traces: the hit ratio of requests from real sites when memory is short.
//!
//! Nothing is timed. Each contender has room for N sessions and no more. Ids are always new, since
//! an evicted session never returns under its old id. A peer that remembers evicted keys gains
//! nothing from it, and a peer that admits only keys it has seen before rejects new sessions. The
//! peers are therefore also measured in their intended use: as a cache whose keys return, which
//! session ids never do. moka defers evictions, so its queue is processed after each insert;
//! otherwise it would hold more than N.

use std::cell::Cell;

use bytes::BytesMut;
use sessile::ManualClock;

use crate::{
    Plan,
    contender::Contender,
    peers::{Moka, QuickCache},
    report::{Report, Table, Target, VERDICT, blank, figure},
    sessile_cache::{self, Sessile},
    workload::{self, Id, VALUE_LEN},
};
use replay::{REPLAYS, Replay};

#[path = "../../../tests/support/traces.rs"]
mod replay;

/// Writes one table for each trace and capacity. Only bounded peers can be full.
pub(crate) fn run(_: &Plan, report: &mut Report) {
    for replay in &REPLAYS {
        let Replay {
            trace, sessions, ..
        } = *replay;
        let mut table = Table::new(&["", "hit ratio, %", "max live sessions", VERDICT]);
        sessile(replay, &mut table);
        peer::<QuickCache>(replay, &mut table, |_| ());
        peer::<Moka>(replay, &mut table, Moka::settle);
        report.heading(&format!("traces: {trace}, {sessions} sessions, hit ratio"));
        report.table(&table);
    }
}

fn sessile(replay: &Replay, table: &mut Table) {
    let cache = replay::exactly(replay.sessions, VALUE_LEN, |memory| {
        sessile_cache::smallest(memory, VALUE_LEN, &ManualClock::new().into())
    });
    let cache = cache.expect("some amount of memory is enough");
    let (mut buffer, alive) = (BytesMut::new(), Cell::new(0));
    let found = replay.hit_ratio(
        |id| cache.load(id, &mut buffer).is_some(),
        |_user| {
            let id = sessile_cache::create(&cache, &[7; VALUE_LEN]).id;
            alive.set(cache.len().max(alive.get()));
            id
        },
    );
    let target = Target::AtLeast(replay.min_hit_ratio * 100.0);
    row(Sessile::NAME, found, alive.get(), Some(target), table);
}

fn peer<C: Contender>(replay: &Replay, table: &mut Table, settle: fn(&C)) {
    let mut fresh = 0..;
    let fresh_id = |_| workload::id(fresh.next().expect("numbers go on"));
    peer_with(C::NAME, replay, table, settle, fresh_id);
    let name = format!("{}, if ids came back", C::NAME);
    peer_with(&name, replay, table, settle, |user| {
        workload::id(user as usize)
    });
}

fn peer_with<C: Contender>(
    name: &str,
    replay: &Replay,
    table: &mut Table,
    settle: fn(&C),
    mut id_for: impl FnMut(u32) -> Id,
) {
    let contender = C::build(replay.sessions);
    let (mut buffer, alive) = (BytesMut::new(), Cell::new(0));
    let found = replay.hit_ratio(
        |key| contender.lookup(key, &mut buffer),
        |user| {
            let key = contender.insert(id_for(user), &[7; VALUE_LEN]);
            settle(&contender);
            alive.set(contender.len().max(alive.get()));
            key
        },
    );
    row(name, found, alive.get(), None, table);
}

fn row(name: &str, found: f64, alive: usize, target: Option<Target>, table: &mut Table) {
    let percent = found * 100.0;
    table.row([
        name.to_owned(),
        figure(percent, 2),
        alive.to_string(),
        target.map_or_else(blank, |target| target.verdict(percent, "%")),
    ]);
}
