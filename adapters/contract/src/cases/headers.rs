//! The session is found among any other content of the `Cookie` fields.

use crate::Site;

// PARSE-5: docs/security-checklist.md
pub(super) fn several_cookie_fields_are_as_good_as_one(site: &Site) {
    let ours = cookie_of(site);
    for (list, expected) in [
        (vec!["a=1", &ours, "b=2", "c=3"], "1"),
        (vec![&ours, "a=1", "", "b"], "1"),
        (vec!["a", "=", "__Host-session=damaged", &ours], "1"),
        (
            vec!["__Host-session=", "a=1", "__Host-session=\"", &ours, "b=2"],
            "1",
        ),
        (vec!["a=1", "__Host-session=damaged", "b=2"], ""),
    ] {
        for splits in 0..1 << (list.len() - 1) {
            let fields = split(&list, splits);
            assert_eq!(read(site, &fields), expected, "{} fields", fields.len());
        }
    }
}

/// Returns the list with a new field, instead of `; `, for each bit that is set.
fn split(list: &[&str], splits: usize) -> Vec<String> {
    let mut fields = vec![list[0].to_owned()];
    for (at, pair) in list[1..].iter().enumerate() {
        match (splits >> at & 1, fields.last_mut()) {
            (0, Some(field)) => *field += &format!("; {pair}"),
            _ => fields.push((*pair).to_owned()),
        }
    }
    fields
}

// PARSE-6: docs/security-checklist.md
pub(super) fn one_valid_cookie_among_five_of_the_name_is_found(site: &Site) {
    let ours = cookie_of(site);
    for (at, expected) in [(0, "1"), (1, "1"), (2, "1"), (3, "1"), (4, "")] {
        let mut list = vec!["__Host-session=damaged"; 5];
        list[at] = &ours;
        assert_eq!(
            read(site, &[list.join("; ")]),
            expected,
            "the good one is at {at}"
        );
        assert_eq!(
            read(site, &list),
            expected,
            "the good one is at {at}, in fields of their own"
        );
    }
}

// PARSE-8: docs/security-checklist.md
pub(super) fn a_cookie_of_invalid_text_affects_no_other_cookie(site: &Site) {
    let ours = cookie_of(site);
    for (before, after) in [
        (&b"a=\xff\xfe; "[..], &b""[..]),
        (b"\xc3\x28=1; ", b"; b=\x80"),
        (b"=; ;;, =x; ", b";"),
        (b"a=\"; ", b"; b=\""),
        (b"a=%zz%; ", b"; flag"),
        (
            b"__host-session=1; __Host-session =2x; %5F%5FHost-session=3; ",
            b"",
        ),
        (b"__Host-session=\xff; ", b"; \xf0\x9f\x8d\xaa"),
    ] {
        let field = [before, ours.as_bytes(), after].concat();
        let answer = site.get("/get?key=a", std::slice::from_ref(&field));
        let around = [before, b"...", after].concat();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "1"),
            "{}",
            around.escape_ascii()
        );
    }
    for field in [
        &b"\xff\xfe"[..],
        b"__Host-session=\xff",
        b"\x80=\x80; a",
        b"\t",
    ] {
        assert_eq!(read(site, &[field]), "", "{}", field.escape_ascii());
        assert_eq!(
            read(site, &[field, ours.as_bytes()]),
            "1",
            "{}",
            field.escape_ascii()
        );
    }
}

pub(super) fn cookies_of_64_kib_hide_no_session(site: &Site) {
    let ours = cookie_of(site);
    let other = format!("other={}", "x".repeat(1_016));
    let mut list = vec![other.as_str(); 63];
    list.push(&ours);
    assert_eq!(read(site, &[list.join("; ")]), "1", "in one field");
    assert_eq!(read(site, &list), "1", "in a field each");
    for filler in [
        "a=b; ".repeat(13_000),
        "__Host-sessio".repeat(5_000) + "=1; ",
        ";".repeat(65_000),
    ] {
        assert_eq!(read(site, &[filler + &ours]), "1");
    }
}

/// Returns the `Cookie` field of a session with a value.
fn cookie_of(site: &Site) -> String {
    let mut browser = site.browser();
    browser.set("a", "1");
    browser.cookie()
}

fn read(site: &Site, fields: &[impl AsRef<[u8]>]) -> String {
    let answer = site.get("/get?key=a", fields);
    assert_eq!((answer.status, answer.cookie()), (200, None));
    answer.body
}
