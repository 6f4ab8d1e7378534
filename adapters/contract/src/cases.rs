//! The cases, by topic. Each is a function that panics if the application violates the contract.

mod cookies;
mod crossings;
mod failures;
mod headers;
mod identity;
mod keeping;
mod lives;
mod rejections;
mod users;
mod uses;
mod writers;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{Browser, Outcome, Request, Site, site::NO_COOKIES};

/// A behaviour that every adapter must have.
pub struct Case {
    /// The behaviour that the case checks.
    pub name: &'static str,
    needs: &'static [&'static str],
    drive: fn(&Site),
}

impl Case {
    /// Returns the case of a name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        CASES
            .iter()
            .find(|case| case.name == name)
            .expect("there is a case of that name")
    }

    /// Runs the case against an application.
    #[must_use]
    pub fn check(&self, site: &Site) -> Outcome {
        if let Some(feature) = self.needs.iter().find(|feature| !site.has(feature)) {
            return Outcome::Skipped(feature);
        }
        match catch_unwind(AssertUnwindSafe(|| (self.drive)(site))) {
            Ok(()) => Outcome::Passed,
            Err(panic) => Outcome::Failed(message(&*panic)),
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
        .to_owned()
}

/// Passes the list of all cases to a macro: module, names, and the features that a case needs. It
/// serves to make a test of each; see `adapters/tower/tests/contract.rs`.
#[macro_export]
macro_rules! for_each_case {
    ($then:ident) => {
        $then! {
            cookies {
                the_cookie_is_tied_to_the_host_and_hidden_from_scripts,
                a_browser_keeps_the_cookie_over_tls_alone,
                no_input_gets_into_a_header,
                one_cookie_is_set_when_a_session_ends_and_another_begins,
                the_length_of_the_cookie_does_not_depend_on_the_data,
                the_cookie_lasts_until_the_browser_closes,
                a_remembered_cookie_has_the_session_s_age ["remember"],
                vary_is_set_whenever_the_session_was_read,
                the_headers_of_the_session_and_of_the_handler_are_both_kept,
                forwarded_headers_of_a_client_change_nothing,
                the_removal_repeats_the_attributes,
            }
            headers {
                several_cookie_fields_are_as_good_as_one,
                one_valid_cookie_among_five_of_the_name_is_found,
                a_cookie_of_invalid_text_affects_no_other_cookie,
                cookies_of_64_kib_hide_no_session ["large-headers"],
            }
            rejections {
                every_rejected_cookie_gets_the_same_response,
                a_rejected_cookie_is_never_adopted,
            }
            lives {
                values_stay_until_they_are_removed,
                a_value_that_is_taken_is_gone,
                a_session_that_was_emptied_is_ended,
                a_visitor_that_stores_nothing_leaves_no_session,
                ten_thousand_connections_without_a_cookie_leave_no_session,
                a_session_that_did_not_change_is_neither_saved_nor_sent,
                a_session_that_ended_is_replaced_by_one_with_a_new_id,
                a_session_that_was_idle_is_gone ["clock"],
            }
            users {
                sign_in_and_rotation_change_the_id_and_end_the_old_one,
                a_visitor_without_a_session_signs_in,
                signing_out_ends_the_session,
                a_value_set_after_a_sign_out_is_stored_though_the_handler_deletes_the_cookie,
                signing_out_without_a_session_creates_none,
                a_user_s_devices_are_listed_and_ended,
                a_form_counts_in_its_own_session_until_the_id_changes,
            }
            identity {
                naming_a_user_by_an_identity_key_changes_the_id_and_ends_the_planted_cookie
                    ["identity-keys"],
                an_identity_key_that_names_the_same_user_or_none_keeps_the_id ["identity-keys"],
                a_replaced_cookie_signs_in_by_an_identity_key ["identity-keys"],
                removing_an_identity_key_is_stored_though_the_response_is_an_error
                    ["identity-keys"],
                a_verb_whose_save_failed_is_performed_all_the_same,
            }
            uses {
                a_request_that_does_not_read_the_session_is_not_a_use ["clock"],
                every_request_is_a_use_where_the_application_asks_for_that
                    ["touch-always", "clock"],
            }
            crossings {
                a_flash_message_and_a_cart_that_cross_are_both_as_they_should_be,
                a_slow_request_with_a_replaced_cookie_sets_none_and_is_409,
                a_form_of_a_slow_request_with_a_cookie_that_was_replaced_starts_no_session,
                a_replaced_cookie_starts_a_session_a_minute_later ["clock"],
                a_visitor_who_never_received_the_cookie_of_a_sign_in_can_sign_in_again,
                two_sign_ins_that_cross_keep_the_cart_and_leave_one_session,
            }
            keeping {
                a_cookie_that_a_routine_rotation_replaced_opens_the_session_and_is_not_sent_again
                    ["rotates", "clock"],
                a_cookie_that_was_replaced_is_not_sent_again_to_be_kept ["rotates", "keep", "clock"],
                a_client_that_disconnects_from_a_form_remains_signed_in ["rotates", "cancels", "clock"],
                a_session_is_kept_from_now_on_however_old_it_is ["keep", "clock"],
                a_change_that_failed_leaves_the_timeouts_as_they_were ["guard", "clock"],
            }
            writers {
                two_writers_of_different_keys_lose_nothing,
                a_slow_request_keeps_concurrent_changes,
                two_writers_of_one_sum_lose_nothing ["increment"],
                a_slow_request_does_not_bring_a_session_back,
            }
            failures {
                a_response_of_500_stores_nothing_but_an_end,
                a_handler_that_panics_stores_nothing ["panics"],
                a_sign_out_takes_effect_though_the_handler_panics ["panics"],
                a_client_that_disconnects_leaves_no_session ["cancels"],
                a_body_dropped_half_way_stores_nothing,
                a_session_over_the_limit_is_an_error_that_names_it,
                an_error_response_keeps_the_headers_that_are_not_the_handler_s,
                a_value_that_cannot_be_written_stores_nothing,
                a_change_after_the_headers_left_is_refused_or_stored_and_never_lost,
            }
        }
    };
}

macro_rules! list {
    ($($module:ident { $($name:ident $([$($feature:literal),+])?,)+ })+) => {
        /// All cases.
        pub const CASES: &[Case] = &[$($(Case {
            name: stringify!($name),
            needs: &[$($($feature),+)?],
            drive: $module::$name,
        },)+)+];
    };
}
for_each_case!(list);

/// Sends a request with the browser's cookie, calls `act` while the application holds it, and
/// returns its response. The browser does not keep the cookie of the response.
fn while_held(
    site: &Site,
    browser: &mut Browser<'_>,
    request: &Request,
    act: impl FnOnce(&mut Browser<'_>),
) -> crate::Answer {
    let slow = browser.with_cookie(request);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| site.send(&slow));
        site.get("/held?requests=1", NO_COOKIES);
        let release = Release(site);
        act(browser);
        drop(release);
        slow.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Advances the application's clock.
fn advance(site: &Site, seconds: u32) {
    site.post("/advance", &[("seconds", &seconds.to_string())], NO_COOKIES);
}

/// Releases held requests when it is dropped, so that a failed case leaves none.
struct Release<'s>(&'s Site);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(&Request::post("/release", &[]));
    }
}
