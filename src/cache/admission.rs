//! Calls the admission hook separately from `create`, for callers that hold a lock while they
//! create a session.

use super::SessionCache;
use crate::error::Error;

impl SessionCache {
    /// Returns true if the cache has an [`admission`](crate::SessionCacheBuilder::admission) hook.
    #[must_use]
    pub fn has_admission_hook(&self) -> bool {
        self.0.settings.admission.is_some()
    }

    /// Calls the admission hook before [`create_with`](Self::create_with), whose options then
    /// include [`CreateOptions::admitted`](crate::CreateOptions::admitted). For callers that hold a
    /// lock while they create a session: the hook is application code and should run without that
    /// lock. Without a hook, every key is admitted.
    ///
    /// ```
    /// use sessile::{CreateOptions, Error, KeyRing, SessionCache};
    ///
    /// let builder = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = builder.admission(|address| address != b"203.0.113.9").build()?;
    /// assert_eq!(cache.check_admission(b"203.0.113.9"), Err(Error::AdmissionDenied));
    /// cache.check_admission(b"192.0.2.1")?;
    /// cache.create_with(b"a cart", CreateOptions::new().admitted())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), which is counted as if `create_with` had
    /// returned it.
    pub fn check_admission(&self, key: &[u8]) -> Result<(), Error> {
        self.0.check_admission(key)
    }
}
