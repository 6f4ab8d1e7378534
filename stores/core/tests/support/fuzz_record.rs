//! The codec of records on bytes from outside: used by the fuzz target and by the test of its corpus.

use sessile::{SessionId, UserHash};
use sessile_store::{
    encryption::{Binding, Encryption},
    record::{Record, decode_target, encode_target},
};

/// Decodes a record. What decodes encodes to the same bytes, and nothing decrypts by chance.
pub fn record(bytes: &[u8]) {
    if let Some(target) = decode_target(bytes) {
        assert_eq!(encode_target(&target), bytes);
    }
    match Record::decode(bytes) {
        Ok(Record::Session(session)) => {
            assert_eq!(session.encode(), bytes);
            let binding = Binding::of(SessionId::from_parts([1; 16], 2), &session.header);
            let encryption =
                Encryption::new(&[(session.data.first().copied().unwrap_or(0), [3; 32])]);
            assert!(encryption.decrypt(&binding, session.data).is_err());
        }
        Ok(Record::Alias(alias)) => {
            assert_eq!(Record::decode(&alias.encode()), Ok(Record::Alias(alias)));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
        }
    }
    if let Ok(user) = <[u8; 16]>::try_from(bytes) {
        assert_eq!(UserHash::new(user).to_bytes(), user);
    }
}
