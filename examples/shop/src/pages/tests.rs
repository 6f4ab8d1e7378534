use super::*;
use crate::catalogue;

const TRICKS: &str = r#"<script>alert("x")</script>'&"#;

fn frame(visitor: &Visitor) -> Frame<'_> {
    Frame {
        visitor,
        memory: 64 << 20,
        message: Some(TRICKS.into()),
        token: Some("a-token".into()),
    }
}

#[test]
fn input_of_a_visitor_is_escaped_on_every_page() {
    let visitor = Visitor {
        name: Some(TRICKS.into()),
        ..Visitor::default()
    };
    let frame = frame(&visitor);
    let rejected = NameField::Rejected {
        name: TRICKS,
        must: "be shorter",
    };
    let pages = [
        home(&frame),
        cart(&frame),
        not_found(&frame),
        out_of_date(&frame),
        sign_in(&frame, &rejected),
    ];
    for page in pages {
        assert!(!page.0.contains("<script"), "{}", page.0);
        assert!(
            page.0
                .contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;")
        );
    }
}

#[test]
fn pages_have_no_inline_style_and_no_handlers() {
    let mut visitor = Visitor::default();
    catalogue::all()
        .iter()
        .for_each(|product| visitor.cart.add(product));
    let frame = frame(&visitor);
    for page in [
        home(&frame),
        cart(&frame),
        sign_in(&frame, &NameField::Suggested),
    ] {
        let body = page.0.split_once("<body>").map_or("", |(_, body)| body);
        assert!(!body.is_empty());
        for unwanted in [" style=", " onclick", " onload", "javascript:", "<script"] {
            assert!(!body.contains(unwanted), "{unwanted}");
        }
    }
}
