//! The door: a name is enough, this is an example.

use maud::{Markup, html};

use super::Frame;
use crate::server::REMEMBERED;

/// What the form shows: a name to begin with, or the one that was refused.
pub(crate) enum NameWas<'a> {
    Unasked,
    Refused { name: &'a str, must: &'static str },
}

/// The form, with a name filled in.
pub(crate) fn sign_in(frame: &Frame<'_>, was: &NameWas<'_>) -> Markup {
    let (name, must) = match *was {
        NameWas::Unasked => ("Ada", None),
        NameWas::Refused { name, must } => (name, Some(must)),
    };
    frame.page("Sign in", "/sign-in", &html! {
        section.narrow {
            h1 { "Sign in" }
            @if let Some(name) = &frame.visitor.name {
                p { "You are signed in as " strong { (name) } "." }
            }
            form.panel method="post" action="/sign-in" {
                (frame.token_field())
                label for="name" { "Your name" }
                input id="name" name="name" value=(name) required maxlength=(LONGEST_NAME)
                    autocomplete="nickname" aria-describedby="name-hint"
                    aria-invalid=[must.map(|_| "true")];
                @if let Some(must) = must {
                    p.wrong role="alert" { (must) }
                }
                p.hint id="name-hint" { "Any name will do. There is no password in this example." }
                label.choice {
                    input name="remember" type="checkbox" value="yes";
                    span { "Keep me signed in for " (REMEMBERED.as_secs() / DAY) " days" }
                }
                button type="submit" { "Sign in" }
            }
        }
    })
}

/// The most characters of a name.
pub(crate) const LONGEST_NAME: usize = 40;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;
