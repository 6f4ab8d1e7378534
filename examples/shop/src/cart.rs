//! A cart: quantities of products, stored in a session.
//!
//! Each quantity is between 1 and [`MAX_QUANTITY`]. Products that are no longer in the catalogue
//! are neither shown nor counted. The module does not know sessions or pages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Product};

/// The maximum quantity of one product.
pub(crate) const MAX_QUANTITY: u32 = 99;

/// Quantities by product id.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cart(BTreeMap<String, u32>);

impl Cart {
    /// Adds one, up to [`MAX_QUANTITY`].
    pub(crate) fn add(&mut self, product: &Product) {
        let quantity = self.0.entry(product.id.to_owned()).or_default();
        *quantity = quantity.saturating_add(1).min(MAX_QUANTITY);
    }

    /// Removes one.
    pub(crate) fn take(&mut self, product: &Product) {
        match self.quantity(product) {
            0 | 1 => self.remove(product),
            more => drop(self.0.insert(product.id.to_owned(), more - 1)),
        }
    }

    /// Removes the product.
    pub(crate) fn remove(&mut self, product: &Product) {
        self.0.remove(product.id);
    }

    /// Returns the quantity of a product.
    pub(crate) fn quantity(&self, product: &Product) -> u32 {
        self.0
            .get(product.id)
            .copied()
            .unwrap_or(0)
            .min(MAX_QUANTITY)
    }

    /// Returns the products and their quantities, in the order of the catalogue.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static Product, u32)> {
        let quantities = catalogue::all()
            .iter()
            .map(|product| (product, self.quantity(product)));
        quantities.filter(|(_, quantity)| *quantity > 0)
    }

    /// Returns the number of items.
    pub(crate) fn count(&self) -> u32 {
        self.lines().map(|(_, quantity)| quantity).sum()
    }

    /// Returns the total price in pounds.
    pub(crate) fn total(&self) -> u32 {
        self.lines()
            .map(|(product, quantity)| product.price * quantity)
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: &str) -> &'static Product {
        catalogue::find(id).expect("the shelves hold it")
    }

    #[test]
    fn lines_come_and_go_one_at_a_time() {
        let mut cart = Cart::default();
        cart.add(product("sponge"));
        cart.add(product("sponge"));
        cart.add(product("coral"));
        assert_eq!((cart.count(), cart.total()), (3, 50));

        cart.take(product("sponge"));
        cart.take(product("coral"));
        assert_eq!(
            cart.lines().map(|(p, n)| (p.id, n)).collect::<Vec<_>>(),
            [("sponge", 1)]
        );

        cart.remove(product("sponge"));
        cart.take(product("sponge"));
        assert_eq!(cart, Cart::default());
        assert!(cart.is_empty());
    }

    #[test]
    fn a_line_stops_at_its_most() {
        let mut cart = Cart::default();
        for _ in 0..MAX_QUANTITY + 5 {
            cart.add(product("limpet"));
        }
        assert_eq!(cart.count(), MAX_QUANTITY);
    }

    #[test]
    fn a_stored_cart_of_odd_content_is_read_without_overflow() {
        let text = r#"{"shark":7,"coral":4294967295,"kelp":0}"#;
        let mut cart: Cart = serde_json::from_str(text).expect("it is a map of numbers");
        cart.add(product("coral"));
        assert_eq!(
            (cart.count(), cart.total()),
            (MAX_QUANTITY, MAX_QUANTITY * 32)
        );
    }
}
