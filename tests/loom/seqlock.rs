//! Reads without the lock, on a region of two buckets. The first holds the sequence and an
//! "offset", which is 1 as long as the block may be read. The second holds the block: two words
//! that are equal in every state between writes.

use std::sync::Arc;

use loom::thread;
use sessile::internals::{
    Lock, MemoryFence,
    loom_word::{LoomWord, drop_fence},
    region::{Bucket, Region},
    seqlock,
};

use crate::explore::{explore_runs, race};

const OFFSET: u32 = 2;
const BLOCK: u32 = 8;

type Words = Region<LoomWord>;

fn words() -> Arc<Words> {
    let words = Words::new(10).expect("memory");
    words.store(OFFSET, 1);
    Arc::new(words)
}

fn bucket(words: &Words) -> Bucket<'_, LoomWord> {
    words.words().chunk(0).expect("the region has ten words")
}

fn read(words: &Words) -> &'static str {
    let bucket = bucket(words);
    let Some((_, seen)) = seqlock::read_begin(bucket) else {
        return "write in progress";
    };
    let offset = bucket.load(OFFSET);
    let block = [BLOCK, BLOCK + 1].map(|at| words.load(at));
    if !seqlock::validate(bucket, seen) {
        return "changed during the read";
    }
    match (offset, block) {
        (1, [0, 0]) => "before",
        (1, [1, 1]) => "after",
        (0, _) => "removed",
        (_, torn) => panic!("torn: {torn:?}"),
    }
}

fn store_block(words: &Words) {
    [BLOCK, BLOCK + 1].iter().for_each(|&at| words.store(at, 1));
}

/// A writer writes to the block in place during a read.
fn read_races_write(dropped: Option<MemoryFence>, outcomes: &[&str]) {
    explore_runs(outcomes, move || {
        drop_fence(dropped);
        let words = words();
        let shared = words.clone();
        let (outcome, ()) = race(
            move || read(&shared),
            || {
                seqlock::write(bucket(&words), || store_block(&words));
            },
        );
        outcome
    });
}

/// One thread removes the block during a read; another thread then allocates it and writes to it
/// without the sequence of this bucket.
fn read_races_reuse(dropped: Option<MemoryFence>, outcomes: &[&str]) {
    explore_runs(outcomes, move || {
        drop_fence(dropped);
        let words = words();
        let lock = Arc::new(Lock::new(false));
        let [read_words, reused] = [(); 2].map(|()| words.clone());
        let removed = lock.clone();
        let reader = thread::spawn(move || read(&read_words));
        let allocator = thread::spawn(move || {
            let is_removed = removed.lock();
            if *is_removed {
                // No other index bucket leads to the block yet, so this write has no sequence.
                reused.store(BLOCK, 2);
            }
        });
        let mut is_removed = lock.lock();
        seqlock::write(bucket(&words), || words.store(OFFSET, 0));
        *is_removed = true;
        drop(is_removed);
        allocator.join().expect("the allocator does not panic");
        reader.join().expect("the reader does not panic")
    });
}

const IN_PLACE: [&str; 4] = [
    "before",
    "after",
    "write in progress",
    "changed during the read",
];
const REUSED: [&str; 4] = [
    "before",
    "removed",
    "write in progress",
    "changed during the read",
];

#[test]
fn read_races_write_in_place() {
    read_races_write(None, &IN_PLACE);
}

#[test]
#[should_panic(expected = "torn")]
fn read_races_write_in_place_without_writer_fence() {
    read_races_write(Some(MemoryFence::Opened), &IN_PLACE);
}

#[test]
#[should_panic(expected = "torn")]
fn read_races_write_in_place_without_reader_fence() {
    read_races_write(Some(MemoryFence::Read), &IN_PLACE);
}

#[test]
fn read_races_reuse_of_the_block() {
    read_races_reuse(None, &REUSED);
}

#[test]
#[should_panic(expected = "torn")]
fn read_races_reuse_of_the_block_without_lock_fence() {
    read_races_reuse(Some(MemoryFence::Locked), &REUSED);
}
