//! Races between verbs, in every order that the locks allow. Run with
//! `RUSTFLAGS="--cfg sessile_loom" cargo test --test loom`.
//!
//! Each model says which outcomes there are, and must have seen all of them: a model that explores nothing
//! would see one.

#![cfg(sessile_loom)]

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use loom::thread;
use sessile::{
    Error, IssuedSession, KeyRing, ManualClock, SessionCache,
    internals::{
        Lock, MemoryFence,
        loom_word::{LoomWord, drop_fence},
        region::{Bucket, Region},
        seqlock,
    },
};

#[test]
fn rotate_against_end_of_the_old_id_leaves_nothing() {
    explore(&["rotated, then ended", "ended first"], |cache| {
        let old = cache.create(b"data").expect("room");
        let other = cache.clone();
        let ending = thread::spawn(move || other.end(&old.id));
        let rotated = cache.rotate(&old.id, Duration::ZERO);
        assert!(
            ending.join().expect("it ends"),
            "there was a session to end"
        );
        assert!(!opens(&cache, &old));
        ended(&cache, rotated, "rotated, then ended")
    });
}

#[test]
fn sign_in_across_shards_against_end_of_the_old_id_leaves_nothing() {
    explore(&["signed in, then ended", "ended first"], |cache| {
        let (old, user) = one_that_moves(&cache);
        let other = cache.clone();
        let ending = thread::spawn(move || other.end(&old.id));
        let signed_in = cache.sign_in(&old.id, &user);
        assert!(
            ending.join().expect("it ends"),
            "there was a session to end"
        );
        assert!(!opens(&cache, &old));
        ended(&cache, signed_in, "signed in, then ended")
    });
}

#[test]
fn sign_in_across_shards_against_open_shows_the_old_or_nothing() {
    explore(&["opened before", "refused after"], |cache| {
        let (old, user) = one_that_moves(&cache);
        let other = cache.clone();
        let opening = thread::spawn(move || {
            let mut buffer = BytesMut::new();
            meet(&other);
            let record = other.open_token(old.token.as_str().as_bytes(), &mut buffer);
            record.map(|record| (record.is_authenticated(), buffer))
        });
        let new = cache.sign_in(&old.id, &user).expect("it is live");
        let opened = opening.join().expect("it opens or not");
        assert!(opens(&cache, &new) && !opens(&cache, &old));
        match opened {
            Some((is_authenticated, data)) => {
                assert!(
                    !is_authenticated && &data[..] == b"data",
                    "the old id, as it was"
                );
                "opened before"
            }
            None => "refused after",
        }
    });
}

#[test]
fn a_creation_against_an_end_of_all_is_counted_once_whichever_comes_first() {
    explore(&["ended", "survived"], |cache| {
        let other = cache.clone();
        let ending = thread::spawn(move || {
            meet(&other);
            other.end_all();
        });
        let made = cache.create(b"data").expect("room");
        ending.join().expect("it ends");
        let stats = cache.stats();
        assert_eq!(
            stats.created,
            cache.len() as u64 + stats.ended,
            "it is there, or it has ended"
        );
        let is_open = opens(&cache, &made);
        assert_eq!(cache.len(), usize::from(is_open));
        if is_open { "survived" } else { "ended" }
    });
}

#[test]
fn a_sign_in_across_shards_against_an_end_of_all_is_counted_once() {
    explore(&["ended", "ended first"], |cache| {
        let (old, user) = one_that_moves(&cache);
        let other = cache.clone();
        let ending = thread::spawn(move || {
            meet(&other);
            other.end_all();
        });
        let signed_in = cache.sign_in(&old.id, &user);
        ending.join().expect("it ends");
        let stats = cache.stats();
        assert_eq!(stats.created, cache.len() as u64 + stats.ended);
        assert!(cache.is_empty() && !opens(&cache, &old));
        match signed_in {
            Ok(new) => {
                assert!(!opens(&cache, &new));
                "ended"
            }
            Err(error) => {
                assert_eq!(error, Error::Gone);
                "ended first"
            }
        }
    });
}

#[test]
fn of_two_rotations_one_is_refused() {
    explore(&["mine", "theirs"], |cache| {
        let old = cache.create(b"data").expect("room");
        let other = cache.clone();
        let theirs = thread::spawn(move || other.rotate(&old.id, Duration::ZERO));
        let mine = cache.rotate(&old.id, Duration::ZERO);
        let theirs = theirs.join().expect("it rotates or not");
        assert!(!opens(&cache, &old));
        match (mine, theirs) {
            (Ok(new), Err(Error::Gone)) => {
                assert!(opens(&cache, &new));
                "mine"
            }
            (Err(Error::Gone), Ok(new)) => {
                assert!(opens(&cache, &new));
                "theirs"
            }
            both => panic!("{both:?}"),
        }
    });
}

/// Reading without the lock, on a region of two lines: in the first the version, and an "offset", which is
/// 1 as long as the block may be read; in the second the block, two words that are equal in every state
/// between writes.
mod reads {
    use super::*;

    const OFFSET: u32 = 2;
    const BLOCK: u32 = 8;

    type Words = Region<LoomWord>;

    fn words() -> Arc<Words> {
        let words = Words::new(10).expect("memory");
        words.store(OFFSET, 1);
        Arc::new(words)
    }

    fn line(words: &Words) -> Bucket<'_, LoomWord> {
        words.words().chunk(0).expect("there are ten")
    }

    fn read(words: &Words) -> &'static str {
        let line = line(words);
        let Some((_, seen)) = seqlock::read_begin(line) else {
            return "somebody writes";
        };
        let offset = line.load(OFFSET);
        let block = [BLOCK, BLOCK + 1].map(|at| words.load(at));
        if !seqlock::validate(line, seen) {
            return "somebody wrote";
        }
        match (offset, block) {
            (1, [0, 0]) => "before",
            (1, [1, 1]) => "after",
            (0, _) => "gone",
            (_, torn) => panic!("torn: {torn:?}"),
        }
    }

    fn store_block(words: &Words) {
        [BLOCK, BLOCK + 1].iter().for_each(|&at| words.store(at, 1));
    }

    /// One writes to the block in place.
    fn in_place(dropped: Option<MemoryFence>, outcomes: &[&str]) {
        explore_runs(outcomes, move || {
            drop_fence(dropped);
            let words = words();
            let theirs = words.clone();
            let reader = thread::spawn(move || read(&theirs));
            seqlock::write(line(&words), || store_block(&words));
            reader.join().expect("it reads")
        });
    }

    /// One removes the block; another takes it then and writes to it, as its own affair.
    fn taken_by_another(dropped: Option<MemoryFence>, outcomes: &[&str]) {
        explore_runs(outcomes, move || {
            drop_fence(dropped);
            let words = words();
            let lock = Arc::new(Lock::new(false));
            let [theirs, another] = [(); 2].map(|()| words.clone());
            let removed = lock.clone();
            let reader = thread::spawn(move || read(&theirs));
            let taker = thread::spawn(move || {
                let is_removed = removed.lock();
                if *is_removed {
                    // Nobody who reads this block by an index line of its own is there yet.
                    another.store(BLOCK, 2);
                }
            });
            let mut is_removed = lock.lock();
            seqlock::write(line(&words), || words.store(OFFSET, 0));
            *is_removed = true;
            drop(is_removed);
            taker.join().expect("it writes or not");
            reader.join().expect("it reads")
        });
    }

    const IN_PLACE: [&str; 4] = ["before", "after", "somebody writes", "somebody wrote"];
    const TAKEN: [&str; 4] = ["before", "gone", "somebody writes", "somebody wrote"];

    #[test]
    fn what_is_written_in_place_is_never_seen_by_halves() {
        in_place(None, &IN_PLACE);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn without_the_fence_of_the_writer_it_is() {
        in_place(Some(MemoryFence::Opened), &IN_PLACE);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn without_the_fence_of_the_reader_it_is() {
        in_place(Some(MemoryFence::Read), &IN_PLACE);
    }

    #[test]
    fn a_block_that_another_took_is_never_taken_for_the_old_one() {
        taken_by_another(None, &TAKEN);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn without_the_fence_behind_the_lock_it_is() {
        taken_by_another(Some(MemoryFence::Locked), &TAKEN);
    }
}

#[test]
fn sign_in_against_end_user_is_before_it_or_behind() {
    explore(&["signed in, then ended", "signed in behind it"], |cache| {
        let (old, user) = one_that_moves(&cache);
        cache.end_user_sessions(&user, None);
        let (other, name) = (cache.clone(), user.clone());
        let ending = thread::spawn(move || other.end_user_sessions(&name, None));
        let new = cache.sign_in(&old.id, &user).expect("it is live");
        let ended = ending.join().expect("it ends what is there");
        assert!(!opens(&cache, &old));
        assert_eq!(opens(&cache, &new), ended == 0);
        assert_eq!(cache.user_sessions(&user).len(), 1 - ended);
        if ended == 1 {
            "signed in, then ended"
        } else {
            "signed in behind it"
        }
    });
}

#[test]
fn rotate_against_end_user_leaves_nothing() {
    explore(&["rotated, then ended", "ended first"], |cache| {
        let old = cache.create(b"data").expect("room");
        let old = cache.sign_in(&old.id, "ada").expect("it is live");
        let other = cache.clone();
        let ending = thread::spawn(move || other.end_user_sessions("ada", None));
        let rotated = cache.rotate(&old.id, Duration::ZERO);
        assert_eq!(ending.join().expect("it ends what is there"), 1);
        assert!(cache.user_sessions("ada").is_empty() && !opens(&cache, &old));
        ended(&cache, rotated, "rotated, then ended")
    });
}

#[test]
fn grace_expiry_against_open_by_the_old_id_is_before_it_or_behind() {
    explore_runs(&["opened within the grace", "refused after it"], || {
        let clock = ManualClock::new();
        let cache = two_shards(&clock);
        let old = cache.create(b"data").expect("room");
        let new = cache.rotate(&old.id, SECOND).expect("it is live");
        let other = cache.clone();
        let waiting = thread::spawn(move || {
            meet(&other);
            clock.advance(SECOND);
        });
        meet(&cache);
        let mut buffer = BytesMut::new();
        let record = cache.open_token(old.token.as_str().as_bytes(), &mut buffer);
        waiting.join().expect("it moves the clock");
        assert!(!opens(&cache, &old), "the grace is over");
        assert!(opens(&cache, &new));
        match record {
            Some(record) => {
                assert_eq!((record.id, &buffer[..]), (old.id, &b"data"[..]));
                "opened within the grace"
            }
            None => {
                assert_eq!(cache.stats().rejected.reused, 2);
                "refused after it"
            }
        }
    });
}

#[test]
fn grace_expiry_against_save_and_end_of_the_old_id_loses_no_end() {
    explore_runs(&["saved within the grace", "refused after it"], || {
        let clock = ManualClock::new();
        let cache = two_shards(&clock);
        let old = cache.create(b"data").expect("room");
        let new = cache.rotate(&old.id, SECOND).expect("it is live");
        let other = cache.clone();
        let waiting = thread::spawn(move || {
            meet(&other);
            clock.advance(SECOND);
            meet(&other);
            assert!(
                other.end(&old.id),
                "an end follows the old id whenever it comes"
            );
        });
        meet(&cache);
        let saved = cache.save(&old.id, new.version, b"more");
        waiting.join().expect("it ends the session");
        assert!(!opens(&cache, &old) && !opens(&cache, &new) && cache.is_empty());
        match saved {
            Ok(_) => "saved within the grace",
            Err(error) => {
                assert_eq!(error, Error::Gone);
                "refused after it"
            }
        }
    });
}

#[test]
fn end_all_against_create_leaves_nothing_of_before() {
    explore(&["made, then ended", "made behind it"], |cache| {
        let before = cache.create(b"data").expect("room");
        let other = cache.clone();
        let ending = thread::spawn(move || {
            meet(&other);
            other.end_all();
            assert!(!opens(&other, &before), "it has returned");
        });
        meet(&cache);
        let made = cache.create(b"data").expect("room");
        ending.join().expect("it ends what is there");
        assert!(!opens(&cache, &before));
        let is_there = opens(&cache, &made);
        assert_eq!(cache.len(), usize::from(is_there));
        cache.validate();
        if is_there {
            "made behind it"
        } else {
            "made, then ended"
        }
    });
}

#[test]
fn end_all_against_open_is_before_it_or_behind() {
    explore(&["opened before", "refused after"], |cache| {
        let made = cache.create(b"data").expect("room");
        let other = cache.clone();
        let ending = thread::spawn(move || {
            meet(&other);
            other.end_all();
        });
        meet(&cache);
        let is_opened = opens(&cache, &made);
        ending.join().expect("it ends what is there");
        assert!(!opens(&cache, &made) && cache.is_empty());
        if is_opened {
            "opened before"
        } else {
            "refused after"
        }
    });
}

#[test]
fn end_all_against_sign_in_across_shards_leaves_nothing() {
    explore(&["signed in, then ended", "ended first"], |cache| {
        let (old, user) = one_that_moves(&cache);
        let other = cache.clone();
        let ending = thread::spawn(move || {
            meet(&other);
            other.end_all();
        });
        meet(&cache);
        let signed_in = cache.sign_in(&old.id, &user);
        ending.join().expect("it ends what is there");
        assert!(!opens(&cache, &old) && cache.is_empty() && cache.user_sessions(&user).is_empty());
        cache.validate();
        ended(&cache, signed_in, "signed in, then ended")
    });
}

/// Which it was of an end and of what gives a new id. The end took the session along or came before.
fn ended(
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

/// Takes each lock for a moment. Loom orders what shares a lock: what takes none, as reading, moving the clock
/// and ending all, stands behind this.
fn meet(cache: &SessionCache) {
    let _ = cache.len();
}

/// Runs a model in every order and checks that each outcome came about.
fn explore(
    outcomes: &[&str],
    model: impl Fn(SessionCache) -> &'static str + Send + Sync + 'static,
) {
    explore_runs(outcomes, move || model(two_shards(&ManualClock::new())));
}

fn explore_runs(outcomes: &[&str], model: impl Fn() -> &'static str + Send + Sync + 'static) {
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

/// A small cache of two shards, the same in each run: loom replays what it has seen.
fn two_shards(clock: &ManualClock) -> SessionCache {
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
        .keys(KeyRing::from_bytes(&[&key]).expect("a key"))
        .build()
        .expect("settings that hold")
}

const SECOND: Duration = Duration::from_secs(1);

/// A session, and a user whose sessions live in the other shard.
fn one_that_moves(cache: &SessionCache) -> (IssuedSession, String) {
    let session = cache.create(b"data").expect("room");
    let moves = |user: &String| {
        let probe = cache.create(b"").expect("room");
        let probe = cache.sign_in(&probe.id, user).expect("it is live");
        home(&probe) != home(&session)
    };
    let user = (0..64)
        .map(|user| user.to_string())
        .find(moves)
        .expect("a user of the other shard");
    (session, user)
}

/// The third and fourth bytes of a token.
fn home(issued: &IssuedSession) -> [u8; 2] {
    let token = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(issued.token.as_str());
    let token = token.expect("a token is base64url");
    [token[2], token[3]]
}

fn opens(cache: &SessionCache, issued: &IssuedSession) -> bool {
    cache
        .open_token(issued.token.as_str().as_bytes(), &mut BytesMut::new())
        .is_some()
}
