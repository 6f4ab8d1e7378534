//! The delay of the channel, measured by the node's own writes.
//!
//! Owns the last write whose message has not arrived. It does not know what was written.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sessile::{SessionId, Version};

use crate::protocol::lock;

/// The time from the sending of a write to the arrival of its message.
#[derive(Default)]
pub(crate) struct Echo {
    expected: Mutex<Option<Expected>>,
    micros: AtomicU64,
}

struct Expected {
    id: [u8; 16],
    version: Version,
    sent_at: Duration,
}

impl Echo {
    /// A write is sent. It replaces an earlier one whose message has not arrived: only one is
    /// measured at a time.
    pub(crate) fn expect(&self, id: &SessionId, version: Version, now: Duration) {
        *lock(&self.expected) = Some(Expected {
            id: id.to_bytes(),
            version,
            sent_at: now,
        });
    }

    /// A message arrived.
    pub(crate) fn arrived(&self, id: &SessionId, version: Version, now: Duration) {
        let mut expected = lock(&self.expected);
        let own = expected.take_if(|own| own.id == id.to_bytes() && own.version == version);
        if let Some(own) = own {
            let span = now.saturating_sub(own.sent_at).as_micros();
            let micros = u64::try_from(span).unwrap_or(u64::MAX);
            // A gauge orders nothing.
            self.micros.store(micros, Ordering::Relaxed);
        }
    }

    /// Returns the last delay.
    pub(crate) fn lag(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}
