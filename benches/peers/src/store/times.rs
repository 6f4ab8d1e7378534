//! The times of several kinds of calls, and the table of their medians.
//!
//! It does not know what a kind is: its number is an index of the names and of the medians.

use std::{
    array,
    hint::black_box,
    time::{Duration, Instant},
};

use crate::report::{Table, VERDICT, figure};

/// The times of `N` kinds of calls, in ns.
pub(super) struct Times<const N: usize>([Vec<u64>; N]);

impl<const N: usize> Times<N> {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| Vec::new()))
    }

    /// Times a call.
    pub(super) fn add<T>(&mut self, kind: usize, call: impl FnOnce() -> T) {
        let began = Instant::now();
        black_box(call());
        self.0[kind].push(nanos(began.elapsed()));
    }

    /// Adds the time of one of several equal calls.
    pub(super) fn add_many(&mut self, kind: usize, call: impl Fn()) {
        let began = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        self.0[kind].push(nanos(began.elapsed() / CALLS));
    }

    /// Returns the table of the medians in µs. `verdict` compares that of a kind with the others.
    pub(super) fn table(
        mut self,
        names: &[&str; N],
        verdict: impl Fn(usize, &[f64; N]) -> String,
    ) -> Table {
        let medians = self.0.each_mut().map(|times| {
            times.sort_unstable();
            times[times.len() / 2] as f64 / 1e3
        });
        let mut table = Table::new(&["call", "median", VERDICT]);
        for (kind, name) in names.iter().enumerate() {
            let places = if medians[kind] < 10.0 { 3 } else { 1 };
            let median = figure(medians[kind], places);
            table.row([(*name).to_owned(), median, verdict(kind, &medians)]);
        }
        table
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The equal calls that are timed together: one is too short for the clock.
const CALLS: u32 = 64;
