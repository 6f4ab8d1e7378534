//! Where a visitor is signed in, and how to end that.

use maud::{Markup, html};
use sessile_tower::SessionInfo;

use super::Frame;
use crate::format;

/// The visitor's devices, the most recently seen first, each with a button that signs it out.
pub(crate) fn devices(frame: &Frame<'_>, devices: &[SessionInfo]) -> Markup {
    frame.page(
        "Your devices",
        "/devices",
        &html! {
            section.middle {
                h1 { "Your devices" }
                p.hint { "Wherever you are signed in. If you do not know one of them, sign it out." }
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
                    div { dt { "First came" } dd { (format::ago(device.age())) } }
                }
            }
            (frame.form_with("/devices/end", "quiet", &handle, &html! {
                "Sign out" span.unseen { " of " (device.label()) }
            }))
        }
    }
}

/// The engine knows it to a sixteenth of the idle timeout; of this one we know better.
fn seen(device: &SessionInfo) -> String {
    if device.is_current() {
        "just now".into()
    } else {
        format::ago(device.last_seen())
    }
}
