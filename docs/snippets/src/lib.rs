//! Runs the Rust examples of the README and of the guide's pages as documentation tests.

/// Attaches each page to an item, so that `cargo test --doc` finds its examples.
macro_rules! pages {
    ($($item:ident $page:literal)+) => {$(
        #[cfg(doctest)]
        #[doc = include_str!(concat!("../../src/", $page))]
        struct $item;
    )+};
}

pages! {
    Readme "../../README.md"
    QuickStart "quick-start.md"
    Concepts "concepts.md"
    Configuration "configuration.md"
    CookiesAndKeys "cookies-and-keys.md"
    Authentication "authentication.md"
    UserSessions "user-sessions.md"
    Concurrency "concurrency.md"
    Memory "memory.md"
    Expiry "expiry.md"
    Testing "testing.md"
    Operations "operations.md"
    Deployment "deployment.md"
    SeveralProcesses "several-processes.md"
    Redis "redis.md"
    Memcached "memcached.md"
    FromTowerSessions "migrating-from-tower-sessions.md"
    FromAxumLogin "migrating-from-axum-login.md"
    WritingAnAdapter "writing-an-adapter.md"
}
