//! Cookie values that an application must reject, created by the engine in another cache.

use sessile::{KeyRing, SessionCache};

/// The name of the application's cookie: the default of the engine.
pub const COOKIE_NAME: &str = "__Host-session";

/// The application's only key, in base64, as in `SESSILE_KEYS`. Use it for this suite only.
pub const KEYS: &str = "c2Vzc2lsZSdzIGNvbnRyYWN0IHN1aXRlLCBvcGVuIHRvIGFsbCAwMQ";

/// Returns a cookie value that is signed with the application's key, of a session that does not
/// exist there.
pub(crate) fn of_an_unknown_session() -> String {
    token(KeyRing::from_base64(KEYS).expect("it is a good key"))
}

/// Returns a cookie value that is signed with another key.
pub(crate) fn under_another_key() -> String {
    token(KeyRing::generate().expect("there are random bytes"))
}

fn token(keys: KeyRing) -> String {
    let cache = SessionCache::builder().memory(1 << 20).keys(keys).build();
    let cache = cache.expect("these settings are good");
    let issued = cache.create(b"").expect("it is empty");
    issued.token.as_str().to_owned()
}
