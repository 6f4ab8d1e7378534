//! Facts that clients know from the answers they got, and what must hold because of them.
//!
//! A lineage is a session from the view of its client: it keeps its identity through rotations and
//! sign-ins, because the data names it.

use std::time::Duration;

use sessile::{SessionId, Token};

use crate::network::Network;

/// A session as its client knows it.
pub struct Lineage {
    /// All tokens that were issued, the current one last.
    pub tokens: Vec<Token>,
    /// The id that was issued last.
    pub id: SessionId,
    /// No verb of this lineage may end it or change its id, and no disaster happens.
    pub is_calm: bool,
    /// The user, once a sign-in was answered.
    pub user: Option<usize>,
    /// A sign-in was not answered, so the user is not known.
    pub is_user_uncertain: bool,
    /// The new ids that were answered.
    pub renames: Vec<Rename>,
    /// The number of sign-ins that began.
    pub sign_ins: u32,
    /// The number of sign-ins in progress.
    pub signing_in: u32,
    /// A failover lost a part of a sign-in: two sessions may have the data.
    pub is_forked: bool,
    /// The forks between which it was ended: the numbers of tokens before a sign-in of which a
    /// failover lost the end of the old session and kept the new one. Until a node asserts that end
    /// again, no token before leads to a session after it.
    pub forks: Vec<usize>,
    /// The token by which it was ended, if that reached one side of the forks only.
    pub ended_token: Option<Token>,
    /// The values that were saved, and the times at which that was confirmed.
    pub saved: Vec<(Duration, u32)>,
    /// The time at which an end was confirmed.
    pub ended: Option<Duration>,
    /// The node that ended it, or accepted an end that was not confirmed.
    pub ended_by: Option<u64>,
    /// An end was accepted and will be confirmed if the node lives.
    pub is_end_pending: bool,
}

/// A new id of a lineage.
pub struct Rename {
    /// The number of tokens before it.
    pub first: usize,
    /// The time at which it was answered.
    pub at: Duration,
    /// The node that performed the sign-in, or `None` for a rotation.
    pub by: Option<u64>,
    pub hold: Hold,
}

/// The effect of a failover on a new id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    Kept,
    /// It may be lost, and the node that performed the sign-in closes the old id again.
    Asserted,
    /// It may be lost, and the old id may open what it opened before.
    Lost,
}

/// The bounds of the promises.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub whole: Duration,
    pub broken: Duration,
}

/// The result of an open, with the time and the place of its begin.
pub struct Observation<'a> {
    pub began: Duration,
    pub network: &'a Network,
    pub value: u32,
}

impl Lineage {
    pub fn new(id: SessionId, token: Token, now: Duration, is_calm: bool) -> Self {
        Self {
            tokens: vec![token],
            id,
            is_calm,
            user: None,
            is_user_uncertain: false,
            renames: Vec::new(),
            is_forked: false,
            forks: Vec::new(),
            ended_token: None,
            sign_ins: 0,
            signing_in: 0,
            saved: vec![(now, 0)],
            ended: None,
            ended_by: None,
            is_end_pending: false,
        }
    }

    /// Returns true if the creation was answered.
    pub fn is_created(&self) -> bool {
        self.id.to_bytes() != [0; 16]
    }

    /// Returns true if an end reached the session that a token leads to.
    pub fn is_ended_for(&self, token: &Token) -> bool {
        let is_ended = self.ended.is_some() || self.is_end_pending;
        is_ended
            && self
                .ended_token
                .is_none_or(|ended| self.side(token) == self.side(&ended))
    }

    /// Returns the number of forks before a token.
    fn side(&self, token: &Token) -> usize {
        let at = self.tokens.iter().position(|known| known == token);
        let at = at.unwrap_or(self.tokens.len());
        self.forks.iter().filter(|fork| **fork <= at).count()
    }

    /// Records a new id that was answered, of a rotation or of a sign-in by a node.
    pub fn rename(&mut self, id: SessionId, token: Token, at: Duration, by: Option<u64>) {
        let first = self.tokens.len();
        let hold = Hold::Kept;
        self.renames.push(Rename {
            first,
            at,
            by,
            hold,
        });
        self.tokens.push(token);
        self.id = id;
    }

    /// Returns the sign-in after which a token opens nothing.
    pub fn closed_by(&self, token: &Token) -> Option<&Rename> {
        let at = self.tokens.iter().position(|known| known == token)?;
        let later = self.renames.iter().filter(|rename| rename.first > at);
        // Beyond a new id that is lost, the old one leads nowhere.
        let mut held = later.take_while(|rename| rename.hold != Hold::Lost);
        held.find(|rename| rename.by.is_some())
    }

    /// Records that an end by one token was confirmed. It began while there were the given forks.
    pub fn end_by(&mut self, token: Token, forks: Vec<usize>, now: Duration, node: u64) {
        if self.ended.is_none() {
            (self.ended_token, self.forks) = (Some(token), forks);
        }
        self.end(now, node);
    }

    /// Records that the store ended the session of a token at the limit.
    pub fn end_at_limit(&mut self, token: Token, now: Duration, node: u64) {
        let is_kept = |rename: &Rename| rename.hold == Hold::Kept;
        let is_whole = self.renames.iter().all(is_kept) && self.signing_in == 0;
        // If there may be another session, only this token is known to be its.
        let forks = match is_whole {
            true => Vec::new(),
            false => self.renames.iter().map(|rename| rename.first).collect(),
        };
        self.end_by(token, forks, now, node);
    }

    /// Records that an end was confirmed.
    pub fn end(&mut self, now: Duration, node: u64) {
        if self.ended.is_none() {
            (self.ended, self.ended_by) = (Some(now), Some(node));
        }
    }

    /// Records that an end was accepted and not confirmed.
    pub fn queue_end(&mut self, node: u64) {
        if self.ended.is_none() && !self.is_end_pending {
            (self.is_end_pending, self.ended_by) = (true, Some(node));
        }
    }

    /// A node was restarted: it re-asserts nothing.
    pub fn forget_node(&mut self, node: u64) {
        if self.is_end_pending && self.ended_by == Some(node) {
            (self.is_end_pending, self.ended_by) = (false, None);
        }
        for rename in &mut self.renames {
            if rename.hold == Hold::Asserted && rename.by == Some(node) {
                rename.hold = Hold::Lost;
            }
        }
    }

    /// A failover lost the writes since a time.
    pub fn lose_since(&mut self, since: Duration, live: &[u64]) {
        let is_renamed = self.renames.iter().any(|rename| rename.at > since);
        let is_lost = self.lose_renames(since, live);
        self.is_user_uncertain |= is_renamed;
        self.is_forked |= is_renamed || self.signing_in > 0;
        self.saved.retain(|(at, _)| *at <= since);
        if self.saved.is_empty() {
            self.saved.push((since, 0));
        }
        if self.ended.is_some_and(|at| at > since) {
            self.ended = None;
            // If a new id is lost too, and no node closes the old one again, that opens what it
            // opened before: no node knows that it led to the one that was ended.
            let is_alive = !is_lost && self.ended_by.is_some_and(|node| live.contains(&node));
            self.is_end_pending = is_alive;
            if !is_alive {
                (self.ended_by, self.ended_token) = (None, None);
            }
        }
    }

    /// Records which new ids a failover lost. Returns true if one is not asserted again.
    fn lose_renames(&mut self, since: Duration, live: &[u64]) -> bool {
        let mut is_lost = false;
        for rename in self.renames.iter_mut().filter(|rename| rename.at > since) {
            is_lost |= rename.by.is_none_or(|node| !live.contains(&node));
            // A sign-in after one that is lost closes the id between them only.
            rename.hold = if is_lost { Hold::Lost } else { Hold::Asserted };
        }
        is_lost
    }

    /// Returns the numbers of tokens after which another session begins, if several tokens name
    /// sessions: a failover lost the end of the old session of a sign-in and kept the new one.
    pub fn find_forks(&self, names_session: impl Fn(&Token) -> bool) -> Vec<usize> {
        let named = self.tokens.iter().enumerate();
        let named = named.filter(|(_, token)| names_session(token));
        let mut after: Vec<_> = named.map(|(at, _)| at + 1).collect();
        after.pop();
        after
    }

    /// Checks an open that found this session.
    pub fn check_opened(
        &self,
        token: &Token,
        seen: &Observation<'_>,
        bounds: Bounds,
    ) -> Result<(), String> {
        if let Some(ended) = self.ended
            && self.is_ended_for(token)
            && seen.began > ended + seen.bound(ended, bounds)
        {
            let late = (seen.began - ended).as_millis();
            return Err(format!(
                "an ended session was opened {late} ms after its end"
            ));
        }
        if let Some(sign_in) = self.closed_by(token)
            && sign_in.hold == Hold::Kept
            && seen.began > sign_in.at + seen.bound(sign_in.at, bounds)
        {
            let late = (seen.began - sign_in.at).as_millis();
            return Err(format!(
                "a token from before a sign-in was opened {late} ms after it"
            ));
        }
        let is_due = |at: Duration| seen.began > at + seen.bound(at, bounds);
        let due = self.saved.iter().filter(|(at, _)| is_due(*at));
        let due = due.map(|(_, value)| *value).max().unwrap_or(0);
        if seen.value < due && !self.is_forked {
            return Err(format!("value {} was opened, {due} was saved", seen.value));
        }
        Ok(())
    }
}

impl Observation<'_> {
    /// Returns the bound of a change that was confirmed at a time, which depends on the channel.
    fn bound(&self, changed: Duration, bounds: Bounds) -> Duration {
        let from = changed.saturating_sub(RECOVERY);
        if self.network.was_whole(from, self.began) {
            bounds.whole
        } else {
            bounds.broken
        }
    }
}

/// The time after a fault for which a channel may still not be whole.
const RECOVERY: Duration = Duration::from_secs(10);
