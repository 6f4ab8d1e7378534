//! Termination is permanent: one thread ends a session while others read it, save it and rotate its
//! id.
//!
//! One million races, one after another. The threads start at the same moment; the end is delayed
//! by a varying time, so that it coincides with each step of the others.

use std::time::Duration;

use std::{
    hint,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use crate::barrier::Barrier;
use crate::support::{HOUR, builder, create};
use bytes::BytesMut;
use sessile::{Error, IssuedSession, ManualClock, SessionCache, Version};

/// A session and the synchronization of its race.
struct Race {
    first: IssuedSession,
    barrier: Barrier,
    /// Set when `end` has returned.
    is_ended: AtomicBool,
}

/// One step of another thread.
#[derive(Clone, Copy)]
enum Step {
    Load,
    Save,
    Touch,
    Rotate,
    SignIn,
}

/// In each script, every id and version is the last one seen.
const SCRIPTS: [&[Step]; 5] = [
    &[Step::Load, Step::Save],
    &[Step::Rotate, Step::Save, Step::Load],
    &[Step::Load, Step::Save, Step::Rotate, Step::Save],
    &[Step::Load, Step::SignIn, Step::Touch],
    &[Step::Save, Step::Rotate, Step::SignIn, Step::Save],
];

// LIFE-3: docs/security-checklist.md
#[test]
fn no_session_ended_while_in_use_comes_back() {
    // Three threads seldom run on three cores.
    let met = race(980_000, 1) + race(20_000, 2);
    assert!(met > 0 || thread::available_parallelism().is_ok_and(|cores| cores.get() == 1));
}

/// Races a thread that ends a session with `others` threads that use it. Returns the number of
/// sessions that were in use when they ended.
fn race(races: usize, others: usize) -> usize {
    let clock = ManualClock::new();
    let settings = builder(&clock)
        .memory(16 << 20)
        .shards(4)
        .max_sessions_per_user(None);
    let cache = settings.build().unwrap();
    let mut met = 0;
    for _ in 0..races / BATCH {
        let batch: Vec<Race> = (0..BATCH).map(|_| Race::new(&cache)).collect();
        let (cache, batch) = (&cache, &batch);
        let (issued, cut): (Vec<_>, Vec<_>) = thread::scope(|scope| {
            let spawn = |other| scope.spawn(move || use_sessions(cache, batch, other, others + 1));
            let threads: Vec<_> = (0..others).map(spawn).collect();
            end(cache, batch, others + 1);
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .unzip()
        });
        met += cut.iter().sum::<usize>();
        assert!(cache.is_empty(), "no id opens a session");
        let mut buffer = BytesMut::new();
        let ids = issued
            .iter()
            .flatten()
            .chain(batch.iter().map(|race| &race.first));
        ids.for_each(|issued| assert!(cache.load(&issued.id, &mut buffer).is_none()));
        clock.advance(HOUR);
        cache.maintain(usize::MAX);
    }
    println!("{met} of {races} ended while another thread used them");
    cache.validate();
    met
}

impl Race {
    fn new(cache: &SessionCache) -> Self {
        let first = create(cache, b"the data");
        Self {
            first,
            barrier: Barrier::default(),
            is_ended: AtomicBool::new(false),
        }
    }
}

/// Ends every session of a batch by its first id.
fn end(cache: &SessionCache, batch: &[Race], threads: usize) {
    for (number, race) in batch.iter().enumerate() {
        race.barrier.wait_briefly_for(threads);
        (0..number % MAX_DELAY).for_each(|_| hint::spin_loop());
        assert!(cache.end(&race.first.id), "the session existed until now");
        race.is_ended.store(true, SeqCst);
    }
}

/// Uses every session of a batch. Returns the issued ids and the number of scripts that were
/// interrupted.
fn use_sessions(
    cache: &SessionCache,
    batch: &[Race],
    other: usize,
    threads: usize,
) -> (Vec<IssuedSession>, usize) {
    let (mut issued, mut cut) = (Vec::new(), 0);
    let mut buffer = BytesMut::with_capacity(64);
    for (number, race) in batch.iter().enumerate() {
        let script = SCRIPTS[(number / MAX_DELAY + other) % SCRIPTS.len()];
        race.barrier.wait_briefly_for(threads);
        let mut now = race.first;
        let steps = script.iter();
        let done = steps
            .take_while(|step| race.step(cache, **step, &mut now, &mut buffer))
            .count();
        cut += usize::from(done > 0 && done < script.len());
        if now.id != race.first.id {
            issued.push(now);
        }
    }
    (issued, cut)
}

impl Race {
    /// Runs one step and returns true if it succeeded. Once one verb fails, all verbs must fail.
    fn step(
        &self,
        cache: &SessionCache,
        step: Step,
        now: &mut IssuedSession,
        buffer: &mut BytesMut,
    ) -> bool {
        let was_over = self.is_ended.load(SeqCst);
        let id = now.id;
        let answer = match step {
            Step::Load => cache
                .load(&id, buffer)
                .ok_or(Error::Gone)
                .map(|record| record.version),
            Step::Save => cache.save(&id, now.version, b"more of the data"),
            Step::Touch => cache.touch(&id).map(|()| now.version),
            Step::Rotate => cache
                .rotate(&id, Duration::ZERO)
                .map(|issued| renew(now, issued)),
            Step::SignIn => cache.sign_in(&id, "alice").map(|issued| renew(now, issued)),
        };
        match answer {
            Ok(version) => now.version = version,
            Err(error) => assert!(matches!(error, Error::Gone | Error::Conflict), "{error}"),
        }
        assert!(
            !was_over || answer == Err(Error::Gone),
            "no verb finds the session after its end"
        );
        answer != Err(Error::Gone)
    }
}

fn renew(now: &mut IssuedSession, issued: IssuedSession) -> Version {
    *now = issued;
    issued.version
}

/// Sessions that are created before their races.
const BATCH: usize = 4_000;
/// Maximum delay of the end, in turns of a wait.
const MAX_DELAY: usize = 40;
