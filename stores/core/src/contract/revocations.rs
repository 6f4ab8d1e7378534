//! Checks of revocations.

use std::collections::HashSet;

use super::fixture::{Fixture, revocation};
use crate::{
    revocation::Revocation,
    store::{Change, ServerTime},
};

pub(super) async fn check_all(fixture: &Fixture<'_>) {
    a_revocation_is_listed_and_published(fixture).await;
    an_expired_revocation_is_ignored(fixture).await;
    a_revocation_never_expires_earlier_than_it_did(fixture).await;
    cutoffs_of_one_key_are_kept_apart(fixture).await;
    a_listing_in_pages_is_complete(fixture).await;
    a_listing_misses_nothing_while_others_are_recorded_and_removed(fixture).await;
}

impl Fixture<'_> {
    async fn revoke(&self, revocations: &[Revocation]) -> ServerTime {
        let revoked = self.store.revoke(revocations).await;
        revoked.expect("the store answers")
    }

    /// Returns the time of the server, in seconds.
    async fn seconds(&self) -> u64 {
        self.heartbeat().await.now.0 / 1_000
    }

    /// Lists all revocations, and calls `between` after each page.
    async fn list(&self, mut between: impl AsyncFnMut()) -> (Vec<Revocation>, usize) {
        let (mut listed, mut pages, mut cursor) = (Vec::new(), 0, Some(0));
        while let Some(at) = cursor {
            let page = self.store.revocations(at).await;
            let page = page.expect("the store answers");
            listed.extend(page.revocations);
            (cursor, pages) = (page.next, pages + 1);
            between().await;
        }
        (listed, pages)
    }

    async fn is_listed(&self, revocation: &Revocation) -> bool {
        self.list(async || ()).await.0.contains(revocation)
    }
}

async fn a_revocation_is_listed_and_published(fixture: &Fixture<'_>) {
    let now = fixture.seconds().await;
    let token = revocation(now + 60);
    let subject = Revocation {
        issued_before: now,
        ..revocation(now + 90)
    };
    let (_, changes) = fixture.changes_of(fixture.revoke(&[token, subject])).await;
    assert_eq!(changes, [token, subject].map(Change::Revoked));
    for revocation in [token, subject] {
        assert!(fixture.is_listed(&revocation).await);
        let (_, changes) = fixture.changes_of(fixture.revoke(&[revocation])).await;
        assert_eq!(changes, [Change::Revoked(revocation)], "published again");
    }
    let (listed, _) = fixture.list(async || ()).await;
    let copies = listed.iter().filter(|listed| **listed == token);
    assert_eq!(copies.count(), 1);
    let (_, changes) = fixture.changes_of(fixture.revoke(&[])).await;
    assert_eq!(changes, []);
}

async fn an_expired_revocation_is_ignored(fixture: &Fixture<'_>) {
    let expired = revocation(fixture.seconds().await);
    let (_, changes) = fixture.changes_of(fixture.revoke(&[expired])).await;
    assert_eq!(changes, []);
    assert!(!fixture.is_listed(&expired).await);
}

async fn a_revocation_never_expires_earlier_than_it_did(fixture: &Fixture<'_>) {
    let now = fixture.seconds().await;
    let late = revocation(now + 600);
    let early = Revocation {
        expires_at: now + 60,
        ..late
    };
    for revocation in [early, late, early] {
        fixture.revoke(&[revocation]).await;
    }
    assert!(fixture.is_listed(&late).await);
    assert!(!fixture.is_listed(&early).await);
    let latest = Revocation {
        expires_at: Revocation::MAX_EXPIRES_AT,
        ..late
    };
    fixture.revoke(&[latest]).await;
    assert!(fixture.is_listed(&latest).await);
}

async fn cutoffs_of_one_key_are_kept_apart(fixture: &Fixture<'_>) {
    let now = fixture.seconds().await;
    let cutoffs = [now - 1, now].map(|issued_before| Revocation {
        key: [7; 16],
        issued_before,
        expires_at: now + 60,
    });
    fixture.revoke(&cutoffs).await;
    for cutoff in cutoffs {
        assert!(fixture.is_listed(&cutoff).await);
    }
}

async fn a_listing_in_pages_is_complete(fixture: &Fixture<'_>) {
    let recorded = fixture.record(MANY).await;
    let (listed, pages) = fixture.list(async || ()).await;
    assert!(pages > 1, "a page has about 1,000");
    let listed: HashSet<_> = listed.into_iter().collect();
    assert!(
        recorded
            .iter()
            .all(|revocation| listed.contains(revocation))
    );
}

async fn a_listing_misses_nothing_while_others_are_recorded_and_removed(fixture: &Fixture<'_>) {
    let now = fixture.seconds().await;
    // They expire after the first page, and the next call removes them.
    let doomed: Vec<_> = (0..MANY).map(|_| revocation(now + 4)).collect();
    fixture.revoke(&doomed[..1]).await;
    assert!(fixture.is_listed(&doomed[0]).await, "it has not expired");
    for group in doomed.chunks(250) {
        fixture.revoke(group).await;
    }
    let kept = fixture.record(MANY).await;
    let mut span = 4_100;
    let between = async || {
        fixture.wait(std::mem::take(&mut span)).await;
        fixture.record(100).await;
    };
    let (listed, _) = fixture.list(between).await;
    let listed: HashSet<_> = listed.into_iter().collect();
    assert!(kept.iter().all(|revocation| listed.contains(revocation)));
    assert!(!fixture.is_listed(&doomed[0]).await, "it has expired");
}

impl Fixture<'_> {
    /// Records revocations of fresh keys that expire after a minute.
    async fn record(&self, number: usize) -> Vec<Revocation> {
        let expires_at = self.seconds().await + 60;
        let revocations: Vec<_> = (0..number).map(|_| revocation(expires_at)).collect();
        for group in revocations.chunks(250) {
            self.revoke(group).await;
        }
        revocations
    }
}

/// More than a page has.
const MANY: usize = 2_500;
