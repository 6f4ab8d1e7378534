//! The application's admission hook, which runs before a session is created.

use std::time::Duration;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use crate::support::{HOUR, MINUTE, NEW, builder, create, create_many, data, idle, opens};
use sessile::{Error, ManualClock, SessionCache};

/// Creates a cache whose hook denies the keys that begin with `no`.
fn cache_with_hook() -> (SessionCache, Arc<Mutex<Vec<Vec<u8>>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let asked = Arc::clone(&asked);
        move |key: &[u8]| {
            asked.lock().unwrap().push(key.to_owned());
            !key.starts_with(b"no")
        }
    };
    (
        builder(&ManualClock::new())
            .admission(hook)
            .build()
            .unwrap(),
        asked,
    )
}

// OPS-1: docs/security-checklist.md
#[test]
fn a_denied_admission_is_counted_and_changes_nothing() {
    let (cache, asked) = cache_with_hook();
    let issued = create(&cache, b"let in");
    let mut before = cache.stats();
    for round in 1..=10 {
        let rejected = cache.create_with(b"not let in", NEW.admission_key(b"no: 203.0.113.9"));
        assert_eq!(rejected.err(), Some(Error::AdmissionDenied));
        before.admission_denied = round;
        assert_eq!(cache.stats(), before);
    }
    assert_eq!((cache.len(), asked.lock().unwrap().len()), (1, 11));
    assert!(cache.create_with(b"", NEW.admission_key(b"yes")).is_ok());
    assert!(opens(&cache, &issued.token));
    let text = Error::AdmissionDenied.to_string();
    assert!(
        text.contains("denied by the admission hook") && text.contains("`admission`"),
        "{text}"
    );
}

#[test]
fn the_hook_runs_once_first_and_with_the_given_key() {
    let (cache, asked) = cache_with_hook();
    let keys = [&b""[..], b"192.0.2.1", b"\0\xff\n", &[7; 1 << 20]];
    for key in keys {
        cache.create_with(b"", NEW.admission_key(key)).unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), keys);
    let too_large = vec![0; cache.max_session_size() + 1];
    let answer = |key| cache.create_with(&too_large, NEW.admission_key(key)).err();
    assert_eq!(
        answer(b"no"),
        Some(Error::AdmissionDenied),
        "the hook runs before anything else"
    );
    assert!(matches!(answer(b"yes"), Some(Error::TooLarge { .. })));
}

#[test]
fn no_other_verb_runs_the_hook() {
    let (cache, asked) = cache_with_hook();
    let issued = create(&cache, b"data");
    let version = cache.save(&issued.id, issued.version, b"more").unwrap();
    let issued = cache.rotate(&issued.id, Duration::ZERO).unwrap();
    let issued = cache.sign_in(&issued.id, "ada").unwrap();
    cache.touch(&issued.id).unwrap();
    assert!(issued.version == version && opens(&cache, &issued.token) && cache.end(&issued.id));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_denied_admission_draws_no_random_bytes() {
    static DRAWN: AtomicUsize = AtomicUsize::new(0);
    fn counted(bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(DRAWN.fetch_add(1, SeqCst) as u8);
        Ok(())
    }
    let settings = builder(&ManualClock::new()).entropy(counted);
    let cache = settings.admission(|key| !key.is_empty()).build().unwrap();
    let before = DRAWN.load(SeqCst);
    assert_eq!(cache.create(b"").err(), Some(Error::AdmissionDenied));
    assert_eq!(DRAWN.load(SeqCst), before);
    assert!(cache.create_with(b"", NEW.admission_key(b"yes")).is_ok());
    assert!(DRAWN.load(SeqCst) > before);
}

#[test]
fn the_hook_can_use_the_cache_because_no_lock_is_held() {
    let cell: Arc<OnceLock<SessionCache>> = Arc::default();
    let inner = Arc::clone(&cell);
    let cache = builder(&ManualClock::new())
        .admission(move |_| {
            let cache = inner.get().unwrap();
            cache.maintain(100);
            cache.stats().sessions.probation < 10
        })
        .build()
        .unwrap();
    cell.set(cache.clone()).unwrap();
    create_many(&cache, 10, b"");
    assert_eq!(cache.create(b"").err(), Some(Error::AdmissionDenied));
}

// OPS-1: docs/security-checklist.md
#[test]
fn a_limit_for_each_address_holds_under_threads() {
    const MOST: usize = 100;
    let issued: Mutex<HashMap<Vec<u8>, usize>> = Mutex::default();
    let cache = builder(&ManualClock::new())
        .shards(4)
        .admission(move |address| {
            let mut issued = issued.lock().unwrap();
            let number = issued.entry(address.to_owned()).or_default();
            *number += 1;
            *number <= MOST
        })
        .build()
        .unwrap();
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..200 {
                    let _ = cache.create_with(b"", NEW.admission_key(&[thread / 2]));
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.created, stats.admission_denied), (200, 600));
    cache.validate();
}

#[test]
fn a_hook_that_panics_leaves_the_cache_as_it_was() {
    let cache = builder(&ManualClock::new())
        .admission(|key| {
            if key.is_empty() {
                true
            } else {
                panic!("a panic inside the hook")
            }
        })
        .build()
        .unwrap();
    let issued = create(&cache, b"data");
    let before = cache.stats();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.create_with(b"", NEW.admission_key(b"bad"))
    }));
    assert!(panicked.is_err());
    assert_eq!(cache.stats(), before);
    assert_eq!(data(&cache, &issued.id).unwrap(), b"data");
    assert!(cache.create(b"").is_ok());
}

#[test]
fn clones_of_a_builder_share_the_hook_and_the_last_one_set_runs() {
    let asked = Arc::new(AtomicUsize::new(0));
    let hook = {
        let asked = Arc::clone(&asked);
        move |_: &[u8]| asked.fetch_add(1, SeqCst) < 1
    };
    let settings = builder(&ManualClock::new())
        .admission(|_| panic!("never asked"))
        .admission(hook);
    let [first, second] = [(); 2].map(|()| settings.clone().build().unwrap());
    assert!(first.create(b"").is_ok());
    assert_eq!(second.create(b"").err(), Some(Error::AdmissionDenied));
    assert_eq!(asked.load(SeqCst), 2);
}

#[test]
fn setters_of_create_options_keep_earlier_settings() {
    let new = NEW
        .admission_key(b"a")
        .timeouts(idle(MINUTE))
        .admission_key(b"b");
    assert_eq!(new, NEW.timeouts(idle(MINUTE)).admission_key(b"b"));
    let clock = ManualClock::new();
    let cache = builder(&clock).build().unwrap();
    let issued = cache.create_with(b"", new).unwrap();
    assert!(opens(&cache, &issued.token));
    clock.advance(MINUTE);
    assert!(!opens(&cache, &issued.token));
    assert!(cache.create_with(b"", NEW.timeouts(idle(HOUR))).is_ok());
}
