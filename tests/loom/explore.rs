//! Runs models, and the caches and sessions that they use.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use loom::thread;
use sessile::{Error, IssuedSession, KeyRing, ManualClock, SessionCache};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Runs a model on a new cache in every order and asserts that each outcome occurred.
pub(crate) fn explore(
    outcomes: &[&str],
    model: impl Fn(SessionCache) -> &'static str + Send + Sync + 'static,
) {
    explore_runs(outcomes, move || model(two_shards(&ManualClock::new())));
}

/// Runs a model in every order and asserts that each outcome occurred.
pub(crate) fn explore_runs(
    outcomes: &[&str],
    model: impl Fn() -> &'static str + Send + Sync + 'static,
) {
    let expected: BTreeSet<_> = outcomes.iter().copied().collect();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let runs = seen.clone();
    loom::model(move || {
        let outcome = model();
        runs.lock().expect("no poison").insert(outcome);
    });
    assert_eq!(
        *seen.lock().expect("no poison"),
        expected,
        "every order was run"
    );
}

/// Runs `other` in a second thread and `this` in the current one; returns both results.
pub(crate) fn race<A: 'static, B>(
    other: impl FnOnce() -> A + 'static,
    this: impl FnOnce() -> B,
) -> (A, B) {
    let other = thread::spawn(other);
    let this = this();
    (other.join().expect("the other thread does not panic"), this)
}

/// Takes each lock briefly. Loom only reorders operations on shared locks, so a verb that takes
/// none (a read, an advance of the clock, `end_all`) is reordered by a call of this before it.
pub(crate) fn reorder(cache: &SessionCache) {
    let _ = cache.len();
}

/// Returns the outcome of a race between an end and a verb that issues an id. The end either
/// ended the reissued session or came first.
pub(crate) fn ended(
    cache: &SessionCache,
    issued: Result<IssuedSession, Error>,
    then_ended: &'static str,
) -> &'static str {
    match issued {
        Ok(new) => {
            assert!(!opens(cache, &new), "no session escapes");
            then_ended
        }
        Err(error) => {
            assert_eq!(error, Error::Gone);
            "ended first"
        }
    }
}

/// Creates a small cache of two shards. Its ids are the same in each run, since loom replays runs.
pub(crate) fn two_shards(clock: &ManualClock) -> SessionCache {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    fn counted(bytes: &mut [u8]) -> Result<(), Error> {
        for byte in bytes {
            NEXT.set(NEXT.get() + 1);
            *byte = (NEXT.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        }
        Ok(())
    }
    NEXT.set(0);
    let key: Vec<u8> = (0..32).map(|i: u8| i.wrapping_mul(97) ^ 0x5a).collect();
    SessionCache::builder()
        .memory(128 << 10)
        .shards(2)
        .max_session_size(64)
        .clock(clock.clone())
        .entropy(counted)
        .keys(KeyRing::from_bytes(&[&key]).expect("a valid key"))
        .build()
        .expect("valid settings")
}

pub(crate) fn create(cache: &SessionCache) -> IssuedSession {
    cache.create(b"data").expect("room")
}

/// Creates a session, and returns it with a user whose sessions are in the other shard.
pub(crate) fn session_and_distant_user(cache: &SessionCache) -> (IssuedSession, String) {
    let session = create(cache);
    let moves = |user: &String| {
        let probe = cache.create(b"").expect("room");
        let probe = cache.sign_in(&probe.id, user).expect("it is live");
        place(&probe) != place(&session)
    };
    let user = (0..64)
        .map(|user| user.to_string())
        .find(moves)
        .expect("a user of the other shard");
    (session, user)
}

/// Returns the third and fourth byte of a token.
fn place(issued: &IssuedSession) -> [u8; 2] {
    let token = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(issued.token.as_str());
    let token = token.expect("a token is base64url");
    [token[2], token[3]]
}

pub(crate) fn opens(cache: &SessionCache, issued: &IssuedSession) -> bool {
    cache
        .open_token(issued.token.as_str().as_bytes(), &mut BytesMut::new())
        .is_some()
}
