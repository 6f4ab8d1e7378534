//! The part of the model that is about timeouts.

use std::time::Duration;

use sessile::Timeouts;

use super::{IDLE, LIFETIME, Session, TICK};

impl Session {
    pub(super) fn set(&mut self, timeouts: SessionTimeouts, now: u32) {
        let ticks = |span: Option<Duration>| span.map(|span| (span.as_millis() / 100) as u32);
        self.idle_timeout =
            ticks(timeouts.idle_timeout).map_or(self.idle_timeout, |own| own.min(IDLE));
        // After several `end_all` in one tick, a new session begins in a future tick.
        let start = self.start.min(now);
        self.end = ticks(timeouts.lifetime).map_or(self.end, |own| start + own.min(LIFETIME));
        let from_now = ticks(timeouts.from_now);
        self.end = from_now.map_or(self.end, |own| (now + own).min(start + LIFETIME));
        self.used = now;
    }

    pub(super) fn is_promised(&self, now: u32) -> bool {
        now < self.end && now < self.used + self.idle_timeout - self.idle_timeout / 16
    }

    pub(super) fn is_dead(&self, now: u32) -> bool {
        now >= self.end || now >= self.used + self.idle_timeout
    }
}

pub(super) fn timeouts(idle: Option<u8>, lifetime: Option<u8>) -> SessionTimeouts {
    let idle_timeout = idle.map(|ticks| TICK * u32::from(ticks));
    let lifetime = lifetime.map(|ticks| TICK * 2 * u32::from(ticks));
    SessionTimeouts {
        idle_timeout,
        lifetime,
        from_now: None,
    }
}

/// Timeouts of one session, in the model's form.
#[derive(Clone, Copy, Default)]
pub(super) struct SessionTimeouts {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) lifetime: Option<Duration>,
    pub(super) from_now: Option<Duration>,
}

impl SessionTimeouts {
    pub(super) fn get(self) -> Timeouts {
        let mut timeouts = Timeouts::new();
        if let Some(span) = self.idle_timeout {
            timeouts = timeouts.idle_timeout(span);
        }
        if let Some(span) = self.lifetime {
            timeouts = timeouts.lifetime(span);
        }
        self.from_now
            .map_or(timeouts, |span| timeouts.lifetime_from_now(span))
    }
}

/// Returns a duration between zero and more than a lifetime, often of about one tick.
pub(super) fn span(number: u16) -> Duration {
    let millis = if number.is_multiple_of(4) {
        number % 300
    } else {
        number % 45_000
    };
    Duration::from_millis(millis.into())
}
