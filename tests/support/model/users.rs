//! The part of the model that is about users. Which session is a user's stalest is known to the cache to a
//! sixteenth of its timeout: the model takes its word for it, and checks it against the list of before.

use sessile::{
    CreateOptions, EndReason, Error, EventKind, Handle, SessionId, SessionInfo, SessionLimitPolicy,
    SignInOptions, UserInfo, Version,
};

use super::{Along, How, LIFETIME, MOST_DATA, MOST_SESSIONS, Own, Pair, Session, TICK, timeouts};

impl Pair {
    /// Signs in, perhaps with data for the session's last version or for the one before.
    pub(super) fn sign_in(
        &mut self,
        id: &SessionId,
        user: u8,
        how: How,
        renew: bool,
        data: Option<(bool, u16)>,
    ) {
        let before = self.user_sessions(user);
        let way = self.way(id);
        let known = self.live.get(id);
        let (own, version) = (
            known.map(|own| own.handle),
            known.map_or(0, |own| own.version),
        );
        let is_stale = data.is_some_and(|(is_stale, _)| is_stale);
        let data = data.map(|(_, len)| self.fresh_data(usize::from(len) % (MOST_DATA + 1)));
        let (label, timeouts) = (text(how.label % 49), timeouts(how.idle, None));
        let mut with = SignInOptions::new()
            .timeouts(timeouts.get())
            .assurance_level(how.label)
            .label(&label);
        with = with.renew_lifetime(renew);
        if let Some(data) = &data {
            with = with.replace_data(Version::new(version.wrapping_sub(is_stale.into())), data);
        }
        let answer = self.cache.sign_in_with(id, &name(user), with);
        if let Err(Error::LifetimeOver) = answer {
            let mut session = self.live[&way.end].clone();
            session.change_at_sign_in(timeouts, renew, self.now);
            assert!(session.is_dead(self.now), "it would have opened");
            self.expect(Along::Nothing, &[]);
            return self.agree(&way, true);
        }
        if let Err(Error::Conflict) = answer {
            assert!(is_stale && !way.is_old, "a conflict with nobody");
            self.expect(Along::Nothing, &[(EventKind::Conflict, own)]);
            return self.agree(&way, true);
        }
        let others: Vec<_> = handles(&before)
            .into_iter()
            .filter(|&at| Some(at) != own)
            .collect();
        if let Err(Error::TooManySessions) = answer {
            self.too_many(user, &before, &others);
            return self.agree(&way, true);
        }
        let Ok(issued) = answer else {
            return self.not_reissued(&way, answer);
        };
        assert!(!is_stale, "a write to what somebody else wrote");
        let told = self.told(Along::Anyone);
        let handle = self.signed_in(user, &others, &told);
        let now = self.now;
        self.reissued(&way, issued, 0, |session| {
            if let Some(data) = data {
                (session.data, session.version) = (data, session.version + 1);
            }
            session.change_at_sign_in(timeouts, renew, now);
            assert!(!session.is_dead(now), "what was signed in to opens");
            session.enter(user, how.label, handle, now);
        });
    }

    /// Makes a session with a user from the start.
    pub(super) fn create_for(&mut self, user: u8, len: u16, own: Own, how: How) {
        let before = self.user_sessions(user);
        let data = self.fresh_data(usize::from(len) % (MOST_DATA + 1));
        let (label, timeouts) = (text(how.label % 49), timeouts(how.idle, None));
        let own = Own {
            idle_timeout: timeouts.idle_timeout,
            ..own
        };
        let name = name(user);
        let info = UserInfo::new(&name)
            .assurance_level(how.label)
            .label(&label);
        match self
            .cache
            .create_with(&data, CreateOptions::new().timeouts(own.get()).user(info))
        {
            Ok(made) => {
                let mut told = self.told(Along::Anyone);
                let last = told.pop().expect("a sign-in is told");
                let created = told.pop().expect("and before it that the session was made");
                assert_eq!(created, (EventKind::Created, last.1));
                told.push(last);
                let handle = self.signed_in(user, &handles(&before), &told);
                self.created(made, data, handle, |session, now| {
                    session.set(own, now);
                    session.enter(user, how.label, handle, now);
                });
            }
            Err(Error::TooManySessions) => self.too_many(user, &before, &handles(&before)),
            Err(error) => self.refused(error),
        }
    }

    /// A refusal at the limit of a user, who had these sessions, and these others than the one that signs in.
    fn too_many(&mut self, user: u8, before: &[SessionInfo], others: &[Handle]) {
        assert!(
            others.len() >= MOST_SESSIONS
                && self.session_limit_policy == SessionLimitPolicy::Reject
        );
        self.expect(Along::Expiry, &[]);
        let after = self.user_sessions(user);
        assert_eq!(handles(before), handles(&after), "a refusal ends nobody");
    }

    /// What is told of a sign-in, when the user had these others, the stalest last: first the end of that one, if
    /// there were too many. Gives the new handle.
    fn signed_in(
        &mut self,
        user: u8,
        others: &[Handle],
        told: &[(EventKind, Option<Handle>)],
    ) -> Handle {
        let Some((&(EventKind::SignedIn, Some(handle)), first)) = told.split_last() else {
            panic!("{told:?}")
        };
        let is_full = others.len() >= MOST_SESSIONS;
        assert!(!is_full || self.session_limit_policy == SessionLimitPolicy::EndLeastRecentlyUsed);
        let stalest = others.last().copied().filter(|_| is_full);
        let ended = stalest.map(|handle| (EventKind::Ended(EndReason::SessionLimit), Some(handle)));
        assert_eq!(first, ended.as_slice(), "the stalest goes");
        self.live
            .retain(|_, session| Some(session.handle) != stalest);
        let hash = handle.user().expect("somebody signed in");
        assert_eq!(*self.users.entry(user).or_insert(hash), hash);
        assert!(!self.handles.contains(&handle), "a handle is new");
        self.handles.push(handle);
        handle
    }

    /// The list of a user's sessions, after it was checked.
    pub(super) fn user_sessions(&mut self, user: u8) -> Vec<SessionInfo> {
        let list = self.cache.user_sessions(&name(user));
        self.expect(Along::Nothing, &[]);
        assert!(list.len() <= MOST_SESSIONS, "the limit is kept");
        assert!(list.is_sorted_by_key(SessionInfo::last_seen));
        for device in &list {
            let of = |session: &&Session| session.handle == device.handle;
            let session = self
                .live
                .values()
                .find(of)
                .expect("what is listed is there");
            session.check(device, user, self.now);
        }
        let listed = handles(&list);
        let theirs = self
            .live
            .iter()
            .filter(|(_, session)| session.user == Some(user));
        let theirs: Vec<_> = theirs
            .map(|(id, session)| (*id, listed.contains(&session.handle)))
            .collect();
        theirs
            .iter()
            .for_each(|(id, is_there)| self.judge(id, *is_there));
        list
    }

    pub(super) fn end_by_handle(&mut self, which: u16) {
        let Some(&handle) = self
            .handles
            .get(usize::from(which) % self.handles.len().max(1))
        else {
            return;
        };
        let parsed: Handle = handle.to_string().parse().expect("its own text");
        let answer = self.cache.end_by_handle(&parsed);
        let ended = answer.then_some((EventKind::Ended(EndReason::UserRevoked), Some(handle)));
        self.expect(Along::Nothing, ended.as_slice());
        let found = self
            .live
            .iter()
            .find(|(_, session)| session.handle == handle);
        match found
            .filter(|(_, session)| session.user.is_some())
            .map(|(id, _)| *id)
        {
            Some(id) => self.judge(&id, answer),
            None => assert!(
                !answer,
                "neither what is over nor what is nobody's is ended"
            ),
        }
        assert!(!self.cache.end_by_handle(&handle));
        if answer {
            self.live.retain(|_, session| session.handle != handle);
        }
    }

    pub(super) fn end_user_sessions(&mut self, user: u8, except: Option<u16>) {
        let before = handles(&self.user_sessions(user));
        let except = except.and_then(|which| self.pick(which));
        let ended = self.cache.end_user_sessions(&name(user), except.as_ref());
        let left = handles(&self.cache.user_sessions(&name(user)));
        let went = |handle: &Handle| before.contains(handle) && !left.contains(handle);
        // In the order in which they had signed in.
        let went = self.handles.iter().copied().filter(went);
        let went: Vec<_> = went
            .map(|handle| (EventKind::Ended(EndReason::UserRevoked), Some(handle)))
            .collect();
        assert_eq!(
            (ended, ended + left.len()),
            (went.len(), before.len()),
            "as it says"
        );
        self.expect(Along::Expiry, &went);
        let kept = except.map(|id| self.way_of_user(&id, user));
        let is_kept = |id| kept.as_ref().is_some_and(|way| way.end == id);
        if let Some(way) = &kept
            && way.is_sure
            && let Some(session) = self.live.get(&way.end)
            && session.user == Some(user)
        {
            let was_there = before.contains(&session.handle);
            assert_eq!(left.len(), usize::from(was_there), "the exception is kept");
        }
        self.live.retain(|id, session| {
            let has_ended = went
                .iter()
                .any(|&(_, handle)| handle == Some(session.handle));
            let stays = session.user != Some(user) || !has_ended;
            assert!(
                session.user != Some(user) || !stays || is_kept(*id),
                "all others are ended"
            );
            stays
        });
    }
}

impl Session {
    fn change_at_sign_in(&mut self, timeouts: Own, renew: bool, now: u32) {
        if renew {
            self.end = now + self.end.saturating_sub(self.start).min(LIFETIME);
            self.start = now;
        }
        self.set(timeouts, now);
    }

    fn enter(&mut self, user: u8, label: u8, handle: Handle, now: u32) {
        (self.user, self.label, self.handle) = (Some(user), label, handle);
        self.signed_in = now;
    }

    /// Checks what a list says of a session.
    fn check(&self, device: &SessionInfo, user: u8, now: u32) {
        assert_eq!(self.user, Some(user), "what is listed is the user's");
        assert!(
            !self.is_dead(now),
            "what is past its deadline is not listed"
        );
        assert_eq!(
            (device.label.as_str(), device.assurance_level),
            (&*text(self.label % 49), self.label)
        );
        assert_eq!(device.age(), TICK * now.saturating_sub(self.created));
        assert_eq!(device.authenticated_for(), TICK * (now - self.signed_in));
        let (seen, used) = (device.last_seen(), TICK * (now - self.used));
        assert!(
            used <= seen && seen <= used + TICK * (self.idle_timeout / 16),
            "{seen:?} {used:?}"
        );
    }
}

fn handles(list: &[SessionInfo]) -> Vec<Handle> {
    list.iter().map(|device| device.handle).collect()
}

fn name(user: u8) -> String {
    format!("user {user}")
}

fn text(label: u8) -> String {
    "label".chars().cycle().take(label.into()).collect()
}
