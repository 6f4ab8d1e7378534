//! Keys that are rejected, with the text of the error.

use sessile_jwt::{Algorithm, VerificationKey, VerificationKeyError, Verifier, VerifierBuildError};

use crate::support::{SECRET, encode, key, pem};

const HMAC: [(Algorithm, usize); 3] = [
    (Algorithm::Hs256, 32),
    (Algorithm::Hs384, 48),
    (Algorithm::Hs512, 64),
];

// JWT-1: docs/security-checklist.md
#[test]
fn secrets_are_as_long_as_the_hash() {
    for (algorithm, min) in HMAC {
        assert!(VerificationKey::hmac(algorithm, &vec![7; min]).is_ok());
        for given in [0, 1, min - 1] {
            let error = VerificationKey::hmac(algorithm, &vec![7; given]).unwrap_err();
            let expected = VerificationKeyError::Secret {
                algorithm,
                given,
                min,
            };
            assert_eq!(error, expected);
            let text = format!("secret for {algorithm} must have {min} bytes or more, got {given}");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }
}

// JWT-1: docs/security-checklist.md
#[test]
fn public_keys_are_not_secrets() {
    let mut keys: Vec<Vec<u8>> = [
        "rsa-public",
        "rsa-public-pkcs1",
        "rsa-private",
        "p256-public",
        "ed25519-public",
    ]
    .map(pem)
    .into();
    keys.push([b"\n\n  ", &*pem("rsa-public")].concat());
    for file in ["rsa-public", "p256-public", "ed25519-public"] {
        let text = String::from_utf8(pem(file)).unwrap();
        let body: String = text.lines().filter(|line| !line.contains('-')).collect();
        keys.push(base64_simd::STANDARD.decode_to_vec(body).unwrap());
    }
    for prefix in ["ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-nistp256 "] {
        keys.push(format!("{prefix}{}", "A".repeat(68)).into_bytes());
    }
    for key in keys {
        let error = VerificationKey::hmac(Algorithm::Hs256, &key).unwrap_err();
        let algorithm = Algorithm::Hs256;
        assert_eq!(error, VerificationKeyError::NotASecret { algorithm });
    }
    // A random secret may begin like DER.
    let secret = [&[0x30, 0x59][..], &[7; 62]].concat();
    assert!(VerificationKey::hmac(Algorithm::Hs512, &secret).is_ok());
}

#[test]
fn a_wrong_key_names_the_algorithm_and_the_key_that_it_needs() {
    let files = [
        (Algorithm::Rs256, "rsa-public", "an RSA public key"),
        (Algorithm::Es256, "p256-public", "a public key on P-256"),
        (Algorithm::EdDsa, "ed25519-public", "an Ed25519 public key"),
    ];
    for (algorithm, own, needed) in files {
        assert!(VerificationKey::pem(algorithm, &pem(own)).is_ok());
        let others = files.map(|(_, file, _)| pem(file));
        let others = others.into_iter().filter(|other| *other != pem(own));
        let others = others.chain([pem("p384-public"), b"text".to_vec(), Vec::new()]);
        for other in others {
            let error = VerificationKey::pem(algorithm, &other).unwrap_err();
            let text = format!("{algorithm} needs {needed}, as PEM or JWK, got another key");
            assert_eq!(error.to_string(), text);
        }
        let error = VerificationKey::hmac(algorithm, SECRET).unwrap_err();
        assert_eq!(error, VerificationKeyError::WrongKey { algorithm });
        let private = pem(&own.replace("public", "private"));
        let error = VerificationKey::pem(algorithm, &private).unwrap_err();
        assert_eq!(error, VerificationKeyError::PrivateKey { algorithm });
    }
    let error = VerificationKey::pem(Algorithm::Hs256, &pem("rsa-public")).unwrap_err();
    let text = "HS256 needs a secret of 32 bytes or more, got another key";
    assert_eq!(error.to_string(), text);
    assert!(VerificationKey::pem(Algorithm::Rs256, &pem("rsa-public-pkcs1")).is_ok());
    let weak = VerificationKey::pem(Algorithm::Rs256, &pem("rsa1024-public")).unwrap_err();
    let text = "RSA key must have between 2048 and 4096 bits, got 1024";
    assert_eq!(weak.to_string(), text);
}

// JWT-6: docs/security-checklist.md
#[test]
fn a_jwk_names_the_member_that_cannot_be_used() {
    let k = encode(SECRET);
    let x = encode(&[9; 31]);
    for (json, member) in [
        (format!(r#"{{"kty":"oct","k":"{k}"}}"#), "alg"),
        (format!(r#"{{"kty":"oct","alg":"none","k":"{k}"}}"#), "alg"),
        (format!(r#"{{"kty":"oct","alg":"RS256","k":"{k}"}}"#), "alg"),
        (format!(r#"{{"kty":"oct","alg":"HS256","k":"{k}="}}"#), "k"),
        (r#"{"kty":"oct","alg":"HS256"}"#.to_owned(), "k"),
        (
            format!(r#"{{"kty":"oct","alg":"HS256","use":"enc","k":"{k}"}}"#),
            "use",
        ),
        (
            format!(r#"{{"kty":"oct","alg":"HS256","key_ops":["sign"],"k":"{k}"}}"#),
            "key_ops",
        ),
        (r#"{"kty":"EC","crv":"P-521"}"#.to_owned(), "crv"),
        (r#"{"kty":"OKP","crv":"Ed448"}"#.to_owned(), "crv"),
        (r#"{"kty":"OCT"}"#.to_owned(), "kty"),
        (
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{x}"}}"#),
            "x` or `y",
        ),
        (r#"{"kty":"RSA","n":"AQAB"}"#.to_owned(), "e"),
        (
            format!(r#"{{"kty":"oct","kty":"oct","alg":"HS256","k":"{k}"}}"#),
            "JSON",
        ),
        ("[]".to_owned(), "JSON"),
        ("{}".to_owned(), "JSON"),
    ] {
        let error = VerificationKey::jwk(&json).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("`{member}` of a JWK must be ")),
            "{error}"
        );
    }
}

// JWT-6: docs/security-checklist.md
#[test]
fn a_jwk_is_checked_as_its_key_is() {
    let (k, x) = (encode(SECRET), encode(&[9; 31]));
    let algorithm = Algorithm::EdDsa;
    let short = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    let error = VerificationKey::jwk(&short).unwrap_err();
    assert_eq!(error, VerificationKeyError::WrongKey { algorithm });
    let x = encode(&[9; 32]);
    let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}"#);
    let error = VerificationKey::jwk(&private).unwrap_err();
    assert_eq!(error, VerificationKeyError::PrivateKey { algorithm });
    let good = format!(r#"{{"kty":"oct","alg":"HS256","kid":"1","k":"{k}","x":"y","use":"sig"}}"#);
    let good = VerificationKey::jwk(&good).unwrap();
    assert_eq!((good.algorithm(), good.id()), (Algorithm::Hs256, Some("1")));
}

#[test]
fn a_jwk_set_skips_what_is_not_for_these_signatures() {
    let k = encode(SECRET);
    let own = format!(r#"{{"kty":"oct","alg":"HS256","k":"{k}","kid":"a"}}"#);
    let other = format!(r#"{{"kty":"oct","alg":"A256GCM","k":"{k}"}}"#);
    let keys = VerificationKey::jwk_set(&format!(r#"{{"keys":[{other},{own}]}}"#)).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].id(), Some("a"));
    for none in [
        r#"{"keys":[]}"#.to_owned(),
        format!(r#"{{"keys":[{other}]}}"#),
    ] {
        let error = VerificationKey::jwk_set(&none).unwrap_err();
        assert_eq!(error, VerificationKeyError::EmptySet);
    }
}

#[test]
fn algorithms_and_keys_fit_each_other() {
    let build = |algorithms: &[Algorithm], keys: Vec<VerificationKey>| {
        let builder = Verifier::builder().algorithms(algorithms.iter().copied());
        builder.keys(keys).build().unwrap_err()
    };
    assert_eq!(build(&[], vec![key()]), VerifierBuildError::NoAlgorithm);
    let error = build(&[Algorithm::Hs256, Algorithm::Rs256], vec![key()]);
    let text = "`algorithms` contains RS256, which needs an RSA public key, as PEM or JWK; add it \
                with `key`";
    assert_eq!(error.to_string(), text);
    let long = VerificationKey::hmac(Algorithm::Hs512, &[7; 64]).unwrap();
    let error = build(&[Algorithm::Hs256], vec![key(), long]);
    let text = "`key` has a key for HS512, which must be in `algorithms`";
    assert_eq!(error.to_string(), text);
    let twice = vec![key().with_id("a"), key(), key().with_id("a")];
    let error = build(&[Algorithm::Hs256], twice);
    assert_eq!(error, VerifierBuildError::RepeatedKeyId { id: "a".into() });
    let error = build(&[Algorithm::Hs256], vec![key(); 33]);
    assert_eq!(
        error,
        VerifierBuildError::TooManyKeys { given: 33, max: 32 }
    );
}
