//! The home page.

use maud::{Markup, html};

use super::Frame;
use crate::catalogue::{self, Product};

/// Returns the page with all products.
pub(crate) fn home(frame: &Frame<'_>) -> Markup {
    frame.page("Things that stay put", "/", &html! {
        section.hero {
            h1 { "Things that stay where you put them" }
            p {
                "A dozen household objects after animals that never move. "
                "Your cart stays put as well: it is stored in a cache whose memory is fixed when the "
                "shop starts, regardless of the number of visitors. "
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
