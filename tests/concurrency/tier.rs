//! L1 under many threads: no read returns a mixture of two versions, one below an invalidation that
//! returned before, or an entry that was installed before an invalidation of all that returned
//! before.
//!
//! As the tiered cache does, each thread holds a lock of the id while it checks the version floor
//! and installs. Readers hold none.

use std::{
    sync::{
        Mutex, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use bytes::BytesMut;
use sessile::{
    IssuedSession, ManualClock, Record, Version,
    tier::{Installed, L1, LookUp, StoredSession},
};

use crate::support::{
    Random, TICK, builder,
    l1::{USER_KEY, field, issue, stored, stored_of},
};

/// A session, and what its operations know of it.
struct Session {
    issued: IssuedSession,
    header: Vec<u8>,
    user: Option<sessile::UserHash>,
    versions: Mutex<Versions>,
    /// The lowest version that a read that begins now may return.
    floor: AtomicU32,
}

struct Versions {
    newest: u32,
    /// The version in L1, if nothing is evicted.
    installed: Option<u32>,
}

struct World {
    l1: L1,
    clock: ManualClock,
    sessions: Vec<Session>,
    /// Held for writing while all entries are invalidated.
    generation: RwLock<()>,
    /// Nothing is evicted or expires, so that every answer is known.
    is_exact: bool,
    hits: AtomicU64,
}

const SESSIONS: usize = 24;
const THREADS: usize = 6;
const OPERATIONS: usize = 30_000;
const MOST_DATA: usize = 3_000;

// LIFE-3, TERM-2: docs/security-checklist.md
#[test]
fn reads_see_whole_versions_and_no_invalidated_one() {
    World::new(4 << 20, true).run();
}

#[test]
fn reads_see_whole_versions_where_entries_are_moved_and_evicted() {
    World::new(80 << 10, false).run();
}

impl World {
    fn new(memory: usize, is_exact: bool) -> Self {
        let clock = ManualClock::new();
        let settings = builder(&clock).memory(memory).shards(2);
        let l1 = settings
            .max_session_size(MOST_DATA)
            .build_l1(USER_KEY)
            .unwrap();
        let sessions = (0..SESSIONS).map(|number| Session::new(&l1, number));
        Self {
            sessions: sessions.collect(),
            l1,
            clock,
            generation: RwLock::new(()),
            is_exact,
            hits: AtomicU64::new(0),
        }
    }

    fn run(&self) {
        let mut random = Random::new();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let random = random.fork();
                scope.spawn(move || self.work(random));
            }
        });
        self.l1.validate();
        let hits = self.hits.load(SeqCst);
        assert!(hits > 1_000, "{hits} hits mean nothing");
        let is_evicted = self.l1.stats().evicted.anonymous > 0;
        assert_eq!(is_evicted, !self.is_exact);
    }

    fn work(&self, mut random: Random) {
        let mut buffer = BytesMut::new();
        for _ in 0..OPERATIONS {
            let session = &self.sessions[random.below(SESSIONS)];
            match random.below(64) {
                0..12 => self.install(session, &mut random),
                12..16 => self.invalidate(session, &mut random),
                16 if random.below(20) == 0 => self.invalidate_all(),
                17 if !self.is_exact => self.clock.advance(TICK),
                18 => {
                    self.l1.maintain(8);
                }
                19 if random.below(100) == 0 => self.l1.validate(),
                _ => self.read(session, &mut random, &mut buffer),
            }
        }
    }

    /// Installs the next version, or an earlier one that is not below the floor.
    fn install(&self, session: &Session, random: &mut Random) {
        let _generation = self.generation.read().unwrap();
        let mut versions = session.versions.lock().unwrap();
        let floor = session.floor.load(SeqCst);
        let above = (versions.newest + 1).saturating_sub(floor);
        let version = versions.newest + 1 - random.below(above.min(4) as usize + 1) as u32;
        versions.newest = versions.newest.max(version);
        let answer = self
            .l1
            .install(&session.stored(&self.l1, version), &session.data(version));
        if !self.is_exact {
            return;
        }
        if versions
            .installed
            .is_some_and(|installed| installed > version)
        {
            assert_eq!(answer, Installed::Older);
        } else {
            assert_eq!(answer, Installed::Stored);
            versions.installed = Some(version);
        }
    }

    fn invalidate(&self, session: &Session, random: &mut Random) {
        let _generation = self.generation.read().unwrap();
        let mut versions = session.versions.lock().unwrap();
        let below = versions.newest + 1 - random.below(3).min(versions.newest as usize) as u32;
        let id = session.issued.id;
        let dropped = match random.below(2) {
            0 => self.l1.invalidate(&id, Version::new(below)),
            _ => self
                .l1
                .invalidate_in(id.partition(), id.to_bytes(), Version::new(below)),
        };
        session.floor.fetch_max(below, SeqCst);
        if self.is_exact {
            let is_lower = versions
                .installed
                .is_some_and(|installed| installed < below);
            assert_eq!(dropped, is_lower);
            if is_lower {
                versions.installed = None;
            }
        }
    }

    fn invalidate_all(&self) {
        let _generation = self.generation.write().unwrap();
        self.l1.invalidate_all();
        for session in &self.sessions {
            let mut versions = session.versions.lock().unwrap();
            versions.installed = None;
            session.floor.store(versions.newest + 1, SeqCst);
        }
    }

    fn read(&self, session: &Session, random: &mut Random, buffer: &mut BytesMut) {
        let floor = session.floor.load(SeqCst);
        let id = &session.issued.id;
        let record = match random.below(4) {
            0 => self.l1.load(id, buffer),
            1 => self.l1.peek(id, buffer),
            _ => match self.l1.look_up([&session.header[..]], buffer) {
                LookUp::Hit(record) => Some(record),
                LookUp::Unknown(candidates) => {
                    assert_eq!(candidates.first().unwrap().id, *id);
                    None
                }
                _ => panic!("the token is valid"),
            },
        };
        match record {
            Some(record) => {
                self.hits.fetch_add(1, SeqCst);
                session.check(&record, buffer, floor);
            }
            None => assert!(buffer.is_empty()),
        }
    }
}

impl Session {
    fn new(l1: &L1, number: usize) -> Self {
        let (issued, user) = if number.is_multiple_of(3) {
            let (session, token) = stored_of(l1, &format!("user {number}"), 0);
            let mut issued = issue(l1);
            (issued.id, issued.token) = (session.id, token);
            (issued, session.user)
        } else {
            (issue(l1), None)
        };
        Self {
            header: field(l1, &[issued.token.as_str()]),
            issued,
            user,
            versions: Mutex::new(Versions {
                newest: 0,
                installed: None,
            }),
            floor: AtomicU32::new(0),
        }
    }

    /// The session at a version, of which every field can be told.
    fn stored(&self, l1: &L1, version: u32) -> StoredSession {
        StoredSession {
            serial: version,
            user: self.user,
            assurance_level: version as u8,
            lifetime_renewed: version.is_multiple_of(2),
            idle_timeout: TICK * (100_000 + version),
            idle_left: TICK * 100_000,
            ..stored(l1, self.issued.id, version)
        }
    }

    fn data(&self, version: u32) -> Vec<u8> {
        let len = (version as usize * 7_919) % MOST_DATA;
        let words = self
            .issued
            .id
            .to_bytes()
            .into_iter()
            .chain(version.to_le_bytes());
        words.cycle().take(len).collect()
    }

    fn check(&self, record: &Record, data: &[u8], floor: u32) {
        let version = record.version.get();
        assert!(
            version >= floor,
            "version {version} was invalidated below {floor}"
        );
        assert_eq!(data, self.data(version));
        assert_eq!((record.id, record.user), (self.issued.id, self.user));
        assert_eq!(record.idle_timeout(), TICK * (100_000 + version));
        let stored = record.to_stored();
        assert_eq!(stored.serial, version);
        assert_eq!(stored.lifetime_renewed, version.is_multiple_of(2));
        let level = self.user.map_or(0, |_| version as u8);
        assert_eq!(record.assurance_level, level);
    }
}
