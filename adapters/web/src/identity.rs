//! Values that name the user: whether a change of one is a sign-in.
//!
//! It knows raw JSON and nothing of sessions.

use crate::json;

/// Returns true if `new` names another user than `old`: a value where there was none, or another
/// value. Of two objects only the members that name a user are compared. `null` counts as no value.
/// Removing a value names no other user.
pub(crate) fn is_changed(old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
    let [old, new] = [old, new].map(|json| json.filter(|json| json.trim_ascii() != b"null"));
    let (Some(old), Some(new)) = (old, new) else {
        return new.is_some();
    };
    match (json::members(old), json::members(new)) {
        (Some(old), Some(new)) => NAMING
            .iter()
            .any(|member| is_changed_value(old.get(*member).copied(), new.get(*member).copied())),
        _ => !json::is_same(Some(old), Some(new)),
    }
}

fn is_changed_value(old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
    new.is_some() && !json::is_same(old, new)
}

/// The members of an object that name a user.
const NAMING: [&str; 5] = ["sub", "id", "user_id", "username", "email"];

#[cfg(test)]
mod tests {
    use super::is_changed;

    #[test]
    fn another_user_is_a_value_where_there_was_none_or_another_one() {
        for (old, new, expected) in [
            (None, None, false),
            (None, Some("\"ada\""), true),
            (Some("null"), Some("7"), true),
            (Some("\"ada\""), Some("\"ada\""), false),
            (Some("\"ada\""), Some(" \"\\u0061da\""), false),
            (Some("\"ada\""), Some("\"bob\""), true),
            (Some("1"), Some("2"), true),
            (Some("\"ada\""), None, false),
            (Some("\"ada\""), Some("null"), false),
            (Some("\"ada\""), Some("{\"id\":\"ada\"}"), true),
            (Some("[1]"), Some("[2]"), true),
            (
                Some("{\"id\":1,\"theme\":1}"),
                Some("{\"theme\":2,\"id\":1}"),
                false,
            ),
            (Some("{\"id\":1}"), Some("{\"id\":2}"), true),
            (
                Some("{\"id\":1}"),
                Some("{\"id\":1,\"email\":\"a@b\"}"),
                true,
            ),
            (
                Some("{\"id\":1,\"email\":\"a@b\"}"),
                Some("{\"id\":1}"),
                false,
            ),
            (
                Some("{\"a\":{\"id\":1}}"),
                Some("{\"a\":{\"id\":2}}"),
                false,
            ),
        ] {
            let [old_json, new_json] = [old, new].map(|json| json.map(str::as_bytes));
            assert_eq!(
                is_changed(old_json, new_json),
                expected,
                "{old:?} to {new:?}"
            );
        }
    }
}
