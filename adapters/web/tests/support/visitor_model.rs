//! A naive model of one visitor: several tabs, whose requests overlap, and a browser that keeps the
//! last cookie.
//!
//! It predicts each response, and the session after it, from the session that the request's cookie
//! opened before. It models aliases, emptied sessions, lifetimes that restart, and sessions that a
//! request creates in place of one that ended.
//!
//! Ids are compared by their cookies. Times are in whole seconds.

#![allow(clippy::unwrap_used)]

use std::{cell::Cell, collections::BTreeMap, collections::HashMap, rc::Rc, time::Duration};

use http::StatusCode;
use sessile::ManualClock;
use sessile_web::adapter::ready;
use sessile_web::{CommitError, Session, SessionManager, SignIn};

use crate::support::builder;
use predicted::{Predicted, changes_user};

#[path = "model_browser.rs"]
mod browser;
#[path = "predicted.rs"]
mod predicted;

pub(crate) const DAY: u64 = 24 * 60 * 60;
const LIFETIME: u64 = 10 * DAY;
const REMEMBERED: u64 = 7 * DAY;
const WINDOW: u64 = 60;
/// The end of a lifetime that the model does not predict.
const UNKNOWN: u64 = u64::MAX;
const TABS: usize = 3;
const USERS: [&str; 2] = ["ada", "bob"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Set(usize, i64),
    Remove(usize),
    Take(usize),
    Clear,
    Add,
    Watch(usize),
    SignIn(usize, bool),
    Rotate,
    Persistent,
    Remember,
    SignOut,
    Save,
    Form,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Begin { tab: usize, reads: bool },
    Act(usize, Act),
    Finish(usize),
    Fail(usize),
    Drop(usize),
    Advance(u64),
}

type Data = BTreeMap<String, i64>;

/// The third key is an identity key.
const KEYS: [&str; 3] = ["a", "b", "user_id"];

#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    user: Option<String>,
    data: Data,
}

/// The start and the end of a session's lifetime.
type Life = Rc<Cell<(u64, u64)>>;

/// One request.
struct Tab {
    session: Session,
    /// The cookie of the request; `None` after a sign-out.
    cookie: Option<String>,
    /// The session that it read; `None` before the read, `Some(None)` if there was no session.
    base: Option<Option<View>>,
    acts: Vec<Act>,
    watches: Vec<(usize, Option<i64>)>,
    /// It stored changes while it ran, so only its sign-in is checked.
    is_opaque: bool,
    sign_outs: u32,
    begun: u64,
}

pub(crate) struct World {
    sessions: SessionManager,
    clock: ManualClock,
    now: u64,
    tabs: [Option<Tab>; TABS],
    jar: Option<String>,
    lives: HashMap<String, Life>,
    /// The user whom the browser's cookie signs in, if that is certain.
    expected: Option<String>,
    sign_outs: u32,
    /// An empty session without a user may be kept for its forms, or after a rotation by age.
    has_forms: bool,
}

impl World {
    pub(crate) fn new(rotates: bool, grace: Option<u64>) -> Self {
        let clock = ManualClock::new();
        let lifetime = Duration::from_secs(LIFETIME);
        let settings = builder()
            .clock(clock.clone())
            .idle_timeout(lifetime)
            .lifetime(lifetime);
        let mut sessions = SessionManager::builder(settings.build().unwrap())
            .identity_keys([KEYS[2]])
            .build()
            .unwrap();
        if rotates {
            sessions = sessions
                .to_builder()
                .rotate_every(Duration::from_secs(60 * 60))
                .build()
                .unwrap();
        }
        if let Some(grace) = grace {
            sessions = sessions
                .to_builder()
                .grace(Duration::from_secs(grace))
                .build()
                .unwrap();
        }
        let (tabs, lives) = ([const { None }; TABS], HashMap::new());
        Self {
            sessions,
            clock,
            now: 0,
            tabs,
            jar: None,
            lives,
            expected: None,
            sign_outs: 0,
            has_forms: rotates,
        }
    }

    pub(crate) fn step(&mut self, op: Op) {
        match op {
            Op::Begin { tab, reads } => self.begin(tab, reads),
            Op::Act(tab, act) => self.act(tab, act),
            Op::Finish(tab) => self.finish(tab),
            Op::Fail(tab) => self.fail(tab),
            Op::Drop(tab) => {
                if self.tabs[tab].take().is_some_and(|tab| tab.is_opaque) {
                    self.expected = None;
                }
            }
            Op::Advance(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                self.now += seconds;
                let life = self.jar.as_ref().map(|cookie| self.lives[cookie].get());
                if life.is_some_and(|(_, end)| end == UNKNOWN) {
                    self.expected = None;
                }
            }
        }
        self.check_browser();
    }

    /// Checks that a user remains signed in until they sign out or the session's lifetime is over.
    fn check_browser(&mut self) {
        let Some(cookie) = &self.jar else { return };
        let seen = self.view(Some(cookie));
        let (_, end) = self.lives[cookie].get();
        if self.now >= end {
            assert_eq!(seen, None, "the lifetime is over");
            self.expected = None;
        }
        if let Some(user) = &self.expected {
            assert_eq!(
                seen.and_then(|view| view.user).as_ref(),
                Some(user),
                "the signed-in user"
            );
        }
    }

    fn begin(&mut self, at: usize, reads: bool) {
        if self.tabs[at].is_some() {
            return;
        }
        let session = self.request(self.jar.as_deref());
        let mut tab = Tab {
            session,
            cookie: self.jar.clone(),
            base: None,
            acts: Vec::new(),
            watches: Vec::new(),
            is_opaque: false,
            sign_outs: self.sign_outs,
            begun: self.now,
        };
        if reads {
            self.read(&mut tab);
        }
        self.tabs[at] = Some(tab);
    }

    fn read(&self, tab: &mut Tab) {
        if tab.base.is_none() {
            tab.base = Some(self.view(tab.cookie.as_deref()));
        }
        let _ = tab.session.keys();
    }

    fn act(&mut self, at: usize, act: Act) {
        let Some(mut tab) = self.tabs[at].take() else {
            return;
        };
        self.read(&mut tab);
        match act {
            Act::SignOut => self.sign_out(&mut tab),
            // Taking a missing key is not a change.
            Act::Take(key) if !tab.session.contains_key(KEYS[key]) => {}
            _ => {
                self.apply(&mut tab, act);
                tab.acts.push(act);
            }
        }
        self.tabs[at] = Some(tab);
    }

    fn sign_out(&mut self, tab: &mut Tab) {
        ready(tab.session.sign_out()).unwrap();
        (tab.cookie, tab.base, self.expected) = (None, Some(None), None);
        (tab.acts, tab.watches) = (Vec::new(), Vec::new());
        self.sign_outs += 1;
        tab.sign_outs = self.sign_outs;
    }

    fn apply(&mut self, tab: &mut Tab, act: Act) {
        let session = &tab.session;
        match act {
            Act::Set(key, value) => session.insert(KEYS[key], value).unwrap(),
            Act::Remove(key) => session.remove(KEYS[key]).unwrap(),
            Act::Take(key) => drop(session.take::<i64>(KEYS[key]).unwrap()),
            Act::Clear => session.clear().unwrap(),
            Act::Add => drop(session.increment("n", 1).unwrap()),
            Act::Watch(key) => {
                session.watch(KEYS[key]).unwrap();
                let stored = tab.base.as_ref().and_then(|base| base.as_ref());
                tab.watches.push((
                    key,
                    stored.and_then(|view| view.data.get(KEYS[key]).copied()),
                ));
            }
            Act::SignIn(user, is_remembered) => {
                let sign_in = SignIn::of(USERS[user]);
                let span = Duration::from_secs(REMEMBERED);
                let sign_in = if is_remembered {
                    sign_in.remember(span)
                } else {
                    sign_in
                };
                session.sign_in(sign_in).unwrap();
            }
            Act::Rotate => session.rotate().unwrap(),
            Act::Persistent => session.make_persistent().unwrap(),
            Act::Remember => session.remember(Duration::from_secs(REMEMBERED)).unwrap(),
            Act::SignOut => {}
            Act::Save => {
                let _ = ready(session.save());
                // The browser has not received the new cookie yet.
                (tab.is_opaque, self.expected) = (true, None);
            }
            Act::Form => {
                let _ = session.csrf_token();
                (tab.is_opaque, self.has_forms, self.expected) = (true, true, None);
            }
        }
    }

    /// Finishes a request with an error status, which stores only a sign-out.
    fn fail(&mut self, at: usize) {
        let Some(tab) = self.tabs[at].take() else {
            return;
        };
        let before = self.view(tab.cookie.as_deref());
        let (result, set) = self.commit(&tab, StatusCode::BAD_GATEWAY);
        let own = |view: &View| tab.own(&view.data);
        let names = |data: &Data| data.contains_key(KEYS[2]);
        let removes = before
            .as_ref()
            .is_some_and(|view| names(&view.data) && !names(&own(view)));
        if tab.is_opaque || removes || set.is_some() {
            self.expected = None;
            self.deliver(set, None);
            return;
        }
        assert!(
            result.is_ok()
                || tab
                    .acts
                    .iter()
                    .any(|act| matches!(act, Act::Remove(2) | Act::Clear | Act::Take(2)))
        );
        assert_eq!(self.view(tab.cookie.as_deref()), before, "{:?}", tab.acts);
    }

    fn finish(&mut self, at: usize) {
        let Some(mut tab) = self.tabs[at].take() else {
            return;
        };
        self.read(&mut tab);
        let before = self.view(tab.cookie.as_deref());
        let age = tab
            .cookie
            .as_deref()
            .and_then(|cookie| self.replaced(cookie));
        let predicted = self.predict(&tab, before.as_ref(), age);
        let (result, set) = self.commit(&tab, StatusCode::OK);
        if tab.is_opaque {
            self.finish_opaque(&tab, &result, set);
            return;
        }
        let life = self.life_after(&tab, before.as_ref(), age);
        let error = result.as_ref().err().map(CommitError::status);
        let trace = format!(
            "{:?}, read {:?}, opened {before:?}, replaced {age:?}",
            tab.acts, tab.base
        );
        match predicted {
            Predicted::Conflict => {
                assert_eq!(error, Some(StatusCode::CONFLICT), "{trace}");
                assert_eq!(
                    (set, self.view(tab.cookie.as_deref())),
                    (None, before),
                    "{trace}"
                );
            }
            Predicted::Nothing => {
                assert_eq!((error, set), (None, None), "{trace}");
            }
            Predicted::NoCookie => {
                assert!(
                    error.is_none_or(|status| status == StatusCode::CONFLICT),
                    "{trace}"
                );
                assert_eq!(set, None, "{trace}");
            }
            Predicted::Session(view) => {
                assert_eq!(error, None, "{trace}");
                self.check_session(&tab, before.as_ref(), view.as_ref(), set.as_ref(), &trace);
                self.receive(&tab, before.is_some(), view, set, life);
            }
        }
    }

    /// Checks the session that the response's cookie opens, or the request's if it sets none.
    fn check_session(
        &self,
        tab: &Tab,
        before: Option<&View>,
        predicted: Option<&View>,
        set: Option<&Option<String>>,
        trace: &str,
    ) {
        let signs_in = tab.user().is_some();
        let seen = self.view(set.unwrap_or(&tab.cookie).as_deref());
        let is_vacant = |view: &View| view.user.is_none() && view.data.is_empty();
        let is_for_form = self.has_forms && predicted.is_none();
        // A request without a net change keeps the changes of concurrent requests.
        let read = tab.base.as_ref().and_then(|base| base.as_ref());
        let is_idle = !signs_in && read.is_some_and(|read| tab.own(&read.data) == read.data);
        let is_as_before = is_idle && seen.as_ref() == before;
        if !(is_as_before || is_for_form && seen.as_ref().is_some_and(is_vacant)) {
            assert_eq!(seen.as_ref(), predicted, "{trace}");
        }
        if before.is_some() && !is_as_before && (signs_in || tab.renames(before)) {
            let old = self.view(tab.cookie.as_deref());
            assert!(
                set.is_some() && old.is_none(),
                "the old cookie is rejected: {trace}"
            );
        }
    }

    /// Delivers the response to the browser, and updates the expected user.
    fn receive(
        &mut self,
        tab: &Tab,
        was_open: bool,
        view: Option<View>,
        set: Option<Option<String>>,
        life: Life,
    ) {
        let (is_new, is_of_browser) = (set.is_some(), self.is_of_browser(tab));
        let user = view.and_then(|view| view.user);
        if is_new {
            self.deliver(set, Some(life));
        } else if let Some(cookie) = &tab.cookie {
            self.lives[cookie].set(life.get());
        }
        if tab.user().is_some() {
            assert!(user.is_some(), "{:?}", tab.acts);
            self.expected = user;
        } else if is_new && !(is_of_browser && was_open) {
            // The request is unrelated to the session that the browser has now.
            self.expected = None;
        } else if is_new {
            self.expected = self.expected.take().and(user);
        }
    }

    /// Checks only the sign-in of a request that stored changes while it ran.
    fn finish_opaque(
        &mut self,
        tab: &Tab,
        result: &Result<(), CommitError>,
        set: Option<Option<String>>,
    ) {
        self.expected = None;
        let is_new = set.is_some();
        self.deliver(set, None);
        let is_live = self.now - tab.begun < REMEMBERED;
        let is_certain = is_new && is_live && tab.sign_outs == self.sign_outs;
        if let (Ok(()), Some(user), true) = (result, tab.user(), is_certain) {
            let seen = self.view(self.jar.as_deref()).and_then(|view| view.user);
            assert_eq!(seen.as_deref(), Some(user), "{:?}", tab.acts);
        }
    }

    fn predict(&self, tab: &Tab, before: Option<&View>, age: Option<u64>) -> Predicted {
        let nothing = Data::new();
        let base = tab.base.as_ref().and_then(|base| base.as_ref());
        match (before, base) {
            (Some(before), _) => tab.predict_open(before, age.is_some()),
            (None, Some(base)) if age.is_some() => tab.predict_replaced(base),
            (None, Some(base)) => tab.predict_ended(base),
            (None, None) => {
                let is_replaced = age.is_some_and(|age| age < WINDOW);
                let own = tab.own(&nothing);
                let signs_in = tab.user().is_some() || changes_user(&nothing, &own);
                if is_replaced && !signs_in {
                    let changes = tab.acts.iter().any(Act::is_of_data);
                    return if changes {
                        Predicted::Conflict
                    } else {
                        Predicted::Nothing
                    };
                }
                tab.new_session(own)
            }
        }
    }
}
