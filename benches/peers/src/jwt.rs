//! Verification of a JWT and the check of its revocation, beside `jsonwebtoken` alone.
//!
//! Both verify with the same cryptography, and read the same claims into the same type. The table
//! contains other tokens, and subjects, so that a check computes every hash and finds nothing.

use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use jsonwebtoken::{Algorithm as Signing, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sessile_jwt::{Algorithm, Claims, Revocations, VerificationKey, Verifier};

use crate::{
    Plan,
    report::{Report, Table, Target, VERDICT, blank, count, figure},
    rounds::{self, Entrant, Sample},
};

/// The keys of the tests of `sessile-jwt`.
macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../../adapters/jwt/tests/keys/", $name, ".pem"))
    };
}
/// The claims of an access token.
#[derive(Deserialize, Serialize)]
struct User {
    sub: String,
    iss: String,
    aud: String,
    jti: String,
    iat: u64,
    exp: u64,
    scope: String,
}

/// An algorithm with the keys of both sides, and the number of verifications in a round.
struct Contest {
    name: &'static str,
    token: String,
    key: DecodingKey,
    validation: Validation,
    verifier: Verifier,
    times: usize,
}

/// Writes a table of verifications, and one of checks.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let revocations = filled();
    let contests = contests(&revocations, plan);
    let samples = contests
        .iter()
        .map(|contest| (contest, contest.run(plan.rounds)));
    let mut table = Table::new(&["", "min", "median", "min ×", VERDICT]);
    for (contest, samples) in samples {
        let theirs = rounds::named(&samples, "jsonwebtoken").min();
        for sample in &samples {
            table.row(contest.row(sample, theirs));
        }
    }
    report.heading("jwt: a token verified and checked against 100 k revocations, µs");
    report.table(&table);
    check(&contests[0].verifier, &contests[0].token, plan, report);
}

/// Writes the time of a check alone. It contains the hash of the subject, and not that of `jti`,
/// which verification computes.
fn check(verifier: &Verifier, token: &str, plan: &Plan, report: &mut Report) {
    let claims: Claims<User> = verifier.verify(token).expect("a valid token");
    let revocations = verifier.revocations().expect("a list");
    let times = plan.lookups;
    let entrant = Entrant::new("check", move || {
        nanos(times, || {
            assert!(black_box(revocations.check(black_box(&claims))).is_ok());
        })
    });
    let samples = rounds::run(vec![entrant], plan.rounds);
    let mut table = Table::new(&["", "min", "median"]);
    table.row([
        "check".to_owned(),
        figure(samples[0].min(), 1),
        figure(samples[0].median(), 1),
    ]);
    report.heading(&format!(
        "jwt: a check of {} revocations alone, ns",
        count(TOKENS)
    ));
    report.table(&table);
}

impl Contest {
    fn run(&self, rounds: usize) -> Vec<Sample> {
        let theirs = Entrant::new("jsonwebtoken", || {
            nanos(self.times, || {
                let decoded =
                    jsonwebtoken::decode::<User>(&self.token, &self.key, &self.validation);
                black_box(decoded).expect("a valid token");
            })
        });
        let ours = Entrant::new("sessile", || {
            nanos(self.times, || {
                let verified = self.verifier.verify::<User>(&self.token);
                black_box(verified).expect("a valid token");
            })
        });
        rounds::run(vec![theirs, ours], rounds)
    }

    fn row(&self, sample: &Sample, theirs: f64) -> [String; 5] {
        let ratio = sample.min() / theirs;
        let verdict = match &*sample.name {
            "sessile" => Target::AtMost(1.05).verdict(ratio, "× jsonwebtoken"),
            _ => blank(),
        };
        [
            format!("{}, {}", self.name, sample.name),
            figure(sample.min() / 1e3, 2),
            figure(sample.median() / 1e3, 2),
            figure(ratio, 2),
            verdict,
        ]
    }
}

/// Returns the time of one of several calls.
fn nanos(times: usize, mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..times {
        call();
    }
    began.elapsed().as_nanos() as f64 / times as f64
}

fn filled() -> Revocations {
    let revocations = Revocations::in_memory(2 * TOKENS).expect("valid settings");
    let expiry = SystemTime::now() + Duration::from_secs(86_400);
    for number in 0..TOKENS {
        let id = format!("revoked-{number}");
        let revoked = revocations.blocking().revoke_id(&id, expiry);
        revoked.expect("room");
    }
    for number in 0..SUBJECTS {
        let subject = format!("subject-{number}");
        let revoked = revocations.blocking().revoke_subject(&subject);
        revoked.expect("room");
    }
    revocations
}

/// The key that signs, and those that verify.
struct Keys(EncodingKey, DecodingKey, VerificationKey);

fn contests(revocations: &Revocations, plan: &Plan) -> [Contest; 4] {
    keys().map(|(algorithm, signing, Keys(private, key, own))| {
        let mut validation = Validation::new(signing);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        let verifier = Verifier::builder()
            .algorithms([algorithm])
            .key(own)
            .audience(AUDIENCE)
            .issuer(ISSUER)
            .revocations(revocations.clone())
            .build();
        Contest {
            name: algorithm.name(),
            token: token(signing, &private),
            key,
            validation,
            verifier: verifier.expect("valid settings"),
            times: match algorithm {
                Algorithm::Hs256 => plan.lookups / 4,
                _ => plan.lookups / 100,
            },
        }
    })
}

fn keys() -> [(Algorithm, Signing, Keys); 4] {
    let secret = [7; 32];
    let valid = "a valid key";
    let hs256 = Keys(
        EncodingKey::from_secret(&secret).expect(valid),
        DecodingKey::from_secret(&secret).expect(valid),
        VerificationKey::hmac(Algorithm::Hs256, &secret).expect(valid),
    );
    let es256 = Keys(
        EncodingKey::from_ec_pem(pem!("p256-private")).expect(valid),
        DecodingKey::from_ec_pem(pem!("p256-public")).expect(valid),
        VerificationKey::pem(Algorithm::Es256, pem!("p256-public")).expect(valid),
    );
    let rs256 = Keys(
        EncodingKey::from_rsa_pem(pem!("rsa-private")).expect(valid),
        DecodingKey::from_rsa_pem(pem!("rsa-public")).expect(valid),
        VerificationKey::pem(Algorithm::Rs256, pem!("rsa-public")).expect(valid),
    );
    let eddsa = Keys(
        EncodingKey::from_ed_pem(pem!("ed25519-private")).expect(valid),
        DecodingKey::from_ed_pem(pem!("ed25519-public")).expect(valid),
        VerificationKey::pem(Algorithm::EdDsa, pem!("ed25519-public")).expect(valid),
    );
    [
        (Algorithm::Hs256, Signing::HS256, hs256),
        (Algorithm::Es256, Signing::ES256, es256),
        (Algorithm::Rs256, Signing::RS256, rs256),
        (Algorithm::EdDsa, Signing::EdDSA, eddsa),
    ]
}

fn token(signing: Signing, key: &EncodingKey) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let user = User {
        sub: "8c6f5a0e-2f1b-4a53-9c86-0b8f7f1d5a11".to_owned(),
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        jti: "d3b07384-d9a0-4c9b-8f3e-6b1c2a7e4f50".to_owned(),
        iat: now,
        exp: now + 86_400,
        scope: "orders:read orders:write profile".to_owned(),
    };
    jsonwebtoken::encode(&Header::new(signing), &user, key).expect("a key that fits")
}

const TOKENS: usize = 100_000;
const SUBJECTS: usize = 1_000;
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api";
