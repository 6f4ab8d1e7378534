//! Making room for a large session among small ones, when the next sessions to evict are not
//! adjacent and half of the sessions are not evictable.

use std::mem;

use crate::support::{NEW, Random, block, builder, data, filler, is_long, largest_block, sign_in};
use sessile::{IssuedSession, ManualClock, SessionCache, SessionId, internals::locks_taken};

const LARGEST: usize = 16 << 10;

/// A shard and the sessions that it must hold unless they were evicted.
struct Shard {
    cache: SessionCache,
    random: Random,
    alive: Vec<(SessionId, Vec<u8>, bool)>,
}

impl Shard {
    /// Fills a shard with small sessions, about half of them authenticated. All returned their
    /// cookie, in an order that differs from the order in memory. Some have ended and left holes,
    /// and their aliases have expired.
    fn new(random: Random, ended_one_in: usize) -> Self {
        let clock = ManualClock::new();
        let cache = builder(&clock).memory(768 << 10).max_session_size(LARGEST);
        let mut shard = Self {
            cache: cache.build().unwrap(),
            random,
            alive: Vec::new(),
        };
        shard.fill(3);
        for _ in 0..2 {
            clock.advance(shard.cache.idle_timeout() / 2);
            shard.read_all();
        }
        shard.cache.maintain(usize::MAX);
        assert_eq!(shard.cache.stats().sessions.aliases, 0);
        shard.fill(0);
        shard.read_all();
        for (id, data, has_user) in mem::take(&mut shard.alive) {
            if shard.random.below(ended_one_in) == 0 {
                assert!(shard.cache.end(&id));
            } else {
                shard.alive.push((id, data, has_user));
            }
        }
        shard
    }

    /// Adds sessions until one is evicted; `users` out of four are authenticated.
    fn fill(&mut self, users: usize) {
        let sessions_evicted = |cache: &SessionCache| {
            let evicted = cache.stats().evicted;
            evicted.probation + evicted.anonymous + evicted.authenticated
        };
        let before = sessions_evicted(&self.cache);
        while sessions_evicted(&self.cache) == before {
            let len = 64 + self.random.below(449);
            let data = self.data(len);
            let mut issued = self.cache.create(&data).unwrap();
            let has_user = self.alive.len() % 4 < users;
            if has_user {
                let user = format!("user {}", self.alive.len());
                issued = sign_in(&self.cache, &issued.id, &user);
            }
            self.alive.push((issued.id, data, has_user));
        }
    }

    fn data(&mut self, len: usize) -> Vec<u8> {
        filler(self.random.next() as usize, len)
    }

    /// Reads all sessions in random order, drops those that were removed and returns the sum of the
    /// block sizes of the removed ones.
    fn read_all(&mut self) -> usize {
        self.random.shuffle(&mut self.alive);
        let mut gone = 0;
        self.alive.retain(|(id, kept, has_user)| {
            let found = data(&self.cache, id);
            assert!(
                found.as_ref().is_none_or(|found| found == kept),
                "the remaining data is unchanged"
            );
            gone += if found.is_none() {
                block(kept.len(), *has_user)
            } else {
                0
            };
            found.is_some()
        });
        gone
    }

    fn free(&self) -> usize {
        let memory = self.cache.stats().memory;
        memory.capacity - memory.used
    }

    /// Stores a large session and checks what it evicted.
    fn let_in(
        &mut self,
        len: usize,
        enter: impl FnOnce(&SessionCache, &[u8]) -> (IssuedSession, bool),
    ) {
        let before = self.cache.stats().evicted;
        let new_data = self.data(len);
        let (new, has_user) = enter(&self.cache, &new_data);
        let after = self.cache.stats().evicted;
        assert_eq!(
            after.authenticated, before.authenticated,
            "no authenticated session was evicted"
        );
        assert_eq!(data(&self.cache, &new.id).unwrap(), new_data);
        let aliases = (after.aliases - before.aliases) as usize * block(24, false);
        let gone = self.read_all() + aliases;
        let most = block(len, has_user) + largest_block(LARGEST);
        assert!(
            gone <= most,
            "{gone} bytes were evicted for {len}, at most {most} are allowed"
        );
        self.cache.validate();
        self.alive.push((new.id, new_data, has_user));
    }
}

fn rounds() -> usize {
    if is_long() { 1_000 } else { 20 }
}

#[test]
fn a_large_session_evicts_at_most_its_size_and_one_largest_session() {
    let (mut random, mut moved) = (Random::new(), 0);
    for round in 0..rounds() {
        let mut shard = Shard::new(random, [100, 10, 5, 3][round % 4]);
        for step in 0..8 {
            let len = if step % 2 == 0 { 8 << 10 } else { 16 << 10 };
            shard.let_in(len, |cache, data| (cache.create(data).unwrap(), false));
        }
        let stats = shard.cache.stats();
        assert!(stats.evicted.anonymous > 0);
        assert!(
            stats.sessions.authenticated > shard.alive.len() / 3,
            "a large part is not evictable"
        );
        moved += stats.compactions;
        random = shard.random;
    }
    assert!(moved > 0, "the first sessions to evict are not adjacent");
}

/// Small sessions are evicted one by one and leave no hole. Then the next to be evicted would free
/// too much.
#[test]
fn the_last_evicted_session_is_counted_before_its_eviction() {
    let cache = builder(&ManualClock::new())
        .memory(768 << 10)
        .max_session_size(LARGEST);
    let cache = cache.build().unwrap();
    let mut large = None;
    for pair in 0..cache.capacity_for(256) / 2 - 24 {
        let [_first_to_go, between] = [(); 2].map(|()| cache.create(&[1; 256]).unwrap());
        assert!(
            data(&cache, &between.id).is_some(),
            "its cookie was returned, so others are evicted first"
        );
        if pair == 80 {
            large = Some(cache.create(&[2; LARGEST]).unwrap());
        }
    }
    assert_eq!(cache.stats().evicted, Default::default());
    let new = cache.create(&[3; LARGEST]).unwrap();
    let newcomer_and_one_more = block(LARGEST, false) + largest_block(LARGEST);
    let gone = cache.stats().evicted.probation as usize * block(256, false);
    assert!((1..=newcomer_and_one_more).contains(&gone));
    assert_eq!(data(&cache, &large.unwrap().id).unwrap(), [2; LARGEST]);
    assert_eq!(data(&cache, &new.id).unwrap(), [3; LARGEST]);
    cache.validate();
}

#[test]
fn room_is_found_for_sessions_that_grow() {
    let (mut random, mut moved) = (Random::new(), 0);
    for round in 0..rounds() {
        let mut shard = Shard::new(random, [100, 10, 5, 3][round % 4]);
        for step in 0..6 {
            let is_user = step % 2 == 0;
            let len = if step % 3 == 0 { 8 << 10 } else { 12 << 10 };
            let small = shard.cache.create(&[1; 200]).unwrap();
            let small = if is_user {
                sign_in(&shard.cache, &small.id, "alice")
            } else {
                small
            };
            shard.read_all();
            shard.let_in(len, |cache, data| {
                cache.save(&small.id, small.version, data).unwrap();
                (small, is_user)
            });
        }
        moved += shard.cache.stats().compactions;
        random = shard.random;
    }
    assert!(moved > 0, "the first sessions to evict are not adjacent");
}

#[test]
fn with_enough_free_space_nothing_is_evicted() {
    let mut shard = Shard::new(Random::new(), 100);
    let mut moved = 0;
    for _ in 0..20 {
        // As much as the new session needs plus one largest session: then blocks are moved at once.
        while shard.free() < 2 * largest_block(LARGEST) {
            let (id, ..) = shard.alive.pop().unwrap();
            assert!(shard.cache.end(&id));
        }
        let before = shard.cache.stats();
        let issued = shard.cache.create(&[1; LARGEST]).unwrap();
        let after = shard.cache.stats();
        assert_eq!(after.evicted, before.evicted);
        moved += after.compactions - before.compactions;
        assert_eq!(shard.read_all(), 0);
        shard.cache.validate();
        assert!(shard.cache.end(&issued.id));
        shard.fill(2);
        shard.read_all();
    }
    assert!(moved > 0, "the free space was compacted");
}

/// Returns a shard full of authenticated sessions that has `free` bytes in small pieces, and the
/// users' names.
fn fragmented_shard(free: usize) -> (SessionCache, Vec<SessionId>) {
    let mut random = Random::new();
    let settings = builder(&ManualClock::new())
        .memory(8 << 20)
        .max_session_size(LARGEST);
    let cache = settings.build().unwrap();
    let mut all = Vec::new();
    // Until one authenticated session evicts another.
    while cache.stats().evicted.authenticated == 0 {
        let data = filler(all.len(), 100 + random.below(1_900));
        let user = format!("user {}", all.len());
        let Ok(issued) = cache.create_with(&data, NEW.user(user.as_str())) else {
            break;
        };
        all.push(issued.id);
    }
    all.retain(|id| cache.touch(id).is_ok());
    let free_bytes = || {
        let memory = cache.stats().memory;
        memory.capacity - memory.used
    };
    while free_bytes() < free {
        let id = all.swap_remove(random.below(all.len()));
        assert!(cache.end(&id));
    }
    (cache, all)
}

/// Maximum number of words moved under one lock: 64 for each word that the block of 16 KiB needs.
const MOST_MOVED: u64 = 64 * ((LARGEST as u64 + 96) / 8);

/// Ends users' sessions until an attempt succeeds. Checks for each attempt how much was moved and
/// that a failure changes nothing.
fn attempt_until_stored(
    cache: &SessionCache,
    mut users: Vec<SessionId>,
    attempt: impl Fn() -> bool,
) {
    let all: Vec<_> = users
        .iter()
        .map(|id| (*id, data(cache, id).unwrap()))
        .collect();
    let (mut random, mut rejected) = (Random::new(), 0);
    loop {
        let (moved, locks) = (cache.moved_words(), locks_taken());
        let is_in = attempt();
        let (moved, locks) = (cache.moved_words() - moved, locks_taken() - locks);
        assert!(
            moved <= MOST_MOVED * locks,
            "{moved} words were moved under {locks} locks"
        );
        if is_in {
            break;
        }
        assert_eq!(moved, 0, "nothing was moved without need");
        rejected += 1;
        assert!(cache.end(&users.swap_remove(random.below(users.len()))));
    }
    assert!(
        rejected > 1 && cache.stats().evicted.authenticated <= 1,
        "{rejected} were rejected"
    );
    cache.validate();
    for (id, kept) in all {
        assert!(
            data(cache, &id).is_none_or(|data| data == kept),
            "nothing was lost"
        );
    }
}

#[test]
fn an_anonymous_create_compacted_a_whole_shard_under_one_lock() {
    let (cache, users) = fragmented_shard(LARGEST + 256);
    attempt_until_stored(&cache, users, || {
        let issued = cache.create(&filler(7, LARGEST));
        issued.is_ok_and(|issued| data(&cache, &issued.id).unwrap() == filler(7, LARGEST))
    });
}

#[test]
fn a_growing_anonymous_save_moves_a_bounded_amount_under_one_lock() {
    let (cache, users) = fragmented_shard(LARGEST + 1_024);
    let issued = cache.create(b"small").unwrap();
    attempt_until_stored(&cache, users, || {
        let is_in = cache
            .save(&issued.id, issued.version, &filler(7, LARGEST))
            .is_ok();
        let expected = if is_in {
            filler(7, LARGEST)
        } else {
            b"small".to_vec()
        };
        assert_eq!(data(&cache, &issued.id).unwrap(), expected);
        is_in
    });
}
