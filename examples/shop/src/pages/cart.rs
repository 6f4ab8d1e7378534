//! The page of the cart.

use maud::{Markup, html};

use super::Frame;
use crate::{cart::Cart, catalogue::Product};

/// Returns the page of the visitor's cart.
pub(crate) fn cart(frame: &Frame<'_>) -> Markup {
    let cart = &frame.visitor.cart;
    frame.page(
        "Your cart",
        "/cart",
        &html! {
            section.middle {
                h1 { "Your cart" }
                @if cart.is_empty() {
                    div.panel.empty {
                        p { "There is nothing in it yet." }
                        p { a.button href="/" { "Back to the shop" } }
                    }
                } @else {
                    (lines(frame, cart))
                    @if frame.visitor.name.is_none() {
                        p.hint { a href="/sign-in" { "Sign in" } " and keep this cart." }
                    }
                }
            }
        },
    )
}

fn lines(frame: &Frame<'_>, cart: &Cart) -> Markup {
    html! {
        div.panel {
            ul.lines {
                @for (product, quantity) in cart.lines() { (line(frame, product, quantity)) }
            }
            p.total { span { "Total" } strong id="total" { "£" (cart.total()) } }
            p.hint { "The demo has no checkout." }
        }
    }
}

fn line(frame: &Frame<'_>, product: &Product, quantity: u32) -> Markup {
    let name = product.name;
    html! {
        li {
            div.picture { (product.picture()) }
            div.words {
                h2 { (name) }
                p { "£" (product.price) " each" }
            }
            div.quantity {
                (frame.product_form("/cart/take", product.id, "round", &html! {
                    span aria-hidden="true" { "−" } span.unseen { "One " (name) " fewer" }
                }))
                span.number { (quantity) }
                (frame.product_form("/cart/more", product.id, "round", &html! {
                    span aria-hidden="true" { "+" } span.unseen { "One more " (name) }
                }))
            }
            strong.sum { "£" (product.price * quantity) }
            (frame.product_form("/cart/remove", product.id, "quiet", &html! {
                "Remove" span.unseen { " " (name) }
            }))
        }
    }
}
