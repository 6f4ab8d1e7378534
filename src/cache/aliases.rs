//! Replaced ids: where they lead, for how long they have been replaced, and whether an id opens a session now.

use std::time::Duration;

use super::{Inner, SessionCache, stats::Cause};
use crate::{
    clock::{Tick, to_duration},
    cookie::{MAX_CANDIDATES, Parts},
    id::{Id, SessionId},
    shard::{EndResult, IdTarget, MAX_ALIASES, Shard},
};

impl SessionCache {
    /// Returns true if the id opens a session now: its current id, or an alias within its grace period. Copies no
    /// data, and does not count as use. For a socket or a task that checks whether its session has ended.
    ///
    /// ```
    /// use sessile::{KeyRing, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?).build()?;
    /// let made = cache.create(b"a cart")?;
    /// assert!(cache.contains(&made.id));
    ///
    /// cache.end(&made.id);
    /// assert!(!cache.contains(&made.id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn contains(&self, id: &SessionId) -> bool {
        self.0
            .look(id, |shard| shard.contains(&id.id, self.0.now()))
            .unwrap_or(false)
    }

    /// Returns how long ago a remembered id was replaced by another, by a rotation or a sign-in. Returns `None` for
    /// an id that is current, unknown or forgotten. Takes one lock, and counts neither as use nor as reuse.
    #[must_use]
    pub fn replaced(&self, id: &SessionId) -> Option<Duration> {
        let since = |shard: &Shard| {
            let now = self.0.now();
            shard
                .replaced_at(&id.id, now)
                .map(|then| to_duration(now.saturating_sub(then)))
        };
        self.0.look(id, since).flatten()
    }

    /// Returns the same as [`replaced`](Self::replaced) for the value of a cookie, if its MAC verifies.
    #[must_use]
    pub fn replaced_token(&self, value: &[u8]) -> Option<Duration> {
        self.replaced(&self.id_of_token(value)?)
    }

    /// Returns the id that the value of a cookie carries, if its MAC verifies. It need not open a session.
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
    /// Looks into the shard of an id, if there is that shard, under its lock.
    fn look<R>(&self, id: &SessionId, query: impl FnOnce(&Shard) -> R) -> Option<R> {
        self.locked_shards
            .get(usize::from(id.place))
            .map(|locked| query(&self.lock(locked)))
    }

    /// Returns the current id of the session to which an id leads.
    pub(super) fn resolve(&self, mut id: SessionId) -> Option<SessionId> {
        while let IdTarget::OtherShard(target) =
            self.look(&id, |shard| shard.resolve(&id.id, self.now()))?
        {
            id = target;
        }
        Some(id)
    }

    /// Applies a verb to the session to which an id leads, from shard to shard. Returns true if it reached one.
    ///
    /// The aliases that were passed on the way are pointed at its end, so that the next time they take one step.
    pub(super) fn follow(
        &self,
        from: Step,
        verb: impl Fn(&mut Shard, &Id, Tick) -> EndResult,
    ) -> bool {
        let (mut passed, mut end) = (Passed::default(), from.to);
        if from.id != from.to {
            passed.push(from.id);
        }
        while self.has_shard(&end) {
            match self.write(end.place, |shard, now| verb(shard, &end.id, now)) {
                EndResult::Alias(target) => {
                    passed.push(end);
                    end = target;
                }
                ended => {
                    self.shorten(&passed, &end);
                    return matches!(ended, EndResult::Session);
                }
            }
        }
        false
    }

    /// Points aliases at the end of the way on which they are. The last of them points there already.
    fn shorten(&self, passed: &Passed, end: &SessionId) {
        for id in passed.ids[..passed.len.saturating_sub(1)].iter().flatten() {
            self.write(id.place, |shard, _| shard.redirect(&id.id, end));
        }
    }

    /// Counts the use of replaced ids after their grace period, tells of it, and ends the sessions if that is wished.
    #[cold]
    pub(super) fn act_on(&self, reuses: &Reuses) {
        for &reuse in reuses.0.iter().flatten() {
            self.counters.count(Cause::Reused);
            let ends = self.settings.end_reused;
            self.follow(reuse, |shard, id, now| shard.reuse(id, ends, now));
        }
    }
}

/// An id, and the one to which it leads: the same, or the next on the way.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) id: SessionId,
    pub(super) to: SessionId,
}

impl From<SessionId> for Step {
    fn from(id: SessionId) -> Self {
        Self { id, to: id }
    }
}

/// Replaced ids that a request brought after their grace period. What comes of them is decided when no other
/// candidate has opened a session.
#[derive(Default)]
pub(super) struct Reuses([Option<Step>; MAX_CANDIDATES]);

impl Reuses {
    #[cold]
    pub(super) fn note(&mut self, reuse: Step) {
        if let Some(free) = self.0.iter_mut().find(|reuse| reuse.is_none()) {
            *free = Some(reuse);
        }
    }
}

/// The aliases of a way that leads through several shards. Of a longer way the rest is shortened by another walk.
#[derive(Default)]
struct Passed {
    ids: [Option<SessionId>; 2 * MAX_ALIASES],
    len: usize,
}

impl Passed {
    fn push(&mut self, id: SessionId) {
        if let Some(free) = self.ids.get_mut(self.len) {
            *free = Some(id);
            self.len += 1;
        }
    }
}
