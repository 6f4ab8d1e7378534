//! The sign-in page. The example has no passwords.

use maud::{Markup, html};

use super::Frame;
use crate::server::REMEMBERED;

/// The name in the form: a suggestion, or one that was rejected.
pub(crate) enum NameField<'a> {
    Suggested,
    Rejected { name: &'a str, must: &'static str },
}

/// Returns the page with the sign-in form.
pub(crate) fn sign_in(frame: &Frame<'_>, was: &NameField<'_>) -> Markup {
    let (name, must) = match *was {
        NameField::Suggested => ("Ada", None),
        NameField::Rejected { name, must } => (name, Some(must)),
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
                input id="name" name="name" value=(name) required maxlength=(MAX_NAME_LEN)
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

/// The maximum length of a name, in characters.
pub(crate) const MAX_NAME_LEN: usize = 40;

/// A day in seconds.
const DAY: u64 = 24 * 60 * 60;
