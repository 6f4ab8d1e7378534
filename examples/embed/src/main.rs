//! The engine alone: one visitor from the first cookie to the last, with no framework and no
//! server.
//!
//! Time is a manual clock, so that half an hour passes at once. No token is printed: whoever has
//! one has the session.
#![allow(
    clippy::print_stdout,
    reason = "to print is all that this program does"
)]

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
        "16 MiB are taken: some {} sessions of 256 bytes fit.",
        cache.capacity_for(256)
    );

    let record = come_and_come_back(&cache)?;
    let signed_in = sign_in(&cache, &record)?;
    let robot = cache.create(b"a robot")?;
    // Ada comes by every 20 minutes and stays; the robot never does, and its memory comes back.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(20 * 60));
        println!(
            "20 minutes later: ada opens: {}.",
            opens(&cache, &signed_in.token)
        );
    }
    println!(
        "Expired and freed: {}. {} left.",
        cache.maintain(100).expired,
        cache.len()
    );
    println!("The robot opens: {}.", opens(&cache, &robot.token));
    sign_out(&cache, &signed_in);

    let stats = cache.stats();
    println!(
        "{} hits, {} misses, {} refused as rotated.",
        stats.hits, stats.misses, stats.rejected.reused
    );
    println!(
        "{} of {} bytes in use.",
        stats.memory.used, stats.memory.budget
    );
    Ok(())
}

/// A visitor stores something and gets a cookie; the next request brings it back among others.
fn come_and_come_back(cache: &SessionCache) -> Result<Record, Box<dyn Error>> {
    let made = cache.create(b"cart: a limpet")?;
    let set_cookie = SetCookie::builder(cache.cookie_name())
        .build()?
        .header_for(&made.token);
    println!(
        "Created. The response's Set-Cookie has {} bytes.",
        set_cookie.len()
    );

    let mut data = BytesMut::new();
    let record = open(cache, &made.token, &mut data).ok_or("a fresh session opens")?;
    println!("Opened: {:?}", String::from_utf8_lossy(&data));

    // A save names the version that it read, so that no change of another request is lost unseen.
    cache.save(&record.id, record.version, b"cart: a limpet and a sponge")?;
    if let Err(error) = cache.save(&record.id, record.version, b"cart: nothing") {
        println!("Saved. A second save over the same version: {error}.");
    }
    Ok(record)
}

/// Signing in and rotating give the session a new id: whoever knew the old cookie has nothing.
fn sign_in(cache: &SessionCache, record: &Record) -> Result<IssuedSession, sessile::Error> {
    let first = cache.sign_in(&record.id, "ada")?;
    let second = cache.rotate(&first.id, Duration::ZERO)?;
    let (before, after) = (opens(cache, &first.token), opens(cache, &second.token));
    println!("Signed in and rotated. The cookie before opens: {before}; the new one: {after}.");
    Ok(second)
}

/// Ending is for good: nothing brings the session back.
fn sign_out(cache: &SessionCache, ada: &IssuedSession) {
    println!(
        "Ended: {}. Ada opens: {}.",
        cache.end(&ada.id),
        opens(cache, &ada.token)
    );
    if let Err(error) = cache.save(&ada.id, ada.version, b"late") {
        println!("A save that comes late: {error}.");
    }
}

/// What a server does with the `Cookie` field of a request.
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
