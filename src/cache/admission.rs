//! Asks the admission hook apart from `create`, for callers that hold a lock while they create a session.

use super::SessionCache;
use crate::error::Error;

impl SessionCache {
    /// Returns true if the cache has a hook that decides whether a session is created:
    /// [`SessionCacheBuilder::admission`](crate::SessionCacheBuilder::admission).
    #[must_use]
    pub fn has_admission_hook(&self) -> bool {
        self.0.settings.admission.is_some()
    }

    /// Asks the admission hook before [`create`](Self::create), which then does not ask it if it is told so by
    /// [`CreateOptions::admitted`](crate::CreateOptions::admitted). For callers that hold a lock while they create a
    /// session: the hook is the application's code and should run without it.
    ///
    /// ```
    /// use sessile::{CreateOptions, Error, KeyRing, SessionCache};
    ///
    /// let settings = SessionCache::builder().memory(8 << 20).keys(KeyRing::generate()?);
    /// let cache = settings.admission(|address| address != b"203.0.113.9").build()?;
    /// assert_eq!(cache.check_admission(b"203.0.113.9"), Err(Error::AdmissionDenied));
    /// cache.check_admission(b"192.0.2.1")?;
    /// cache.create_with(b"a cart", CreateOptions::new().admitted())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AdmissionDenied`](Error::AdmissionDenied), which counts in the statistics as if `create` had returned it.
    pub fn check_admission(&self, key: &[u8]) -> Result<(), Error> {
        self.0.check_admission(key)
    }
}
