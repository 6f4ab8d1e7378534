//! Waits for replicas.
//!
//! Owns the number of the calls that were answered, and the result of the last `WAIT` command.
//! Invariant: a `WAIT` covers exactly the calls that were answered on its connection before it was
//! sent. So concurrent calls share one (group commit), and a call that misses one takes the next.
//! It does not know what a call does.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// The waits of one connection.
#[derive(Default)]
pub(crate) struct Replication {
    /// The number of calls that the server has answered.
    answered: AtomicU64,
    last: Mutex<Acknowledged>,
}

/// The result of a `WAIT`.
#[derive(Clone, Copy, Default)]
struct Acknowledged {
    /// The number of calls that it covers.
    calls: u64,
    replicas: usize,
}

impl Replication {
    /// Returns how many replicas have a call that the server has just answered. Sends the `WAIT`
    /// unless another call has sent one since.
    pub(crate) async fn wait<E>(
        &self,
        wait: impl Future<Output = Result<usize, E>>,
    ) -> Result<usize, E> {
        // Pairs with the load below: the server has executed every call that is counted there.
        let number = self.answered.fetch_add(1, Ordering::Release) + 1;
        let mut last = self.last.lock().await;
        if last.calls >= number {
            return Ok(last.replicas);
        }
        // Calls that were answered at the same time are counted first.
        tokio::task::yield_now().await;
        // Pairs with the addition above.
        let calls = self.answered.load(Ordering::Acquire);
        let replicas = wait.await?;
        *last = Acknowledged { calls, replicas };
        Ok(replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_that_are_answered_together_share_one_wait() {
        let (replication, sent) = (Replication::default(), AtomicU64::new(0));
        let wait = async || {
            replication
                .wait(async {
                    sent.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok::<_, ()>(2)
                })
                .await
        };
        let results = tokio::join!(wait(), wait(), wait());
        assert_eq!(results, (Ok(2), Ok(2), Ok(2)));
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        assert_eq!(wait().await, Ok(2));
        assert_eq!(
            sent.load(Ordering::Relaxed),
            2,
            "a later call is not covered"
        );
    }

    #[tokio::test]
    async fn a_call_that_is_answered_during_a_wait_is_not_covered_by_it() {
        let replication = Replication::default();
        let (sender, receiver) = tokio::sync::oneshot::channel::<usize>();
        let mut first = Box::pin(replication.wait(receiver));
        // The first has sent its `WAIT`, and waits for the reply.
        for _ in 0..3 {
            tokio::select! {
                biased;
                _ = &mut first => panic!("there is no reply"),
                () = tokio::task::yield_now() => {}
            }
        }
        let second = replication.wait(async { Ok::<_, ()>(7) });
        let reply = async { sender.send(1).expect("the first waits") };
        let (first, second, ()) = tokio::join!(first, second, reply);
        assert_eq!((first, second), (Ok(1), Ok(7)));
    }

    #[tokio::test]
    async fn a_wait_that_fails_or_is_abandoned_covers_no_call() {
        let replication = Replication::default();
        let failing = replication.wait(async { Err(()) });
        let second = replication.wait(async { Ok::<_, ()>(1) });
        assert_eq!(tokio::join!(failing, second), (Err(()), Ok(1)));

        let endless = replication.wait(std::future::pending::<Result<usize, ()>>());
        let abandoned = tokio::time::timeout(std::time::Duration::from_millis(20), endless);
        let second = replication.wait(async { Ok::<_, ()>(2) });
        let (abandoned, second) = tokio::join!(abandoned, second);
        assert!(abandoned.is_err());
        assert_eq!(second, Ok(2));
    }
}
