//! Ends of all sessions of a user in a store that does not list them.
//!
//! Invariant: when the end is confirmed, no entry of L1 from before is opened without the store. It
//! does not know how the store marks the sessions as ended.

use std::time::Duration;

use sessile::{Error, SessionId, UserHash};

use super::{fetched::Found, inner::Inner, metrics::Verb, open::MAX_HOPS};

impl Inner {
    /// Ends all sessions of a user but one, which may be named by an id that it had before.
    pub(super) async fn end_unlisted(
        &self,
        user: UserHash,
        except: Option<SessionId>,
        deadline: Duration,
    ) -> Result<(), Error> {
        let except = match except {
            Some(id) => Some(self.last_of(id, deadline).await?),
            None => None,
        };
        let end = self.store.end_user(user, except, self.l1.lifetime());
        let result = self.call(Verb::End, deadline, end).await;
        // After an error the outcome is unknown.
        self.distrust_entries();
        result.map_err(|error| self.public(&error))?;
        Ok(())
    }

    /// Returns the id that an id leads to.
    async fn last_of(&self, id: SessionId, deadline: Duration) -> Result<SessionId, Error> {
        let mut current = id;
        for _ in 0..MAX_HOPS {
            match self.look(current, deadline).await? {
                Found::Alias(target) => current = target.id,
                Found::Absent | Found::CutOff | Found::Session(_) => break,
            }
        }
        Ok(current)
    }
}
