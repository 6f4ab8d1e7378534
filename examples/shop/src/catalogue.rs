//! The catalogue: a dozen products.
//!
//! Owns the products and their pictures. Carts and forms contain product ids. The module does not
//! know carts or pages.

use maud::PreEscaped;

/// A product.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// In whole pounds.
    pub(crate) price: u32,
    picture: &'static str,
}

impl Product {
    /// Returns the picture as an SVG element. It is decorative: the name describes it.
    pub(crate) fn picture(&self) -> PreEscaped<&'static str> {
        PreEscaped(self.picture)
    }
}

/// Returns all products in the order of the home page.
pub(crate) fn all() -> &'static [Product] {
    &PRODUCTS
}

/// Returns the product of an id.
pub(crate) fn find(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

macro_rules! product {
    ($id:literal, $price:literal, $name:literal, $about:literal) => {
        Product {
            id: $id,
            name: $name,
            about: $about,
            price: $price,
            picture: include_str!(concat!("art/", $id, ".svg")),
        }
    };
}

static PRODUCTS: [Product; 12] = [
    product!(
        "coral",
        32,
        "Coral bookend",
        "Branches out, never moves on."
    ),
    product!(
        "anemone",
        64,
        "Anemone lamp",
        "Opens slowly as it warms up."
    ),
    product!(
        "limpet",
        14,
        "Limpet paperweight",
        "No draught has shifted one yet."
    ),
    product!(
        "tubeworm",
        38,
        "Tube-worm vase",
        "Three stems, three tubes, one base."
    ),
    product!(
        "barnacle",
        18,
        "Barnacle coat rail",
        "Glued by the foot, like the real ones."
    ),
    product!(
        "seasquirt",
        29,
        "Sea-squirt jug",
        "One way in, one way out."
    ),
    product!(
        "kelp",
        24,
        "Kelp doorstop",
        "All holdfast. The fronds are for show."
    ),
    product!(
        "oyster",
        16,
        "Oyster soap dish",
        "Drains well; pearl not included."
    ),
    product!(
        "seafan",
        41,
        "Sea-fan trellis",
        "Faces the current, or the window."
    ),
    product!(
        "sponge",
        9,
        "Bath sponge",
        "Half a billion years of practice."
    ),
    product!(
        "mussel",
        12,
        "Mussel magnets",
        "A set of three, with a firm grip."
    ),
    product!(
        "sealily",
        47,
        "Sea-lily candlestick",
        "An animal that chose to be a plant."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_found_by_its_own_id() {
        for product in all() {
            assert!(
                find(product.id).is_some_and(|found| std::ptr::eq(found, product)),
                "{}",
                product.id
            );
        }
        assert!(find("shark").is_none());
    }

    #[test]
    fn pictures_bring_no_script_no_style_and_nothing_from_elsewhere() {
        for product in all() {
            let picture = product.picture().0;
            assert!(picture.starts_with("<svg "), "{}", product.id);
            for unwanted in ["<script", "style=", "href", "url(", "http"] {
                assert!(
                    !picture.contains(unwanted),
                    "{} holds {unwanted}",
                    product.id
                );
            }
        }
    }
}
