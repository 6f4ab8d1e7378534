//! The data of each session: a name, a cart of eight items, and a counter.

use serde::{Deserialize, Serialize};

/// An item of the cart.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    sku: String,
    name: String,
    quantity: u32,
    price: u32,
}

/// Returns eight items, some 650 bytes.
pub(crate) fn cart() -> Vec<Item> {
    let item = |(number, name): (u32, &&str)| Item {
        sku: format!("TEA-{:05}-{}", 10_007 * (number + 1) % 99_991, number % 3),
        name: (*name).to_owned(),
        quantity: 1 + number % 4,
        price: 395 + 310 * number,
    };
    (0..).zip(NAMES).map(item).collect()
}

/// The user's name, which the read route returns.
pub(crate) const USER: &str = "Ada Lovelace";

const NAMES: &[&str] = &[
    "Darjeeling, first flush, 100 g",
    "Assam, loose leaf, 250 g",
    "Lapsang souchong, 100 g",
    "Genmaicha, 200 g",
    "Teapot, cast iron, 0.8 l",
    "Cup, porcelain, blue",
    "Strainer, stainless steel",
    "Kettle with thermometer, 1.2 l",
];
