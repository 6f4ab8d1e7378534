//! Random requests of clients, and the checks of their answers.

use std::time::Duration;

use bytes::BytesMut;
use sessile::{
    CreateOptions, Error, IssuedSession, Record, SessionId, SignInOptions, Timeouts, Token,
};
use sessile_store::{LookUp, TieredCache};

use crate::{
    executor::Owner,
    model::{Lineage, Observation},
    schedule::{Kind, NODES, Schedule, TIMEOUT, USERS},
};

/// One request on one node.
pub struct Request {
    pub schedule: Schedule,
    pub node: usize,
    pub owner: Owner,
    pub cache: TieredCache,
    began: Duration,
}

/// Starts a random request on a random node. A request of a node ends with it.
pub fn start_random(schedule: &Schedule) {
    let node = schedule.random(|random| random.below(NODES as u64)) as usize;
    let request = Request::new(schedule, node);
    let kind = schedule.random(|random| random.below(100));
    let owner = request.owner;
    let is_cancelled = schedule.random(|random| random.chance(5));
    let patience = schedule.random(|random| random.millis(0, 100));
    let patience = schedule.0.world.sleep(patience);
    let work = async move {
        if is_cancelled {
            tokio::select! {
                biased;
                () = patience => {}
                () = request.run(kind, true) => {}
            }
        } else {
            request.run(kind, false).await;
        }
    };
    schedule.0.world.spawn(owner, Box::pin(work));
}

impl Request {
    pub fn new(schedule: &Schedule, node: usize) -> Self {
        let state = schedule.state();
        let (owner, cache) = (state.nodes[node].owner, state.nodes[node].cache.clone());
        Self {
            schedule: schedule.clone(),
            node,
            owner,
            cache,
            began: schedule.0.world.now(),
        }
    }

    async fn run(self, kind: u64, is_cancelled: bool) {
        match kind {
            0..=9 => self.create().await,
            10..=54 => drop(self.open().await),
            55..=74 => self.save().await,
            75..=79 => self.rotate().await,
            80..=85 => self.sign_in(is_cancelled).await,
            86..=90 => self.end().await,
            91 => self.end_if_unchanged().await,
            92 => self.set_timeouts().await,
            93 | 94 => self.end_user_sessions().await,
            95 => self.end_by_handle().await,
            96 => self.forged(),
            97 => self.touch().await,
            98 => drop(self.users().await),
            _ => self.end_all().await,
        }
    }

    fn now(&self) -> Duration {
        self.schedule.0.world.now()
    }

    pub fn change<T>(&self, lineage: usize, change: impl FnOnce(&mut Lineage) -> T) -> T {
        change(&mut self.schedule.state().lineages[lineage])
    }

    /// Checks that a verb took at most a number of timeouts.
    fn answered<T>(&self, verb: &str, began: Duration, limit: u32, result: &Result<T, Error>) {
        let took = self.now() - began;
        if took > limit * TIMEOUT + Duration::from_millis(1) {
            self.schedule.violate(&format!("{verb} took {took:?}"));
        }
        if result.is_ok() {
            self.schedule.state().answered += 1;
        }
    }

    /// Chooses a lineage: rather one of the latest.
    fn choose(&self, is_calm_allowed: bool) -> Option<usize> {
        let count = self.schedule.state().lineages.len() as u64;
        if count == 0 {
            return None;
        }
        let back = self.schedule.random(|random| random.below(count.min(12)));
        let chosen = (count - 1 - back) as usize;
        let (is_calm, is_created) =
            self.change(chosen, |lineage| (lineage.is_calm, lineage.is_created()));
        (is_created && (is_calm_allowed || !is_calm)).then_some(chosen)
    }

    /// Chooses a token of a lineage: rather the current one.
    fn token(&self, lineage: usize) -> Token {
        let old = self.schedule.random(|random| random.below(10));
        self.change(lineage, |lineage| {
            let last = lineage.tokens.len() - 1;
            lineage.tokens[last.saturating_sub(old.saturating_sub(7) as usize)]
        })
    }

    async fn create(&self) {
        let number = self.schedule.state().lineages.len() as u32;
        // The lineage is entered first, so that two creations have two numbers.
        let no_id = SessionId::from_parts([0; 16], 0);
        let is_calm = self.schedule.0.plan.kind < Kind::Disasters
            && self.schedule.random(|random| random.chance(40));
        let token = Token::parse(&[b'A'; 48]);
        let Some(token) = token.or_else(|| self.any_token()) else {
            return;
        };
        let entered = Lineage::new(no_id, token, self.now(), false);
        self.schedule.state().lineages.push(entered);
        let options = CreateOptions::new();
        let result = self.cache.create_with(&encode(number, 0), options).await;
        self.answered("create", self.began, 2, &result);
        if let Ok(issued) = result {
            let now = self.now();
            self.issued(&issued);
            self.change(number as usize, |lineage| {
                *lineage = Lineage::new(issued.id, issued.token, now, is_calm);
            });
        }
    }

    fn any_token(&self) -> Option<Token> {
        let issued = self
            .cache
            .l1()
            .issue(sessile::tier::Placement::Random)
            .ok()?;
        Some(issued.token)
    }

    fn issued(&self, issued: &IssuedSession) {
        self.schedule.state().tokens.push(issued.token);
    }

    async fn open(&self) -> Option<(usize, Record, u32)> {
        let lineage = self.choose(true)?;
        let token = self.token(lineage);
        self.open_with(lineage, &token).await
    }

    pub async fn open_with(&self, lineage: usize, token: &Token) -> Option<(usize, Record, u32)> {
        let began = self.now();
        let header = format!("a=b; {}={}", self.cache.cookie_name(), token.as_str());
        let mut buffer = BytesMut::new();
        let opened = self.cache.open([header.as_bytes()], &mut buffer).await;
        self.answered("open", began, 1, &opened);
        match opened {
            Ok(Some(record)) => {
                let (number, value) = parse(&buffer);
                if number != lineage as u32 {
                    self.schedule.violate("a token opened another session");
                }
                let network = &self.schedule.0.networks[self.node];
                let seen = Observation {
                    began,
                    network,
                    value,
                };
                let bounds = self.schedule.0.plan.bounds();
                let checked = self.change(lineage, |lineage| {
                    lineage.check_opened(token, &seen, bounds)
                });
                if let Err(violation) = checked {
                    let node = self.node;
                    self.schedule
                        .violate(&format!("node {node}, lineage {lineage}: {violation}"));
                }
                Some((lineage, record, value))
            }
            Ok(None) => {
                self.check_absent(lineage, token);
                None
            }
            Err(_) => None,
        }
    }

    fn check_absent(&self, lineage: usize, token: &Token) {
        let is_lost = self.change(lineage, |lineage| {
            lineage.is_calm && lineage.tokens.contains(token)
        });
        if is_lost {
            self.schedule
                .violate(&format!("lineage {lineage} is lost and was not ended"));
        }
    }

    async fn save(&self) {
        let Some((lineage, record, value)) = self.open().await else {
            return;
        };
        let pause = self.schedule.random(|random| random.millis(0, 60));
        if self.schedule.random(|random| random.chance(50)) {
            self.schedule.0.world.sleep(pause).await;
        }
        let began = self.now();
        let data = encode(lineage as u32, value + 1);
        let result = self.cache.save(&record.id, record.version, &data).await;
        self.answered("save", began, 2, &result);
        match result {
            Ok(_) => {
                let now = self.now();
                self.change(lineage, |lineage| lineage.saved.push((now, value + 1)));
            }
            Err(Error::Gone) if self.change(lineage, |lineage| lineage.is_calm) => {
                self.schedule
                    .violate(&format!("lineage {lineage} is gone and was not ended"));
            }
            Err(_) => {}
        }
    }

    async fn rotate(&self) {
        let Some(lineage) = self.choose(false) else {
            return;
        };
        let id = self.change(lineage, |lineage| lineage.id);
        let grace = self.schedule.random(|random| random.millis(0, 3_000));
        let result = self.cache.rotate(&id, grace).await;
        self.answered("rotate", self.began, 2, &result);
        if let Ok(issued) = result {
            self.issued(&issued);
            let now = self.now();
            self.change(lineage, |lineage| {
                lineage.rename(issued.id, issued.token, now, None);
            });
        }
    }

    async fn sign_in(&self, is_cancelled: bool) {
        let Some(lineage) = self.choose(false) else {
            return;
        };
        let user = self.schedule.random(|random| random.below(USERS as u64)) as usize;
        let id = self.change(lineage, |lineage| {
            lineage.sign_ins += 1;
            lineage.signing_in += 1;
            // A request that is cancelled does not come back.
            lineage.is_user_uncertain |= is_cancelled;
            lineage.id
        });
        let options = SignInOptions::new().label("browser").assurance_level(1);
        let result = self.cache.sign_in_with(&id, NAMES[user], options).await;
        // The session is read first, and the two calls of the commit follow.
        self.answered("sign_in", self.began, 3, &result);
        if let Ok(issued) = &result {
            self.issued(issued);
        }
        self.schedule.take_limit_ends();
        let (now, owner) = (self.now(), self.owner);
        self.change(lineage, |lineage| {
            lineage.signing_in -= 1;
            match result {
                Ok(issued) => {
                    lineage.rename(issued.id, issued.token, now, Some(owner));
                    lineage.user = Some(user);
                }
                Err(Error::Unreachable) => lineage.is_user_uncertain = true,
                Err(_) => {}
            }
        });
    }

    async fn end(&self) {
        let Some(lineage) = self.choose(false) else {
            return;
        };
        let token = self.token(lineage);
        let id = self.change(lineage, |lineage| lineage.id);
        let forks = self.schedule.forks(lineage);
        let (by, result) = if self.schedule.random(|random| random.chance(50)) {
            let value = token.as_str().as_bytes();
            (token, self.cache.end_by_token(value).await)
        } else {
            (self.cache.l1().sign(&id), self.cache.end(&id).await)
        };
        self.answered("end", self.began, 2, &result);
        self.ended(lineage, by, forks, &result);
    }

    /// Records the answer of an end. An end of an id that leads nowhere says nothing about it.
    fn ended(&self, lineage: usize, token: Token, forks: Vec<usize>, result: &Result<bool, Error>) {
        let (now, owner) = (self.now(), self.owner);
        let is_bound = self.change(lineage, |lineage| lineage.tokens.len() == 1);
        self.change(lineage, |lineage| match result {
            Ok(true) => lineage.end_by(token, forks, now, owner),
            // Only a lineage that never changed its id is ended for certain by any of its ids.
            Err(Error::Unreachable) if is_bound && lineage.sign_ins == 0 => {
                lineage.queue_end(owner);
            }
            _ => {}
        });
    }

    async fn end_if_unchanged(&self) {
        let Some((lineage, record, _)) = self.open().await else {
            return;
        };
        if self.change(lineage, |lineage| lineage.is_calm) {
            return;
        }
        let (began, forks) = (self.now(), self.schedule.forks(lineage));
        let end = self.cache.end_if_unchanged(&record.id, record.version);
        let result = end.await;
        self.answered("end_if_unchanged", began, 2, &result);
        if result.is_ok() {
            let token = self.cache.l1().sign(&record.id);
            self.ended(lineage, token, forks, &Ok(true));
        }
    }

    async fn set_timeouts(&self) {
        let Some((lineage, record, _)) = self.open().await else {
            return;
        };
        if self.change(lineage, |lineage| lineage.is_calm) {
            return;
        }
        let began = self.now();
        let idle = self.schedule.random(|random| random.millis(2_000, 9_000));
        let timeouts = Timeouts::new().idle_timeout(idle);
        let set = self
            .cache
            .set_timeouts(&record.id, record.version, timeouts);
        let result = set.await;
        self.answered("set_timeouts", began, 2, &result);
    }

    async fn end_user_sessions(&self) {
        let user = self.schedule.random(|random| random.below(USERS as u64)) as usize;
        let kept = self
            .choose(true)
            .filter(|_| self.schedule.random(|random| random.chance(50)));
        let kept_id = kept.map(|lineage| self.change(lineage, |lineage| lineage.id));
        let bound = self.bound_to(user);
        let end = self.cache.end_user_sessions(NAMES[user], kept_id.as_ref());
        let result = end.await;
        self.answered("end_user_sessions", self.began, 2, &result);
        if result.is_err() {
            return;
        }
        let now = self.now();
        for (lineage, sign_ins) in bound {
            if Some(lineage) == kept {
                continue;
            }
            let id = self.change(lineage, |lineage| lineage.id);
            let lister = (self.node, self.owner);
            let Some(by) = self.schedule.ender(lister, &id) else {
                continue;
            };
            self.change(lineage, |lineage| {
                if lineage.sign_ins == sign_ins {
                    lineage.end(now, by);
                }
            });
        }
    }

    /// Returns the lineages that are a user's for certain, and the numbers of their sign-ins.
    pub fn bound_to(&self, user: usize) -> Vec<(usize, u32)> {
        let state = self.schedule.state();
        let lineages = state.lineages.iter().enumerate();
        let bound = lineages.filter(|(_, lineage)| {
            lineage.user == Some(user) && lineage.signing_in == 0 && !lineage.is_user_uncertain
        });
        bound.map(|(at, lineage)| (at, lineage.sign_ins)).collect()
    }

    async fn end_by_handle(&self) {
        let Some(listed) = self.users().await else {
            return;
        };
        let Some(info) = listed.first() else { return };
        let began = self.now();
        let result = self.cache.end_by_handle(&info.handle).await;
        self.answered("end_by_handle", began, 2, &result);
    }

    async fn users(&self) -> Option<Vec<sessile::SessionInfo>> {
        let user = self.schedule.random(|random| random.below(USERS as u64)) as usize;
        let began = self.now();
        let listed = self.cache.user_sessions(NAMES[user]).await;
        self.answered("user_sessions", began, 2, &listed);
        listed.ok()
    }

    async fn touch(&self) {
        let Some(lineage) = self.choose(true) else {
            return;
        };
        let (id, is_calm) = self.change(lineage, |lineage| (lineage.id, lineage.is_calm));
        let result = self.cache.touch(&id).await;
        self.answered("touch", self.began, 2, &result);
        if is_calm && result == Err(Error::Gone) {
            self.schedule
                .violate(&format!("lineage {lineage} was not touched and not ended"));
        }
    }

    async fn end_all(&self) {
        // One request in 100 is this one; an end of all leaves too little to the others otherwise.
        if self.schedule.0.plan.kind < Kind::Disasters
            || self.schedule.random(|random| random.chance(80))
        {
            return;
        }
        let known: Vec<usize> = {
            let state = self.schedule.state();
            let is_known = |at: &usize| state.lineages[*at].is_created();
            (0..state.lineages.len()).filter(is_known).collect()
        };
        let result = self.cache.end_all().await;
        self.answered("end_all", self.began, 2, &result);
        // After the server's clock went back, sessions that were created before have later times.
        if result.is_err() || self.schedule.state().is_set_back {
            return;
        }
        let (now, owner) = (self.now(), self.owner);
        for lineage in known {
            self.change(lineage, |lineage| lineage.end(now, owner));
        }
    }

    /// A token with a wrong tag, and one that is damaged, are answered without the store.
    fn forged(&self) {
        let Some(lineage) = self.choose(true) else {
            return;
        };
        let token = self.token(lineage);
        let mut forged = token.as_str().as_bytes().to_vec();
        let at = self.schedule.random(|random| random.below(48)) as usize;
        forged[at] = if forged[at] == b'x' { b'y' } else { b'x' };
        let damaged = &token.as_str().as_bytes()[..at];
        let reads = self.schedule.0.networks[self.node].reads();
        for value in [&forged[..], damaged] {
            let opened = self.cache.try_open_token(value, &mut BytesMut::new());
            if !matches!(opened, LookUp::Absent) {
                self.schedule.violate(&format!(
                    "a forged token was not rejected: {opened:?} {at} {}",
                    value.len()
                ));
            }
        }
        if self.schedule.0.networks[self.node].reads() != reads {
            self.schedule.violate("a forged token caused a read");
        }
    }
}

fn encode(lineage: u32, value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&lineage.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_le_bytes());
    bytes
}

fn parse(data: &[u8]) -> (u32, u32) {
    let word = |at: usize| {
        let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u32::MAX, u32::from_le_bytes)
    };
    (word(0), word(4))
}

pub const NAMES: [&str; USERS] = ["ada", "grace", "edsger"];
