//! Making room: for a large newcomer among small sessions, when what goes first does not adjoin, and half
//! of what is there may not go.

use std::mem;

use crate::support::{NEW, Random, block, builder, data, filler, is_long, largest_block, sign_in};
use sessile::{IssuedSession, ManualClock, SessionCache, SessionId, internals::locks_taken};

const LARGEST: usize = 16 << 10;

/// A shard, and what must be in it unless it was evicted.
struct Room {
    cache: SessionCache,
    random: Random,
    alive: Vec<(SessionId, Vec<u8>, bool)>,
}

impl Room {
    /// Full of small sessions, about half of them with users, all of which came back in an order that is
    /// not the order in memory; with holes where some have ended. Their aliases have expired.
    fn new(random: Random, ended_one_in: usize) -> Self {
        let clock = ManualClock::new();
        let cache = builder(&clock).memory(768 << 10).max_session_size(LARGEST);
        let mut room = Self {
            cache: cache.build().unwrap(),
            random,
            alive: Vec::new(),
        };
        room.fill(3);
        for _ in 0..2 {
            clock.advance(room.cache.idle_timeout() / 2);
            room.read_all();
        }
        room.cache.maintain(usize::MAX);
        assert_eq!(room.cache.stats().sessions.aliases, 0);
        room.fill(0);
        room.read_all();
        for (id, data, has_user) in mem::take(&mut room.alive) {
            if room.random.below(ended_one_in) == 0 {
                assert!(room.cache.end(&id));
            } else {
                room.alive.push((id, data, has_user));
            }
        }
        room
    }

    /// Adds sessions until one has to go for another, so many out of four with a user.
    fn fill(&mut self, users: usize) {
        let sessions_evicted = |cache: &SessionCache| {
            let evicted = cache.stats().evicted;
            evicted.probation + evicted.anonymous + evicted.authenticated
        };
        let before = sessions_evicted(&self.cache);
        while sessions_evicted(&self.cache) == before {
            let len = 64 + self.random.below(449);
            let data = self.data(len);
            let mut made = self.cache.create(&data).unwrap();
            let has_user = self.alive.len() % 4 < users;
            if has_user {
                let user = format!("user {}", self.alive.len());
                made = sign_in(&self.cache, &made.id, &user);
            }
            self.alive.push((made.id, data, has_user));
        }
    }

    fn data(&mut self, len: usize) -> Vec<u8> {
        filler(self.random.next() as usize, len)
    }

    /// Reads all sessions in random order; forgets those that are gone, and gives the sum of their
    /// blocks.
    fn read_all(&mut self) -> usize {
        self.random.shuffle(&mut self.alive);
        let mut gone = 0;
        self.alive.retain(|(id, kept, has_user)| {
            let found = data(&self.cache, id);
            assert!(
                found.as_ref().is_none_or(|found| found == kept),
                "what is left is as it was"
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

    /// Lets a large one in, and checks what it cost.
    fn let_in(
        &mut self,
        len: usize,
        enter: impl FnOnce(&SessionCache, &[u8]) -> (IssuedSession, bool),
    ) {
        let before = self.cache.stats().evicted;
        let newcomer_data = self.data(len);
        let (newcomer, has_user) = enter(&self.cache, &newcomer_data);
        let after = self.cache.stats().evicted;
        assert_eq!(after.authenticated, before.authenticated, "no user went");
        assert_eq!(data(&self.cache, &newcomer.id).unwrap(), newcomer_data);
        let aliases = (after.aliases - before.aliases) as usize * block(24, false);
        let gone = self.read_all() + aliases;
        let most = block(len, has_user) + largest_block(LARGEST);
        assert!(
            gone <= most,
            "{gone} bytes went for one of {len}, at most {most} may"
        );
        self.cache.validate();
        self.alive.push((newcomer.id, newcomer_data, has_user));
    }
}

fn rounds() -> usize {
    if is_long() { 1_000 } else { 20 }
}

#[test]
fn room_is_found_for_large_newcomers_and_no_more_goes_than_they_and_one_largest_session_need() {
    let (mut random, mut moved) = (Random::new(), 0);
    for round in 0..rounds() {
        let mut room = Room::new(random, [100, 10, 5, 3][round % 4]);
        for step in 0..8 {
            let len = if step % 2 == 0 { 8 << 10 } else { 16 << 10 };
            room.let_in(len, |cache, data| (cache.create(data).unwrap(), false));
        }
        let stats = room.cache.stats();
        assert!(stats.evicted.anonymous > 0);
        assert!(
            stats.sessions.authenticated > room.alive.len() / 3,
            "a good part may not go"
        );
        moved += stats.compactions;
        random = room.random;
    }
    assert!(moved > 0, "what goes first does not adjoin");
}

/// Small ones go one by one and leave no hole; then it is the turn of one that would be too much.
#[test]
fn the_last_to_go_is_counted_before_it_goes() {
    let cache = builder(&ManualClock::new())
        .memory(768 << 10)
        .max_session_size(LARGEST);
    let cache = cache.build().unwrap();
    let mut large = None;
    for pair in 0..cache.capacity_for(256) / 2 - 24 {
        let [_first_to_go, between] = [(); 2].map(|()| cache.create(&[1; 256]).unwrap());
        assert!(
            data(&cache, &between.id).is_some(),
            "this one came back, and is not so soon to go"
        );
        if pair == 80 {
            large = Some(cache.create(&[2; LARGEST]).unwrap());
        }
    }
    assert_eq!(cache.stats().evicted, Default::default());
    let newcomer = cache.create(&[3; LARGEST]).unwrap();
    let newcomer_and_one_more = block(LARGEST, false) + largest_block(LARGEST);
    let gone = cache.stats().evicted.probation as usize * block(256, false);
    assert!((1..=newcomer_and_one_more).contains(&gone));
    assert_eq!(data(&cache, &large.unwrap().id).unwrap(), [2; LARGEST]);
    assert_eq!(data(&cache, &newcomer.id).unwrap(), [3; LARGEST]);
    cache.validate();
}

#[test]
fn room_is_found_for_sessions_that_grow() {
    let (mut random, mut moved) = (Random::new(), 0);
    for round in 0..rounds() {
        let mut room = Room::new(random, [100, 10, 5, 3][round % 4]);
        for step in 0..6 {
            let is_user = step % 2 == 0;
            let len = if step % 3 == 0 { 8 << 10 } else { 12 << 10 };
            let small = room.cache.create(&[1; 200]).unwrap();
            let small = if is_user {
                sign_in(&room.cache, &small.id, "alice")
            } else {
                small
            };
            room.read_all();
            room.let_in(len, |cache, data| {
                cache.save(&small.id, small.version, data).unwrap();
                (small, is_user)
            });
        }
        moved += room.cache.stats().compactions;
        random = room.random;
    }
    assert!(moved > 0, "what goes first does not adjoin");
}

#[test]
fn with_holes_enough_nobody_goes() {
    let mut room = Room::new(Random::new(), 100);
    let mut moved = 0;
    for _ in 0..20 {
        // As much as the newcomer needs, and one largest more: then blocks are moved at once.
        while room.free() < 2 * largest_block(LARGEST) {
            let (id, ..) = room.alive.pop().unwrap();
            assert!(room.cache.end(&id));
        }
        let before = room.cache.stats();
        let made = room.cache.create(&[1; LARGEST]).unwrap();
        let after = room.cache.stats();
        assert_eq!(after.evicted, before.evicted);
        moved += after.compactions - before.compactions;
        assert_eq!(room.read_all(), 0);
        room.cache.validate();
        assert!(room.cache.end(&made.id));
        room.fill(2);
        room.read_all();
    }
    assert!(moved > 0, "what is free was moved together");
}

/// A shard full of sessions with users that is left with `free` bytes in small pieces, and their names.
fn crumbs(free: usize) -> (SessionCache, Vec<SessionId>) {
    let mut random = Random::new();
    let settings = builder(&ManualClock::new())
        .memory(8 << 20)
        .max_session_size(LARGEST);
    let cache = settings.build().unwrap();
    let mut all = Vec::new();
    // Until one user's session would go for another's.
    while cache.stats().evicted.authenticated == 0 {
        let data = filler(all.len(), 100 + random.below(1_900));
        let user = format!("user {}", all.len());
        let Ok(made) = cache.create_with(&data, NEW.user(user.as_str())) else {
            break;
        };
        all.push(made.id);
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

/// What one hold of the lock moves at most: 64 words for each that the block of 16 KiB needs.
const MOST_MOVED: u64 = 64 * ((LARGEST as u64 + 96) / 8);

/// Ends users' sessions until an attempt succeeds, and checks each attempt: what was moved, and that a refusal changes
/// nothing.
fn attempt_until_there_is_room(
    cache: &SessionCache,
    mut users: Vec<SessionId>,
    attempt: impl Fn() -> bool,
) {
    let all: Vec<_> = users
        .iter()
        .map(|id| (*id, data(cache, id).unwrap()))
        .collect();
    let (mut random, mut refused) = (Random::new(), 0);
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
        assert_eq!(moved, 0, "nothing was moved in vain");
        refused += 1;
        assert!(cache.end(&users.swap_remove(random.below(users.len()))));
    }
    assert!(
        refused > 1 && cache.stats().evicted.authenticated <= 1,
        "{refused} were refused"
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
fn an_anonymous_newcomer_compacted_a_whole_shard_under_its_lock() {
    let (cache, users) = crumbs(LARGEST + 256);
    attempt_until_there_is_room(&cache, users, || {
        let made = cache.create(&filler(7, LARGEST));
        made.is_ok_and(|made| data(&cache, &made.id).unwrap() == filler(7, LARGEST))
    });
}

#[test]
fn a_save_that_grows_an_anonymous_session_moves_no_more_at_once_either() {
    let (cache, users) = crumbs(LARGEST + 1_024);
    let made = cache.create(b"small").unwrap();
    attempt_until_there_is_room(&cache, users, || {
        let is_in = cache
            .save(&made.id, made.version, &filler(7, LARGEST))
            .is_ok();
        let expected = if is_in {
            filler(7, LARGEST)
        } else {
            b"small".to_vec()
        };
        assert_eq!(data(&cache, &made.id).unwrap(), expected);
        is_in
    });
}
