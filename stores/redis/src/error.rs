//! Errors of the server and of its connections, as errors of a store.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use sessile_store::StoreError;

/// Returns the error of a store that an error of the client stands for.
pub(crate) fn store_error(error: &RedisError) -> StoreError {
    match error.code() {
        Some("LATE") => StoreError::Late,
        Some("GONE") => StoreError::Gone,
        Some("ROTATED") => StoreError::Rotated,
        Some("CONFLICT") => StoreError::Conflict,
        Some("TOOMANY") => StoreError::TooMany,
        Some("TAKEN") => StoreError::Taken,
        Some("OOM") => StoreError::Full,
        // A key of another application under our prefix is no session of ours.
        Some("WRONGTYPE") => StoreError::Gone,
        _ => StoreError::Unreachable(describe(error).into()),
    }
}

/// Describes an error by its kind, never by its detail, which may quote a key.
pub(crate) fn describe(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            "the user name or password was rejected (WRONGPASS)".to_owned()
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "the user of the server lacks a permission (NOPERM): see the ACL of the guide"
                .to_owned()
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "the server is a replica (READONLY)".to_owned()
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            "the server is loading its data (LOADING)".to_owned()
        }
        ErrorKind::MasterNameNotFoundBySentinel => {
            "no Sentinel knows a primary of that service".to_owned()
        }
        _ if error.is_timeout() => "the server did not answer in time".to_owned(),
        _ if error.is_connection_refusal() => "the connection was refused".to_owned(),
        _ if error.is_connection_dropped() => "the connection was closed".to_owned(),
        _ if error.is_io_error() => format!("input or output failed ({})", io_kind(error)),
        kind => match error.code() {
            Some(code) => format!("the server answered {code}"),
            None => format!("the client failed ({kind:?})"),
        },
    }
}

/// Returns the cause of an error of input or output, such as a certificate that is rejected. It
/// names no secret: nothing was sent when it arose.
fn io_kind(error: &RedisError) -> String {
    error.to_string()
}
