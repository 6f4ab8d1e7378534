//! The shop's pages as HTML: the frame that all share, and a module for each.
//!
//! Owns markup, the stylesheet and the one script. What a visitor typed reaches a page only through
//! the template's escaping. No page has an inline style, and only `/stats` has a script, so that
//! the content security policy can forbid all others.

mod cart;
mod devices;
mod home;
mod sign_in;
mod stats;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(crate) use cart::cart;
pub(crate) use devices::devices;
pub(crate) use home::home;
pub(crate) use sign_in::{LONGEST_NAME, NameWas, sign_in};
pub(crate) use stats::stats;

use crate::{format, visitor::Visitor};

/// The one stylesheet.
pub(crate) const STYLE: &str = include_str!("pages/style.css");

/// The script of `/stats`.
pub(crate) const SCRIPT: &str = include_str!("pages/stats.js");

/// The shop's sign, also its favicon.
pub(crate) const ICON: &str = include_str!("pages/icon.svg");

/// What every page shows around its own part.
pub(crate) struct Frame<'a> {
    pub(crate) visitor: &'a Visitor,
    /// All that the sessions may ever take, in bytes.
    pub(crate) memory: u64,
    /// What happened on the page before, told once.
    pub(crate) message: Option<String>,
    /// What the forms carry, where there is a session.
    pub(crate) token: Option<String>,
}

/// A page for an address or a product that is not there.
pub(crate) fn not_found(frame: &Frame<'_>) -> Markup {
    frame.page(
        "Not here",
        "",
        &html! {
            section.narrow {
                h1 { "It is not here" }
                p { "Nothing in this shop moves, so it cannot have gone far." }
                p { a.button href="/" { "Back to the shelves" } }
            }
        },
    )
}

/// A page for a form that is not the visitor's own, or was before something changed.
pub(crate) fn out_of_date(frame: &Frame<'_>) -> Markup {
    frame.page(
        "Out of date",
        "",
        &html! {
            section.narrow {
                h1 { "That page was out of date" }
                p {
                    "You have signed in or out since, or it was left open for long. Nothing was changed: "
                    "please try again from a fresh page. The shop also needs its cookie for that."
                }
                p { a.button href="/" { "Back to the shelves" } }
            }
        },
    )
}

impl Frame<'_> {
    /// A whole page; `here` is the path of the link in the navigation that leads to it.
    fn page(&self, title: &str, here: &str, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en-GB" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Holdfast" }
                    link rel="icon" href="/icon.svg" type="image/svg+xml";
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    (self.header(here))
                    main id="content" { (content) }
                    @if let Some(message) = &self.message {
                        p.message role="status" { (message) }
                    }
                    (self.footer())
                }
            }
        }
    }

    fn header(&self, here: &str) -> Markup {
        let count = self.visitor.cart.count();
        html! {
            header.top {
                a.sign href="/" { (PreEscaped(ICON)) span { "Holdfast" } }
                nav aria-label="Shop" {
                    (link(here, "/", &html! { "Shop" }))
                    (link(here, "/stats", &html! { "Engine" }))
                    (link(here, "/cart", &html! {
                        "Cart"
                        @if count > 0 { " " span.count { (count) span.unseen { " in it" } } }
                    }))
                    @if self.visitor.name.is_some() {
                        (link(here, "/devices", &html! { "Devices" }))
                    }
                }
                div.who { (self.who(here)) }
            }
        }
    }

    fn who(&self, here: &str) -> Markup {
        html! {
            @if let Some(name) = &self.visitor.name {
                span.name { (name) }
                (self.form("/sign-out", "quiet", &html! { "Sign out" }))
            } @else {
                (link(here, "/sign-in", &html! { "Sign in" }))
            }
        }
    }

    fn footer(&self) -> Markup {
        let memory = format::mebibytes(self.memory);
        html! {
            footer {
                @if let Some(read) = self.visitor.read {
                    p {
                        "For this page your session was found by its cookie and read in "
                        strong { (format::instant(read)) }
                        ", out of a block of " (memory) " that never grows."
                    }
                } @else if self.token.is_some() {
                    p {
                        "A session began with this page, so that nobody else can send its form for you. "
                        "It is in a block of " (memory) " that never grows."
                    }
                } @else {
                    p {
                        "You have no session: nothing is stored about you, and no cookie was sent. "
                        "A block of " (memory) " is waiting."
                    }
                }
                p { "An example for sessile. Nothing is really for sale." }
            }
        }
    }

    /// A form of one button, which says nothing more.
    fn form(&self, action: &str, class: &str, text: &Markup) -> Markup {
        self.form_with(action, class, &html! {}, text)
    }

    /// A button that posts one product's id.
    fn product_form(&self, action: &str, id: &str, class: &str, text: &Markup) -> Markup {
        let field = html! { input type="hidden" name="product" value=(id); };
        self.form_with(action, class, &field, text)
    }

    fn form_with(&self, action: &str, class: &str, field: &Markup, text: &Markup) -> Markup {
        html! {
            form method="post" action=(action) {
                (self.token_field())
                (field)
                button class=(class) type="submit" { (text) }
            }
        }
    }

    /// What every form begins with: by it the shop knows that the form is this visitor's.
    fn token_field(&self) -> Markup {
        html! {
            @if let Some(token) = &self.token { input type="hidden" name="csrf" value=(token); }
        }
    }
}

fn link(here: &str, path: &str, text: &Markup) -> Markup {
    html! { a href=(path) aria-current=[(here == path).then_some("page")] { (text) } }
}

#[cfg(test)]
mod tests;
