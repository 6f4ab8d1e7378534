//! The errors page and the public error enums.

use syn::{Item, Visibility};

use super::read;

/// Returns `Enum::Variant` for each variant of the public enums of a file whose names end in
/// `Error`.
fn variants(file: &str) -> Vec<String> {
    let file = syn::parse_file(&read(file)).unwrap();
    let enums = file.items.into_iter().filter_map(|item| match item {
        Item::Enum(item) if matches!(item.vis, Visibility::Public(_)) => Some(item),
        _ => None,
    });
    let errors = enums.filter(|item| item.ident.to_string().ends_with("Error"));
    let of_enum = |item: syn::ItemEnum| {
        let name = item.ident;
        let variants = item.variants.into_iter();
        variants
            .map(move |variant| format!("`{name}::{}`", variant.ident))
            .collect::<Vec<_>>()
    };
    errors.flat_map(of_enum).collect()
}

#[test]
fn the_page_lists_every_variant_and_no_other() {
    let page = read("docs/errors.md");
    let files = [
        "src/error.rs",
        "adapters/web/src/error.rs",
        "adapters/web/src/builder.rs",
        "adapters/jwt/src/key/error.rs",
        "adapters/jwt/src/revocations/error.rs",
        "adapters/jwt/src/verifier/error.rs",
    ];
    let variants: Vec<_> = files.into_iter().flat_map(variants).collect();
    assert!(variants.len() > 40, "{variants:?}");
    for variant in &variants {
        assert!(
            page.contains(&format!("| {variant} |")),
            "docs/errors.md lacks {variant}"
        );
    }
    for line in page.lines().filter(|line| line.contains("Error::")) {
        let Some(first) = line.strip_prefix("| ") else {
            continue;
        };
        let first = first.split(" |").next().unwrap().to_owned();
        assert!(variants.contains(&first), "no such error: {first}");
    }
}
