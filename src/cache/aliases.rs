//! Replaced ids: where they lead, for how long they have been replaced, and whether an id opens a session now.

use std::time::Duration;

use super::SessionCache;
use crate::{
    clock::to_duration,
    cookie::Parts,
    id::{Id, SessionId},
    shard::{Ended, Shard},
};

impl SessionCache {
    /// Returns true if the id opens a session now: its current id, or an alias within its grace period. Copies no
    /// data, and does not count as use. For a socket or a task that checks whether its session has ended.
    ///
    /// ```
    /// use sessile::{KeyRing, NewSession, SessionCache};
    ///
    /// let cache = SessionCache::builder().memory(8 << 20).keys(KeyRing::random()?).build()?;
    /// let made = cache.create(b"a cart", NewSession::default())?;
    /// assert!(cache.contains(&made.id));
    ///
    /// cache.end(&made.id);
    /// assert!(!cache.contains(&made.id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn contains(&self, id: &SessionId) -> bool {
        self.look(id, |shard| shard.contains(&id.id, self.now())).unwrap_or(false)
    }

    /// Returns how long ago a remembered id was replaced by another, by a rotation or a sign-in. Returns `None` for
    /// an id that is current, unknown or forgotten. Takes one lock, and counts neither as use nor as reuse.
    #[must_use]
    pub fn replaced(&self, id: &SessionId) -> Option<Duration> {
        let now = self.now();
        let replaced = self.look(id, |shard| shard.replaced(&id.id, now))??;
        Some(to_duration(now.saturating_sub(replaced)))
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
        Some(SessionId { id: token.id, home: token.home })
    }

    /// Looks into the shard of an id, if there is that shard, under its lock.
    fn look<R>(&self, id: &SessionId, query: impl FnOnce(&Shard) -> R) -> Option<R> {
        self.0.stripes.get(usize::from(id.home)).map(|stripe| query(&self.lock(stripe)))
    }

    /// Returns the id to which an id leads now.
    pub(super) fn resolve(&self, mut id: SessionId) -> Option<SessionId> {
        while let Some(target) = self.look(&id, |shard| shard.target(&id.id))? {
            id = target;
        }
        Some(id)
    }

    /// Applies a verb to an id, and to the ids to which it leads. Returns true if it reached a session.
    pub(super) fn follow(
        &self,
        mut id: SessionId,
        verb: impl Fn(&mut Shard, &Id) -> Ended,
    ) -> bool {
        while self.has_home(&id) {
            match self.write(id.home, |shard| verb(shard, &id.id)) {
                Ended::Session => return true,
                Ended::Alias(target) => id = target,
                Ended::Nothing => return false,
            }
        }
        false
    }
}
