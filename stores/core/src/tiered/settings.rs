//! Settings of a tiered cache, and their errors.
//!
//! Owns the limits of each setting. It does not know how a setting is used.

use std::{error, fmt, io, time::Duration};

use sessile::BuildError;

use crate::{protocol::switches::Rules, store::Abilities};

/// The settings, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The lease of the channel.
    pub(crate) lease: Duration,
    /// The lease of each entry of L1, if the store pushes no changes.
    pub(crate) entry_lease: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) stale_while_down: Duration,
    pub(crate) is_encrypted: bool,
    pub(crate) rules: Rules,
}

/// Errors of building a tiered cache.
#[non_exhaustive]
pub enum StoreBuildError {
    /// The settings of the cache in memory cannot be used.
    Cache(BuildError),
    /// A setting is below its minimum or above its maximum.
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// The value.
        given: Duration,
        /// The minimum.
        min: Duration,
        /// The maximum.
        max: Duration,
    },
    /// The store cannot be used with these settings. The text names the setting.
    Incompatible(String),
    /// A setting asks for what the store cannot do.
    Unsupported {
        /// The name of the setting.
        setting: &'static str,
        /// The value.
        given: usize,
    },
    /// The operating system returned no random bytes.
    Entropy,
    /// The thread of the store cannot be started.
    Thread(io::Error),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: DEFAULT_LEASE,
            entry_lease: None,
            timeout: Duration::from_millis(500),
            stale_while_down: Duration::ZERO,
            is_encrypted: false,
            rules: Rules::default(),
        }
    }
}

impl Settings {
    /// Sets the lease that fits a store: of the channel if it pushes changes, of each entry
    /// otherwise. Then that of the channel is only the time after which a node whose store does not
    /// answer stops, and is no shorter.
    pub(crate) fn set_lease(&mut self, given: Option<Duration>, abilities: &Abilities) {
        if abilities.push {
            self.lease = given.unwrap_or(DEFAULT_LEASE);
        } else {
            let lease = given.unwrap_or(DEFAULT_ENTRY_LEASE);
            self.entry_lease = Some(lease);
            self.lease = lease.max(DEFAULT_LEASE);
        }
    }

    /// Checks each setting.
    pub(crate) fn check(&self) -> Result<(), StoreBuildError> {
        if let Some(lease) = self.entry_lease {
            within("lease", lease, MIN_ENTRY_LEASE, MAX_LEASE)?;
        }
        within("lease", self.lease, MIN_LEASE, MAX_LEASE)?;
        within("timeout", self.timeout, MIN_TIMEOUT, MAX_TIMEOUT)?;
        let stale = self.stale_while_down;
        within("stale_while_down", stale, Duration::ZERO, MAX_STALE)
    }
}

fn within(
    setting: &'static str,
    given: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), StoreBuildError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(StoreBuildError::Setting {
        setting,
        given,
        min,
        max,
    })
}

impl fmt::Display for StoreBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache(error) => error.fmt(f),
            Self::Setting {
                setting,
                given,
                min,
                max,
            } => write!(
                f,
                "`{setting}` must be between {min:?} and {max:?}, got {given:?}"
            ),
            Self::Incompatible(cause) => f.write_str(cause),
            Self::Unsupported { setting, given } => write!(
                f,
                "`{setting}` must be `None` with this store, which cannot do that, got {given}"
            ),
            Self::Entropy => f.write_str("the operating system returned no random bytes"),
            Self::Thread(error) => write!(f, "the thread of the store cannot be started: {error}"),
        }
    }
}

/// The text, as the engine's setup errors do, so that `main` shows it.
impl fmt::Debug for StoreBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for StoreBuildError {}

impl From<BuildError> for StoreBuildError {
    fn from(error: BuildError) -> Self {
        Self::Cache(error)
    }
}

/// A lease outlives the two seconds after which unanswered heartbeats are a fence, so that a slow
/// heartbeat does not stop all hits.
const MIN_LEASE: Duration = Duration::from_secs(3);
const MIN_ENTRY_LEASE: Duration = Duration::from_secs(1);
const DEFAULT_LEASE: Duration = Duration::from_secs(5);
const DEFAULT_ENTRY_LEASE: Duration = Duration::from_secs(2);
const MAX_LEASE: Duration = Duration::from_secs(60);
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STALE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_setting_the_value_and_the_limits() {
        let settings = Settings {
            lease: Duration::from_secs(61),
            ..Settings::default()
        };
        let error = settings.check().expect_err("too long").to_string();
        assert_eq!(error, "`lease` must be between 3s and 60s, got 61s");
        assert!(Settings::default().check().is_ok());
    }
}
