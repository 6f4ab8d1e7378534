//! The list of the user's sessions, with buttons to sign out.

use maud::{Markup, html};
use sessile_tower::SessionInfo;

use super::Frame;
use crate::format;

/// Returns the page with the user's sessions, the most recently used first.
pub(crate) fn devices(frame: &Frame<'_>, devices: &[SessionInfo]) -> Markup {
    frame.page(
        "Your devices",
        "/devices",
        &html! {
            section.middle {
                h1 { "Your devices" }
                p.hint { "All devices on which you are signed in. Sign out any that you do not recognise." }
                ul.devices.panel { @for device in devices { (line(frame, device)) } }
                div.choices {
                    @if devices.len() > 1 {
                        (frame.form("/devices/end-others", "quiet", &html! { "Sign out everywhere else" }))
                    }
                    (frame.form("/devices/end-all", "", &html! { "Sign out everywhere" }))
                }
            }
        },
    )
}

fn line(frame: &Frame<'_>, device: &SessionInfo) -> Markup {
    let handle = html! { input type="hidden" name="handle" value=(device.handle()); };
    html! {
        li {
            div.words {
                h2 { (device.label()) @if device.is_current() { " " span.this { "This device" } } }
                dl {
                    div { dt { "Last seen" } dd { (seen(device)) } }
                    div { dt { "Signed in" } dd { (format::ago(device.authenticated_for())) } }
                    div { dt { "Session created" } dd { (format::ago(device.age())) } }
                }
            }
            (frame.form_with("/devices/end", "quiet", &handle, &html! {
                "Sign out" span.unseen { " of " (device.label()) }
            }))
        }
    }
}

/// Returns the time of the last use. The engine records it in steps of a sixteenth of the idle
/// timeout; the current session is in use now.
fn seen(device: &SessionInfo) -> String {
    if device.is_current() {
        "just now".into()
    } else {
        format::ago(device.last_seen())
    }
}
