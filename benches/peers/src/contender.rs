//! The interface of every contender, and the chain of lookups that times it.
//!
//! Knows no contender and no table. The loop is generic, so each contender is compiled into a
//! separate loop and pays for no indirect call.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use crate::workload::{self, Id, VALUE_LEN, Workload};

/// A store of sessions under measurement.
pub(crate) trait Contender: Send + Sync + Sized {
    const NAME: &'static str;

    /// The key of a session: the given id, or a value that the store returned for it.
    type Key: Copy + Send + Sync;

    /// Creates a store with room for `sessions` sessions; a bounded store holds about that many and
    /// no more.
    fn build(sessions: usize) -> Self;

    fn insert(&self, id: Id, value: &[u8]) -> Self::Key;

    /// Copies the value into the buffer, replacing its content; returns true if there was one.
    fn lookup(&self, key: &Self::Key, buffer: &mut BytesMut) -> bool;

    /// Returns the number of live sessions, after deferred work of the store is done.
    fn len(&self) -> usize;
}

/// A contender that holds all sessions of a workload, with their keys in the order of positions.
pub(crate) struct FilledStore<C: Contender> {
    contender: C,
    keys: Vec<C::Key>,
}

impl<C: Contender> FilledStore<C> {
    /// Inserts all sessions, with room to spare so that a bounded store evicts none, into however
    /// many parts it is divided.
    pub(crate) fn new(workload: &Workload) -> Self {
        let sessions = workload.sessions();
        let contender = C::build(sessions + sessions / 4 + SPARE);
        let mut value = [0; VALUE_LEN];
        let insert = |number| {
            workload::write_value(number, &mut value);
            contender.insert(workload::id(number), &value)
        };
        let keys: Vec<C::Key> = (0..sessions).map(insert).collect();
        let loaded = Self {
            keys: workload.by_position(&keys),
            contender,
        };
        loaded.check(workload);
        loaded
    }

    /// Asserts that every key returns the bytes of its own session.
    fn check(&self, workload: &Workload) {
        let mut buffer = BytesMut::with_capacity(VALUE_LEN);
        let mut expected = [0; VALUE_LEN];
        for (position, key) in self.keys.iter().enumerate() {
            workload::write_value(workload.number(position), &mut expected);
            let found = self.contender.lookup(key, &mut buffer);
            assert!(
                found && buffer == expected[..],
                "{} lost or mixed up a session",
                C::NAME
            );
        }
    }

    /// Runs `lookups` lookups, each dependent on the one before; returns nanoseconds per lookup.
    pub(crate) fn chain(&self, workload: &Workload, from: usize, lookups: usize) -> f64 {
        let mut buffer = BytesMut::with_capacity(VALUE_LEN);
        if workload.sessions() <= WARMED {
            self.follow(workload.order(), 0, workload.sessions(), &mut buffer);
        }
        nanos_each(
            self.follow(workload.order(), from, lookups, &mut buffer),
            lookups,
        )
    }

    /// Runs the chain in `threads` threads at once, each with a separate part of the order.
    pub(crate) fn chains(&self, workload: &Workload, threads: usize, lookups: usize) -> f64 {
        let start = Barrier::new(threads);
        let part = workload.order().len() / threads;
        let work = |thread: usize| {
            start.wait();
            self.chain(workload, thread * part, lookups)
        };
        let each = thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || work(thread)))
                .collect();
            running
                .into_iter()
                .map(|handle| handle.join().unwrap_or(f64::NAN))
                .collect::<Vec<_>>()
        });
        each.iter().sum::<f64>() / threads as f64
    }

    #[inline(never)]
    fn follow(
        &self,
        order: &[u32],
        from: usize,
        lookups: usize,
        buffer: &mut BytesMut,
    ) -> Duration {
        let mut at = from % order.len();
        let mut found = 0;
        let start = Instant::now();
        for _ in 0..lookups {
            let key = &self.keys[order[at] as usize];
            found += usize::from(self.contender.lookup(key, buffer));
            // Zero, but known only from the value: the next lookup depends on it.
            at += 1 + workload::fold(buffer);
            if at >= order.len() {
                at = 0;
            }
        }
        let elapsed = start.elapsed();
        assert_eq!(found, lookups, "{} lost a session", C::NAME);
        elapsed
    }
}

/// Returns nanoseconds per operation.
pub(crate) fn nanos_each(elapsed: Duration, operations: usize) -> f64 {
    elapsed.as_nanos() as f64 / operations as f64
}

/// Up to this number of sessions, each round visits all of them once before its clock starts: the
/// contenders take turns, and each finds the caches filled by the others.
const WARMED: usize = 100_000;

/// Spare room: quick_cache has more parts the more cores there are, and one of them can be full
/// long before the others.
const SPARE: usize = 1_000;
