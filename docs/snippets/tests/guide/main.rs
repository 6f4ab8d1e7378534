//! Checks the guide's tables against the code.

#![allow(clippy::unwrap_used)]

#[test]
fn print() {
    use sessile::*;
    println!("{}", SessionCache::builder().keys(KeyRing::generate().unwrap()).memory(0).build().unwrap_err());
    println!("{}", SessionCache::builder().keys(KeyRing::generate().unwrap()).memory(usize::MAX).build().unwrap_err());
    println!("{}", SessionCache::builder().keys(KeyRing::generate().unwrap()).memory(1<<20).reserved_for_authenticated(usize::MAX).build().unwrap_err());
    println!("{}", SessionCache::builder().keys(KeyRing::generate().unwrap()).reserved_for_authenticated(usize::MAX).build().unwrap_err());
    for m in [1usize<<20, 64<<20,256<<20,1<<30] {let c = SessionCache::builder().keys(KeyRing::generate().unwrap()).memory(m).build().unwrap();
    println!("{m} {} {} {} {:?}", c.capacity_for(256), c.capacity_for(1024), c.capacity_for(4096), c.stats().memory);}
    println!("{}", SessionCache::builder().keys(KeyRing::generate().unwrap()).idle_timeout(std::time::Duration::MAX).build().unwrap_err());
}
