//! The text of each error names the setting or argument, the value and the limit.
//!
//! The matches have no wildcard, so that a new variant of this crate is a compile error here.

#![allow(clippy::unwrap_used)]

use std::{error::Error as _, time::Duration};

use http::Uri;
use sessile::CookieError;

use super::*;
use crate::ManagerError;

/// Returns the parts that the text of an error must contain.
fn required_parts(error: &SessionError) -> &'static [&'static str] {
    match error {
        SessionError::Decode { .. } => &["value", "`u32`"],
        SessionError::Encode(_) => &["value", "JSON"],
        SessionError::TooLarge { .. } => &["`max_session_size`", "17000", "16384"],
        SessionError::KeyTooLong { .. } => &["key", "70000", "65535"],
        SessionError::ReservedKey { .. } => &["key", "`sessile:`", "\"sessile:user\""],
        SessionError::EmptyUser => &["user name", "empty"],
        SessionError::AlreadyCommitted => &["headers were sent", "before the handler returns"],
        SessionError::Conflict { .. } => &["\"cart\"", "another request"],
        SessionError::InvalidCsrfToken => &["CSRF token", "show the form again"],
        SessionError::Store(_) => &["try again"],
        SessionError::NotLoaded => &["not loaded", "`load().await`"],
        SessionError::Unreachable => &["store", "try again"],
    }
}

fn session_errors() -> Vec<SessionError> {
    let json_error = || serde_json::from_str::<u32>("\"private\"").unwrap_err();
    vec![
        SessionError::decode::<u32>(json_error()),
        SessionError::Encode(json_error()),
        SessionError::TooLarge {
            given: 17_000,
            max: 16_384,
        },
        SessionError::KeyTooLong {
            given: 70_000,
            max: 65_535,
        },
        SessionError::ReservedKey {
            key: "sessile:user".to_owned(),
        },
        SessionError::EmptyUser,
        SessionError::AlreadyCommitted,
        SessionError::Conflict {
            key: "cart".to_owned(),
        },
        SessionError::InvalidCsrfToken,
        SessionError::Store(Error::Full.into()),
        SessionError::NotLoaded,
        SessionError::Unreachable,
    ]
}

#[test]
fn session_errors_name_the_argument_the_value_and_the_limit() {
    for error in session_errors() {
        let text = error.to_string();
        for part in required_parts(&error) {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
        assert!(!text.contains("private"), "{text:?} quotes a value");
    }
}

#[test]
fn manager_errors_name_the_setting_the_value_and_the_limit() {
    let required_parts = |error: &ManagerError| -> &'static [&'static str] {
        match error {
            ManagerError::Cookie(_) => &["`max_age`", "500ms", "34560000"],
            ManagerError::SignInPage { .. } => &["`sign_in_page`", "\"sign in\"", "path or a URI"],
        }
    };
    for error in [
        ManagerError::Cookie(CookieError::MaxAge {
            given: Duration::from_millis(500),
        }),
        ManagerError::SignInPage {
            given: "sign in".to_owned(),
            source: "sign in".parse::<Uri>().unwrap_err(),
        },
    ] {
        let text = error.to_string();
        for part in required_parts(&error) {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
    }
}

#[test]
fn no_error_repeats_the_text_of_its_source() {
    let errors = session_errors();
    let sources = errors
        .iter()
        .filter_map(|error| Some((error.to_string(), error.source()?)));
    let mut count = 0;
    for (text, source) in sources {
        assert!(!text.contains(&source.to_string()), "{text:?}: {source}");
        count += 1;
    }
    assert_eq!(count, 3, "Decode, Encode and Store have a source");
}

#[test]
fn the_source_of_store_is_the_error_of_the_engine() {
    let error = SessionError::Store(Error::Full.into());
    let source = error.source().unwrap();
    assert_eq!(source.downcast_ref::<Error>(), Some(&Error::Full));
    assert_eq!(
        error.to_string(),
        CommitError::from(Error::Full).to_string()
    );
}

#[test]
fn each_engine_error_has_a_status_and_a_text_for_the_client() {
    let too_large = Error::TooLarge {
        given: 17_000,
        max: 16_384,
    };
    for (cause, status, part) in [
        (Error::Gone, 409, "has ended"),
        (Error::Rotated, 409, "renewed"),
        (Error::TooManySessions, 409, "too many devices"),
        (Error::Full, 503, "try again"),
        (Error::Conflict, 503, "try again"),
        (Error::Unreachable, 503, "try again"),
        (Error::AdmissionDenied, 429, "could not be stored"),
        (
            too_large,
            500,
            "at most 16384 bytes (max_session_size), got 17000",
        ),
        (Error::Entropy, 500, "could not be stored"),
    ] {
        let error = CommitError::from(cause);
        assert_eq!(error.status().as_u16(), status, "{cause:?}");
        assert!(error.to_string().contains(part), "{cause:?}: {error}");
    }
    let conflict = CommitError::conflict("cart".into());
    assert_eq!(conflict.status(), StatusCode::CONFLICT);
    assert!(conflict.to_string().contains("at the same time"));
}

#[test]
fn an_unreachable_store_is_503_with_retry_after() {
    let error = CommitError::from(Error::Unreachable);
    let mut headers = http::HeaderMap::new();
    error.replace_headers(&mut headers);
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds = headers[http::header::RETRY_AFTER].to_str().unwrap();
    assert!(seconds.parse::<u32>().unwrap() > 0);
}

#[cfg(feature = "axum")]
#[test]
fn rejections_of_extractors_name_the_reason() {
    use crate::NotSignedIn;
    for error in [
        NotSignedIn::Anonymous { page: None },
        NotSignedIn::MissingSession,
        NotSignedIn::Unreachable,
    ] {
        let part = match &error {
            NotSignedIn::Anonymous { .. } => "sign in",
            NotSignedIn::MissingSession => "the session layer is missing",
            NotSignedIn::Unreachable => "cannot be reached",
        };
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[cfg(feature = "axum")]
#[test]
fn an_unreachable_store_is_503_with_retry_after_as_an_axum_response() {
    use axum_core::response::IntoResponse;
    for error in [
        SessionError::Store(Error::Unreachable.into()),
        SessionError::Unreachable,
    ] {
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(http::header::RETRY_AFTER));
    }
}
