//! Methods for adapters.

#![allow(clippy::unwrap_used)]

use http::{HeaderMap, StatusCode, header::SET_COOKIE};
use sessile::{KeyRing, SessionCache};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{SessionManager, SessionRequest};

fn cache() -> SessionCache {
    let keys = KeyRing::generate().unwrap();
    SessionCache::builder()
        .memory(4 << 20)
        .keys(keys)
        .build()
        .unwrap()
}

fn incoming(cache: &SessionCache, token: &str) -> SessionRequest {
    SessionRequest::from_iter([format!("{}={token}", cache.cookie_name()).into()])
}

#[test]
fn foreign_data_is_distinguished_from_no_data() {
    let (cache, sessions) = (cache(), |cache: &SessionCache| {
        SessionManager::new(cache.clone())
    });
    for (data, is_foreign) in [(&b"a cart"[..], true), (b"", false)] {
        let token = cache.create(data).unwrap().token;
        let session = sessions(&cache).begin(incoming(&cache, token.as_str()));
        assert!(session.is_stored());
        assert_eq!(session.is_foreign(), is_foreign);
    }
    let session = sessions(&cache).begin(&HeaderMap::new());
    assert!(!session.is_foreign());
    session.insert("a", 1).unwrap();
    ready(session.save()).unwrap();
    assert!(!session.is_foreign());
}

#[test]
fn a_cookie_is_sent_again_if_the_adapter_asks() {
    let cache = cache();
    let sessions = SessionManager::new(cache.clone());
    let token = cache.create(b"").unwrap().token;
    for is_asked in [false, true] {
        let session = sessions.begin(incoming(&cache, token.as_str()));
        assert!(session.is_stored());
        if is_asked {
            session.send_cookie_again();
        }
        let mut headers = HeaderMap::new();
        ready(SessionManager::commit(
            &session,
            StatusCode::OK,
            &mut headers,
        ))
        .unwrap();
        let cookie = headers
            .get(SET_COOKIE)
            .map(|cookie| cookie.to_str().unwrap());
        assert_eq!(
            cookie.is_some_and(|cookie| cookie.contains(token.as_str())),
            is_asked
        );
    }
}
