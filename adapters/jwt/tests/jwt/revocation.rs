//! Revocations in the memory of one process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

use serde::de::IgnoredAny;
use sessile_jwt::{Claims, Rejection, Revocations, RevokeError, Verifier};

use crate::support::{HEADER, NOW, at, builder, token, with_claims};

/// A verifier with revocations, and the clock of both in milliseconds.
struct World {
    millis: Arc<AtomicU64>,
    revocations: Revocations,
    verifier: Verifier,
}

impl World {
    fn new(capacity: usize) -> Self {
        Self::with_leeway(capacity, 0)
    }

    fn with_leeway(capacity: usize, leeway: u64) -> Self {
        let millis = Arc::new(AtomicU64::new(NOW as u64 * 1_000));
        let clock = || {
            let millis = Arc::clone(&millis);
            move || SystemTime::UNIX_EPOCH + Duration::from_millis(millis.load(SeqCst))
        };
        let revocations = Revocations::builder(capacity).clock(clock());
        let revocations = revocations.max_lifetime(HOUR).in_memory().unwrap();
        let verifier = builder()
            .leeway(Duration::from_secs(leeway))
            .clock(clock())
            .revocations(revocations.clone())
            .build()
            .unwrap();
        Self {
            millis,
            revocations,
            verifier,
        }
    }

    fn advance(&self, by: Duration) {
        self.millis.fetch_add(by.as_millis() as u64, SeqCst);
    }

    fn verify(&self, token: &str) -> Result<Claims<IgnoredAny>, Rejection> {
        self.verifier.verify(token)
    }

    fn rejection(&self, token: &str) -> Option<Rejection> {
        self.verify(token).err()
    }
}

fn payload(members: &str) -> String {
    token(HEADER, &format!("{{{members}}}"))
}

#[test]
fn a_revoked_token_is_rejected_from_the_next_check_on() {
    let world = World::new(10);
    let tokens = ["a", "b"].map(|id| with_claims(&format!(",\"jti\":\"{id}\"")));
    let claims = world.verify(&tokens[0]).unwrap();
    world.revocations.blocking().revoke_token(&claims).unwrap();
    assert_eq!(world.rejection(&tokens[0]), Some(Rejection::Revoked));
    assert_eq!(world.rejection(&tokens[1]), None);
    // Another token with the same `jti`.
    let same = with_claims(",\"jti\":\"a\",\"x\":1");
    assert_eq!(world.rejection(&same), Some(Rejection::Revoked));

    let expiry = at(NOW + 60.0);
    world.revocations.blocking().revoke_id("b", expiry).unwrap();
    assert_eq!(world.rejection(&tokens[1]), Some(Rejection::Revoked));
    assert_eq!(world.revocations.len(), 2);
    world.revocations.blocking().revoke_id("b", expiry).unwrap();
    assert_eq!(world.revocations.len(), 2);
    let text = world.verifier.prometheus();
    assert!(text.contains("\nsessile_jwt_revocations 2\n"), "{text}");
    assert!(
        text.contains("\nsessile_jwt_revocations_capacity 10\n"),
        "{text}"
    );
    assert!(text.contains("{cause=\"revoked\"} 3\n"), "{text}");
}

#[test]
fn a_token_without_an_id_is_revoked_by_its_content() {
    let world = World::new(10);
    for id in ["", ",\"jti\":\"\""] {
        let tokens = ["ada", "eve"].map(|sub| with_claims(&format!(",\"sub\":\"{sub}\"{id}")));
        let claims = world.verify(&tokens[0]).unwrap();
        world.revocations.blocking().revoke_token(&claims).unwrap();
        assert_eq!(world.rejection(&tokens[0]), Some(Rejection::Revoked));
        assert_eq!(world.rejection(&tokens[1]), None);
    }
}

/// ECDSA has two signatures for each, `s` and `n - s`. Both are those of the revoked token.
#[test]
fn another_signature_of_a_revoked_token_is_revoked_too() {
    let world = World::new(10);
    let key = jsonwebtoken::EncodingKey::from_ec_pem(&crate::support::pem("p256-private")).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    let claims = serde_json::json!({"exp": NOW as u64 + 60});
    let first = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let (signed, signature) = first.rsplit_once('.').unwrap();
    let mut bytes = base64_simd::URL_SAFE_NO_PAD
        .decode_to_vec(signature)
        .unwrap();
    let negated = subtract(ORDER, &bytes[32..]);
    bytes[32..].copy_from_slice(&negated);
    let second = format!("{signed}.{}", crate::support::encode(&bytes));
    let public = crate::support::pem("p256-public");
    let algorithm = sessile_jwt::Algorithm::Es256;
    let verifier = Verifier::builder()
        .algorithms([algorithm])
        .key(sessile_jwt::VerificationKey::pem(algorithm, &public).unwrap())
        .clock(|| at(NOW))
        .revocations(world.revocations.clone())
        .build()
        .unwrap();
    assert!(verifier.verify::<IgnoredAny>(&second).is_ok());
    let claims = verifier.verify::<IgnoredAny>(&first).unwrap();
    world.revocations.blocking().revoke_token(&claims).unwrap();
    for token in [&first, &second] {
        let rejection = verifier.verify::<IgnoredAny>(token).unwrap_err();
        assert_eq!(rejection, Rejection::Revoked);
    }
}

/// Subtracts big-endian numbers of 32 bytes.
fn subtract(from: [u8; 32], number: &[u8]) -> [u8; 32] {
    let mut result = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(from[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        result[at] = digit.rem_euclid(256) as u8;
    }
    result
}

#[test]
fn a_subject_is_revoked_until_the_second_of_the_call() {
    let world = World::new(10);
    let of = |sub: &str, iat: f64| {
        payload(&format!(
            "\"sub\":\"{sub}\",\"iat\":{iat},\"exp\":{}",
            NOW + 600.0
        ))
    };
    world.advance(Duration::from_millis(10_500));
    world.revocations.blocking().revoke_subject("ada").unwrap();
    assert_eq!(world.rejection(&of("ada", NOW)), Some(Rejection::Revoked));
    assert_eq!(
        world.rejection(&of("ada", NOW + 10.0)),
        Some(Rejection::Revoked)
    );
    assert_eq!(world.rejection(&of("eve", NOW)), None);
    world.advance(Duration::from_millis(500));
    assert_eq!(
        world.rejection(&of("ada", NOW + 10.9)),
        Some(Rejection::Revoked)
    );
    assert_eq!(world.rejection(&of("ada", NOW + 11.0)), None);
    // A token without `iat` may be older than the cut-off; one without `sub` is not the subject's.
    let without = payload(&format!("\"sub\":\"ada\",\"exp\":{}", NOW + 600.0));
    assert_eq!(world.rejection(&without), Some(Rejection::Revoked));
    let without = payload(&format!("\"exp\":{}", NOW + 600.0));
    assert_eq!(world.rejection(&without), None);
}

#[test]
fn all_tokens_are_revoked_even_if_the_table_is_full() {
    let world = World::new(1);
    let of = |iat: f64| payload(&format!("\"iat\":{iat},\"exp\":{}", NOW + 600.0));
    world.revocations.blocking().revoke_subject("eve").unwrap();
    let full = world.revocations.blocking().revoke_subject("ada");
    assert_eq!(full, Err(RevokeError::Full { capacity: 1 }));
    let text = "table of revocations is full; raise `capacity`, which is 1";
    assert_eq!(full.unwrap_err().to_string(), text);
    assert_eq!(world.rejection(&of(NOW)), None);
    world.revocations.blocking().revoke_all().unwrap();
    assert_eq!(world.rejection(&of(NOW)), Some(Rejection::Revoked));
    world.advance(Duration::from_secs(1));
    assert_eq!(world.rejection(&of(NOW + 1.0)), None);
    let without = payload(&format!("\"exp\":{}", NOW + 600.0));
    assert_eq!(world.rejection(&without), Some(Rejection::Revoked));
}

/// A cut-off is freed after the longest lifetime. No token from before it may be accepted then.
#[test]
fn no_token_outlives_its_revocation() {
    let world = World::with_leeway(10, 300);
    let hour = HOUR.as_secs() as f64;
    let of = |iat: f64, exp: f64| payload(&format!("\"sub\":\"a\",\"iat\":{iat},\"exp\":{exp}"));
    let longest = of(NOW, NOW + hour);
    assert_eq!(world.rejection(&longest), None);
    assert_eq!(
        world.rejection(&of(NOW, NOW + hour + 1.0)),
        Some(Rejection::Lifetime)
    );
    let too_late = payload(&format!("\"exp\":{}", NOW + hour + 1.0));
    assert_eq!(world.rejection(&too_late), Some(Rejection::Lifetime));
    let claims = world.verify(&longest).unwrap();
    world.revocations.blocking().revoke_token(&claims).unwrap();
    world.revocations.blocking().revoke_subject("a").unwrap();
    // In steps, in which other revocations free what has expired.
    while !world.revocations.is_empty() {
        assert!(world.rejection(&longest).is_some());
        world.advance(Duration::from_secs(60));
        world.revocations.maintain();
        assert!(world.millis.load(SeqCst) < (NOW as u64 + 3 * HOUR.as_secs()) * 1_000);
    }
    assert_eq!(world.rejection(&longest), Some(Rejection::Expired));
}

#[test]
fn entries_are_freed_after_the_token_expired_and_not_before() {
    let world = World::new(2);
    let revoke = |id: &str, seconds: f64| {
        world
            .revocations
            .blocking()
            .revoke_id(id, at(NOW + seconds))
    };
    revoke("a", 60.0).unwrap();
    revoke("b", 120.0).unwrap();
    let full = Err(RevokeError::Full { capacity: 2 });
    assert_eq!(revoke("c", 600.0), full);
    // 60 s, the largest leeway and a minute for the clocks.
    world.advance(Duration::from_secs(60 + 300 + 59));
    assert_eq!(revoke("c", 600.0), full);
    world.advance(Duration::from_secs(1));
    assert_eq!(revoke("c", 600.0), Ok(()));
    assert_eq!(revoke("d", 600.0), full);
    assert_eq!(world.revocations.len(), 2);
}

/// `revoke_token` on one thread, checks on others: after the verb returned, none accepts.
#[test]
fn a_check_that_begins_after_a_revocation_rejects() {
    let world = World::new(4_000);
    let tokens: Vec<_> = (0..1_000)
        .map(|id| with_claims(&format!(",\"jti\":\"{id}\"")))
        .collect();
    let revoked = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut checked = 0_u64;
                while !is_done.load(SeqCst) || checked == 0 {
                    let count = revoked.load(SeqCst);
                    if let Some(last) = count.checked_sub(1) {
                        let token = &tokens[last as usize];
                        assert_eq!(world.rejection(token), Some(Rejection::Revoked));
                        checked += 1;
                    }
                }
            });
        }
        for token in &tokens {
            let claims = world.verify(token).unwrap();
            world.revocations.blocking().revoke_token(&claims).unwrap();
            revoked.fetch_add(1, SeqCst);
        }
        is_done.store(true, SeqCst);
    });
}

#[tokio::test]
async fn futures_revoke_when_they_are_awaited() {
    let world = World::new(10);
    let token = with_claims(",\"jti\":\"a\",\"sub\":\"ada\"");
    let claims = world.verify(&token).unwrap();
    let revocation = world.revocations.revoke_token(&claims);
    assert_eq!(world.rejection(&token), None);
    assert_eq!(world.revocations.check(&claims), Ok(()));
    revocation.await.unwrap();
    assert_eq!(world.revocations.check(&claims), Err(Rejection::Revoked));
    assert_eq!(world.rejection(&token), Some(Rejection::Revoked));
    world
        .revocations
        .revoke_id("b", at(NOW + 60.0))
        .await
        .unwrap();
    world.revocations.revoke_subject("ada").await.unwrap();
    world.revocations.revoke_all().await.unwrap();
    assert_eq!(world.revocations.len(), 3);
}

const HOUR: Duration = Duration::from_secs(3_600);
/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
