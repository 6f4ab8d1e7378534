//! Cases of others: RFC 8725, and JWK sets of Wycheproof.

use serde::de::IgnoredAny;
use serde_json::Value;
use sessile_jwt::{Algorithm, Rejection, Revocations, VerificationKey, Verifier};

use crate::support::{at, vectors};

/// The rejection of each case of `jwt_cases.json`.
fn expected(id: &str) -> Result<(), Rejection> {
    Err(match id {
        "aud-array-ok" | "typ-wrong" | "exp-huge" => return Ok(()),
        "alg-None-case" | "alg-hs512-not-allowed" | "alg-hdr-hs512-sig-256" => Rejection::Algorithm,
        "confusion-der" | "empty-key" | "sig-flip" | "sig-empty" | "kid-traversal" => {
            Rejection::Signature
        }
        "alg-dup" | "sig-missing" | "five-parts" | "noncanonical-sig" | "ws-nl" | "empty"
        | "dots" | "dot4" => Rejection::Malformed,
        "crit-unknown" | "b64-false" => Rejection::Header,
        "exp-past" => Rejection::Expired,
        "exp-missing" => Rejection::MissingClaim("exp"),
        "exp-1e400" | "exp-dup" | "payload-array" | "payload-deep" | "nested-jwt" => {
            Rejection::Claims
        }
        "nbf-future" | "iat-future" => Rejection::NotYetValid,
        "aud-wrong" | "aud-substring" => Rejection::Audience,
        "aud-missing" => Rejection::MissingClaim("aud"),
        "iss-wrong" => Rejection::Issuer,
        "huge" => Rejection::TooLong,
        _ => panic!("no expectation for {id}"),
    })
}

// JWT-1, JWT-2, JWT-3, JWT-4, JWT-5: docs/security-checklist.md
#[test]
fn tokens_for_rfc_8725_are_rejected_for_the_right_cause() {
    let file = vectors("jwt_cases.json");
    let secret = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(file["key_b64url"].as_str().unwrap());
    let key = VerificationKey::hmac(Algorithm::Hs256, &secret.unwrap()).unwrap();
    let now = file["now"].as_f64().unwrap();
    let builder = Verifier::builder()
        .algorithms([Algorithm::Hs256])
        .key(key)
        .issuer("https://issuer.example")
        .audience("api");
    let verifier = builder.clone().build().unwrap();
    let typed = builder.clone().token_type("JWT").build().unwrap();
    let revocations = Revocations::in_memory(8).unwrap();
    let revocable = builder.revocations(revocations).build().unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 35);
    for case in cases {
        let (id, token) = (
            case["id"].as_str().unwrap(),
            case["token"].as_str().unwrap(),
        );
        let verify =
            |verifier: &Verifier| verifier.verify_at::<IgnoredAny>(token, at(now)).map(|_| ());
        assert_eq!(verify(&verifier), expected(id), "{id}");
        match id {
            "typ-wrong" => assert_eq!(verify(&typed), Err(Rejection::Header)),
            "exp-huge" => assert_eq!(verify(&revocable), Err(Rejection::Lifetime)),
            _ => {}
        }
    }
}

/// Returns true if the keys are accepted and the signature is right. The payloads are not JSON, so
/// a token with the right signature is rejected for its claims.
fn is_verified(group: &Value, jws: &str) -> bool {
    let set = group.get("public").unwrap_or(&group["private"]);
    let Ok(keys) = VerificationKey::jwk_set(&set.to_string()) else {
        return false;
    };
    let mut algorithms: Vec<_> = keys.iter().map(VerificationKey::algorithm).collect();
    algorithms.dedup();
    let Ok(verifier) = Verifier::builder()
        .algorithms(algorithms)
        .keys(keys)
        .build()
    else {
        return false;
    };
    verifier.verify::<IgnoredAny>(jws).unwrap_err() == Rejection::Claims
}

// JWT-6: docs/security-checklist.md. There is no exception.
#[test]
fn jwk_sets_of_wycheproof() {
    let file = vectors("wycheproof/json_web_key_test.json");
    let mut count = 0;
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"].as_str().unwrap();
            let is_valid = test["result"] == "valid";
            assert_eq!(is_verified(group, jws), is_valid, "{}", test["tcId"]);
            count += 1;
        }
    }
    assert_eq!(file["numberOfTests"], count);
}
