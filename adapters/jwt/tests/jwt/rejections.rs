//! Tokens that are rejected before their claims are read, and their neighbours that are accepted.

use serde::de::IgnoredAny;
use sessile_jwt::{Algorithm, Rejection, VerificationKey, Verifier, VerifierBuilder};

use crate::support::{
    HEADER, NOW, at, builder, encode, key, pem, signed, token, verify, with_claims,
};

fn check(builder: VerifierBuilder, cases: &[(&str, Result<(), Rejection>)]) {
    let verifier = builder.build().unwrap();
    for (token, expected) in cases {
        let verified = verifier.verify::<IgnoredAny>(token).map(|_| ());
        assert_eq!(verified, *expected, "{token}");
    }
}

// JWT-1: docs/security-checklist.md
#[test]
fn the_token_does_not_choose_the_algorithm() {
    let payload = format!("{{\"exp\":{}}}", NOW + 60.0);
    for alg in [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "RS256", "ES384",
    ] {
        let forged = token(&format!("{{\"alg\":\"{alg}\"}}"), &payload);
        assert_eq!(
            verify(builder(), &forged),
            Err(Rejection::Algorithm),
            "{alg}"
        );
        let (unsigned, _) = forged.rsplit_once('.').unwrap();
        let unsigned = format!("{unsigned}.");
        assert_eq!(
            verify(builder(), &unsigned),
            Err(Rejection::Algorithm),
            "{alg}"
        );
    }
    assert_eq!(
        verify(builder(), &token("{}", &payload)),
        Err(Rejection::Algorithm)
    );
    for header in [r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":1}"#] {
        let forged = token(header, &payload);
        assert_eq!(
            verify(builder(), &forged),
            Err(Rejection::Malformed),
            "{header}"
        );
    }
}

/// The attack: a token signed by HMAC, with the public key as the secret.
// JWT-1: docs/security-checklist.md
#[test]
fn a_public_key_is_never_a_secret() {
    let public = pem("rsa-public");
    let key = VerificationKey::pem(Algorithm::Rs256, &public).unwrap();
    let both = Verifier::builder()
        .algorithms([Algorithm::Rs256, Algorithm::Hs256])
        .keys([key, crate::support::key()])
        .clock(|| at(NOW));
    let message = format!(
        "{}.{}",
        encode(HEADER.as_bytes()),
        encode(format!("{{\"exp\":{}}}", NOW + 60.0).as_bytes())
    );
    let secret = jsonwebtoken::EncodingKey::from_secret(&public).unwrap();
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, algorithm).unwrap();
    let forged = format!("{message}.{signature}");
    assert_eq!(verify(both, &forged), Err(Rejection::Signature));
}

// JWT-2: docs/security-checklist.md
#[test]
fn keys_in_the_header_are_ignored() {
    let payload = format!("{{\"exp\":{}}}", NOW + 60.0);
    let own = encode(b"a secret of the attacker, 32 bytes");
    for member in [
        format!(r#""jwk":{{"kty":"oct","k":"{own}"}}"#),
        r#""jku":"http://127.0.0.1:1/keys""#.to_owned(),
        r#""x5u":"http://127.0.0.1:1/certificate""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
    ] {
        let header = format!("{{\"alg\":\"HS256\",{member}}}");
        assert_eq!(verify(builder(), &token(&header, &payload)), Ok(()));
        let key = jsonwebtoken::EncodingKey::from_secret(b"a secret of the attacker, 32 bytes");
        let message = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(payload.as_bytes())
        );
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.unwrap(), algorithm);
        let forged = format!("{message}.{}", signature.unwrap());
        assert_eq!(verify(builder(), &forged), Err(Rejection::Signature));
    }
}

// JWT-2: docs/security-checklist.md
#[test]
fn keys_are_chosen_by_their_id_and_replaced_by_a_list() {
    let payload = format!("{{\"exp\":{}}}", NOW + 60.0);
    let with_id = |id: &str| token(&format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"), &payload);
    let without = token(HEADER, &payload);
    let other = VerificationKey::hmac(Algorithm::Hs256, &[7; 32]).unwrap();
    let builder = || {
        Verifier::builder()
            .algorithms([Algorithm::Hs256])
            .clock(|| at(NOW))
    };

    let by_id = builder().keys([key().with_id("new"), other.clone().with_id("old")]);
    check(
        by_id,
        &[
            (&with_id("new"), Ok(())),
            (&with_id("old"), Err(Rejection::Signature)),
            (&with_id("lost"), Err(Rejection::UnknownKey)),
            (&with_id("NEW"), Err(Rejection::UnknownKey)),
            (&without, Ok(())),
        ],
    );
    let by_list = builder().keys([other, key()]);
    check(by_list, &[(&with_id("any"), Ok(())), (&without, Ok(()))]);
    let not_text = token(r#"{"alg":"HS256","kid":1}"#, &payload);
    check(
        builder().key(key()),
        &[(&not_text, Err(Rejection::Malformed))],
    );
}

// JWT-3: docs/security-checklist.md
#[test]
fn headers_that_are_not_supported() {
    let payload = format!("{{\"exp\":{}}}", NOW + 60.0);
    for member in [
        r#""crit":["exp"],"exp":1"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
    ] {
        let token = token(&format!("{{\"alg\":\"HS256\",{member}}}"), &payload);
        assert_eq!(
            verify(builder(), &token),
            Err(Rejection::Header),
            "{member}"
        );
    }
    let typed = |typ: &str| {
        token(
            &format!("{{\"alg\":\"HS256\",\"typ\":\"{typ}\"}}"),
            &payload,
        )
    };
    check(
        builder().token_type("at+jwt"),
        &[
            (&typed("at+jwt"), Ok(())),
            (&typed("AT+JWT"), Ok(())),
            (&typed("application/at+jwt"), Ok(())),
            (&typed("Application/AT+jwt"), Ok(())),
            (&typed("JWT"), Err(Rejection::Header)),
            (&typed(""), Err(Rejection::Header)),
            (&typed("éééééé"), Err(Rejection::Header)),
            (
                &token(r#"{"alg":"HS256"}"#, &payload),
                Err(Rejection::Header),
            ),
        ],
    );
}

// JWT-5: docs/security-checklist.md
#[test]
fn headers_that_are_not_strict_json() {
    let payload = format!("{{\"exp\":{}}}", NOW + 60.0);
    let many: String = (0..40).map(|at| format!(",\"m{at}\":0")).collect();
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256",}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"{'alg':'HS256'}"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "\u{feff}{\"alg\":\"HS256\"}",
        "",
        &format!("{{\"alg\":\"HS256\"{many}}}"),
    ] {
        let token = token(header, &payload);
        assert_eq!(
            verify(builder(), &token),
            Err(Rejection::Malformed),
            "{header}"
        );
    }
    let latin = signed(
        &encode(b"{\"alg\":\"HS256\",\"x\":\"\xe9\"}"),
        &encode(payload.as_bytes()),
    );
    assert_eq!(verify(builder(), &latin), Err(Rejection::Malformed));
    let latin = signed(
        &encode(HEADER.as_bytes()),
        &encode(b"{\"exp\":1700000060,\"x\":\"\xe9\"}"),
    );
    assert_eq!(verify(builder(), &latin), Err(Rejection::Claims));
    let deep = format!("{{\"alg\":\"HS256\",\"x\":{}", "[".repeat(5_000));
    assert_eq!(
        verify(builder(), &token(&deep, &payload)),
        Err(Rejection::Malformed)
    );
}

// JWT-5: docs/security-checklist.md
#[test]
fn no_token_has_a_second_spelling() {
    let good = with_claims(",\"sub\":\"ada\"");
    assert_eq!(verify(builder(), &good), Ok(()));
    let parts: Vec<&str> = good.split('.').collect();
    for (at, part) in parts.iter().enumerate() {
        // Padding, standard base64, spaces, and all last characters with other trailing bits.
        let mut spellings = vec![format!("{part}="), format!("{part}=="), format!(" {part}")];
        spellings.extend([
            format!("{part}\n"),
            format!("{part}\r\n"),
            format!("{part}\t"),
        ]);
        spellings.extend([format!("+{}", &part[1..]), format!("{part}%3D")]);
        let last = ALPHABET.find(&part[part.len() - 1..]).unwrap();
        let spare = [1, 1, 16, 4][part.len() % 4];
        for other in (0..64).filter(|other| *other != last && other / spare == last / spare) {
            spellings.push(format!(
                "{}{}",
                &part[..part.len() - 1],
                &ALPHABET[other..=other]
            ));
        }
        for spelling in spellings {
            let mut changed = parts.clone();
            changed[at] = &spelling;
            // With the right signature for the changed text, unless that is what was changed.
            let token = match at {
                2 => changed.join("."),
                _ => signed(changed[0], changed[1]),
            };
            assert_eq!(
                verify(builder(), &token),
                Err(Rejection::Malformed),
                "{token}"
            );
        }
    }
}

#[test]
fn parts_and_lengths() {
    let good = with_claims("");
    let long = with_claims(&format!(",\"x\":\"{}\"", "x".repeat(13_000)));
    check(
        builder(),
        &[
            (&format!("{good}."), Err(Rejection::Malformed)),
            (&format!("{good}.x"), Err(Rejection::Malformed)),
            (&format!(".{good}"), Err(Rejection::Malformed)),
            (&format!(" {good}"), Err(Rejection::Malformed)),
            (&format!("{good}\0"), Err(Rejection::Malformed)),
            (&good.replace('.', ""), Err(Rejection::Malformed)),
            (&good.replacen('.', "", 1), Err(Rejection::Malformed)),
            (&"é".repeat(100), Err(Rejection::Malformed)),
            (&"a".repeat(16 << 10), Err(Rejection::Malformed)),
            (&"a".repeat((16 << 10) + 1), Err(Rejection::TooLong)),
            (&long, Err(Rejection::TooLong)),
        ],
    );
    assert_eq!(verify(builder().max_token_len(32 << 10), &long), Ok(()));
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
