//! A store that publishes nothing: each entry of L1 has a lease of its own.

use bytes::BytesMut;
use sessile_store::{LookUp, internals::Rule};

use crate::{
    ablations::assert_needed,
    number, run_all,
    scenarios::Cluster,
    schedule::{Kind, Plan},
};

#[test]
fn random_schedules_keep_the_promises() {
    if let Some(seed) = number("SESSILE_SEED") {
        let result = Plan::without_push(seed).run();
        assert!(result.is_ok(), "seed {seed}: {result:?}");
        return;
    }
    let schedules = number("SESSILE_SCHEDULES").unwrap_or(SCHEDULES);
    let failures = run_all(schedules, Plan::without_push);
    assert!(
        failures.is_empty(),
        "SESSILE_SEED and what happened: {failures:#?}"
    );
}

#[test]
fn an_entry_is_compared_once_per_lease_and_its_data_stays() {
    let cluster = Cluster::without_push(2);
    let issued = cluster.create(0);
    let network = &cluster.networks[1];
    let counts = || (network.reads(), network.revalidations());
    let open_at_once = || {
        let (cache, token) = (&cluster.nodes[1], issued.token);
        let mut data = BytesMut::new();
        let opened = cache.try_open_token(token.as_str().as_bytes(), &mut data);
        matches!(opened, LookUp::Hit(_)) && data[..] == b"a cart"[..]
    };
    // `opens` lets two seconds pass, so the lease of the entry is over after it.
    assert_eq!(cluster.opens(1, &issued), Ok(true));
    assert_eq!(counts(), (1, 0));
    assert!(!open_at_once(), "the lease is over");
    let cache = cluster.nodes[1].clone();
    let opens: Vec<_> = (0..100)
        .map(|_| {
            let (cache, token) = (cache.clone(), issued.token);
            cluster.start(async move {
                let mut data = BytesMut::new();
                let opened = cache.open_token(token.as_str().as_bytes(), &mut data).await;
                (opened.map(|record| record.is_some()), data)
            })
        })
        .collect();
    cluster.pass(100);
    for opened in opens {
        let opened = opened.lock().expect("no panic").take();
        assert_eq!(opened, Some((Ok(true), BytesMut::from(&b"a cart"[..]))));
    }
    assert_eq!(counts(), (1, 1), "a hundred requests cause one comparison");
    assert!(open_at_once(), "the lease began again");
    assert_eq!(counts(), (1, 1));
}

#[test]
fn an_end_is_seen_once_the_lease_is_over() {
    let cluster = Cluster::without_push(2);
    let issued = cluster.create(0);
    assert_eq!(cluster.opens(1, &issued), Ok(true));
    let cache = cluster.nodes[0].clone();
    let ended = cluster.wait(async move { cache.end(&issued.id).await });
    assert_eq!(ended, Ok(true));
    assert_eq!(cluster.opens(0, &issued), Ok(false), "the own node at once");
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    let reads = cluster.networks[1].reads() + cluster.networks[1].revalidations();
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    let again = cluster.networks[1].reads() + cluster.networks[1].revalidations();
    assert_eq!(again, reads, "an absent id is not asked for again");
}

#[test]
fn a_save_of_another_node_is_read_once_the_lease_is_over() {
    let cluster = Cluster::without_push(2);
    let issued = cluster.create(0);
    assert_eq!(cluster.opens(1, &issued), Ok(true));
    let cache = cluster.nodes[0].clone();
    let version = issued.version;
    let saved = cluster.wait(async move { cache.save(&issued.id, version, b"fuller").await });
    assert!(saved.is_ok());
    let cache = cluster.nodes[1].clone();
    let data = cluster.wait(async move {
        let mut data = BytesMut::new();
        let opened = cache
            .open_token(issued.token.as_str().as_bytes(), &mut data)
            .await;
        assert!(matches!(opened, Ok(Some(_))));
        data
    });
    assert_eq!(&data[..], b"fuller");
}

#[test]
fn without_a_lease_of_entries_a_node_opens_ended_sessions() {
    assert_needed(Rule::EntryLease, Kind::Quiet);
}

/// The number of schedules of a usual test run.
const SCHEDULES: u64 = 300;
