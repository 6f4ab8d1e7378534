//! A model browser, checked against known browser behaviour. It accepts every cookie that sessile
//! sends, returns it unchanged and removes it on request. It rejects what the builder rejects.

use std::time::Duration;

use crate::browser::Browser;
use crate::vectors::{array, read, text};
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

// COOK-2: docs/security-checklist.md
#[test]
fn the_model_browser_agrees_with_every_prefix_case() {
    let cases = read("set_cookie_cases.json");
    let cases = array(&cases["prefix_cases"]["cases"]);
    assert_eq!(cases.len(), 13);
    for case in cases {
        let header = text(&case["set_cookie"]);
        let expected = case["accepted_by_conforming_browser"].as_bool().unwrap();
        assert_eq!(
            Browser::new("site.example").receive(header.as_bytes()),
            expected,
            "{header}"
        );
        let is_plain = !Browser::insecure("site.example").receive(header.as_bytes());
        assert!(is_plain, "without TLS no prefix is accepted: {header}");
    }
}

// COOK-3: docs/security-checklist.md
#[test]
fn the_model_browser_agrees_with_every_storage_case() {
    let cases = read("set_cookie_cases.json");
    let cases = array(&cases["cases"]);
    assert_eq!(cases.len(), 28);
    for case in cases {
        let mut browser = Browser::new("site.example");
        for header in array(&case["set_cookie"]) {
            browser.receive(text(header).as_bytes());
        }
        let sent = String::from_utf8(browser.header("/")).unwrap();
        assert_eq!(sent, text(&case["browser_sends"]), "{}", case["set_cookie"]);
    }
}

// COOK-4: docs/security-checklist.md
#[test]
fn the_model_browser_agrees_with_every_size_case() {
    let cases = read("set_cookie_cases.json");
    let cases = array(&cases["size_limit_cases"]);
    assert_eq!(cases.len(), 9);
    for case in cases {
        let text = |key: &str, letter: &str| {
            letter.repeat(usize::try_from(case[key].as_u64().unwrap()).unwrap())
        };
        let header = format!("{}={}", text("name_len", "n"), text("value_len", "v"));
        let stored = Browser::new("site.example").receive(header.as_bytes());
        assert_eq!(stored, case["stored"].as_bool().unwrap(), "{case}");
    }
}

/// Returns every combination of settings that matters to a browser.
#[derive(Clone, Debug)]
struct Settings {
    name: &'static str,
    path: &'static str,
    domain: Option<&'static str>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    max_age: Option<Duration>,
}

impl Settings {
    fn every() -> Vec<Self> {
        let mut every = Vec::new();
        for bits in 0..1_u32 << 5 {
            let on = |bit: u32| bits >> bit & 1 == 1;
            for name in NAMES {
                for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
                    for max_age in [None, Some(Duration::from_secs(1)), Some(400 * DAY)] {
                        every.push(Self {
                            name,
                            path: if on(0) { "/" } else { "/app" },
                            domain: on(1).then_some("site.example"),
                            secure: on(2),
                            http_only: on(3),
                            same_site,
                            partitioned: on(4),
                            max_age,
                        });
                    }
                }
            }
        }
        every
    }

    fn builder(&self) -> SetCookieBuilder {
        let builder = SetCookie::builder(self.name)
            .path(self.path)
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        let builder = self
            .domain
            .into_iter()
            .fold(builder, SetCookieBuilder::domain);
        self.max_age
            .into_iter()
            .fold(builder, SetCookieBuilder::max_age)
    }

    /// Returns the header that these settings would produce without validation.
    fn unchecked(&self) -> String {
        let on = |set: bool, text: &str| if set { text.to_owned() } else { String::new() };
        [
            format!("{}={TOKEN}; Path={}", self.name, self.path),
            self.max_age
                .map_or(String::new(), |age| format!("; Max-Age={}", age.as_secs())),
            self.domain
                .map_or(String::new(), |domain| format!("; Domain={domain}")),
            on(self.http_only, "; HttpOnly"),
            on(self.secure, "; Secure"),
            format!("; SameSite={:?}", self.same_site),
            on(self.partitioned, "; Partitioned"),
        ]
        .concat()
    }
}

const NAMES: [&str; 9] = [
    "sid",
    "__Secure-sid",
    "__Host-sid",
    "__Http-sid",
    "__Host-Http-sid",
    "__sEcUrE-sid",
    "__HOST-sid",
    "__http-sid",
    "__hOST-hTTP-sid",
];

// COOK-2: docs/security-checklist.md
#[test]
fn the_browser_accepts_what_is_sent_and_rejects_what_is_rejected_here() {
    let (mut taken, mut turned_down) = (0, 0);
    for settings in Settings::every() {
        let mut browser = Browser::new("www.site.example");
        let unchecked = settings.unchecked();
        match settings.builder().build() {
            Ok(cookie) => {
                assert_eq!(cookie.header_for(&token()), unchecked);
                assert!(browser.receive(unchecked.as_bytes()), "{unchecked}");
                assert_returned(&browser, &settings);
                taken += 1;
            }
            Err(CookieError::Contradiction { .. }) => {
                assert!(!browser.receive(unchecked.as_bytes()), "{unchecked}");
                turned_down += 1;
            }
            Err(other) => panic!("{other} for {settings:?}"),
        }
    }
    assert_eq!(taken + turned_down, 32 * 9 * 9);
    assert!(
        taken > 500 && turned_down > 500,
        "{taken} taken, {turned_down} turned down"
    );
}

fn assert_returned(browser: &Browser, settings: &Settings) {
    let mut hosts = vec!["www.site.example"];
    hosts.extend(settings.domain.map(|_| "other.site.example"));
    for host in hosts {
        let [cookie] = &browser.cookies(host, "/app/page")[..] else {
            panic!("{settings:?}")
        };
        assert_eq!(cookie.name, settings.name.as_bytes());
        assert_eq!(cookie.value, TOKEN.as_bytes());
        assert_eq!(cookie.path, settings.path);
        assert_eq!(cookie.domain.as_deref(), settings.domain);
        assert_eq!(
            (cookie.secure, cookie.http_only),
            (settings.secure, settings.http_only)
        );
        assert_eq!(cookie.partitioned, settings.partitioned);
        let same_site = format!("{:?}", settings.same_site).to_lowercase();
        assert_eq!(cookie.same_site, Some(same_site));
    }
    assert_eq!(
        browser.cookies("other.site.example", "/app").len(),
        settings.domain.iter().len()
    );
    let elsewhere = browser.cookies("www.site.example", "/application").len();
    assert_eq!(elsewhere, usize::from(settings.path == "/"));
}

// TERM-6: docs/security-checklist.md
#[test]
fn the_removal_removes_the_cookie_and_no_other() {
    for settings in Settings::every() {
        let Ok(cookie) = settings.builder().build() else {
            continue;
        };
        let mut browser = Browser::new("www.site.example");
        let other = "other=1; Path=/";
        assert!(browser.receive(other.as_bytes()));
        assert!(browser.receive(cookie.header_for(&token()).as_bytes()));
        assert!(
            browser.receive(cookie.removal_header().as_bytes()),
            "{settings:?}"
        );
        assert_eq!(browser.header("/app"), b"other=1", "{settings:?}");
    }
}

// COOK-5: docs/security-checklist.md
#[test]
fn a_browser_keeps_the_cookie_for_its_max_age() {
    let cookie = SetCookie::builder("sid").max_age(DAY).build().unwrap();
    let mut browser = Browser::new("site.example");
    assert!(browser.receive(cookie.header_for(&token()).as_bytes()));
    browser.advance(24 * 60 * 60 - 1);
    assert_eq!(browser.header("/"), format!("sid={TOKEN}").as_bytes());
    browser.advance(1);
    assert_eq!(browser.header("/"), b"");
}

// COOK-5: docs/security-checklist.md
#[test]
fn the_removal_s_date_is_an_imf_fixdate_with_four_digits_of_year() {
    let cookie = SetCookie::builder("sid").build().unwrap();
    let removal = cookie.removal_header();
    let date = removal
        .split("; ")
        .find_map(|part| part.strip_prefix("Expires="))
        .unwrap();
    assert_eq!(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    // A browser without `Max-Age` support removes it by the date alone.
    let mut browser = Browser::new("site.example");
    assert!(browser.receive(b"sid=x; Path=/; Secure"));
    assert!(browser.receive(removal.replace("Max-Age=0; ", "").as_bytes()));
    assert_eq!(browser.header("/"), b"");
}
