//! Application code that runs while a session is stored may read that session.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use sessile::{Error, ManualClock};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Session, SessionError, SessionManager};
use support::{Visitor, builder, cache};
use tracing::{Event, Metadata, Subscriber, span};

/// Fails if `act` does not return within a time limit.
fn within_limit(act: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        act();
        done.send(()).unwrap();
    });
    let answer = is_done.recv_timeout(Duration::from_secs(20));
    assert_ne!(answer, Err(mpsc::RecvTimeoutError::Timeout), "it hangs");
    thread.join().unwrap();
}

/// The session that application code reads, and the result.
#[derive(Clone, Default)]
struct Looker {
    session: Arc<Mutex<Option<Session>>>,
    seen: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Looker {
    fn of(session: &Session) -> Self {
        let looker = Self::default();
        looker.hold(session);
        looker
    }

    fn hold(&self, session: &Session) {
        *self.session.lock().unwrap() = Some(session.clone());
    }

    fn look(&self) {
        let session = self.session.lock().unwrap().clone();
        let Some(session) = session else { return };
        let _ = (
            session.user(),
            session.is_authenticated(),
            ready(session.user_sessions()).unwrap(),
        );
        let _ = (
            session.check_csrf("made up"),
            session.has_work(),
            session.is_stored(),
        );
        let keys = session.keys();
        self.seen.lock().unwrap().push(keys);
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }
}

impl Subscriber for Looker {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.look();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_subscriber_looks_at_the_session_whose_store_is_logged() {
    within_limit(|| {
        let clock = ManualClock::new();
        let cache = builder()
            .clock(clock.clone())
            .max_session_size(1 << 10)
            .build()
            .unwrap();
        let sessions = SessionManager::builder(cache)
            .rotate_every(Duration::from_secs(60))
            .build()
            .unwrap();
        let mut browser = Visitor::new(&sessions);
        browser.visit(|session| session.insert("a", 1).unwrap());
        let stores: [fn(&Session); 4] = [
            // The id is rotated.
            |session| {
                session.rotate().unwrap();
                ready(session.save()).unwrap();
            },
            // The rotation by age is due at commit.
            |session| assert!(session.contains_key("a")),
            |session| {
                session.rotate().unwrap();
                session.csrf_token().unwrap();
            },
            // The session cannot be stored, which logs a warning.
            |session| {
                for key in ["b", "c"] {
                    session.insert(key, "x".repeat(600)).unwrap();
                }
            },
        ];
        for store in stores {
            clock.advance(Duration::from_secs(60));
            let session = browser.begin();
            let looker = Looker::of(&session);
            tracing::subscriber::with_default(looker.clone(), || {
                store(&session);
                browser.finish(&session, StatusCode::OK);
            });
            assert!(!looker.seen().is_empty());
        }
        // Another request saved first.
        let [one, two] = [browser.begin(), browser.begin()];
        assert!(one.contains_key("a") && two.contains_key("a"));
        one.insert("one", 1).unwrap();
        two.insert("two", 2).unwrap();
        browser.finish(&one, StatusCode::OK);
        let looker = Looker::of(&two);
        tracing::subscriber::with_default(looker.clone(), || ready(two.save()).unwrap());
        assert_eq!(looker.seen(), [["a", "one", "two"]]);
    });
}

#[test]
fn the_admission_hook_looks_at_the_session_that_is_to_be_created() {
    within_limit(|| {
        let stores: [fn(&Session); 4] = [
            |session| drop(session.csrf_token().unwrap()),
            |session| ready(session.save()).unwrap(),
            |session| {
                drop(ready(SessionManager::commit(
                    session,
                    StatusCode::OK,
                    &mut HeaderMap::new(),
                )));
            },
            |session| {
                session.sign_in("ada").unwrap();
                ready(session.save()).unwrap();
            },
        ];
        for store in stores {
            let looker = Looker::default();
            let cache = builder();
            let cache = cache.admission({
                let looker = looker.clone();
                move |_| {
                    looker.look();
                    true
                }
            });
            let cache = cache.build().unwrap();
            let session = Visitor::of(&cache).begin();
            looker.hold(&session);
            session.insert("cart", "tea").unwrap();
            store(&session);
            assert_eq!(
                looker.seen(),
                [["cart"]],
                "it is called once and sees the pending changes"
            );
            assert_eq!(cache.len(), 1);
        }
    });
}

#[test]
fn the_admission_hook_may_change_the_session_that_is_to_be_created() {
    within_limit(|| {
        let looker = Looker::default();
        let hook = {
            let looker = looker.clone();
            move |_: &[u8]| {
                let session = looker.session.lock().unwrap().clone().unwrap();
                session.insert("from", "the hook").unwrap();
                true
            }
        };
        let cache = builder().admission(hook).build().unwrap();
        let mut browser = Visitor::of(&cache);
        let session = browser.begin();
        looker.hold(&session);
        session.insert("cart", "tea").unwrap();
        ready(session.save()).unwrap();
        browser.finish(&session, StatusCode::OK);
        assert_eq!(browser.begin().keys(), ["cart", "from"]);
    });
}

#[test]
fn the_admission_hook_is_asked_once_for_each_session() {
    let asked = Arc::new(AtomicU32::new(0));
    let hook = {
        let asked = asked.clone();
        move |_: &[u8]| !asked.fetch_add(1, Relaxed).is_multiple_of(2)
    };
    let cache = builder().admission(hook).build().unwrap();
    let session = Visitor::of(&cache).begin();
    for (at, is_admitted) in [false, true, false, true].into_iter().enumerate() {
        session.insert("a", at).unwrap();
        let saved = ready(session.save());
        assert_eq!(saved.is_ok(), is_admitted);
        if let Err(error) = saved {
            assert!(
                matches!(error, SessionError::Store(error) if error.cause() == Error::AdmissionDenied)
            );
            assert!(session.keys().is_empty(), "its data is forgotten");
        } else {
            ready(session.sign_out()).unwrap();
        }
        assert_eq!(asked.load(Relaxed) as usize, at + 1);
    }
    assert_eq!(cache.stats().admission_denied, 2);
}

#[test]
fn changes_that_an_adapter_hands_over_may_look_at_the_session() {
    within_limit(|| {
        let session = Visitor::of(&cache()).begin();
        let names = ["a", "b"];
        let changes = names.iter().map(|&name| {
            assert!(!session.contains_key(name));
            (name, Some(bytes::Bytes::from("1")))
        });
        session.change_json(changes).unwrap();
        assert_eq!(session.keys(), names);
    });
}
