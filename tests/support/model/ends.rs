//! The part of the model that is about ending sessions.

use sessile::{EndReason, Error, EventKind, Version};

use super::{Pair, SideEffects};

impl Pair {
    pub(super) fn end_if_unchanged(&mut self, which: u16, stale: bool) {
        let Some(id) = self.pick(which) else { return };
        let resolved = self.resolve(&id);
        let known = self.live.get(&resolved.end);
        let version = known
            .map_or(0, |session| session.version)
            .wrapping_sub(stale.into());
        let handle = known.map(|session| session.handle);
        let answer = self.cache.end_if_unchanged(&id, Version::new(version));
        match answer {
            Ok(()) => {
                self.expect(
                    SideEffects::Nothing,
                    &[(EventKind::Ended(EndReason::Requested), handle)],
                );
            }
            Err(Error::Conflict) => {
                self.expect(SideEffects::Nothing, &[(EventKind::Conflict, handle)]);
            }
            Err(error) => {
                assert!(error == Error::Gone || resolved.is_old && error == Error::Rotated);
                self.expect(SideEffects::Nothing, &[]);
            }
        }
        if answer == Err(Error::Rotated) {
            // The model does not distinguish an old id within its grace period from one whose
            // session has ended.
            return;
        }
        assert!(
            !(resolved.is_old && resolved.is_sure),
            "a remembered old id is reported as rotated"
        );
        self.check_id(&resolved, answer != Err(Error::Gone));
        let is_there = answer != Err(Error::Gone);
        assert!(!is_there || !resolved.is_old && stale == answer.is_err());
        if answer.is_ok() {
            self.live.remove(&resolved.end);
        }
    }

    pub(super) fn end(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let resolved = self.resolve(&id);
        let handle = self.live.get(&resolved.end).map(|session| session.handle);
        if self.cache.end(&id) {
            self.expect(
                SideEffects::Nothing,
                &[(EventKind::Ended(EndReason::Requested), handle)],
            );
            self.check_session(&resolved.end, true);
            self.live.remove(&resolved.end);
            return;
        }
        self.expect(SideEffects::Expiry, &[]);
        assert!(
            !resolved.is_sure || !self.live.contains_key(&resolved.end),
            "an end is not lost"
        );
    }

    pub(super) fn end_all(&mut self) {
        self.cache.end_all();
        self.cutoff = self.cutoff.max(self.now) + 1;
        self.ended_at_once += self.live.len() as u64;
        self.live.clear();
        self.expect(
            SideEffects::Nothing,
            &[(EventKind::Ended(EndReason::Global), None)],
        );
    }
}
