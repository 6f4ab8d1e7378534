//! Freed data is zeroed: of sessions that ended, were overwritten, moved or replaced.

use crate::support::{PLAINLY, cache, create, sign_in};
use sessile::{SessionCache, Version, internals::region::WORD};

const MARK: u64 = 0x6d61_726b_6564_2121;

/// Returns `words` marked words of data.
fn marked(words: usize) -> Vec<u8> {
    MARK.to_le_bytes().repeat(words)
}

fn marks(cache: &SessionCache) -> usize {
    cache.count(MARK)
}

// TERM-8: docs/security-checklist.md
#[test]
fn an_ended_session_is_wiped() {
    let (cache, _clock) = cache();
    let issued = create(&cache, &marked(100));
    assert_eq!(marks(&cache), 100, "the search finds data that is stored");
    cache.end(&issued.id);
    assert_eq!(marks(&cache), 0);
}

// TERM-8: docs/security-checklist.md
#[test]
fn a_shorter_save_wipes_the_rest() {
    let (cache, _clock) = cache();
    let issued = create(&cache, &marked(1_024));
    for (version, words) in [1_000, 999, 40, 3, 0].into_iter().enumerate() {
        cache
            .save(&issued.id, Version::new(version as u32 + 1), &marked(words))
            .unwrap();
        assert_eq!(marks(&cache), words);
    }
}

// TERM-8: docs/security-checklist.md
#[test]
fn a_longer_save_wipes_the_old_block() {
    let (cache, _clock) = cache();
    let issued = create(&cache, &marked(10));
    create(&cache, b"occupies the space after it");
    cache
        .save(&issued.id, issued.version, &marked(500))
        .unwrap();
    assert_eq!(marks(&cache), 500);
}

// TERM-8: docs/security-checklist.md
#[test]
fn a_sign_in_wipes_the_old_session() {
    let (cache, _clock) = cache();
    let issued = create(&cache, &marked(64));
    sign_in(&cache, &issued.id, "ada");
    assert_eq!(marks(&cache), 64);
}

// TERM-8: docs/security-checklist.md
#[test]
fn an_end_wipes_the_label() {
    let (cache, _clock) = cache();
    let label = String::from_utf8(marked(6)).unwrap();
    for way in 0..4 {
        let issued = create(&cache, &marked(20));
        let with = PLAINLY.label(&label);
        let mut issued = cache.sign_in_with(&issued.id, "ada", with).unwrap();
        assert_eq!(marks(&cache), 26, "the search finds data that is stored");
        match way {
            0 => assert!(cache.end(&issued.id)),
            1 => assert_eq!(cache.end_user_sessions("ada", None), 1),
            2 => assert!(cache.end_by_handle(&cache.user_sessions("ada")[0].handle)),
            _ => {
                issued = sign_in(&cache, &issued.id, "grace");
                assert_eq!(marks(&cache), 20);
                assert!(cache.end(&issued.id));
            }
        }
        assert_eq!(marks(&cache), 0);
    }
}

// TERM-8: docs/security-checklist.md
#[test]
fn an_evicted_session_is_wiped() {
    for words in [0, 1, 3, 32] {
        let (cache, _clock) = cache();
        create(&cache, &marked(words));
        while cache.stats().evicted.probation == 0 {
            create(&cache, &vec![1; words * WORD]);
        }
        assert_eq!(marks(&cache), 0, "the first session was evicted");
    }
}

// TERM-8: docs/security-checklist.md
#[test]
fn moved_data_is_wiped_in_the_old_block() {
    let (cache, _clock) = cache();
    let mut live = Vec::new();
    while cache.stats().evicted.probation == 0 {
        live.push(create(&cache, &marked(live.len() % 90)));
    }
    for issued in live.iter().step_by(2) {
        cache.end(&issued.id);
    }
    for _ in 0..8 {
        create(&cache, &[1; 16 << 10]);
    }
    assert!(cache.stats().compactions > 0, "some were moved");
    cache.validate();
    for issued in &live {
        cache.end(&issued.id);
    }
    assert_eq!(marks(&cache), 0);
}
