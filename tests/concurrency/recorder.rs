//! Records histories: several threads call a cache's verbs concurrently, round by round, and record
//! each call, its times and its answer.
//!
//! A round is one history with its own sessions and users. Its threads start together at a barrier
//! that spins. They share issued ids through cells that are written once, so that no lock of the
//! recorder orders the calls.

use std::time::Duration;

use std::{
    iter,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bytes::BytesMut;
use sessile::{
    Error, IssuedSession, Record, SessionCache, UserHash, Version, internals::cookie::Parts,
};

use super::{
    barrier::Barrier,
    history::{Answer, Call, IDS, Id, User, Verb},
    support::{Random, SECOND, create, sign_in},
};

/// Records the calls of several threads on one cache.
pub(crate) struct Recorder<'c> {
    pub(crate) cache: &'c SessionCache,
    /// Calls of one thread in a round.
    pub(crate) calls: usize,
    pub(crate) threads: usize,
}

/// State shared by the threads of a round.
struct Round {
    barrier: Barrier,
    issued: AtomicUsize,
    places: [OnceLock<Ticket>; IDS],
    users: [TestUser; 2],
    scope: Scope,
}

/// An issued id, and the user who was signed in, if any.
#[derive(Clone, Copy)]
struct Ticket {
    issued: IssuedSession,
    user: Option<User>,
}

/// A user, and the shard of the user's sessions.
struct TestUser {
    text: String,
    hash: UserHash,
    place: u16,
}

/// The scope of a round's verbs. Verbs about more than one session make the parts of a history
/// larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Sessions,
    Users,
    All,
}

/// A thread in a round.
struct Worker<'r> {
    cache: &'r SessionCache,
    round: &'r Round,
    stamps: &'r AtomicU64,
    random: &'r mut Random,
    buffer: BytesMut,
    /// The version last seen under each id.
    versions: [u32; IDS],
    /// The next value to write; values are unique within the round.
    value: u32,
    calls: Vec<Call>,
}

impl Recorder<'_> {
    /// Records `rounds` histories.
    pub(crate) fn record(&self, rounds: usize, seed: &mut Random) -> Vec<Vec<Call>> {
        let rounds: Vec<Round> = (0..rounds)
            .map(|number| Round::new(self.cache, number))
            .collect();
        let stamps = AtomicU64::new(0);
        let work = |thread: usize, mut random: Random| -> Vec<Vec<Call>> {
            let calls = |round| self.work(thread, round, &stamps, &mut random);
            rounds.iter().map(calls).collect()
        };
        let work = &work;
        let recorded: Vec<Vec<Vec<Call>>> = thread::scope(|scope| {
            let spawn = |thread| {
                let random = seed.fork();
                scope.spawn(move || work(thread, random))
            };
            let threads: Vec<_> = (0..self.threads).map(spawn).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no thread panicked"))
                .collect()
        });
        rounds.iter().for_each(|round| round.clear(self.cache));
        let mut recorded: Vec<_> = recorded.into_iter().map(Vec::into_iter).collect();
        iter::from_fn(|| {
            recorded
                .iter_mut()
                .map(Iterator::next)
                .collect::<Option<Vec<_>>>()
        })
        .map(|threads| threads.concat())
        .collect()
    }

    fn work(
        &self,
        thread: usize,
        round: &Round,
        stamps: &AtomicU64,
        random: &mut Random,
    ) -> Vec<Call> {
        let mut worker = Worker {
            cache: self.cache,
            round,
            stamps,
            random,
            buffer: BytesMut::with_capacity(512),
            versions: [0; IDS],
            value: (thread * 1_000) as u32,
            calls: Vec::with_capacity(self.calls + 1),
        };
        round.barrier.wait_for(self.threads);
        // Two threads begin with a session each, so that most calls are about one of the two.
        if thread < 2 {
            worker.call(0);
        }
        (0..self.calls).for_each(|_| worker.step());
        worker.calls
    }
}

impl Round {
    fn new(cache: &SessionCache, number: usize) -> Self {
        let alice = TestUser::new(cache, format!("alice {number}"));
        // In one shard, a session's family also has ids from before another user's sign-in, which
        // the model does not accept as exceptions.
        let mut bobs = (0..).map(|bob| TestUser::new(cache, format!("bob {bob} of {number}")));
        let bob = bobs
            .find(|bob| bob.place != alice.place)
            .expect("there are several shards");
        Self {
            barrier: Barrier::default(),
            issued: AtomicUsize::new(0),
            places: std::array::from_fn(|_| OnceLock::new()),
            users: [alice, bob],
            scope: [Scope::Sessions, Scope::Users, Scope::All][number % 3],
        }
    }

    /// Publishes an id and returns its number.
    fn publish(&self, issued: IssuedSession, user: Option<User>) -> Id {
        let number = self.issued.fetch_add(1, SeqCst);
        let is_first = self.places[number].set(Ticket { issued, user }).is_ok();
        assert!(is_first, "a number is used once");
        number as Id
    }

    /// Returns true while enough numbers are left: verbs that may issue an id stop early enough.
    fn is_rich(&self) -> bool {
        self.issued.load(SeqCst) < IDS - 8
    }

    /// Ends the remaining sessions, so that their memory is free for other rounds.
    fn clear(&self, cache: &SessionCache) {
        self.places
            .iter()
            .filter_map(OnceLock::get)
            .for_each(|ticket| {
                cache.end(&ticket.issued.id);
            });
    }
}

impl TestUser {
    fn new(cache: &SessionCache, text: String) -> Self {
        let created = sign_in(cache, &create(cache, b"").id, &text);
        let record = cache
            .load(&created.id, &mut BytesMut::new())
            .expect("the session was just created");
        let token =
            Parts::parse(created.token.as_str().as_bytes()).expect("the token was just issued");
        assert!(cache.end(&created.id));
        Self {
            text,
            hash: record.user.expect("the session is authenticated"),
            place: token.place,
        }
    }
}

impl Worker<'_> {
    fn step(&mut self) {
        let kind = self.random.below(100);
        self.call(if self.round.is_rich() {
            kind
        } else {
            kind.max(FIRST_WITHOUT_AN_ID)
        });
    }

    fn call(&mut self, kind: usize) {
        let Some((number, Ticket { issued, user })) = self.pick().filter(|_| kind >= CREATES)
        else {
            return self.create();
        };
        let version = self.versions[usize::from(number)].max(issued.version.get());
        let scope = self.round.scope;
        match kind {
            ..11 => self.rotate(number, &issued, user),
            11..FIRST_WITHOUT_AN_ID => self.sign_in(number, &issued),
            FIRST_WITHOUT_AN_ID..20 => self.end(number, &issued),
            20..23 => self.end_if_unchanged(number, &issued, version),
            23 if scope == Scope::All => self.end_all(),
            24 if scope >= Scope::Users => self.end_user_sessions(),
            25..28 if scope >= Scope::Users => self.user_sessions(),
            23..28 => self.touch(number, &issued),
            28..60 => self.save(number, &issued, version),
            _ => self.load(number, &issued, kind.is_multiple_of(2)),
        }
    }

    /// Returns one of the ids issued last, which may be an old one or ended.
    fn pick(&mut self) -> Option<(Id, Ticket)> {
        let count = self.round.issued.load(SeqCst);
        let back = self.random.below(count.clamp(1, 4));
        let number = count.checked_sub(back + 1)?;
        self.round.places[number]
            .get()
            .map(|ticket| (number as Id, *ticket))
    }

    fn create(&mut self) {
        let value = self.fresh_value();
        let data = data(value);
        let create = |worker: &mut Self| create(worker.cache, &data);
        self.record_issued(Verb::Create { value }, None, |worker| Ok(create(worker)));
    }

    fn rotate(&mut self, id: Id, issued: &IssuedSession, user: Option<User>) {
        let has_grace = self.random.below(2) == 0;
        let grace = if has_grace { SECOND } else { Duration::ZERO };
        let verb = Verb::Rotate {
            id,
            grace: has_grace,
        };
        self.record_issued(verb, user, |worker| worker.cache.rotate(&issued.id, grace));
    }

    fn sign_in(&mut self, id: Id, issued: &IssuedSession) {
        let user = self.random.below(2);
        let name = &self.round.users[user].text;
        let user = user as User;
        self.record_issued(Verb::SignIn { id, user }, Some(user), |worker| {
            worker.cache.sign_in(&issued.id, name)
        });
    }

    fn user_sessions(&mut self) {
        let user = self.random.below(2);
        let name = &self.round.users[user].text;
        self.record(Verb::UserSessions { user: user as User }, |worker| {
            Answer::Sessions(worker.cache.user_sessions(name).len())
        });
    }

    /// Ends a user's sessions, perhaps except one, named by an id that was that user's.
    fn end_user_sessions(&mut self) {
        let user = self.random.below(2);
        let name = &self.round.users[user].text;
        let user = user as User;
        let except = self.pick().filter(|(_, ticket)| ticket.user == Some(user));
        let (except, kept) = except.map(|(id, ticket)| (id, ticket.issued.id)).unzip();
        self.record(Verb::EndUserSessions { user, except }, |worker| {
            Answer::Sessions(worker.cache.end_user_sessions(name, kept.as_ref()))
        });
    }

    /// Ends all sessions and creates one.
    fn end_all(&mut self) {
        self.record(Verb::EndAll, |worker| {
            worker.cache.end_all();
            Answer::Done
        });
        if self.round.is_rich() {
            self.create();
        }
    }

    fn end(&mut self, id: Id, issued: &IssuedSession) {
        self.record(Verb::End { id }, |worker| {
            Answer::Ended(worker.cache.end(&issued.id))
        });
    }

    fn end_if_unchanged(&mut self, id: Id, issued: &IssuedSession, version: u32) {
        self.record(Verb::EndIfUnchanged { id, version }, |worker| {
            answer(
                worker
                    .cache
                    .end_if_unchanged(&issued.id, Version::new(version))
                    .map(|()| Answer::Done),
            )
        });
    }

    fn touch(&mut self, id: Id, issued: &IssuedSession) {
        self.record(Verb::Touch { id }, |worker| {
            answer(worker.cache.touch(&issued.id).map(|()| Answer::Done))
        });
    }

    fn save(&mut self, id: Id, issued: &IssuedSession, version: u32) {
        let value = self.fresh_value();
        let data = data(value);
        let saved = self.record(Verb::Save { id, version, value }, |worker| {
            let saved = worker.cache.save(&issued.id, Version::new(version), &data);
            answer(saved.map(|version| Answer::Saved {
                version: version.get(),
            }))
        });
        if let Answer::Saved { version } = saved {
            self.versions[usize::from(id)] = version;
        }
    }

    fn load(&mut self, id: Id, issued: &IssuedSession, by_id: bool) {
        let read = self.record(Verb::Load { id }, |worker| {
            let value = issued.token.as_str().as_bytes();
            let record = match by_id {
                true => worker.cache.load(&issued.id, &mut worker.buffer),
                false => worker.cache.open_token(value, &mut worker.buffer),
            };
            record.map_or(Answer::Gone, |record| worker.read(&record))
        });
        if let Answer::Read { version, .. } = read {
            self.versions[usize::from(id)] = version;
        }
    }

    fn read(&self, record: &Record) -> Answer {
        let user = record.user.map(|hash| {
            let known = self.round.users.iter().position(|user| user.hash == hash);
            known.expect("one of the round's users") as User
        });
        Answer::Read {
            version: record.version.get(),
            value: value(&self.buffer),
            user,
        }
    }

    /// Makes a call that issues an id. The id has no number and is unknown to other threads until
    /// it is published.
    fn record_issued(
        &mut self,
        verb: Verb,
        user: Option<User>,
        call: impl FnOnce(&mut Self) -> Result<IssuedSession, Error>,
    ) {
        let called = self.stamp();
        let issued = call(self);
        let returned = self.stamp();
        let answer = answer(issued.map(|issued| {
            let id = self.round.publish(issued, user);
            Answer::Issued {
                id,
                version: issued.version.get(),
            }
        }));
        self.calls.push(Call {
            called,
            returned,
            verb,
            answer,
        });
    }

    fn record(&mut self, verb: Verb, call: impl FnOnce(&mut Self) -> Answer) -> Answer {
        let called = self.stamp();
        let answer = call(self);
        let returned = self.stamp();
        self.calls.push(Call {
            called,
            returned,
            verb,
            answer,
        });
        answer
    }

    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, SeqCst)
    }

    fn fresh_value(&mut self) -> u32 {
        self.value += 1;
        self.value
    }
}

/// Converts a result; some errors are answers too.
fn answer(answer: Result<Answer, Error>) -> Answer {
    match answer {
        Ok(answer) => answer,
        Err(Error::Gone) => Answer::Gone,
        Err(Error::Conflict) => Answer::Conflict,
        Err(Error::Rotated) => Answer::Rotated,
        Err(error) => panic!("unexpected error: {error}"),
    }
}

/// Encodes a value as data of varying length, so that blocks change.
fn data(value: u32) -> Vec<u8> {
    value.to_le_bytes().repeat(1 + value as usize % 50)
}

fn value(data: &[u8]) -> u32 {
    let (words, _) = data.as_chunks();
    let value = words.first().map_or(0, |word| u32::from_le_bytes(*word));
    assert_eq!(data, self::data(value), "a read returns all of the data");
    value
}

/// Kinds of calls, in percent: those below the first threshold create, those below the second issue
/// an id.
const CREATES: usize = 4;
const FIRST_WITHOUT_AN_ID: usize = 17;
