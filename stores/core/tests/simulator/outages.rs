//! Single scenarios in the simulator: a store that answers some calls only, that has its data back,
//! or that has no replica.

use std::time::Duration;

use bytes::BytesMut;
use sessile::{Error, SessionId};
use sessile_store::{Revocation, Store, StoreState, record::Record};

use crate::{log_lines::LogLines, scenarios::Cluster};

fn end(cluster: &Cluster, node: usize, id: SessionId) -> Result<bool, Error> {
    let cache = cluster.nodes[node].clone();
    cluster.wait(async move { cache.end(&id).await })
}

fn end_all(cluster: &Cluster, node: usize) -> Result<(), Error> {
    let cache = cluster.nodes[node].clone();
    cluster.wait(async move { cache.end_all().await })
}

/// Closes a node and returns the number of its ends that are not confirmed.
fn close(cluster: &Cluster, node: usize) -> usize {
    let cache = cluster.nodes[node].clone();
    cluster.wait(async move { cache.close(Duration::from_millis(200)).await })
}

#[test]
fn an_end_of_all_that_is_lost_stays_queued_when_an_earlier_one_is_confirmed() {
    let cluster = Cluster::new(1);
    let [first, second] = [0, 1].map(|call| {
        cluster.networks[0].set_calls(200, 0);
        cluster.networks[0].lose_end_of_all(call == 1);
        let cache = cluster.nodes[0].clone();
        let result = cluster.start(async move { cache.end_all().await });
        cluster.pass(1);
        result
    });
    cluster.pass(2_000);
    let [first, second] = [first, second].map(|result| result.lock().expect("no panic").take());
    assert_eq!(first, Some(Ok(())));
    assert_eq!(second, Some(Err(Error::Unreachable)));
    assert_eq!(close(&cluster, 0), 1);
}

#[test]
fn an_end_of_all_that_is_not_confirmed_takes_effect_in_its_process() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    assert_eq!(cluster.opens(0, &issued), Ok(true));
    cluster.networks[0].lose_end_of_all(true);
    assert_eq!(end_all(&cluster, 0), Err(Error::Unreachable));
    assert_eq!(cluster.opens(0, &issued), Ok(false), "the store has it");
    let [own, other] = [0, 1].map(|node| cluster.create(node));
    for later in [&own, &other] {
        assert_eq!(cluster.opens(0, later), Ok(true), "it was created later");
    }
    cluster.networks[0].lose_end_of_all(false);
    cluster.pass(1_000);
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    assert_eq!(cluster.opens(1, &own), Ok(true));
    assert_eq!(close(&cluster, 0), 0);
}

#[test]
fn a_comparison_in_flight_does_not_open_a_session_that_ended_with_all() {
    let cluster = Cluster::without_push(1);
    let issued = cluster.create(0);
    assert_eq!(cluster.opens(0, &issued), Ok(true));
    let before = cluster.networks[0].revalidations();
    cluster.networks[0].set_reads(300);
    let (cache, token) = (cluster.nodes[0].clone(), issued.token);
    let opened = cluster.start(async move {
        let value = token.as_str().as_bytes();
        cache.open_token(value, &mut BytesMut::new()).await
    });
    cluster.pass(1);
    cluster.networks[0].set_reads(20);
    cluster.networks[0].lose_end_of_all(true);
    assert_eq!(end_all(&cluster, 0), Err(Error::Unreachable));
    let opened = opened.lock().expect("no panic").take();
    assert!(matches!(opened, Some(Ok(None))), "{opened:?}");
    assert_eq!(cluster.networks[0].revalidations(), before + 1);
}

#[test]
fn a_store_that_stops_and_answers_again_is_logged_once_each() {
    let cluster = Cluster::new(1);
    let lines = LogLines::of(|| {
        cluster.networks[0].refuse(true);
        cluster.networks[0].cut_channel();
        cluster.pass(20_000);
        cluster.networks[0].refuse(false);
        cluster.pass(20_000);
    });
    let levels: Vec<_> = lines.iter().map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, [Some("WARN"), Some("INFO")], "{lines:?}");
}

#[test]
fn a_session_that_the_store_has_again_is_opened() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    let snapshot = cluster.store.snapshot();
    cluster.store.clear();
    cluster.pass(1_000);
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    cluster.fail_over(snapshot);
    assert_eq!(cluster.opens(1, &issued), Ok(true));
}

#[test]
fn a_touch_that_is_sent_again_is_of_the_time_of_the_use() {
    let cluster = Cluster::new(1);
    let issued = cluster.create(0);
    let stored = || {
        let (store, id) = (cluster.store.clone(), issued.id);
        let read = cluster.wait(async move { store.read(id).await });
        read.expect("it answers").expect("it was created")
    };
    let record = stored();
    let Ok(Record::Session(session)) = Record::decode(&record.bytes) else {
        panic!("it is a session");
    };
    let idle_timeout = session.header.idle_timeout();
    cluster.pass(idle_timeout.as_millis() as u64 / 8);
    cluster.networks[0].set_full(true);
    assert_eq!(cluster.opens(0, &issued), Ok(true));
    cluster.pass(20_000);
    cluster.networks[0].set_full(false);
    cluster.pass(2_000);
    // `opens` lets two seconds pass after the use.
    let expected = idle_timeout - Duration::from_secs(24);
    let difference = expected.abs_diff(stored().expires_in);
    assert!(difference < Duration::from_millis(200), "{difference:?}");
}

#[test]
fn a_node_goes_up_without_a_replica_and_its_ends_stay_queued() {
    let cluster = Cluster::new(2);
    let [visitor, first, second] = [(); 3].map(|()| cluster.create(0));
    let signed_in = cluster.sign_in(0, visitor.id);
    assert_eq!(end(&cluster, 0, first.id), Ok(true));
    cluster.networks[0].set_unreplicated(true);
    assert_eq!(end(&cluster, 0, second.id), Err(Error::Unreachable));
    assert_eq!(cluster.opens(1, &second), Ok(false), "the server ended it");
    let (cache, revocation) = (cluster.nodes[0].clone(), REVOCATION);
    let revoked = cluster.wait(async move { cache.revoke(revocation).await });
    assert_eq!(revoked, Err(Error::Unreachable));
    cluster.networks[0].cut_channel();
    cluster.pass(5_000);
    let health = || {
        let health = cluster.nodes[0].store_health();
        let queued = (health.ends_queued, health.revocations_queued);
        (health.state, health.fences, queued)
    };
    assert_eq!(health(), (StoreState::Up, 1, (1, 1)));
    assert_eq!(cluster.opens(0, &signed_in), Ok(true));
    cluster.networks[0].set_unreplicated(false);
    cluster.pass(1_000);
    assert_eq!(health(), (StoreState::Up, 1, (0, 0)));
}

#[test]
fn an_end_of_all_without_a_replica_stays_queued_while_the_node_goes_up() {
    let cluster = Cluster::new(2);
    let issued = cluster.create(0);
    cluster.networks[0].set_unreplicated(true);
    assert_eq!(end_all(&cluster, 0), Err(Error::Unreachable));
    cluster.networks[0].cut_channel();
    cluster.pass(5_000);
    assert_eq!(cluster.nodes[0].store_health().state, StoreState::Up);
    assert_eq!(cluster.opens(1, &issued), Ok(false));
    assert_eq!(close(&cluster, 0), 1);
    cluster.networks[0].set_unreplicated(false);
    assert_eq!(close(&cluster, 0), 0);
}

#[test]
fn an_end_by_a_replaced_id_reaches_the_session_without_a_replica() {
    let cluster = Cluster::new(2);
    let old = cluster.create(0);
    let cache = cluster.nodes[0].clone();
    let rotated = cluster.wait(async move { cache.rotate(&old.id, Duration::from_secs(60)).await });
    let new = rotated.expect("the store answers");
    cluster.networks[0].set_unreplicated(true);
    assert_eq!(end(&cluster, 0, old.id), Err(Error::Unreachable));
    for node in 0..2 {
        assert_eq!(cluster.opens(node, &new), Ok(false), "node {node}");
    }
    cluster.networks[0].set_unreplicated(false);
    cluster.pass(1_000);
    assert_eq!(cluster.nodes[0].store_health().ends_queued, 0);
}

const REVOCATION: Revocation = Revocation {
    key: [1; 16],
    issued_before: u64::MAX,
    expires_at: u64::MAX,
};
