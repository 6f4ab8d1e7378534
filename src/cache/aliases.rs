//! Replaced ids: their target, the time since their replacement, and reuse after the grace period.

use std::time::Duration;

use super::{Inner, SessionCache, stats::Cause};
use crate::{
    clock::{Tick, to_duration},
    cookie::{MAX_CANDIDATES, Parts},
    id::{Id, SessionId},
    shard::{EndResult, IdTarget, MAX_ALIASES, Shard},
};

impl SessionCache {
    /// Returns true if the id opens a session now: it is current, or an alias within its grace
    /// period. Copies no data, and does not count as activity. For a socket or a task that checks
    /// whether its session has ended.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let issued = cache.create(b"a cart")?;
    /// assert!(cache.contains(&issued.id));
    ///
    /// cache.end(&issued.id);
    /// assert!(!cache.contains(&issued.id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn contains(&self, id: &SessionId) -> bool {
        self.0
            .query_shard(id, |shard| shard.contains(&id.id, self.0.now()))
            .unwrap_or(false)
    }

    /// Returns the time since a remembered id was replaced by a rotation or a sign-in. Returns
    /// `None` for an id that is current, unknown or no longer remembered. Takes one lock, and
    /// counts neither as activity nor as reuse.
    #[must_use]
    pub fn replaced(&self, id: &SessionId) -> Option<Duration> {
        let since = |shard: &Shard| {
            let now = self.0.now();
            shard
                .replaced_at(&id.id, now)
                .map(|then| to_duration(now.saturating_sub(then)))
        };
        self.0.query_shard(id, since).flatten()
    }

    /// Like [`replaced`](Self::replaced), by the value of a cookie. Returns `None` if its MAC does
    /// not verify.
    #[must_use]
    pub fn replaced_token(&self, value: &[u8]) -> Option<Duration> {
        self.replaced(&self.id_of_token(value)?)
    }

    /// Returns the id in the value of a cookie, or `None` if its MAC does not verify. The id need
    /// not belong to a session.
    #[must_use]
    pub fn id_of_token(&self, value: &[u8]) -> Option<SessionId> {
        let token = Parts::parse(value).filter(|token| self.0.keys.verify(token))?;
        Some(SessionId {
            id: token.id,
            place: token.place,
        })
    }
}

impl Inner {
    /// Runs a query on the shard of an id, under its lock. Returns `None` if the shard does not
    /// exist.
    fn query_shard<R>(&self, id: &SessionId, query: impl FnOnce(&Shard) -> R) -> Option<R> {
        self.locked_shards
            .get(usize::from(id.place))
            .map(|locked| query(&self.lock(locked)))
    }

    /// Returns the current id of the session to which an id leads.
    pub(super) fn resolve(&self, mut id: SessionId) -> Option<SessionId> {
        while let IdTarget::OtherShard(target) =
            self.query_shard(&id, |shard| shard.resolve(&id.id, self.now()))?
        {
            id = target;
        }
        Some(id)
    }

    /// Follows an id from shard to shard and applies a verb to its session. Returns true if there
    /// is one.
    ///
    /// Redirects the visited aliases to the last id, so that the next call takes a single step.
    pub(super) fn follow(
        &self,
        from: AliasStep,
        verb: impl Fn(&mut Shard, &Id, Tick) -> EndResult,
    ) -> bool {
        let (mut visited, mut end) = (VisitedAliases::default(), from.to);
        if from.id != from.to {
            visited.push(from.id);
        }
        while self.has_shard(&end) {
            match self.write(end.place, |shard, now| verb(shard, &end.id, now)) {
                EndResult::Alias(target) => {
                    visited.push(end);
                    end = target;
                }
                ended => {
                    self.shorten(&visited, &end);
                    return matches!(ended, EndResult::Session);
                }
            }
        }
        false
    }

    /// Redirects aliases to the end of their path. The last of them already leads there.
    fn shorten(&self, visited: &VisitedAliases, end: &SessionId) {
        for id in visited.ids[..visited.len.saturating_sub(1)]
            .iter()
            .flatten()
        {
            self.write(id.place, |shard, _| shard.redirect(&id.id, end));
        }
    }

    /// Counts and emits reuses, and ends the sessions if
    /// [`end_reused`](crate::SessionCacheBuilder::end_reused) is set.
    #[cold]
    pub(super) fn handle_reuses(&self, reuses: &Reuses) {
        for &reuse in reuses.0.iter().flatten() {
            self.counters.count(Cause::Reused);
            let ends = self.settings.end_reused;
            self.follow(reuse, |shard, id, now| shard.reuse(id, ends, now));
        }
    }
}

/// An id and its target: itself, or the next id on its path.
#[derive(Clone, Copy)]
pub(super) struct AliasStep {
    pub(super) id: SessionId,
    pub(super) to: SessionId,
}

impl From<SessionId> for AliasStep {
    fn from(id: SessionId) -> Self {
        Self { id, to: id }
    }
}

/// Replaced ids that a request presented after their grace period. They are handled only if no
/// other candidate opens a session.
#[derive(Default)]
pub(super) struct Reuses([Option<AliasStep>; MAX_CANDIDATES]);

impl Reuses {
    #[cold]
    pub(super) fn push(&mut self, reuse: AliasStep) {
        if let Some(free) = self.0.iter_mut().find(|reuse| reuse.is_none()) {
            *free = Some(reuse);
        }
    }
}

/// The visited aliases of a path through several shards. The rest of a longer path is shortened by
/// a later call.
#[derive(Default)]
struct VisitedAliases {
    ids: [Option<SessionId>; 2 * MAX_ALIASES],
    len: usize,
}

impl VisitedAliases {
    fn push(&mut self, id: SessionId) {
        if let Some(free) = self.ids.get_mut(self.len) {
            *free = Some(id);
            self.len += 1;
        }
    }
}
