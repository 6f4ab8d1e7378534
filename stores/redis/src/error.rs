//! Errors of the server and of its connections, as errors of a store.

use redis::{ErrorKind, RedisError};
use sessile_store::StoreError;

/// Translates an error of the client.
pub(crate) fn store_error(error: &RedisError) -> StoreError {
    match error.code() {
        Some("LATE") => StoreError::Late,
        Some("GONE") => StoreError::Gone,
        Some("ROTATED") => StoreError::Rotated,
        Some("CONFLICT") => StoreError::Conflict,
        Some("TOOMANY") => StoreError::TooMany,
        Some("TAKEN") => StoreError::Taken,
        Some("OOM") => StoreError::Full,
        // A key of another application under our prefix is not a session.
        Some("WRONGTYPE") => StoreError::Gone,
        _ => StoreError::Unreachable(describe(error).into()),
    }
}

/// Returns the error of a connection that is being set up: another attempt is of no use if the
/// server rejects this client.
pub(crate) fn setup_error(error: &RedisError) -> StoreError {
    let is_rejected = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::RESP3NotSupported
            | ErrorKind::InvalidClientConfig
    ) || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
    if is_rejected {
        StoreError::Incompatible(describe(error).into())
    } else {
        store_error(error)
    }
}

/// Describes an error by its kind, never by its detail, which may quote a key.
fn describe(error: &RedisError) -> String {
    let text = match error.code() {
        Some("WRONGPASS") => "the server rejected the user name or password (WRONGPASS)",
        Some("NOAUTH") => "the server wants a password (NOAUTH): put it into the URL",
        Some("NOPERM") => "the user lacks a permission (NOPERM): see the ACL of the guide",
        Some("READONLY") => "the server is a replica (READONLY)",
        Some("LOADING") => "the server is loading its data (LOADING)",
        Some(code) => return format!("the server answered {code}"),
        None => return describe_client(error),
    };
    text.to_owned()
}

fn describe_client(error: &RedisError) -> String {
    let text = match error.kind() {
        ErrorKind::AuthenticationFailed => "the server rejected the user name or password",
        ErrorKind::MasterNameNotFoundBySentinel => "no Sentinel knows a primary of that service",
        ErrorKind::RESP3NotSupported => "the server must be redis 7.0 or later: it lacks RESP3",
        _ if error.is_timeout() => "the server did not answer in time",
        _ if error.is_connection_refusal() => "the connection was refused",
        _ if error.is_connection_dropped() => "the connection was closed",
        _ if error.is_io_error() => return format!("input or output failed ({})", io_cause(error)),
        kind => return format!("the client failed ({kind:?})"),
    };
    text.to_owned()
}

/// Returns the cause of an error of input or output, such as a certificate that is rejected. It
/// names no secret: nothing was sent when it arose.
fn io_cause(error: &RedisError) -> String {
    error.to_string()
}
