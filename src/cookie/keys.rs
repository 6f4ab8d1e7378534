//! The signing keys: the ring that an application gives, and its live half that signs and verifies.
//!
//! Owns the derivation of keys and the MAC. From each key of the ring, HKDF-SHA-256 makes a MAC key and
//! a one-byte key number for one cookie name, so a token says which key signed it and is worth nothing
//! under another name. Invariant: within one `Keys` a number comes to mean another key only when no
//! entry can keep a tag of the one before, so the tag of a retired key stays rejected. Knows no session.

pub(crate) mod store;

use core::fmt;
use std::env;

use hkdf::Hkdf;
use hmac::{
    KeyInit,
    block_api::HmacCore,
    digest::{
        Output,
        block_api::{Buffer, FixedOutputCore, UpdateCore},
    },
};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    token::{Parts, Tag},
    well_known,
};
use crate::{
    error::{Error, KeyError},
    id::{Entropy, Id, Place, UserHash, system_entropy},
    sync::{AtomicU32, AtomicU64, Relaxed, Shared},
};

/// The keys that sign sessions' cookies, newest first: the first signs, all verify.
///
/// To rotate without signing anybody out, put a new key in front and drop the oldest when no session
/// is as old as it. A key is 32 random bytes or more, as `openssl rand -base64 32` prints them;
/// empty, short, repeated, guessable and published ones are refused. Keys are wiped from memory on
/// drop, and `Debug` shows none.
///
/// ```
/// use sessile::{KeyError, KeyRing};
///
/// let keys = match KeyRing::from_env("SESSILE_KEYS") {
///     Err(KeyError::Unset { .. }) => KeyRing::generate()?, // sign-ins will not survive a restart
///     keys => keys?,
/// };
///
/// let refused = KeyRing::from_bytes(&[b"secret"]).unwrap_err();
/// assert_eq!(refused, KeyError::Short { position: 1, given: 6 });
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing(Vec<Secret>);

type Secret = Zeroizing<Vec<u8>>;

impl KeyRing {
    /// From raw keys, newest first.
    ///
    /// # Errors
    /// [`KeyError`] names the first key that cannot be used, counted from 1, and why.
    pub fn from_bytes(keys: &[&[u8]]) -> Result<Self, KeyError> {
        Self::checked(
            keys.iter()
                .map(|key| Zeroizing::new(key.to_vec()))
                .collect(),
        )
    }

    /// From base64 keys, newest first, separated by commas. Standard and URL alphabet are both read,
    /// with or without padding; blanks around a key are ignored.
    ///
    /// # Errors
    /// [`KeyError`] names the first key that cannot be used, counted from 1, and why.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        if text.trim().is_empty() {
            return Err(KeyError::NoKey);
        }
        let decode = |(at, item): (usize, &str)| decode(item.trim(), at + 1);
        Self::checked(
            text.split(',')
                .enumerate()
                .map(decode)
                .collect::<Result<_, _>>()?,
        )
    }

    /// From an environment variable that holds what [`from_base64`](Self::from_base64) reads.
    ///
    /// # Errors
    /// [`KeyError::Unset`] if there is no such variable, so that a program can decide what to do
    /// without one; else as `from_base64`.
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        match env::var(variable).map(Zeroizing::new) {
            Ok(text) => Self::from_base64(&text),
            Err(env::VarError::NotPresent) => Err(KeyError::Unset {
                variable: variable.to_owned(),
            }),
            Err(env::VarError::NotUnicode(_)) => Err(KeyError::NotText {
                variable: variable.to_owned(),
            }),
        }
    }

    /// One fresh key from the operating system. What it signed is refused after a restart.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Zeroizing::new(vec![0; MIN_LEN]);
        system_entropy(&mut key).map_err(|_| KeyError::Entropy)?;
        Ok(Self(vec![key]))
    }

    fn checked(keys: Vec<Secret>) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany {
                given: keys.len(),
                max: MAX_KEYS,
            });
        }
        for (at, key) in keys.iter().enumerate() {
            let position = at + 1;
            if key.len() < MIN_LEN {
                return Err(KeyError::Short {
                    position,
                    given: key.len(),
                });
            }
            if let Some(first) = keys[..at].iter().position(|earlier| earlier == key) {
                return Err(KeyError::Repeated {
                    position,
                    first: first + 1,
                });
            }
            if let Some(origin) = well_known::origin(key) {
                return Err(KeyError::WellKnown { position, origin });
            }
        }
        Ok(Self(keys))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.0.len())
    }
}

/// The keys of a running cache, for its cookie name.
pub(crate) struct Keys {
    cookie_name: Box<str>,
    state: Shared<State>,
    /// One bit a key number: whether its key verifies. Read on every hit, without the lock.
    valid: [AtomicU64; 4],
    /// How often the ring was replaced.
    epoch: AtomicU32,
}

impl Keys {
    pub(crate) fn new(ring: &KeyRing, cookie_name: &str) -> Result<Self, KeyError> {
        let ring = Ring::derive(ring, cookie_name)?;
        let used = ring.keys().map(Key::used).collect();
        let valid = ring.bitmap().map(AtomicU64::new);
        Ok(Self {
            cookie_name: cookie_name.into(),
            state: Shared::new(State { ring, used }),
            valid,
            epoch: AtomicU32::new(0),
        })
    }

    /// Replaces the ring; on an error nothing changes. When it returns, nothing that a retired key
    /// signed is accepted any more, whether by its MAC or by a tag that an entry keeps. The time is asked for when
    /// nothing is signed any more by a key that is retired.
    ///
    /// An entry keeps a tag for `kept_for` at most, in the unit of the times.
    pub(crate) fn set(
        &self,
        ring: &KeyRing,
        kept_for: u32,
        now: impl FnOnce() -> u32,
    ) -> Result<(), KeyError> {
        let ring = Ring::derive(ring, &self.cookie_name)?;
        self.state.write(|state| {
            let now = now();
            state.free_numbers(now, kept_for);
            let fresh = state.unused(&ring)?;
            state.used.extend(fresh);
            state.retire(&ring, now);
            let bitmap = ring.bitmap();
            // The retired bits go first: whoever sees one gone believes no tag that an entry keeps
            // under that number, whatever it sees of the ring.
            for (word, bits) in self.valid.iter().zip(bitmap) {
                word.fetch_and(bits, Relaxed);
            }
            state.ring = ring;
            for (word, bits) in self.valid.iter().zip(bitmap) {
                word.store(bits, Relaxed);
            }
            self.epoch.fetch_add(1, Relaxed);
            Ok(())
        })
    }

    /// Returns how often the ring was replaced. A thread that learnt that `set` returned reads its number or a later
    /// one, since a single word is coherent.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Whether the key of this number is in the ring.
    ///
    /// The load pairs with the stores in `set`. It orders nothing and need not: whoever learnt that
    /// `set` returned reads its bits or later ones, since a single word is coherent.
    pub(crate) fn is_valid(&self, key_number: u8) -> bool {
        let (word, bit) = place(key_number);
        self.valid[word].load(Relaxed) & bit != 0
    }

    /// A token's parts for that session, signed by the first key, and the epoch of its ring.
    pub(crate) fn sign(&self, place: Place, id: &Id) -> (Parts, u32) {
        self.state
            .read(|state| (state.ring.signing.sign(place, id), self.epoch()))
    }

    /// Whether the tag is right under the key that the token names. The whole MAC is computed and
    /// compared in constant time; a number that no key has costs the same.
    pub(crate) fn verify(&self, parts: &Parts) -> bool {
        self.state.read(|state| {
            let named = state.ring.keys().find(|key| key.number == parts.key);
            let right = named
                .unwrap_or(&state.ring.signing)
                .tag(parts)
                .equals(&parts.tag);
            right & named.is_some()
        })
    }
}

/// MACs of forms, for adapters.
impl Keys {
    /// Returns the MAC of a message under the signing key.
    pub(crate) fn form_mac(&self, message: &[u8]) -> [u8; 16] {
        self.state
            .read(|state| truncate(mac(&state.ring.signing.form_mac, message)))
    }

    /// Returns true if the MAC of a message is right under any key of the ring. The time depends on the number of keys
    /// only.
    pub(crate) fn verify_form_mac(&self, message: &[u8], given: &[u8; 16]) -> bool {
        let is_right = |key: &Key| truncate(mac(&key.form_mac, message)).ct_eq(given);
        let none = subtle::Choice::from(0);
        self.state.read(|state| {
            state
                .ring
                .keys()
                .fold(none, |any, key| any | is_right(key))
                .into()
        })
    }
}

/// The ring, and every number that stands for a key, or stood for one of which an entry may keep a tag.
struct State {
    ring: Ring,
    used: Vec<Used>,
}

impl State {
    /// Forgets keys that were retired so long ago that no entry keeps a tag of theirs, so that others may have their
    /// numbers.
    fn free_numbers(&mut self, now: u32, kept_for: u32) {
        let is_kept = |retired: u32| retired.saturating_add(kept_for) >= now;
        self.used.retain(|used| used.retired.is_none_or(is_kept));
    }

    /// Notes which keys are retired by a new ring.
    fn retire(&mut self, ring: &Ring, now: u32) {
        for used in &mut self.used {
            let is_in_ring = ring.keys().any(|key| key.number == used.number);
            used.retired = if is_in_ring {
                None
            } else {
                used.retired.or(Some(now))
            };
        }
    }

    /// The ring's keys that were never seen, unless one has the number of another that was.
    fn unused(&self, ring: &Ring) -> Result<Vec<Used>, KeyError> {
        let mut fresh = Vec::new();
        for (at, key) in ring.keys().enumerate() {
            match self.used.iter().find(|used| used.number == key.number) {
                None => fresh.push(key.used()),
                Some(used) if used.fingerprint == key.fingerprint => {}
                Some(_) => return Err(KeyError::UsedNumber { position: at + 1 }),
            }
        }
        Ok(fresh)
    }
}

#[derive(Clone, Copy)]
struct Used {
    number: u8,
    fingerprint: [u8; 16],
    /// When it went out of the ring, if it has.
    retired: Option<u32>,
}

/// Derived keys, of which there is at least one.
struct Ring {
    signing: Key,
    others: Vec<Key>,
}

impl Ring {
    fn derive(ring: &KeyRing, cookie_name: &str) -> Result<Self, KeyError> {
        let (signing, others) = ring.0.split_first().ok_or(KeyError::NoKey)?;
        let derive = |key: &Secret| Key::derive(key, cookie_name);
        let ring = Self {
            signing: derive(signing),
            others: others.iter().map(derive).collect(),
        };
        for (at, key) in ring.keys().enumerate() {
            if let Some(first) = ring
                .keys()
                .take(at)
                .position(|earlier| earlier.number == key.number)
            {
                return Err(KeyError::SameNumber {
                    position: at + 1,
                    first: first + 1,
                });
            }
        }
        Ok(ring)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        core::iter::once(&self.signing).chain(&self.others)
    }

    fn bitmap(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for key in self.keys() {
            let (word, bit) = place(key.number);
            words[word] |= bit;
        }
        words
    }
}

/// A MAC under one key, its two padded key blocks hashed in advance: a copy of it and two compressions
/// make a tag. It is the core of `Hmac`, whose own buffer would be copied and wiped once more for
/// each tag, at a fifth of the price of the whole.
type Keyed = HmacCore<Sha256>;

struct Key {
    number: u8,
    fingerprint: [u8; 16],
    mac: Keyed,
    form_mac: Keyed,
}

impl Key {
    fn derive(key: &[u8], cookie_name: &str) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, key);
        let (mut number, mut fingerprint, mut secret) = ([0], [0; 16], Zeroizing::new([0; 32]));
        expand(&hkdf, cookie_name, "key number", &mut number);
        expand(&hkdf, cookie_name, "key fingerprint", &mut fingerprint);
        expand(&hkdf, cookie_name, "token tag", &mut *secret);
        let mac = keyed(&*secret);
        expand(&hkdf, cookie_name, "form mac", &mut *secret);
        Self {
            number: number[0],
            fingerprint,
            mac,
            form_mac: keyed(&*secret),
        }
    }

    fn used(&self) -> Used {
        Used {
            number: self.number,
            fingerprint: self.fingerprint,
            retired: None,
        }
    }

    fn sign(&self, place: Place, id: &Id) -> Parts {
        let unsigned = Parts {
            key: self.number,
            place,
            id: *id,
            tag: Tag([0; 2]),
        };
        Parts {
            tag: self.tag(&unsigned),
            ..unsigned
        }
    }

    fn tag(&self, parts: &Parts) -> Tag {
        Tag::from_bytes(truncate(mac(&self.mac, &parts.covered())))
    }
}

/// The keyed hash that stands for users' names; its key is drawn once and never leaves.
pub(crate) struct Prf(Keyed);

impl Prf {
    pub(crate) fn random(entropy: Entropy) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        entropy(&mut *key)?;
        Ok(Self(keyed(&*key)))
    }

    pub(crate) fn hash(&self, name: &str) -> UserHash {
        UserHash::from_bytes(truncate(mac(&self.0, name.as_bytes())))
    }
}

pub(super) fn keyed(key: &[u8]) -> Keyed {
    Keyed::new_from_slice(key).expect("HMAC takes a key of any length")
}

pub(super) fn mac(keyed: &Keyed, message: &[u8]) -> [u8; 32] {
    let mut core = keyed.clone();
    let mut buffer = Buffer::<Keyed>::default();
    buffer.digest_blocks(message, |blocks| core.update_blocks(blocks));
    let mut output = Output::<Keyed>::default();
    core.finalize_fixed_core(&mut buffer, &mut output);
    output.into()
}

/// RFC 2104, section 5: the leftmost half.
fn truncate(mac: [u8; 32]) -> [u8; 16] {
    core::array::from_fn(|at| mac[at])
}

/// Each part has its length before it, so that no two lists of parts read the same.
fn expand(hkdf: &Hkdf<Sha256>, cookie_name: &str, purpose: &str, out: &mut [u8]) {
    let [context, name, purpose] = [CONTEXT, cookie_name, purpose].map(str::as_bytes);
    let [a, b, c] = [context, name, purpose].map(|part| (part.len() as u64).to_be_bytes());
    hkdf.expand_multi_info(&[&a, context, &b, name, &c, purpose], out)
        .expect("HKDF gives up to 8160 bytes, and at most 32 are asked for");
}

fn decode(item: &str, position: usize) -> Result<Secret, KeyError> {
    // Published keys are mostly published as text: one is refused before it is taken for base64.
    if let Some(origin) = well_known::published(item.as_bytes()) {
        return Err(KeyError::WellKnown { position, origin });
    }
    let wrong = || KeyError::Base64 { position };
    let bare = item.trim_end_matches('=');
    let padding = item.len() - bare.len();
    if padding > 2 || (padding > 0 && !item.len().is_multiple_of(4)) {
        return Err(wrong());
    }
    let standard = |byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let mut key: Secret = Zeroizing::new(bare.bytes().map(standard).collect());
    let len = base64_simd::STANDARD_NO_PAD
        .decode_inplace(&mut key)
        .map_err(|_| wrong())?
        .len();
    key.truncate(len);
    Ok(key)
}

/// The word of the bitmap and the bit in it.
fn place(key_number: u8) -> (usize, u64) {
    (usize::from(key_number / 64), 1 << (key_number % 64))
}

/// RFC 2104, section 3: no shorter than the hash's output.
const MIN_LEN: usize = 32;

const MAX_KEYS: usize = 16;

const CONTEXT: &str = "sessile v1";

// The feature is on that wipes hash states, of which a keyed MAC is made.
const _: fn() = || {
    fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
    is_wiped::<Sha256>();
};
