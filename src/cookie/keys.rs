//! The signing keys: the key ring of an application, and the derived keys that sign and verify.
//!
//! Owns the key derivation and the MAC. From each key of the ring, HKDF-SHA-256 derives a MAC key
//! and a one-byte key number for one cookie name. A token names its key by that number, and is
//! invalid under another cookie name. Invariant: within one `Keys`, a number passes to another key
//! only when no entry can hold a tag of the earlier key. Tags of retired keys therefore remain
//! rejected. It does not know sessions.

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
    sync::{AtomicU32, AtomicU64, ReadWriteLock, Relaxed},
};

/// The keys that sign session cookies, newest first. The first key signs, all keys verify.
///
/// To rotate keys without ending sessions, add a new key in front. Remove the oldest key once every
/// session is younger than the new one. A key is at least 32 random bytes, such as `openssl rand
/// -base64 32` prints. Short, repeated, guessable and published keys are rejected. Keys are zeroed
/// on drop, and `Debug` shows only their number.
///
/// ```
/// use sessile::{KeyError, KeyRing};
///
/// let keys = match KeyRing::from_env("SESSILE_KEYS") {
///     Err(KeyError::Unset { .. }) => KeyRing::generate()?, // sessions end with the process
///     keys => keys?,
/// };
///
/// let error = KeyRing::from_bytes(&[b"secret"]).unwrap_err();
/// assert_eq!(error, KeyError::Short { position: 1, given: 6 });
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing(Vec<Secret>);

type Secret = Zeroizing<Vec<u8>>;

impl KeyRing {
    /// Creates a ring from raw keys, newest first.
    ///
    /// # Errors
    /// [`KeyError`] names the first key that cannot be used, counted from 1, and the reason.
    pub fn from_bytes(keys: &[&[u8]]) -> Result<Self, KeyError> {
        Self::checked(
            keys.iter()
                .map(|key| Zeroizing::new(key.to_vec()))
                .collect(),
        )
    }

    /// Creates a ring from base64 keys, newest first, separated by commas. Accepts the standard and
    /// the URL alphabet, with or without padding. Whitespace around a key is ignored.
    ///
    /// # Errors
    /// [`KeyError`] names the first key that cannot be used, counted from 1, and the reason.
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

    /// Creates a ring from an environment variable in the format of
    /// [`from_base64`](Self::from_base64).
    ///
    /// # Errors
    /// [`KeyError::Unset`] if the variable is not set, [`KeyError::NotText`] if it is not Unicode,
    /// and the errors of `from_base64`.
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

    /// Creates a ring with one random key. Cookies that it signed are rejected after a restart.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] if the operating system returns no random bytes.
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

/// The derived keys of a running cache, for its cookie name.
pub(crate) struct Keys {
    cookie_name: Box<str>,
    state: ReadWriteLock<State>,
    /// One bit per key number: set if a key of the ring has it. Read on every hit, without the
    /// lock.
    valid: [AtomicU64; 4],
    /// The number of times the ring was replaced.
    epoch: AtomicU32,
}

impl Keys {
    pub(crate) fn new(ring: &KeyRing, cookie_name: &str) -> Result<Self, KeyError> {
        let ring = Ring::derive(ring, cookie_name)?;
        let used = ring.keys().map(Key::used).collect();
        let valid = ring.bitmap().map(AtomicU64::new);
        Ok(Self {
            cookie_name: cookie_name.into(),
            state: ReadWriteLock::new(State { ring, used }),
            valid,
            epoch: AtomicU32::new(0),
        })
    }

    /// Replaces the ring. On an error nothing changes. After it returns, nothing that a retired key
    /// signed is accepted, neither by its MAC nor by a tag that an entry holds.
    ///
    /// An entry holds a tag for at most `kept_for`, in ticks. `now` is called under the write lock,
    /// when no retired key can sign any more.
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
            // Clear the bits of retired keys first. A thread that sees such a bit cleared accepts
            // no stored tag under that number, whichever ring it sees.
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

    /// Returns the number of times the ring was replaced. The load is relaxed: a single word is
    /// coherent, so a thread that has observed the return of `set` reads the number of that call or
    /// a later one.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Returns true if the ring has a key with this number.
    ///
    /// The load pairs with the stores in `set` and needs no ordering: a single word is coherent, so
    /// a thread that has observed the return of `set` reads its bits or later ones.
    pub(crate) fn is_valid(&self, key_number: u8) -> bool {
        let (word, bit) = word_and_bit(key_number);
        self.valid[word].load(Relaxed) & bit != 0
    }

    /// Signs an id with the first key. Returns the token's parts and the epoch of the ring.
    pub(crate) fn sign(&self, place: Place, id: &Id) -> (Parts, u32) {
        self.state
            .read(|state| (state.ring.signing.sign(place, id), self.epoch()))
    }

    /// Returns true if the tag is correct under the key that the token names. The whole MAC is
    /// computed and compared in constant time. A number without a key takes the same time.
    pub(crate) fn verify(&self, parts: &Parts) -> bool {
        self.state.read(|state| {
            let named = state.ring.keys().find(|key| key.number == parts.key);
            let is_right = named
                .unwrap_or(&state.ring.signing)
                .tag(parts)
                .equals(&parts.tag);
            is_right & named.is_some()
        })
    }
}

/// MACs of CSRF tokens, for adapters.
impl Keys {
    /// Returns the MAC of a message under the signing key.
    pub(crate) fn form_mac(&self, message: &[u8]) -> [u8; 16] {
        self.state
            .read(|state| truncate(mac(&state.ring.signing.form_mac, message)))
    }

    /// Returns true if the MAC of a message is correct under any key of the ring. The time depends
    /// only on the number of keys.
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

/// The ring, and all key numbers in use: those of the ring, and those of retired keys of which an
/// entry may hold a tag.
struct State {
    ring: Ring,
    used: Vec<NumberUse>,
}

impl State {
    /// Frees the numbers of retired keys of which no entry can hold a tag any more.
    fn free_numbers(&mut self, now: u32, kept_for: u32) {
        let is_kept = |retired: u32| retired.saturating_add(kept_for) >= now;
        self.used.retain(|used| used.retired.is_none_or(is_kept));
    }

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

    /// Returns the ring's new keys. Fails if one has the number of another key in use.
    fn unused(&self, ring: &Ring) -> Result<Vec<NumberUse>, KeyError> {
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
struct NumberUse {
    number: u8,
    fingerprint: [u8; 16],
    /// The time at which its key was retired; `None` while it is in the ring.
    retired: Option<u32>,
}

/// Derived keys, at least one.
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
            let (word, bit) = word_and_bit(key.number);
            words[word] |= bit;
        }
        words
    }
}

/// A MAC under one key, with its two padded key blocks hashed in advance. A tag takes a copy of it
/// and two compressions. This is the core of `Hmac`: copying and zeroing the buffer of `Hmac`
/// itself for each tag would take a fifth of the time.
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

    fn used(&self) -> NumberUse {
        NumberUse {
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

/// The keyed hash of user names. Its key is random for each cache and is never exported.
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

/// Each part is prefixed with its length, so that no two lists of parts have the same encoding.
fn expand(hkdf: &Hkdf<Sha256>, cookie_name: &str, purpose: &str, out: &mut [u8]) {
    let [context, name, purpose] = [CONTEXT, cookie_name, purpose].map(str::as_bytes);
    let [a, b, c] = [context, name, purpose].map(|part| (part.len() as u64).to_be_bytes());
    hkdf.expand_multi_info(&[&a, context, &b, name, &c, purpose], out)
        .expect("HKDF-SHA-256 outputs up to 8160 bytes, and at most 32 are requested");
}

fn decode(item: &str, position: usize) -> Result<Secret, KeyError> {
    // Most published keys are published as text, so check before decoding.
    if let Some(origin) = well_known::published(item.as_bytes()) {
        return Err(KeyError::WellKnown { position, origin });
    }
    let not_base64 = || KeyError::Base64 { position };
    let bare = item.trim_end_matches('=');
    let padding = item.len() - bare.len();
    if padding > 2 || (padding > 0 && !item.len().is_multiple_of(4)) {
        return Err(not_base64());
    }
    let standard = |byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let mut key: Secret = Zeroizing::new(bare.bytes().map(standard).collect());
    let len = base64_simd::STANDARD_NO_PAD
        .decode_inplace(&mut key)
        .map_err(|_| not_base64())?
        .len();
    key.truncate(len);
    Ok(key)
}

fn word_and_bit(key_number: u8) -> (usize, u64) {
    (usize::from(key_number / 64), 1 << (key_number % 64))
}

/// RFC 2104, section 3: at least the length of the hash's output.
const MIN_LEN: usize = 32;

const MAX_KEYS: usize = 16;

const CONTEXT: &str = "sessile v1";

// The `zeroize` features that zero hash states, and with them keyed MACs, are enabled.
const _: fn() = || {
    fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
    is_wiped::<Sha256>();
};
