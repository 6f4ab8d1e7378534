//! Tokens that `jsonwebtoken` signs and verifies too.

use jsonwebtoken::{Algorithm as Signing, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use sessile_jwt::{Algorithm, Rejection, VerificationKey, Verifier};

use crate::support::pem;

/// An algorithm with the keys of both libraries.
struct Pair {
    algorithm: Algorithm,
    signing: Signing,
    private: EncodingKey,
    public: DecodingKey,
    own: VerificationKey,
}

fn pairs() -> Vec<Pair> {
    let hmac = [
        (Algorithm::Hs256, Signing::HS256),
        (Algorithm::Hs384, Signing::HS384),
        (Algorithm::Hs512, Signing::HS512),
    ];
    let mut pairs: Vec<_> = hmac
        .into_iter()
        .map(|(algorithm, signing)| Pair {
            algorithm,
            signing,
            private: EncodingKey::from_secret(&[7; 64]).unwrap(),
            public: DecodingKey::from_secret(&[7; 64]).unwrap(),
            own: VerificationKey::hmac(algorithm, &[7; 64]).unwrap(),
        })
        .collect();
    pairs.push(Pair {
        algorithm: Algorithm::Rs256,
        signing: Signing::RS256,
        private: EncodingKey::from_rsa_pem(&pem("rsa-private")).unwrap(),
        public: DecodingKey::from_rsa_pem(&pem("rsa-public")).unwrap(),
        own: VerificationKey::pem(Algorithm::Rs256, &pem("rsa-public")).unwrap(),
    });
    pairs.push(Pair {
        algorithm: Algorithm::Es256,
        signing: Signing::ES256,
        private: EncodingKey::from_ec_pem(&pem("p256-private")).unwrap(),
        public: DecodingKey::from_ec_pem(&pem("p256-public")).unwrap(),
        own: VerificationKey::pem(Algorithm::Es256, &pem("p256-public")).unwrap(),
    });
    pairs.push(Pair {
        algorithm: Algorithm::EdDsa,
        signing: Signing::EdDSA,
        private: EncodingKey::from_ed_pem(&pem("ed25519-private")).unwrap(),
        public: DecodingKey::from_ed_pem(&pem("ed25519-public")).unwrap(),
        own: VerificationKey::pem(Algorithm::EdDsa, &pem("ed25519-public")).unwrap(),
    });
    pairs
}

fn claims() -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({"sub": "ada", "iat": now, "exp": now + 600, "aud": ["api"], "iss": "me", "n": [1.5, "é"]})
}

/// A token that one library signs and accepts, the other one accepts with the same claims.
#[test]
fn tokens_of_every_algorithm_are_accepted_by_both() {
    for pair in pairs() {
        let token = jsonwebtoken::encode(&Header::new(pair.signing), &claims(), &pair.private);
        let token = token.unwrap();
        let builder = Verifier::builder().algorithms([pair.algorithm]);
        let verifier = builder
            .key(pair.own)
            .audience("api")
            .issuer("me")
            .build()
            .unwrap();
        let own = verifier.verify::<Value>(&token).unwrap();

        let mut validation = Validation::new(pair.signing);
        validation.set_audience(&["api"]);
        validation.set_issuer(&["me"]);
        let theirs = jsonwebtoken::decode::<Value>(&token, &pair.public, &validation).unwrap();
        assert_eq!(*own, theirs.claims, "{}", pair.algorithm);
        assert_eq!(*own, claims_at(&own));

        // A changed signature is rejected by both.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{signed}.{first}{}", &signature[1..]);
        assert_eq!(
            verifier.verify::<Value>(&forged).unwrap_err(),
            Rejection::Signature
        );
        assert!(jsonwebtoken::decode::<Value>(&forged, &pair.public, &validation).is_err());
    }
}

/// The claims, with the times of these.
fn claims_at(own: &Value) -> Value {
    let mut expected = claims();
    for time in ["iat", "exp"] {
        expected[time] = own[time].clone();
    }
    expected
}

#[test]
fn each_algorithm_rejects_the_tokens_of_the_others() {
    let pairs = pairs();
    let keys: Vec<_> = pairs.iter().map(|pair| pair.own.clone()).collect();
    let every = Verifier::builder().algorithms(pairs.iter().map(|pair| pair.algorithm));
    let every = every.keys(keys).build().unwrap();
    for pair in &pairs {
        let token = jsonwebtoken::encode(&Header::new(pair.signing), &claims(), &pair.private);
        let token = token.unwrap();
        assert!(every.verify::<Value>(&token).is_ok());
        for other in pairs
            .iter()
            .filter(|other| other.algorithm != pair.algorithm)
        {
            let only = Verifier::builder().algorithms([other.algorithm]);
            let only = only.key(other.own.clone()).build().unwrap();
            assert_eq!(
                only.verify::<Value>(&token).unwrap_err(),
                Rejection::Algorithm
            );
        }
    }
}

/// Keys in JWK verify what keys in PEM do.
#[test]
fn a_jwk_and_a_pem_are_the_same_key() {
    for pair in pairs().into_iter().skip(3) {
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&pair.private, pair.signing).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk.as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        let key = VerificationKey::jwk(&jwk.to_string()).unwrap();
        assert_eq!(key.algorithm(), pair.algorithm);
        let token = jsonwebtoken::encode(&Header::new(pair.signing), &claims(), &pair.private);
        let verifier = Verifier::builder()
            .algorithms([pair.algorithm])
            .key(key)
            .build()
            .unwrap();
        assert!(verifier.verify::<Value>(&token.unwrap()).is_ok());
    }
}
