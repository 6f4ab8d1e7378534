//! No id, token, tag or key appears in the `Debug` output of a public type or in an error.

use std::time::Duration;

use std::{
    error::Error as _,
    fmt::{Debug, Display, Write as _},
};

use crate::support::{
    HOUR, PLAIN, PLAINLY, TICK, builder, create, fill_with_users, having, idle, load,
    rings::{NAME, key, ring},
    sign_in,
};
use sessile::{
    Error, IssuedSession, KeyError, KeyRing, ManualClock, SetCookie,
    internals::cookie::{Keys, Parts},
};

const USER: &str = "alice@example.org";
const DATA: &[u8] = b"a number of a card";

/// The printed texts, each with its source.
#[derive(Default)]
struct DebugOutput(Vec<(&'static str, String)>);

impl DebugOutput {
    fn debug(&mut self, whose: &'static str, value: &dyn Debug) {
        self.0.push((
            whose,
            format!("{value:?} {value:#?} {value:02x?} {value:X?}"),
        ));
    }

    fn error<E: Debug + Display>(&mut self, whose: &'static str, error: &E) {
        self.debug(whose, error);
        self.0.push((whose, error.to_string()));
    }

    /// Returns the sources whose text contains a piece of a secret.
    fn leak(&self, secrets: &[Vec<u8>]) -> Option<&'static str> {
        let forms: Vec<_> = secrets
            .iter()
            .flat_map(|secret| encodings(secret))
            .collect();
        let leaky = self.0.iter().find(|(_, text)| {
            let text: String = text.chars().filter(|each| !each.is_whitespace()).collect();
            forms.iter().any(|form| text.contains(form))
        });
        leaky.map(|(whose, _)| *whose)
    }
}

/// Returns the encodings of bytes, or of eight of them, without blanks.
fn encodings(secret: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for bytes in secret.windows(8).step_by(4) {
        let list = format!("{bytes:?}{bytes:02x?}{bytes:X?}").replace(' ', "");
        all.extend(
            list.split(['[', ']'])
                .filter(|part| !part.is_empty())
                .map(str::to_owned),
        );
        let mut hex = String::new();
        bytes
            .iter()
            .for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        all.extend([hex.to_uppercase(), hex]);
        let word = u64::from_le_bytes(bytes.try_into().unwrap());
        all.extend([format!("{word}"), format!("{word:x}"), format!("{word:X}")]);
        let word = word.swap_bytes();
        all.extend([format!("{word}"), format!("{word:x}"), format!("{word:X}")]);
        let text: String = bytes.escape_ascii().to_string().split(' ').collect();
        all.extend([text.replace('\\', "\\\\"), text]);
    }
    // Eight characters from each of the four offsets at which a piece may begin within the text.
    for start in 0..3 {
        let text = base64(&secret[start..]);
        let pieces = text.as_bytes().windows(8).step_by(4);
        let pieces: Vec<_> = pieces
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect();
        all.extend(
            pieces
                .iter()
                .map(|piece| piece.replace('-', "+").replace('_', "/")),
        );
        all.extend(pieces);
    }
    all
}

/// Encodes as many complete groups of three bytes as there are in base64url.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks_exact(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]))
    });
    digits.collect()
}

/// Returns the id and the tag of a token; the bytes before them are not secret.
fn secrets_of(issued: &IssuedSession) -> [Vec<u8>; 3] {
    let parts = Parts::parse(issued.token.as_str().as_bytes()).unwrap();
    [
        parts.id.to_vec(),
        parts.tag.to_vec(),
        issued.token.as_str().into(),
    ]
}

// ID-7: docs/security-checklist.md
#[test]
fn the_search_for_secrets_finds_a_leak() {
    let secret: [u8; 16] = core::array::from_fn(|at| 0x9c ^ (at as u8).wrapping_mul(37));
    let words = secret
        .as_chunks()
        .0
        .iter()
        .map(|half| u64::from_le_bytes(*half));
    let leaks: [Box<dyn Debug>; 6] = [
        Box::new(secret),
        Box::new(Some(words.collect::<Vec<_>>())),
        Box::new(u128::from_be_bytes(secret)),
        Box::new(base64(&secret)),
        Box::new(base64(&[&[1, 2, 3, 4][..], &secret].concat())),
        Box::new(secret.escape_ascii().to_string()),
    ];
    for leak in &leaks {
        let mut printed = DebugOutput::default();
        printed.debug("a type that talks", leak);
        assert!(printed.leak(&[secret.to_vec()]).is_some(), "{leak:?}");
    }
}

// ID-7: docs/security-checklist.md
#[test]
fn types_show_no_id_no_token_and_no_key() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().unwrap();
    let first = create(&cache, b"data");
    let second = cache.rotate(&first.id, Duration::ZERO).unwrap();
    let third = sign_in(&cache, &second.id, USER);
    let (record, _) = load(&cache, &third.id).unwrap();
    let mut printed = DebugOutput::default();
    printed.debug("IssuedSession", &third);
    printed.debug("SessionId", &third.id);
    printed.debug("Token", &third.token);
    printed.debug("Record", &record);
    printed.debug("UserHash", &record.user);
    printed.debug("Handle", &record.handle());
    printed.debug("SessionInfo", &cache.user_sessions(USER));
    printed.debug("SignInOptions", &PLAINLY);
    let with_data = PLAINLY.replace_data(third.version, DATA);
    printed.debug("SignInOptions with data", &with_data);
    printed.debug("SessionCache", &cache);
    printed.debug("KeyRing", &ring(&[1, 2]));
    printed.debug("SessionCacheBuilder", &builder(&clock).keys(ring(&[1, 2])));
    printed.debug("Stats", &cache.stats());
    printed.debug("ManualClock", &clock);
    printed.debug("Timeouts", &idle(HOUR));
    printed.debug("MaintenanceReport", &cache.maintain(10));
    printed.debug("MaintenanceThread", &cache.start_maintenance().unwrap());
    printed.debug("SetCookie", &SetCookie::builder(NAME).build().unwrap());
    let mut secrets = [&first, &second, &third].map(secrets_of).concat();
    secrets.extend([key(1).to_vec(), key(2).to_vec(), USER.into(), DATA.into()]);
    assert_eq!(printed.leak(&secrets), None);
}

// ID-7: docs/security-checklist.md
#[test]
fn errors_of_verbs_show_no_id_and_no_token() {
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .memory(128 << 10)
        .max_session_size(2 << 10)
        .build()
        .unwrap();
    let session = create(&cache, b"data");
    let expired = cache.create_with(b"data", having(idle(TICK))).unwrap();
    clock.advance(TICK);
    let next = cache.rotate(&session.id, Duration::ZERO).unwrap();
    let mut printed = DebugOutput::default();
    for gone in [&session, &expired] {
        printed.error(
            "save",
            &cache.save(&gone.id, gone.version, b"x").unwrap_err(),
        );
        printed.error("touch", &cache.touch(&gone.id).unwrap_err());
        printed.error(
            "set_timeouts",
            &cache
                .set_timeouts(&gone.id, gone.version, PLAIN)
                .unwrap_err(),
        );
        printed.error(
            "rotate",
            &cache.rotate(&gone.id, Duration::ZERO).unwrap_err(),
        );
        printed.error("sign_in", &cache.sign_in(&gone.id, USER).unwrap_err());
    }
    printed.error(
        "save",
        &cache
            .save(&next.id, crate::support::later(next.version, 1), b"x")
            .unwrap_err(),
    );
    printed.error(
        "save",
        &cache
            .save(&next.id, next.version, &[0; 1 << 16])
            .unwrap_err(),
    );
    printed.error("sign_in", &cache.sign_in(&next.id, "").unwrap_err());
    let mut secrets = [&session, &expired, &next].map(secrets_of).concat();
    cache.end(&next.id);
    fill_with_users(&cache, 256);
    let error = cache.create(&[0; 256 * 3]).unwrap_err();
    assert_eq!(error, Error::Full);
    printed.error("create", &error);
    secrets.push(USER.into());
    assert_eq!(printed.leak(&secrets), None);
}

// ID-7: docs/security-checklist.md
#[test]
fn errors_of_rejected_keys_show_no_key() {
    let secret = key(9);
    let text = base64(&[&secret[..], &[1]].concat());
    let refused_bytes = |keys: &[&[u8]]| KeyRing::from_bytes(keys).unwrap_err();
    let refused_text = |text: &str| KeyRing::from_base64(text).unwrap_err();
    let many = (1..=17).map(key).collect::<Vec<_>>();
    let mut errors = vec![
        refused_bytes(&[&secret[..31]]),
        refused_bytes(&[&key(1), &secret, &secret]),
        refused_bytes(&many.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>()),
        refused_bytes(&[&[&secret[..2]; 16].concat()]),
        refused_text(&text[..24]),
        refused_text(&format!("{text}!")),
        refused_text(&format!("{text} {text}")),
        refused_text(&format!("{text},{text}")),
        KeyRing::from_env("CARGO_MANIFEST_DIR").unwrap_err(),
    ];
    let (twin, number) = same_number(9);
    let both = KeyRing::from_bytes(&[&key(twin), &secret]).unwrap();
    let clock = ManualClock::new();
    let unbuilt = builder(&clock).keys(both).build().unwrap_err();
    let cache = builder(&clock).keys(ring(&[9])).build().unwrap();
    errors.push(cache.set_keys(&ring(&[twin])).unwrap_err());
    assert!(
        matches!(errors.last(), Some(KeyError::UsedNumber { .. })),
        "both keys have the number {number}"
    );
    let mut printed = DebugOutput::default();
    printed.error("build", &unbuilt);
    printed.debug("source", &unbuilt.source());
    errors
        .iter()
        .for_each(|error| printed.error("KeyError", error));
    let mut secrets = vec![secret.to_vec(), text.into_bytes(), key(twin).to_vec()];
    secrets.push(env!("CARGO_MANIFEST_DIR").into());
    assert_eq!(printed.leak(&secrets), None);
}

/// Another key with that number.
fn same_number(of: u64) -> (u64, u8) {
    let number = |each| {
        Keys::new(&ring(&[each]), NAME)
            .unwrap()
            .sign(0, [0; 16])
            .key
    };
    let twin = (100..).find(|each| number(*each) == number(of)).unwrap();
    (twin, number(of))
}
