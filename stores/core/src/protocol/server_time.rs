//! The estimate of the server's time, from which writes get their bound.
//!
//! Owns the time of the last heartbeat's reply. Invariant: unless the server's clock goes back or
//! is slower than that of this process, the estimate is no later than the server's time, because
//! the server read its clock before the reply arrived. It does not know how the reply travelled.

use std::{sync::Mutex, time::Duration};

use crate::{protocol::lock, store::ServerTime};

/// The last known time of the server.
#[derive(Default)]
pub(crate) struct ServerClock(Mutex<Option<Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    server: ServerTime,
    received_at: Duration,
}

impl ServerClock {
    /// Takes the time of a reply that was received at `received_at`.
    pub(crate) fn set(&self, server: ServerTime, received_at: Duration) {
        *lock(&self.0) = Some(Reading {
            server,
            received_at,
        });
    }

    /// Returns the estimate at `now`, or `None` before the first reply.
    pub(crate) fn estimate(&self, now: Duration) -> Option<ServerTime> {
        let reading = (*lock(&self.0))?;
        let passed = now.saturating_sub(reading.received_at);
        Some(reading.server.after(passed))
    }

    /// Returns the bound of a write whose caller waits until `deadline`. Before the first reply it
    /// is in the past, so that the server does nothing.
    pub(crate) fn not_after(&self, deadline: Duration) -> ServerTime {
        self.estimate(deadline).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_counts_from_the_receipt() {
        let clock = ServerClock::default();
        let second = Duration::from_secs(1);
        assert_eq!(clock.not_after(second), ServerTime(0));
        clock.set(ServerTime(1_000), second);
        assert_eq!(clock.estimate(second), Some(ServerTime(1_000)));
        assert_eq!(clock.not_after(2 * second), ServerTime(2_000));
        // The server's clock went back: the next reply counts.
        clock.set(ServerTime(500), 2 * second);
        assert_eq!(clock.estimate(2 * second), Some(ServerTime(500)));
    }
}
