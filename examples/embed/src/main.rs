//! The engine without a framework or a server: a session from its creation to its end.
//!
//! A manual clock lets half an hour pass at once. No token is printed, because a token gives access
//! to its session.
#![allow(clippy::print_stdout, reason = "the program only prints")]

use std::{error::Error, time::Duration};

use bytes::BytesMut;
use sessile::{IssuedSession, KeyRing, ManualClock, Record, SessionCache, SetCookie, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let cache = SessionCache::builder()
        .memory(16 << 20)
        .idle_timeout(Duration::from_secs(30 * 60))
        .keys(KeyRing::generate()?)
        .clock(clock.clone())
        .build()?;
    println!(
        "The cache has 16 MiB. About {} sessions of 256 bytes fit.",
        cache.capacity_for(256)
    );

    let record = create_and_save(&cache)?;
    let signed_in = sign_in(&cache, &record)?;
    let robot = cache.create(b"a robot")?;
    // Ada uses her session every 20 minutes, so it lives. That of the robot expires and is freed.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(20 * 60));
        println!(
            "20 minutes later, Ada's cookie is valid: {}.",
            opens(&cache, &signed_in.token)
        );
    }
    println!(
        "Expired and freed: {} session. Left: {}.",
        cache.maintain(100).expired,
        cache.len()
    );
    println!(
        "The robot's cookie is valid: {}.",
        opens(&cache, &robot.token)
    );
    sign_out(&cache, &signed_in);

    let stats = cache.stats();
    println!(
        "Hits: {}. Misses: {}. Rejected because the id was replaced: {}.",
        stats.hits, stats.misses, stats.rejected.reused
    );
    println!(
        "Memory in use: {} of {} bytes.",
        stats.memory.used, stats.memory.budget
    );
    Ok(())
}

/// Creates a session, opens it with its cookie, and saves it.
fn create_and_save(cache: &SessionCache) -> Result<Record, Box<dyn Error>> {
    let made = cache.create(b"cart: a limpet")?;
    let set_cookie = SetCookie::builder(cache.cookie_name())
        .build()?
        .header_for(&made.token);
    println!(
        "Created a session. `Set-Cookie` has {} bytes.",
        set_cookie.len()
    );

    let mut data = BytesMut::new();
    let record = open(cache, &made.token, &mut data).ok_or("a new session can be opened")?;
    println!("Opened it: {:?}.", String::from_utf8_lossy(&data));

    // A save names the version that was read, so that it cannot overwrite the change of another
    // request.
    cache.save(&record.id, record.version, b"cart: a limpet and a sponge")?;
    if let Err(error) = cache.save(&record.id, record.version, b"cart: nothing") {
        println!("Saved it. A second save with the same version fails: {error}.");
    }
    Ok(record)
}

/// Signs a user in and rotates the id. Both give the session a new id, so that a stolen old cookie
/// is rejected.
fn sign_in(cache: &SessionCache, record: &Record) -> Result<IssuedSession, sessile::Error> {
    let first = cache.sign_in(&record.id, "ada")?;
    let second = cache.rotate(&first.id, Duration::ZERO)?;
    let (before, after) = (opens(cache, &first.token), opens(cache, &second.token));
    println!("Signed in and rotated. The old cookie is valid: {before}. The new one is: {after}.");
    Ok(second)
}

/// Ends a session. Termination is permanent: a late save fails.
fn sign_out(cache: &SessionCache, ada: &IssuedSession) {
    println!(
        "Ended the session: {}. Ada's cookie is valid: {}.",
        cache.end(&ada.id),
        opens(cache, &ada.token)
    );
    if let Err(error) = cache.save(&ada.id, ada.version, b"late") {
        println!("A late save fails: {error}.");
    }
}

/// Opens a session with the `Cookie` field of a request, as a server does.
fn open(cache: &SessionCache, token: &Token, data: &mut BytesMut) -> Option<Record> {
    let field = format!(
        "theme=dark; {}={}; seen=yes",
        cache.cookie_name(),
        token.as_str()
    );
    cache.open([field.as_bytes()], data)
}

fn opens(cache: &SessionCache, token: &Token) -> bool {
    open(cache, token, &mut BytesMut::new()).is_some()
}
