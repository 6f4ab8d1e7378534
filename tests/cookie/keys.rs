//! Keys: MACs match published vectors, and key rings accept and reject the documented inputs.
//!
//! SIGN-7 runs this file twice: with the processor's SHA instructions where available, and without
//! them under `--cfg sha2_backend="soft"`.

use crate::support::rings::{ID, NAME, key, keys, ring};
use crate::vectors::{array, hex, read, text};
use sessile::{
    KeyError, KeyRing,
    internals::cookie::{Keys, Prf, mac},
};

fn rejection(keys: &[&[u8]]) -> KeyError {
    KeyRing::from_bytes(keys).expect_err(&format!("{keys:?}"))
}

mod hmac_vectors {
    use super::*;

    // SIGN-7: docs/security-checklist.md
    #[test]
    fn all_wycheproof_cases() {
        let file = read("wycheproof/hmac_sha256_test.json");
        let (mut valid, mut invalid) = (0, 0);
        for group in array(&file["testGroups"]) {
            let len = usize::try_from(group["tagSize"].as_u64().unwrap() / 8).unwrap();
            for case in array(&group["tests"]) {
                let [key, message, tag] = ["key", "msg", "tag"].map(|part| hex(text(&case[part])));
                let right = mac(&key, &message)[..len] == tag;
                match text(&case["result"]) {
                    "valid" => valid += 1,
                    _ => invalid += 1,
                }
                assert_eq!(right, text(&case["result"]) == "valid", "{}", case["tcId"]);
            }
        }
        assert_eq!(valid + invalid, 174);
        assert!(
            valid > 50 && invalid > 50,
            "{valid} valid, {invalid} invalid"
        );
    }

    // SIGN-7: docs/security-checklist.md
    #[test]
    fn all_rfc_4231_cases() {
        let file = read("rfc4231.json");
        assert_eq!(array(&file["cases"]).len(), 6);
        for case in array(&file["cases"]) {
            let [key, message, tag] = ["key", "msg", "sha256"].map(|part| hex(text(&case[part])));
            assert_eq!(mac(&key, &message).as_slice(), tag, "{}", case["tc"]);
        }
    }

    /// RFC 4231, test case 5: a tag truncated to 128 bits.
    // SIGN-7: docs/security-checklist.md
    #[test]
    fn the_truncated_case_of_rfc_4231() {
        let tag = mac(&[0x0c; 20], b"Test With Truncation");
        assert_eq!(tag[..16], hex("a3b6167473100ee06e0c796c2955552b"));
    }
}

mod refusals {
    use super::*;

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn missing_empty_and_short_keys_are_rejected() {
        assert_eq!(rejection(&[]), KeyError::NoKey);
        assert_eq!(
            rejection(&[b""]),
            KeyError::Short {
                position: 1,
                given: 0
            }
        );
        let long = key(1);
        assert_eq!(
            rejection(&[&long, &long[..31]]),
            KeyError::Short {
                position: 2,
                given: 31
            }
        );
        for text in ["", " ", "\n"] {
            assert_eq!(KeyRing::from_base64(text).unwrap_err(), KeyError::NoKey);
        }
        for text in [",", "c2hvcnQ=", "c2hvcnQ"] {
            let error = KeyRing::from_base64(text).unwrap_err();
            assert!(
                matches!(error, KeyError::Short { position: 1, .. }),
                "{error}"
            );
        }
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn a_duplicate_key_is_rejected() {
        let (one, two) = (key(1), key(2));
        assert_eq!(
            rejection(&[&one, &two, &one]),
            KeyError::Repeated {
                position: 3,
                first: 1
            }
        );
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn more_than_sixteen_keys_are_rejected() {
        let many: Vec<_> = (0..17).map(key).collect();
        let many: Vec<_> = many.iter().map(<[u8; 32]>::as_slice).collect();
        assert!(KeyRing::from_bytes(&many[..16]).is_ok());
        assert_eq!(rejection(&many), KeyError::TooMany { given: 17, max: 16 });
    }

    /// Every form in which the keys may have been copied: as raw text, as base64 of it, as the
    /// bytes that the text encodes, and pasted where base64 is expected.
    // SIGN-3: docs/security-checklist.md
    #[test]
    fn published_keys_are_rejected_in_every_encoding() {
        let texts = [
            (
                "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
                "FastAPI",
            ),
            (
                "192B9BDD22AB9ED4D12E236C78AFCB9A393EC15F71BBF5DC987D54727823BCBF",
                "Flask",
            ),
            ("CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET", "Superset"),
            ("YOUR_OWN_RANDOM_GENERATED_SECRET_KEY", "Superset"),
            ("c292a0a3aa32397cdb050e233733900f", "Redash"),
            ("b3c631c314c0bbca50c1b2843150fe33", "Rails"),
            ("AckfSECXIvnK5r28GVIWUAxmbBSjTsmF", "Laravel"),
            ("averylogphrasebiggerthanthirtytwochars", "fastify"),
            ("a secret with minimum length of 32 characters", "fastify"),
            (
                "complex_password_at_least_32_characters_long",
                "iron-session",
            ),
            (
                "super-secret-jwt-token-with-at-least-32-characters-long",
                "Supabase",
            ),
            ("a-string-secret-at-least-256-bits-long", "jwt.io"),
            (
                "django-insecure-9w!h2k0&q^v7m$x3z@1r8t5y6u4i-o_p=ASD+FGH",
                "Django",
            ),
            ("hPRYyVRiMyxpw5sBB1XeCMN1kFsDCqKvBi2QJxBVHQk=", "Rocket"),
            (
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
                "RFC",
            ),
            ("please-CHANGE.ME-before-you-deploy-this", "change me"),
            ("keyboard cat keyboard dog keyboard mouse", "express"),
            ("my_super_secret_key_for_the_new_shop_2024", "secret key"),
        ];
        for (text, origin) in texts {
            let encoded = base64_simd::STANDARD.encode_to_string(text);
            let mut refusals = vec![
                rejection(&[text.as_bytes()]),
                KeyRing::from_base64(text).unwrap_err(),
                KeyRing::from_base64(&encoded).unwrap_err(),
            ];
            if text.len() == 64 {
                refusals.push(rejection(&[&hex(text)]));
            }
            if origin == "Rocket" || origin == "RFC" {
                let bare = text.trim_end_matches('=');
                let raw = base64_simd::forgiving_decode_to_vec(
                    bare.replace('-', "+").replace('_', "/").as_bytes(),
                );
                refusals.push(rejection(&[&raw.unwrap()]));
                refusals.push(KeyRing::from_base64(bare).unwrap_err());
            }
            for rejection in refusals {
                let KeyError::WellKnown {
                    position: 1,
                    origin: reported,
                } = rejection
                else {
                    panic!("{text}: {rejection}")
                };
                assert!(reported.contains(origin), "{text}: {reported}");
            }
        }
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn the_rust_cookie_crate_s_test_key_is_rejected() {
        let digits = "59cac87de65ac5f5a6f922a9871f14c55e9afe4f3c1a088ffe18748a5ce19f3c\
                      9d2987811fe2c410c6a886042a01c4183967f193c9b9e90ab4aabb59fc896e6b";
        for key in [hex(digits), digits.into(), digits.to_uppercase().into()] {
            let error = rejection(&[&key]);
            assert!(
                error.to_string().contains("the Rust crate cookie"),
                "{error}"
            );
        }
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn keys_that_follow_a_pattern_are_rejected() {
        let counting: Vec<u8> = (0..64).collect();
        let hex_counting: String = counting.iter().map(|byte| format!("{byte:02x}")).collect();
        let downwards: Vec<u8> = (100..164).rev().collect();
        let by_threes: Vec<u8> = (0..40_u8).map(|each| each.wrapping_mul(3)).collect();
        let patterns: [&[u8]; 13] = [
            &[0; 64],
            &[0xff; 32],
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            b"secretsecretsecretsecretsecretsecret",
            b"01234567890123456789012345678901",
            b"0123456789abcdef0123456789abcdef",
            &[&key(1)[..16], &key(1)[..16]].concat(),
            &counting,
            hex_counting.as_bytes(),
            &downwards,
            &by_threes,
            b"abcdefghijklmnopqrstuvwxyz123456",
            &b"00".repeat(32),
        ];
        for pattern in patterns {
            let error = rejection(&[pattern]);
            assert!(
                matches!(error, KeyError::WellKnown { position: 1, .. }),
                "{error}"
            );
        }
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn an_error_names_the_key_its_value_and_the_requirement() {
        let advice = "; make one with `openssl rand -base64 32`";
        let error = rejection(&[&key(1), b"short"]);
        assert_eq!(
            error.to_string(),
            format!("key 2 must be at least 32 bytes, got 5{advice}")
        );
        let error = rejection(&[&[7; 32]]).to_string();
        let expected =
            "key 1 is publicly known or guessable (a short piece, repeated); use a random key";
        assert_eq!(error, format!("{expected}{advice}"));
    }

    // ID-7: docs/security-checklist.md
    #[test]
    fn no_error_and_no_debug_output_shows_a_key() {
        let secret = "a-string-secret-at-least-256-bits-long";
        let errors = [
            rejection(&[secret.as_bytes()]),
            rejection(&[b"hunter2"]),
            KeyRing::from_base64("hunter2!").unwrap_err(),
        ];
        for error in errors {
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains(secret),
                "{shown}"
            );
        }
        assert_eq!(format!("{:?}", ring(&[1, 2])), "KeyRing(2 keys)");
        let token = keys(&[1]).sign(0, ID).encode();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    // SIGN-3: docs/security-checklist.md
    #[test]
    fn random_keys_are_accepted_raw_and_as_text() {
        for number in 0..500 {
            let key = key(number);
            assert!(KeyRing::from_bytes(&[&key]).is_ok());
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(KeyRing::from_bytes(&[hex.as_bytes()]).is_ok(), "{hex}");
            let base64 = base64_simd::STANDARD.encode_to_string(key);
            assert!(
                KeyRing::from_bytes(&[base64.as_bytes()]).is_ok(),
                "{base64}"
            );
        }
        assert!(KeyRing::generate().is_ok());
    }
}

mod reading {
    use super::*;

    /// The signing key is observable only through the tokens that it signs.
    fn signs_alike(left: &KeyRing, right: &KeyRing) -> bool {
        let [left, right] = [left, right].map(|ring| Keys::new(ring, NAME).unwrap().sign(1, ID));
        left == right
    }

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        // 33 bytes need no padding, 32 one sign, 34 two.
        for len in [32, 33, 34] {
            let mut raw = key(3).to_vec();
            raw.extend([0xfb, 0xff]);
            raw.truncate(len);
            raw[0] = 0xfb;
            raw[1] = 0xff;
            let expected = KeyRing::from_bytes(&[&raw]).unwrap();
            let padded = base64_simd::STANDARD.encode_to_string(&raw);
            assert!(padded.contains(['+', '/']));
            let url = padded.replace('+', "-").replace('/', "_");
            for text in [
                &padded,
                &url,
                padded.trim_end_matches('='),
                url.trim_end_matches('='),
            ] {
                let read = KeyRing::from_base64(&format!(" {text}\n")).unwrap();
                assert!(signs_alike(&read, &expected), "{text}");
            }
        }
    }

    #[test]
    fn several_keys_are_separated_by_commas_newest_first() {
        let text = [1, 2].map(|number| base64_simd::URL_SAFE.encode_to_string(key(number)));
        let read = KeyRing::from_base64(&text.join(", ")).unwrap();
        assert!(signs_alike(&read, &ring(&[1, 2])));
        assert!(!signs_alike(&read, &ring(&[2, 1])));
        let both = Keys::new(&read, NAME).unwrap();
        assert!(both.verify(&keys(&[2]).sign(1, ID)));
    }

    #[test]
    fn invalid_base64_is_rejected_with_its_position() {
        let good = base64_simd::STANDARD.encode_to_string(key(1));
        let bare = good.trim_end_matches('=');
        let extra = format!("{good}=");
        let padded = format!("{}====", &good[..40]);
        let inner = good.replacen(&good[4..5], "=", 1);
        let split = format!("{} {}", &good[..20], &good[20..]);
        let loose = format!("{}{}", &bare[..42], "B");
        for wrong in [
            "!",
            &extra,
            &padded,
            &format!("{bare}==="),
            &inner,
            &split,
            &loose,
            "é",
            &bare[..41],
        ] {
            let error = KeyRing::from_base64(&format!("{good},{wrong}")).unwrap_err();
            assert_eq!(error, KeyError::Base64 { position: 2 }, "{wrong:?}");
        }
    }

    #[test]
    fn an_unset_variable_is_a_distinct_error() {
        let variable = "SESSILE_TEST_KEYS_THAT_NOBODY_SETS";
        let error = KeyRing::from_env(variable).unwrap_err();
        assert_eq!(
            error,
            KeyError::Unset {
                variable: variable.to_owned()
            }
        );
        let text = error.to_string();
        assert_eq!(format!("{error:?}"), text, "`main` prints it in `Debug`");
        assert!(
            text.starts_with(&format!("{variable} is not set; set it to a key")),
            "{text}"
        );
    }

    #[test]
    fn a_variable_that_is_set_is_read_as_base64() {
        // Set by cargo for every test, and not a key.
        let error = KeyRing::from_env("CARGO_PKG_NAME").unwrap_err();
        assert!(!matches!(error, KeyError::Unset { .. }), "{error}");
    }
}

mod users {
    use super::*;

    #[test]
    fn a_user_s_hash_is_the_truncated_hmac_of_the_name() {
        let prf = Prf::fixed().unwrap();
        assert_eq!(
            prf.hash("alice"),
            hex("721e95bcbecbe006b47e97ccc68d96e5")[..]
        );
        assert_eq!(prf.hash("alice"), mac(&[0x42; 32], b"alice")[..16]);
    }

    #[test]
    fn a_user_s_hash_is_stable_for_one_prf_and_differs_for_another() {
        let (one, other) = (Prf::random().unwrap(), Prf::random().unwrap());
        assert_eq!(one.hash("alice"), one.hash("alice"));
        assert_ne!(one.hash("alice"), one.hash("alicf"));
        assert_ne!(one.hash("alice"), other.hash("alice"));
    }
}
