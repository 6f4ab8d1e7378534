//! The shelves.

use maud::{Markup, html};

use super::Frame;
use crate::catalogue::{self, Product};

/// Everything there is, each with a button that puts one into the cart.
pub(crate) fn home(frame: &Frame<'_>) -> Markup {
    frame.page("Things that stay put", "/", &html! {
        section.hero {
            h1 { "Things that stay where you put them" }
            p {
                "A dozen household objects after animals that never move. "
                "Your cart stays put as well: it lives in a block of memory that is fixed when the "
                "shop opens, however many visitors come. "
                a href="/stats" { "See the engine at work" }
            }
        }
        ul.shelves {
            @for product in catalogue::all() { (card(frame, product)) }
        }
    })
}

fn card(frame: &Frame<'_>, product: &Product) -> Markup {
    let quantity = frame.visitor.cart.quantity(product);
    html! {
        li.card id=(product.id) {
            div.picture { (product.picture()) }
            div.words {
                h2 { (product.name) }
                p { (product.about) }
            }
            div.deal {
                span.price { "£" (product.price) }
                @if quantity > 0 { span.held { (quantity) " in cart" } }
                (frame.product_form("/cart/add", product.id, "", &html! {
                    "Add" span.unseen { " " (product.name) " to your cart" }
                }))
            }
        }
    }
}
