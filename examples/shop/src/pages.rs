//! The shop's pages as HTML: the common frame, and a module for each page.
//!
//! Owns the markup, the stylesheet and the script. Text from visitors is inserted only through the
//! template's escaping. No page has inline styles, and only `/stats` has a script, so that the
//! content security policy can forbid all others.

mod cart;
mod devices;
mod home;
mod sign_in;
mod stats;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(crate) use cart::cart;
pub(crate) use devices::devices;
pub(crate) use home::home;
pub(crate) use sign_in::{MAX_NAME_LEN, NameField, sign_in};
pub(crate) use stats::stats;

use crate::{format, visitor::Visitor};

/// The stylesheet.
pub(crate) const STYLE: &str = include_str!("pages/style.css");

/// The script of `/stats`.
pub(crate) const SCRIPT: &str = include_str!("pages/stats.js");

/// The logo, which is also the favicon.
pub(crate) const ICON: &str = include_str!("pages/icon.svg");

/// The data of the common frame of all pages.
pub(crate) struct Frame<'a> {
    pub(crate) visitor: &'a Visitor,
    /// The memory budget of the cache, in bytes.
    pub(crate) memory: u64,
    /// A message from the previous request, shown once.
    pub(crate) message: Option<String>,
    /// The CSRF token of the forms; `None` without a session.
    pub(crate) token: Option<String>,
}

/// Returns the page for an unknown address or product.
pub(crate) fn not_found(frame: &Frame<'_>) -> Markup {
    frame.page(
        "Not found",
        "",
        &html! {
            section.narrow {
                h1 { "Page not found" }
                p { "The shop has no page at this address." }
                p { a.button href="/" { "Back to the shelves" } }
            }
        },
    )
}

/// Returns the page for a form whose CSRF token is not valid.
pub(crate) fn out_of_date(frame: &Frame<'_>) -> Markup {
    frame.page(
        "Out of date",
        "",
        &html! {
            section.narrow {
                h1 { "That page was out of date" }
                p {
                    "You signed in or out after it was loaded, or it was open for too long. Nothing was changed. "
                    "Please reload the page and try again. The shop needs its cookie for this."
                }
                p { a.button href="/" { "Back to the shelves" } }
            }
        },
    )
}

impl Frame<'_> {
    /// Returns a whole page. `here` is the path of its link in the navigation.
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
                        "For this page, your session was found by its cookie and read in "
                        strong { (format::instant(read)) }
                        ", from a cache with a fixed size of " (memory) "."
                    }
                } @else if self.token.is_some() {
                    p {
                        "A session began with this page, to protect its form against forged requests. "
                        "It is in a cache with a fixed size of " (memory) "."
                    }
                } @else {
                    p {
                        "You have no session: nothing is stored about you, and no cookie was sent. "
                        "The cache has a fixed size of " (memory) "."
                    }
                }
                p { "A demo of sessile. Nothing is for sale." }
            }
        }
    }

    /// Returns a form with only a button.
    fn form(&self, action: &str, class: &str, text: &Markup) -> Markup {
        self.form_with(action, class, &html! {}, text)
    }

    /// Returns a form with a button that posts a product's id.
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

    /// Returns the hidden field with the CSRF token, which every form contains.
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
