//! Uses of sessions that the store has yet to learn of.
//!
//! Owns a queue of bounded length. Invariant: a use is sent at most once, in a batch of one
//! partition. A use that does not fit is dropped and counted; the next request of the session
//! enters it again. It does not know what the store answered.

use std::{collections::BTreeMap, time::Duration};

use sessile::SessionId;

/// The queue of touches.
#[derive(Default)]
pub(crate) struct Touches {
    queue: Vec<(SessionId, Duration)>,
    dropped: u64,
}

/// Sessions of one partition, each with the time since its use.
pub(crate) type Batch = Vec<(SessionId, Duration)>;

impl Touches {
    /// Takes a use at `used_at`. Returns true if the queue has become long enough to be sent at
    /// once.
    pub(crate) fn push(&mut self, id: SessionId, used_at: Duration) -> bool {
        if self.queue.len() >= MAX_QUEUED {
            self.dropped += 1;
            return false;
        }
        self.queue.push((id, used_at));
        self.queue.len() == FULL_BATCHES
    }

    /// Removes all touches, in batches of one partition each.
    pub(crate) fn drain(&mut self, now: Duration) -> Vec<Batch> {
        let mut partitions: BTreeMap<u8, Batch> = BTreeMap::new();
        for (id, used_at) in self.queue.drain(..) {
            let batch = partitions.entry(id.partition()).or_default();
            batch.push((id, now.saturating_sub(used_at)));
        }
        let batches = partitions.into_values();
        batches
            .flat_map(|batch| {
                let chunks = batch.chunks(MAX_BATCH).map(<[_]>::to_vec);
                chunks.collect::<Vec<_>>()
            })
            .collect()
    }

    /// Returns the number of touches that did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the number of touches that wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// The most touches that wait.
pub(crate) const MAX_QUEUED: usize = 65_536;
/// The number of touches that are sent without waiting for the next second.
pub(crate) const FULL_BATCHES: usize = 256;
/// The most sessions in one call.
pub(crate) const MAX_BATCH: usize = 64;
/// The time between two drains.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn id(partition: u8, number: u32) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        SessionId::from_parts(bytes, partition.into())
    }

    #[test]
    fn batches_have_one_partition_and_at_most_64_sessions() {
        let mut touches = Touches::default();
        for number in 0..200 {
            touches.push(id((number % 2) as u8, number), Duration::from_secs(1));
        }
        let batches = touches.drain(Duration::from_secs(3));
        assert_eq!(touches.len(), 0);
        assert_eq!(
            batches.iter().map(Vec::len).collect::<Vec<_>>(),
            [64, 36, 64, 36]
        );
        for batch in &batches {
            let partition = batch[0].0.partition();
            assert!(batch.iter().all(|(id, _)| id.partition() == partition));
            assert!(
                batch
                    .iter()
                    .all(|(_, since)| *since == Duration::from_secs(2))
            );
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut touches = Touches::default();
        let full =
            (0..MAX_QUEUED as u32).filter(|&number| touches.push(id(0, number), Duration::ZERO));
        assert_eq!(
            full.count(),
            1,
            "the queue says once that it should be sent"
        );
        touches.push(id(0, 0), Duration::ZERO);
        assert_eq!(touches.dropped(), 1);
    }
}
