//! A million revocations in fixed memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sessile_jwt::{Revocations, RevokeError};

use crate::support::NOW;

#[test]
fn a_million_revocations_take_36_bytes_each_and_are_freed_at_their_expiry() {
    let seconds = Arc::new(AtomicU64::new(NOW as u64));
    let now = |seconds: &AtomicU64| UNIX_EPOCH + Duration::from_secs(seconds.load(SeqCst));
    let mut built = None;
    let allocated = allocation_counter::measure(|| {
        let clock = Arc::clone(&seconds);
        let builder = Revocations::builder(MILLION).clock(move || now(&clock));
        built = Some(builder.in_memory().unwrap());
    });
    let (least, most) = (36 * MILLION as u64, 36 * MILLION as u64 + 16_384);
    assert!(
        (least..=most).contains(&allocated.bytes_max),
        "{allocated:?}"
    );

    let revocations = built.unwrap().blocking();
    let mut id = String::with_capacity(16);
    let mut revoke = |generation: u64, number: usize, expires_at: SystemTime| {
        id.clear();
        std::fmt::Write::write_fmt(&mut id, format_args!("{generation}-{number}")).unwrap();
        revocations.revoke_id(&id, expires_at)
    };
    let filled = allocation_counter::measure(|| {
        for generation in 0..2 {
            let expires_at = now(&seconds) + Duration::from_secs(60);
            for number in 0..MILLION {
                assert_eq!(revoke(generation, number, expires_at), Ok(()), "{number}");
            }
            let full = Err(RevokeError::Full { capacity: MILLION });
            assert_eq!(revoke(generation, MILLION, expires_at), full);
            // The expiry, the largest leeway and a minute for the clocks.
            seconds.fetch_add(60 + 360, SeqCst);
        }
    });
    assert_eq!(filled.count_total, 0, "{filled:?}");
}

const MILLION: usize = 1_000_000;
