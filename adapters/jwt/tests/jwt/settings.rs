//! Bounds of the settings.

use std::time::Duration;

use sessile_jwt::{Revocations, RevocationsBuildError, VerifierBuildError};

use crate::support::builder;

#[test]
fn a_verifier_names_the_setting_its_value_and_its_bounds() {
    let error = builder().leeway(Duration::from_secs(301)).build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "`leeway` must be at most 300s, got 301s"
    );
    assert!(builder().leeway(Duration::from_secs(300)).build().is_ok());
    for given in [63, (1 << 20) + 1] {
        let error = builder().max_token_len(given).build().unwrap_err();
        let text = format!("`max_token_len` must be between 64 and 1048576 bytes, got {given}");
        assert_eq!(error.to_string(), text);
    }
    let revocations = Revocations::in_memory(1).unwrap();
    let error = builder()
        .require_exp(false)
        .revocations(revocations)
        .build();
    assert_eq!(error.unwrap_err(), VerifierBuildError::Contradiction);
}

#[test]
fn revocations_name_the_setting_its_value_and_its_bounds() {
    let error = Revocations::in_memory(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`capacity` must be between 1 and 268435456, got 0"
    );
    let error = Revocations::in_memory(usize::MAX).unwrap_err();
    assert!(matches!(
        error,
        RevocationsBuildError::Capacity {
            given: usize::MAX,
            ..
        }
    ));
    for given in [Duration::ZERO, Duration::from_secs(3_651 * 24 * 3_600)] {
        let error = Revocations::builder(1)
            .max_lifetime(given)
            .in_memory()
            .unwrap_err();
        let text = format!("`max_lifetime` must be between 1s and 315360000s, got {given:?}");
        assert_eq!(error.to_string(), text);
    }
    let revocations = Revocations::in_memory(7).unwrap();
    assert_eq!(revocations.capacity(), 7);
    assert_eq!(
        revocations.max_lifetime(),
        Duration::from_secs(30 * 24 * 3_600)
    );
    assert!(revocations.is_empty() && revocations.are_current());
}
