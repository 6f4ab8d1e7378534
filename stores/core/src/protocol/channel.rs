//! The state of the channel to the store: one state machine for each node.
//!
//! ```text
//!        retry ─▶ Subscribing ─ subscribed ─▶ Recovering ─ heartbeat answered, ends sent ─▶ Up
//!  Down ◀──────────── rejected, lost, or a heartbeat unanswered for 2 s ────────────────────┘
//! ```
//!
//! Owns the state, the heartbeats that are not answered, and the pause before the next attempt.
//! Invariant: the node leaves `Up` by a fence only, and enters it only after every message that was
//! published before the new subscription can no longer matter. It does not know L1, nor how a
//! heartbeat travels.

use std::{collections::VecDeque, time::Duration};

/// The channel of one node.
#[derive(Debug)]
pub(crate) struct Channel {
    state: State,
    /// Sent and not answered, the earliest first.
    unanswered: VecDeque<(u64, Duration)>,
    next_heartbeat: Duration,
    number: u64,
    pause: Duration,
    /// Random: the next pause is shortened by `jitter`/512 of its length.
    jitter: u8,
    /// The time that a connection may take.
    connect_limit: Duration,
}

/// The state of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No connection. The breaker is open: calls fail at once.
    Down {
        /// The time of the next attempt.
        retry_at: Duration,
    },
    /// A connection is being made.
    Subscribing {
        /// The time at which that is given up.
        until: Duration,
    },
    /// The subscription is confirmed. Messages arrive, but nothing enters L1.
    Recovering {
        /// The ends are being sent.
        is_sending_ends: bool,
    },
    /// The breaker is closed.
    Up,
}

/// An event of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The subscription is confirmed.
    Subscribed,
    /// The watch ended, or was rejected.
    Lost,
    /// A heartbeat was answered.
    Answered(u64),
    /// The store lost its data or messages.
    DataLost,
    /// The server has executed all queued and recent ends, or not.
    EndsSent(bool),
}

/// An action that the driver takes, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connect and subscribe.
    StartWatch,
    /// Close the connection.
    StopWatch,
    /// Send a heartbeat of this number on the connection.
    SendHeartbeat(u64),
    /// Send the queued and the recent ends.
    SendEnds,
    /// Raise the generation: nothing that began before enters L1.
    Fence(Cause),
    /// Empty L1, raise the generation, and begin a lease with the heartbeat of this number.
    GoUp,
}

/// The cause of a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// L1 answers until the lease is over.
    ChannelLost,
    /// L1 answers until the lease is over: the store did not answer heartbeats.
    Unanswered,
    /// The content of L1 is void at once.
    DataLost,
}

impl Channel {
    /// Creates a channel that connects at `now`, and whose calls have a timeout.
    pub(crate) fn new(now: Duration, timeout: Duration) -> Self {
        Self {
            state: State::Down { retry_at: now },
            unanswered: VecDeque::new(),
            next_heartbeat: now,
            number: 0,
            pause: MIN_PAUSE,
            jitter: 0,
            // A connection takes several round trips.
            connect_limit: MIN_CONNECT_LIMIT.max(4 * timeout),
        }
    }

    /// Returns the state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Sets the random part of the next pause.
    pub(crate) fn set_jitter(&mut self, jitter: u8) {
        self.jitter = jitter;
    }

    /// Returns the time at which [`tick`](Self::tick) has to be called at the latest.
    pub(crate) fn wake_at(&self) -> Duration {
        match self.state {
            State::Down { retry_at } => retry_at,
            State::Subscribing { until } => until,
            State::Recovering { .. } | State::Up => {
                let oldest = self.unanswered.front();
                let deadline = oldest.map(|(_, sent_at)| *sent_at + UNANSWERED_LIMIT);
                deadline.map_or(self.next_heartbeat, |at| at.min(self.next_heartbeat))
            }
        }
    }

    /// Makes the next heartbeat due at `now`.
    pub(crate) fn hurry(&mut self, now: Duration) {
        self.next_heartbeat = self.next_heartbeat.min(now);
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Action> {
        match self.state {
            State::Down { retry_at } if now >= retry_at => {
                let until = now + self.connect_limit;
                self.state = State::Subscribing { until };
                vec![Action::StartWatch]
            }
            State::Subscribing { until } if now >= until => self.fail(now, Cause::Unanswered),
            State::Recovering { .. } | State::Up => self.beat(now),
            State::Down { .. } | State::Subscribing { .. } => Vec::new(),
        }
    }

    /// Takes an event.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (State::Down { .. }, _) => Vec::new(),
            (_, Event::Lost) => self.fail(now, Cause::ChannelLost),
            (_, Event::DataLost) => self.void(now),
            (State::Subscribing { .. }, Event::Subscribed) => self.subscribed(now),
            (_, Event::Answered(number)) => self.answered(number),
            (State::Recovering { .. }, Event::EndsSent(true)) => {
                self.state = State::Up;
                self.pause = MIN_PAUSE;
                vec![Action::GoUp]
            }
            (State::Recovering { .. }, Event::EndsSent(false)) => self.fail(now, Cause::Unanswered),
            (_, Event::EndsSent(_) | Event::Subscribed) => Vec::new(),
        }
    }

    fn subscribed(&mut self, now: Duration) -> Vec<Action> {
        self.state = State::Recovering {
            is_sending_ends: false,
        };
        self.unanswered.clear();
        self.next_heartbeat = now;
        self.beat(now)
    }

    fn answered(&mut self, number: u64) -> Vec<Action> {
        // Replies come in order, so the earlier heartbeats were answered too.
        self.unanswered.retain(|(sent, _)| *sent > number);
        let is_first = State::Recovering {
            is_sending_ends: false,
        };
        if self.state != is_first {
            return Vec::new();
        }
        self.state = State::Recovering {
            is_sending_ends: true,
        };
        vec![Action::SendEnds]
    }

    fn beat(&mut self, now: Duration) -> Vec<Action> {
        let oldest = self.unanswered.front();
        if oldest.is_some_and(|(_, sent_at)| now >= *sent_at + UNANSWERED_LIMIT) {
            return self.fail(now, Cause::Unanswered);
        }
        if now < self.next_heartbeat {
            return Vec::new();
        }
        self.number += 1;
        self.unanswered.push_back((self.number, now));
        self.next_heartbeat = now + HEARTBEAT;
        vec![Action::SendHeartbeat(self.number)]
    }

    /// Closes the connection, and pauses before the next attempt.
    fn fail(&mut self, now: Duration, cause: Cause) -> Vec<Action> {
        let was_up = self.state == State::Up;
        let retry_at = now + self.jittered_pause();
        self.pause = (2 * self.pause).min(MAX_PAUSE);
        self.state = State::Down { retry_at };
        self.unanswered.clear();
        let fence = was_up.then_some(Action::Fence(cause));
        fence.into_iter().chain([Action::StopWatch]).collect()
    }

    /// Closes the connection after the data was lost. The store answers, so there is no pause.
    fn void(&mut self, now: Duration) -> Vec<Action> {
        self.state = State::Down { retry_at: now };
        self.unanswered.clear();
        vec![Action::Fence(Cause::DataLost), Action::StopWatch]
    }

    /// Between half of the pause and the pause, so that nodes do not return all at once.
    fn jittered_pause(&self) -> Duration {
        self.pause - self.pause / 2 * u32::from(self.jitter) / 256
    }
}

/// The time between two heartbeats.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// The time after which an unanswered heartbeat means that the channel is lost.
pub(crate) const UNANSWERED_LIMIT: Duration = Duration::from_secs(2);
/// The time that a connection may take, unless the timeout is long.
const MIN_CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// The first pause between two attempts to connect.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A channel that is up since 0 ms, and has sent and received its first heartbeat.
    fn up() -> Channel {
        let mut channel = Channel::new(Duration::ZERO, 500 * MS);
        assert_eq!(channel.tick(Duration::ZERO), [Action::StartWatch]);
        let subscribed = channel.handle(Duration::ZERO, Event::Subscribed);
        assert_eq!(subscribed, [Action::SendHeartbeat(1)]);
        assert_eq!(channel.handle(MS, Event::Answered(1)), [Action::SendEnds]);
        assert_eq!(channel.handle(MS, Event::EndsSent(true)), [Action::GoUp]);
        assert_eq!(channel.state(), State::Up);
        channel
    }

    #[test]
    fn heartbeats_follow_each_other_every_second() {
        let mut channel = up();
        for number in 2..10 {
            let at = HEARTBEAT * (number - 1);
            assert_eq!(channel.wake_at(), at);
            assert!(channel.tick(at - MS).is_empty());
            assert_eq!(channel.tick(at), [Action::SendHeartbeat(number.into())]);
            assert!(
                channel
                    .handle(at, Event::Answered(number.into()))
                    .is_empty()
            );
        }
    }

    #[test]
    fn two_unanswered_heartbeats_are_a_fence_after_two_seconds() {
        let mut channel = up();
        assert_eq!(channel.tick(HEARTBEAT), [Action::SendHeartbeat(2)]);
        assert_eq!(channel.tick(2 * HEARTBEAT), [Action::SendHeartbeat(3)]);
        let fence = [Action::Fence(Cause::Unanswered), Action::StopWatch];
        assert!(channel.tick(3 * HEARTBEAT - MS).is_empty());
        assert_eq!(channel.tick(3 * HEARTBEAT), fence);
        assert!(
            channel.handle(3 * HEARTBEAT, Event::Answered(3)).is_empty(),
            "too late"
        );
    }

    #[test]
    fn a_later_answer_covers_the_earlier_heartbeats() {
        let mut channel = up();
        channel.tick(HEARTBEAT);
        channel.tick(2 * HEARTBEAT);
        channel.handle(2 * HEARTBEAT, Event::Answered(3));
        assert_eq!(channel.tick(3 * HEARTBEAT), [Action::SendHeartbeat(4)]);
    }

    #[test]
    fn pauses_double_up_to_a_second_and_are_shortened_at_random() {
        let mut channel = up();
        let mut now = Duration::ZERO;
        for (jitter, pause) in [
            (0, 100),
            (0, 200),
            (128, 300),
            (255, 401),
            (0, 1_000),
            (0, 1_000),
        ] {
            channel.set_jitter(jitter);
            channel.handle(now, Event::Lost);
            let State::Down { retry_at } = channel.state() else {
                panic!("down after a loss, not {:?}", channel.state());
            };
            assert_eq!((retry_at - now).as_millis(), pause);
            now = retry_at;
            assert_eq!(channel.tick(now), [Action::StartWatch]);
        }
    }

    #[test]
    fn lost_data_is_a_fence_without_a_pause() {
        let mut channel = up();
        let fence = [Action::Fence(Cause::DataLost), Action::StopWatch];
        assert_eq!(channel.handle(5 * MS, Event::DataLost), fence);
        assert_eq!(channel.tick(5 * MS), [Action::StartWatch]);
    }

    #[test]
    fn ends_that_were_not_executed_keep_the_channel_down() {
        let mut channel = up();
        channel.handle(MS, Event::Lost);
        channel.tick(HEARTBEAT);
        channel.handle(HEARTBEAT, Event::Subscribed);
        channel.handle(HEARTBEAT, Event::Answered(2));
        let failed = channel.handle(HEARTBEAT, Event::EndsSent(false));
        assert_eq!(
            failed,
            [Action::StopWatch],
            "it was not up, so there is no fence"
        );
        assert!(matches!(channel.state(), State::Down { .. }));
    }

    #[test]
    fn a_connection_that_is_not_made_is_given_up() {
        for (timeout, limit) in [(10 * MS, 2_000 * MS), (10_000 * MS, 40_000 * MS)] {
            let mut channel = Channel::new(Duration::ZERO, timeout);
            channel.tick(Duration::ZERO);
            assert!(channel.tick(limit - MS).is_empty());
            assert_eq!(channel.tick(limit), [Action::StopWatch]);
        }
    }
}
