//! Values of cookies that an application must refuse: made by the engine itself, elsewhere.

use sessile::{KeyRing, SessionCache};

/// The name that the application's cookie has: the default of the engine.
pub const COOKIE_NAME: &str = "__Host-session";

/// The application's only key, in base64, as `SESSILE_KEYS` holds it. For this suite and nothing
/// else.
pub const KEYS: &str = "c2Vzc2lsZSdzIGNvbnRyYWN0IHN1aXRlLCBvcGVuIHRvIGFsbCAwMQ";

/// The value of a cookie that is signed with the application's key, of a session that it does not
/// have.
pub(crate) fn of_an_unknown_session() -> String {
    token(KeyRing::from_base64(KEYS).expect("it is a good key"))
}

/// The value of a cookie that is signed with another key.
pub(crate) fn under_another_key() -> String {
    token(KeyRing::generate().expect("there are random bytes"))
}

fn token(keys: KeyRing) -> String {
    let cache = SessionCache::builder().memory(1 << 20).keys(keys).build();
    let cache = cache.expect("these settings are good");
    let issued = cache.create(b"").expect("it is empty");
    issued.token.as_str().to_owned()
}
