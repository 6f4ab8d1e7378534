//! The contract of all adapters, on axum over real HTTP, with one test for each case.

#![allow(clippy::unwrap_used)]

mod support;

use sessile::ManualClock;
use sessile_contract::{Case, Outcome, Site, for_each_case, run};
use sessile_tower::{SameSite, SessionLayer, SessionManager};
use support::{Server, cache, contract};

macro_rules! tests {
    ($($module:ident { $($name:ident $([$($feature:literal),+])?,)+ })+) => {$($(
        #[test]
        fn $name() {
            let server = Server::start(contract::app());
            let site = Site::of_contract(&server.base_url()).unwrap();
            assert_eq!(Case::named(stringify!($name)).check(&site), Outcome::Passed);
        }
    )+)+};
}
for_each_case!(tests);

#[test]
fn a_layer_around_the_whole_router_keeps_the_contract_too() {
    let clock = ManualClock::new();
    let cache = contract::cache_with(clock.clone());
    let layer = contract::layer(&cache);
    let server = Server::start_behind(&layer, contract::bare_app(&layer, cache, clock));
    let report = run(&server.base_url(), &[""]).unwrap();
    assert!(report.is_good() && report.0.len() > 40, "{report}");
}

/// The suite detects violations: a cookie without `Secure` fails, though values are stored.
#[test]
fn an_application_that_does_not_keep_the_contract_fails() {
    let (cache, clock) = (cache(), ManualClock::new());
    let layer = SessionLayer::new(
        SessionManager::builder(cache.clone())
            .same_site(SameSite::Strict)
            .build()
            .unwrap(),
    );
    let server = Server::start(contract::app_of(layer, cache, clock));
    let report = run(
        &server.base_url(),
        &["tied_to_the_host", "never_adopted", "visitor_that_stores"],
    )
    .unwrap();
    let good: Vec<_> = report
        .0
        .iter()
        .map(|(name, outcome)| (*name, *outcome == Outcome::Passed))
        .collect();
    assert_eq!(
        good,
        [
            (
                "the_cookie_is_tied_to_the_host_and_hidden_from_scripts",
                false
            ),
            ("a_rejected_cookie_is_never_adopted", false),
            ("a_visitor_that_stores_nothing_leaves_no_session", true)
        ],
        "{report}"
    );
}
