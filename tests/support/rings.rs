//! Keys for tests: they look random and are the same in each run.

#![allow(dead_code, clippy::unwrap_used)]

use sessile::{
    KeyRing,
    internals::cookie::{Keys, mac},
};

pub(crate) const NAME: &str = "__Host-session";
pub(crate) const ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Returns a key that looks random and is the same in each run.
pub(crate) fn key(number: u64) -> [u8; 32] {
    mac(b"test key", &number.to_le_bytes())
}

pub(crate) fn ring(numbers: &[u64]) -> KeyRing {
    let keys: Vec<_> = numbers.iter().map(|number| key(*number)).collect();
    KeyRing::from_bytes(&keys.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn keys(numbers: &[u64]) -> Keys {
    Keys::new(&ring(numbers), NAME).unwrap()
}
