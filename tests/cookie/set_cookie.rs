//! Writing `Set-Cookie`: golden strings, and settings that the builder rejects.

use std::{collections::HashSet, time::Duration};

use crate::browser::Browser;
use proptest::prelude::*;
use sessile::{
    CookieError, SameSite, SetCookie, SetCookieBuilder, Token, internals::cookie::Parts,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TOKEN: &str = "AQIDBAUFBQUFBQUFBQUFBQUFBQUGBgYGBgYGBgYGBgYGBgYG";

fn token() -> Token {
    Parts {
        key: 2,
        place: 0x0403,
        id: [5; 16],
        tag: [6; 16],
    }
    .encode()
}

fn rejected(builder: SetCookieBuilder) -> CookieError {
    builder.build().unwrap_err()
}

// COOK-1: docs/security-checklist.md
#[test]
fn the_default_is_secure_http_only_lax_and_for_the_host() {
    let cookie = SetCookie::builder("__Host-session").build().unwrap();
    assert_eq!(cookie.name(), "__Host-session");
    assert_eq!(
        cookie.header_for(&token()),
        format!("__Host-session={TOKEN}; Path=/; HttpOnly; Secure; SameSite=Lax")
    );
    assert_eq!(
        cookie.removal_header(),
        "__Host-session=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; \
         HttpOnly; Secure; SameSite=Lax"
    );
}

// COOK-1: docs/security-checklist.md
#[test]
fn golden_strings_of_other_settings() {
    let all = SetCookie::builder("__Secure-sid")
        .path("/app")
        .domain("site.example")
        .max_age(30 * DAY)
        .same_site(SameSite::None)
        .partitioned(true);
    let cookie = all.build().unwrap();
    assert_eq!(
        cookie.header_for(&token()),
        format!(
            "__Secure-sid={TOKEN}; Path=/app; Max-Age=2592000; Domain=site.example; \
             HttpOnly; Secure; SameSite=None; Partitioned"
        )
    );
    assert_eq!(
        cookie.removal_header(),
        "__Secure-sid=; Path=/app; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; \
         Domain=site.example; HttpOnly; Secure; SameSite=None; Partitioned"
    );
    let bare = SetCookie::builder("sid")
        .secure(false)
        .http_only(false)
        .same_site(SameSite::Strict);
    assert_eq!(
        bare.build().unwrap().header_for(&token()),
        format!("sid={TOKEN}; Path=/; SameSite=Strict")
    );
}

// COOK-2: docs/security-checklist.md
#[test]
fn an_error_names_the_setting_its_value_and_the_limit() {
    let host = || SetCookie::builder("__Host-sid");
    let texts = [
        (
            host().domain("site.example"),
            "`domain` must be left out for the name prefix `__Host-`, got \"site.example\"",
        ),
        (
            host().path("/app"),
            "`path` must be \"/\" for the name prefix `__Host-`, got \"/app\"",
        ),
        (
            host().secure(false),
            "`secure` must be true for the name prefix `__Host-`, got false",
        ),
        (
            SetCookie::builder("__Secure-sid").secure(false),
            "`secure` must be true for the name prefix `__Secure-`, got false",
        ),
        (
            SetCookie::builder("__http-sid").http_only(false),
            "`http_only` must be true for the name prefix `__Http-`, got false",
        ),
        (
            SetCookie::builder("__Host-Http-sid").http_only(false),
            "`http_only` must be true for the name prefix `__Host-Http-`, got false",
        ),
        (
            SetCookie::builder("sid")
                .secure(false)
                .same_site(SameSite::None),
            "`secure` must be true for `SameSite=None`, got false",
        ),
        (
            SetCookie::builder("sid").secure(false).partitioned(true),
            "`secure` must be true for `Partitioned`, got false",
        ),
    ];
    for (builder, expected) in texts {
        assert_eq!(rejected(builder).to_string(), expected);
    }
}

// COOK-3: docs/security-checklist.md
#[test]
fn a_name_must_be_a_token() {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in 0..=127 {
        let name = format!("a{}b", char::from(byte));
        let built = SetCookie::builder(&name).build();
        assert_eq!(built.is_ok(), is_token(byte), "{name:?}");
    }
    for name in [
        "", "é", "sid ", " sid", "a=b", "a;b", "a,b", "a\"b", "a\\b", "a\r\nb", "a\0b",
    ] {
        let error = rejected(SetCookie::builder(name));
        assert_eq!(
            error,
            CookieError::Name {
                given: name.to_owned()
            }
        );
        assert!(
            error.to_string().starts_with("`name` must be")
                && error.to_string().ends_with(&format!(", got {name:?}")),
            "{error}"
        );
    }
}

// COOK-3: docs/security-checklist.md
#[test]
fn a_path_must_begin_with_a_slash_and_be_visible_ascii() {
    for path in [
        "", "app", " /", "/a b", "/a ", "/a;b", "/a\nb", "/a\r", "/\0", "/\x7f", "/é",
    ] {
        let error = rejected(SetCookie::builder("sid").path(path));
        assert_eq!(
            error,
            CookieError::Path {
                given: path.to_owned()
            },
            "{path:?}"
        );
    }
    for path in ["/", "/app", "/app/", "/a,b", "/a=b", "/~%20\"'"] {
        assert!(
            SetCookie::builder("sid").path(path).build().is_ok(),
            "{path:?}"
        );
    }
}

// COOK-3: docs/security-checklist.md
#[test]
fn a_domain_must_be_a_host_name() {
    let long = format!("{}.example", "a".repeat(64));
    let longer = "a.".repeat(126) + "ab";
    let refusals = [
        "",
        ".",
        "..site.example",
        "site.example.",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a b",
        "a;b",
        "a/b",
        "[::1]",
        "host:80",
        "é.example",
        "a\r\nb",
        &long,
        &longer,
    ];
    for domain in refusals {
        let error = rejected(SetCookie::builder("sid").domain(domain));
        assert_eq!(
            error,
            CookieError::Domain {
                given: domain.to_owned()
            },
            "{domain:?}"
        );
    }
    let most = "a.".repeat(126) + "a";
    for domain in [
        "site.example",
        "localhost",
        "A-1.example",
        "127.0.0.1",
        &most,
    ] {
        assert!(
            SetCookie::builder("sid").domain(domain).build().is_ok(),
            "{domain:?}"
        );
    }
}

#[test]
fn a_domain_with_a_leading_dot_is_sent_as_given_and_means_the_same_to_a_browser() {
    let cookie = SetCookie::builder("sid")
        .domain(".site.example")
        .build()
        .unwrap();
    let (issued, removal) = (cookie.header_for(&token()), cookie.removal_header());
    assert!(issued.contains("; Domain=.site.example;"), "{issued}");
    assert!(removal.contains("; Domain=.site.example;"), "{removal}");
    let mut browser = Browser::new("www.site.example");
    assert!(browser.receive(issued.as_bytes()));
    assert_eq!(browser.cookies("shop.site.example", "/").len(), 1);
    assert!(browser.receive(removal.as_bytes()));
    assert!(browser.cookies("shop.site.example", "/").is_empty());
}

// COOK-4: docs/security-checklist.md
#[test]
fn name_and_value_fill_a_browser_s_limit_and_no_more() {
    let cookie = SetCookie::builder("n".repeat(4048)).build().unwrap();
    let mut browser = Browser::new("site.example");
    assert!(browser.receive(cookie.header_for(&token()).as_bytes()));
    assert!(!browser.receive(format!("n{}", cookie.header_for(&token())).as_bytes()));
    assert_eq!(
        rejected(SetCookie::builder("n".repeat(4049))),
        CookieError::TooLong {
            setting: "name",
            given: 4049,
            max: 4048
        }
    );
    let path = |len: usize| SetCookie::builder("sid").path(format!("/{}", "p".repeat(len - 1)));
    assert!(path(1024).build().is_ok());
    let error = rejected(path(1025));
    assert_eq!(
        error,
        CookieError::TooLong {
            setting: "path",
            given: 1025,
            max: 1024
        }
    );
    assert_eq!(
        error.to_string(),
        "`path` must be at most 1024 bytes, got 1025"
    );
}

// COOK-5: docs/security-checklist.md
#[test]
fn a_max_age_is_whole_seconds_up_to_four_hundred_days() {
    let aged = |age: Duration| SetCookie::builder("sid").max_age(age);
    let longest = aged(400 * DAY).build().unwrap().header_for(&token());
    assert_eq!(
        longest,
        format!("sid={TOKEN}; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax")
    );
    let over = 400 * DAY + Duration::from_secs(1);
    for age in [
        Duration::ZERO,
        Duration::from_millis(1500),
        Duration::from_nanos(1),
        over,
        Duration::MAX,
    ] {
        let error = rejected(aged(age));
        assert_eq!(error, CookieError::MaxAge { given: age });
        assert!(
            error.to_string().starts_with("`max_age` must be")
                && error.to_string().ends_with(&format!(", got {age:?}")),
            "{error}"
        );
    }
}

proptest! {
    // COOK-3: docs/security-checklist.md
    #[test]
    fn every_accepted_pair_parses_back_to_itself(
        name in prop_oneof!["[a-zA-Z!#$%&'*+.^_`|~-]{1,8}", "\\PC{0,6}", any::<String>()],
        path in prop_oneof![Just("/".to_owned()), "/[ -~]{0,12}", any::<String>()],
        domain in prop_oneof![
            2 => Just(None),
            1 => "[a-z.-]{0,8}".prop_map(Some),
            1 => any::<String>().prop_map(Some),
        ],
        token in (any::<u8>(), any::<u16>(), any::<[u8; 16]>(), any::<[u8; 16]>()),
    ) {
        let builder = SetCookie::builder(&name).path(&path);
        let Ok(cookie) = domain.into_iter().fold(builder, SetCookieBuilder::domain).build() else {
            return Ok(());
        };
        let (key, place, id, tag) = token;
        let token = Parts { key, place, id, tag }.encode();
        let header = cookie.header_for(&token);
        prop_assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header:?}");
        let attributes: Vec<&str> =
            header.split("; ").skip(1).map(|part| part.split('=').next().unwrap()).collect();
        let once: HashSet<&str> = attributes.iter().copied().collect();
        prop_assert_eq!(attributes.len(), once.len(), "an attribute twice: {:?}", header);
        let foreign = header.contains("; Domain=");
        let mut browser = Browser::new("site.example");
        if browser.receive(header.as_bytes()) {
            let sent = browser.cookies("site.example", &path);
            prop_assert_eq!(sent.len(), 1);
            prop_assert_eq!(&sent[0].name, name.as_bytes());
            prop_assert_eq!(&sent[0].value, token.as_str().as_bytes());
        } else {
            prop_assert!(foreign, "only for another domain: {header:?}");
        }
    }
}
