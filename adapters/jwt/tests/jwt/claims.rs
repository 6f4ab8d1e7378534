//! Claims that are rejected, and their neighbours that are accepted.

use std::time::Duration;

use serde::{Deserialize, de::IgnoredAny};
use sessile_jwt::{Rejection, VerifierBuilder};

use crate::support::{HEADER, NOW, SECRET, builder, key, token, verify, with_claims};

/// Checks payloads behind a valid header.
fn check_claims(builder: VerifierBuilder, cases: &[(&str, Result<(), Rejection>)]) {
    let verifier = builder.build().unwrap();
    for (payload, expected) in cases {
        let verified = verifier.verify::<IgnoredAny>(&token(HEADER, payload));
        assert_eq!(verified.map(|_| ()), *expected, "{payload}");
    }
}

// JWT-4: docs/security-checklist.md
#[test]
fn a_token_is_rejected_from_exp_on() {
    check_claims(
        builder(),
        &[
            ("{\"exp\":1700000001}", Ok(())),
            ("{\"exp\":1700000000.5}", Ok(())),
            ("{\"exp\":1.7000000005e9}", Ok(())),
            ("{\"exp\":1700000000}", Err(Rejection::Expired)),
            ("{\"exp\":1699999999.5}", Err(Rejection::Expired)),
            ("{\"exp\":0}", Err(Rejection::Expired)),
            ("{\"exp\":-1}", Err(Rejection::Expired)),
            ("{\"exp\":-1e308}", Err(Rejection::Expired)),
            ("{}", Err(Rejection::MissingClaim("exp"))),
        ],
    );
    check_claims(builder().require_exp(false), &[("{}", Ok(()))]);
}

// JWT-4: docs/security-checklist.md
#[test]
fn dates_are_finite_numbers() {
    let later = NOW + 60.0;
    for claim in ["exp", "nbf", "iat"] {
        let exp = match claim {
            "exp" => String::new(),
            _ => format!("\"exp\":{later},"),
        };
        for value in DATES_OF_WRONG_TYPE {
            let payload = format!("{{{exp}\"{claim}\":{value}}}");
            check_claims(builder(), &[(&payload, Err(Rejection::Claims))]);
        }
        for value in NOT_JSON_NUMBERS {
            let payload = format!("{{{exp}\"{claim}\":{value}}}");
            check_claims(builder(), &[(&payload, Err(Rejection::Claims))]);
        }
    }
}

// JWT-4: docs/security-checklist.md
#[test]
fn a_token_is_rejected_before_nbf_and_iat() {
    for claim in ["nbf", "iat"] {
        let payload = |value: f64| format!("{{\"exp\":{},\"{claim}\":{value}}}", NOW + 60.0);
        check_claims(
            builder(),
            &[
                (&payload(NOW), Ok(())),
                (&payload(NOW - 1e9), Ok(())),
                (&payload(NOW + 0.5), Err(Rejection::NotYetValid)),
                (&payload(1e300), Err(Rejection::NotYetValid)),
            ],
        );
        check_claims(
            builder().leeway(Duration::from_secs(10)),
            &[
                (&payload(NOW + 10.0), Ok(())),
                (&payload(NOW + 11.0), Err(Rejection::NotYetValid)),
            ],
        );
    }
    check_claims(
        builder().require_iat(true),
        &[
            ("{\"exp\":1700000001}", Err(Rejection::MissingClaim("iat"))),
            ("{\"exp\":1700000001,\"iat\":1}", Ok(())),
        ],
    );
}

#[test]
fn the_leeway_extends_exp() {
    check_claims(
        builder().leeway(Duration::from_secs(10)),
        &[
            ("{\"exp\":1699999991}", Ok(())),
            ("{\"exp\":1699999990}", Err(Rejection::Expired)),
        ],
    );
}

// JWT-4: docs/security-checklist.md
#[test]
fn issuers_and_audiences_are_compared_exactly() {
    let payload = |members: &str| format!("{{\"exp\":{},{members}}}", NOW + 60.0);
    let issuer = || {
        builder()
            .issuer("https://a.example")
            .issuer("https://b.example")
    };
    for (issuers, expected) in [
        (r#""iss":"https://a.example""#, Ok(())),
        (r#""iss":"https://b.example""#, Ok(())),
        (r#""iss":"https://a.example/""#, Err(Rejection::Issuer)),
        (r#""iss":"https://a.exampl""#, Err(Rejection::Issuer)),
        (r#""iss":"HTTPS://a.example""#, Err(Rejection::Issuer)),
        (r#""iss":"""#, Err(Rejection::Issuer)),
        (r#""iss":["https://a.example"]"#, Err(Rejection::Claims)),
        (r#""x":1"#, Err(Rejection::MissingClaim("iss"))),
    ] {
        check_claims(issuer(), &[(&payload(issuers), expected)]);
    }
    for (audiences, expected) in [
        (r#""aud":"api""#, Ok(())),
        (r#""aud":["x","api"]"#, Ok(())),
        (r#""aud":"\u0061pi""#, Ok(())),
        (r#""aud":["ap","api2"]"#, Err(Rejection::Audience)),
        (r#""aud":[]"#, Err(Rejection::Audience)),
        (r#""aud":"API""#, Err(Rejection::Audience)),
        (r#""aud":["api",1]"#, Err(Rejection::Claims)),
        (r#""aud":{"api":1}"#, Err(Rejection::Claims)),
        (r#""aud":null"#, Err(Rejection::Claims)),
        (r#""x":1"#, Err(Rejection::MissingClaim("aud"))),
    ] {
        check_claims(
            builder().audience("api"),
            &[(&payload(audiences), expected)],
        );
    }
    // Without a setting, the claims are not compared.
    check_claims(builder(), &[(&payload(r#""aud":"x","iss":"y""#), Ok(()))]);
}

// JWT-5: docs/security-checklist.md
#[test]
fn claims_that_are_not_strict_json() {
    let exp = NOW + 60.0;
    for payload in [
        format!("{{\"exp\":{exp},\"exp\":{exp}}}"),
        format!("{{\"exp\":1,\"exp\":{exp}}}"),
        format!("{{\"exp\":{exp},\"a\":1,\"a\":2}}"),
        format!("{{\"exp\":{exp},\"sub\":\"x\",\"s\\u0075b\":\"y\"}}"),
        format!("{{\"exp\":{exp},\"sub\":1}}"),
        format!("{{\"exp\":{exp},\"jti\":1}}"),
        format!("{{\"exp\":{exp},\"sub\":\"\\ud800\"}}"),
        format!("{{\"exp\":{exp},}}"),
        format!("{{\"exp\":{exp}}}x"),
        format!("[{{\"exp\":{exp}}}]"),
        format!("\"exp\":{exp}"),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(
            verify(builder(), &token(HEADER, &payload)),
            Err(Rejection::Claims),
            "{payload}"
        );
    }
    let nul = with_claims(",\"sub\":\"a\\u0000b\"");
    assert_eq!(verify(builder(), &nul), Ok(()));
}

#[derive(Deserialize)]
struct User {
    sub: String,
    admin: bool,
}

#[test]
fn claims_are_read_into_the_type_of_the_application() {
    let verifier = builder().build().unwrap();
    let token = with_claims(",\"iat\":1699999999.5,\"sub\":\"ada\",\"admin\":true");
    let claims = verifier.verify::<User>(&token).unwrap();
    assert!(claims.admin && claims.sub == "ada");
    assert_eq!(claims.subject(), Some("ada"));
    assert_eq!(claims.issued_at(), Some(NOW - 0.5));
    assert_eq!(claims.expires_at(), Some(NOW + 60.0));
    assert!(!format!("{claims:?}").contains("ada"));
    assert_eq!(claims.into_inner().sub, "ada");
    let other = verifier.verify::<User>(&with_claims(",\"sub\":\"ada\""));
    assert_eq!(other.unwrap_err(), Rejection::Claims);
}

#[test]
fn rejections_are_counted_by_cause_and_name_no_secret() {
    let verifier = builder().audience("api").build().unwrap();
    let count = |cause: &str, expected: u64| {
        let line = format!("\nsessile_jwt_rejections_total{{cause=\"{cause}\"}} {expected}\n");
        assert!(
            verifier.prometheus().contains(&line),
            "{line}{}",
            verifier.prometheus()
        );
    };
    for cause in ["missing_claim", "malformed", "revoked"] {
        count(cause, 0);
    }
    for _ in 0..3 {
        let verified = verifier.verify::<IgnoredAny>(&with_claims(""));
        assert_eq!(verified.unwrap_err().cause(), "missing_claim");
    }
    let _ = verifier.verify::<IgnoredAny>("x");
    count("missing_claim", 3);
    count("malformed", 1);
    let accepted = verifier.verify::<IgnoredAny>(&with_claims(",\"aud\":\"api\""));
    assert!(accepted.is_ok());
    count("audience", 0);
    let secret = std::str::from_utf8(SECRET).unwrap();
    for shown in [
        format!("{verifier:?}"),
        format!("{:?}", builder()),
        format!("{:?}", key()),
    ] {
        assert!(shown.contains("Hs256") && !shown.contains(secret) && !shown.contains("48, 49"));
    }
}

const DATES_OF_WRONG_TYPE: [&str; 7] = [
    "\"1800000000\"",
    "null",
    "true",
    "[1]",
    "{}",
    "1e400",
    "-1e400",
];
const NOT_JSON_NUMBERS: [&str; 8] = [
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "01",
    "1_000",
    ".5",
    "+1",
];
