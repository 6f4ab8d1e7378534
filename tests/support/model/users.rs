//! The part of the model that is about users. The cache knows a session's last use to a sixteenth
//! of its timeout. So the model adopts the cache's choice of the least recently used session, and
//! checks it against the earlier list.

use sessile::{
    CreateOptions, EndReason, Error, EventKind, Handle, SessionId, SessionInfo, SessionLimitPolicy,
    SignInOptions, UserInfo, Version,
};

use super::{
    LIFETIME, MAX_DATA, MAX_SESSIONS, Pair, Session, SessionTimeouts, SideEffects, SignInDetails,
    TICK, timeouts,
};

impl Pair {
    /// Signs in, optionally with data for the session's current version or for the previous one.
    pub(super) fn sign_in(
        &mut self,
        id: &SessionId,
        user: u8,
        details: SignInDetails,
        renew: bool,
        data: Option<(bool, u16)>,
    ) {
        let before = self.user_sessions(user);
        let resolved = self.resolve(id);
        let known = self.live.get(id);
        let (own, version) = (
            known.map(|own| own.handle),
            known.map_or(0, |own| own.version),
        );
        let is_stale = data.is_some_and(|(is_stale, _)| is_stale);
        let data = data.map(|(_, len)| self.fresh_data(usize::from(len) % (MAX_DATA + 1)));
        let (label, timeouts) = (text(details.label % 49), timeouts(details.idle, None));
        let mut with = SignInOptions::new()
            .timeouts(timeouts.get())
            .assurance_level(details.label)
            .label(&label);
        with = with.renew_lifetime(renew);
        if let Some(data) = &data {
            with = with.replace_data(Version::new(version.wrapping_sub(is_stale.into())), data);
        }
        let answer = self.cache.sign_in_with(id, &name(user), with);
        if let Err(Error::LifetimeOver) = answer {
            let mut session = self.live[&resolved.end].clone();
            session.change_at_sign_in(timeouts, renew, self.now);
            assert!(session.is_dead(self.now), "the session would have opened");
            self.expect(SideEffects::Nothing, &[]);
            return self.check_id(&resolved, true);
        }
        if let Err(Error::Conflict) = answer {
            assert!(
                is_stale && !resolved.is_old,
                "a conflict without another write"
            );
            self.expect(SideEffects::Nothing, &[(EventKind::Conflict, own)]);
            return self.check_id(&resolved, true);
        }
        let others: Vec<_> = handles(&before)
            .into_iter()
            .filter(|&at| Some(at) != own)
            .collect();
        if let Err(Error::TooManySessions) = answer {
            self.too_many(user, &before, &others);
            return self.check_id(&resolved, true);
        }
        let Ok(issued) = answer else {
            return self.not_reissued(&resolved, answer);
        };
        assert!(!is_stale, "an outdated version was accepted");
        let events = self.own_events(SideEffects::EvictAny);
        let handle = self.signed_in(user, &others, &events);
        let now = self.now;
        self.reissued(&resolved, issued, 0, |session| {
            if let Some(data) = data {
                (session.data, session.version) = (data, session.version + 1);
            }
            session.change_at_sign_in(timeouts, renew, now);
            assert!(!session.is_dead(now), "a session opens after its sign-in");
            session.enter(user, details.label, handle, now);
        });
    }

    /// Creates a session that has a user from the start.
    pub(super) fn create_for(
        &mut self,
        user: u8,
        len: u16,
        own: SessionTimeouts,
        details: SignInDetails,
    ) {
        let before = self.user_sessions(user);
        let data = self.fresh_data(usize::from(len) % (MAX_DATA + 1));
        let (label, timeouts) = (text(details.label % 49), timeouts(details.idle, None));
        let own = SessionTimeouts {
            idle_timeout: timeouts.idle_timeout,
            ..own
        };
        let name = name(user);
        let info = UserInfo::new(&name)
            .assurance_level(details.label)
            .label(&label);
        match self
            .cache
            .create_with(&data, CreateOptions::new().timeouts(own.get()).user(info))
        {
            Ok(issued) => {
                let mut events = self.own_events(SideEffects::EvictAny);
                let last = events.pop().expect("a sign-in emits an event");
                let created = events.pop().expect("the creation is emitted before it");
                assert_eq!(created, (EventKind::Created, last.1));
                events.push(last);
                let handle = self.signed_in(user, &handles(&before), &events);
                self.created(issued, data, handle, |session, now| {
                    session.set(own, now);
                    session.enter(user, details.label, handle, now);
                });
            }
            Err(Error::TooManySessions) => self.too_many(user, &before, &handles(&before)),
            Err(error) => self.check_full(error),
        }
    }

    /// Checks a rejection at the session limit. `before` are the user's sessions, `others` those
    /// except the one that signs in.
    fn too_many(&mut self, user: u8, before: &[SessionInfo], others: &[Handle]) {
        assert!(
            others.len() >= MAX_SESSIONS && self.session_limit_policy == SessionLimitPolicy::Reject
        );
        self.expect(SideEffects::Expiry, &[]);
        let after = self.user_sessions(user);
        assert_eq!(
            handles(before),
            handles(&after),
            "a rejected sign-in ends no session"
        );
    }

    /// Checks the events of a sign-in. `others` are the user's other sessions, least recently used
    /// last: its end comes first if there were too many. Returns the new handle.
    fn signed_in(
        &mut self,
        user: u8,
        others: &[Handle],
        events: &[(EventKind, Option<Handle>)],
    ) -> Handle {
        let Some((&(EventKind::SignedIn, Some(handle)), first)) = events.split_last() else {
            panic!("{events:?}")
        };
        let is_full = others.len() >= MAX_SESSIONS;
        assert!(!is_full || self.session_limit_policy == SessionLimitPolicy::EndLeastRecentlyUsed);
        let oldest = others.last().copied().filter(|_| is_full);
        let ended = oldest.map(|handle| (EventKind::Ended(EndReason::SessionLimit), Some(handle)));
        assert_eq!(
            first,
            ended.as_slice(),
            "the least recently used session is ended"
        );
        self.live
            .retain(|_, session| Some(session.handle) != oldest);
        let hash = handle.user().expect("the session is authenticated");
        assert_eq!(*self.users.entry(user).or_insert(hash), hash);
        assert!(!self.handles.contains(&handle), "a handle is new");
        self.handles.push(handle);
        handle
    }

    /// Returns the list of a user's sessions after checking it.
    pub(super) fn user_sessions(&mut self, user: u8) -> Vec<SessionInfo> {
        let list = self.cache.user_sessions(&name(user));
        self.expect(SideEffects::Nothing, &[]);
        assert!(list.len() <= MAX_SESSIONS, "the limit holds");
        assert!(list.is_sorted_by_key(SessionInfo::last_seen));
        for info in &list {
            let of = |session: &&Session| session.handle == info.handle;
            let session = self
                .live
                .values()
                .find(of)
                .expect("a listed session is live");
            session.check(info, user, self.now);
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
            .for_each(|(id, is_there)| self.check_session(id, *is_there));
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
        self.expect(SideEffects::Nothing, ended.as_slice());
        let found = self
            .live
            .iter()
            .find(|(_, session)| session.handle == handle);
        match found
            .filter(|(_, session)| session.user.is_some())
            .map(|(id, _)| *id)
        {
            Some(id) => self.check_session(&id, answer),
            None => assert!(
                !answer,
                "neither an ended nor an anonymous session is ended by handle"
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
        // In the order of their sign-ins.
        let went = self.handles.iter().copied().filter(went);
        let went: Vec<_> = went
            .map(|handle| (EventKind::Ended(EndReason::UserRevoked), Some(handle)))
            .collect();
        assert_eq!(
            (ended, ended + left.len()),
            (went.len(), before.len()),
            "the count matches"
        );
        self.expect(SideEffects::Expiry, &went);
        let kept = except.map(|id| self.resolve_for_user(&id, user));
        let is_kept = |id| kept.as_ref().is_some_and(|resolved| resolved.end == id);
        if let Some(resolved) = &kept
            && resolved.is_sure
            && let Some(session) = self.live.get(&resolved.end)
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
    fn change_at_sign_in(&mut self, timeouts: SessionTimeouts, renew: bool, now: u32) {
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

    /// Checks a list's details of a session.
    fn check(&self, info: &SessionInfo, user: u8, now: u32) {
        assert_eq!(
            self.user,
            Some(user),
            "a listed session belongs to the user"
        );
        assert!(!self.is_dead(now), "an expired session is not listed");
        assert_eq!(
            (info.label.as_str(), info.assurance_level),
            (&*text(self.label % 49), self.label)
        );
        assert_eq!(info.age(), TICK * now.saturating_sub(self.created));
        assert_eq!(info.authenticated_for(), TICK * (now - self.signed_in));
        let (seen, used) = (info.last_seen(), TICK * (now - self.used));
        assert!(
            used <= seen && seen <= used + TICK * (self.idle_timeout / 16),
            "{seen:?} {used:?}"
        );
    }
}

fn handles(list: &[SessionInfo]) -> Vec<Handle> {
    list.iter().map(|info| info.handle).collect()
}

fn name(user: u8) -> String {
    format!("user {user}")
}

fn text(label: u8) -> String {
    "label".chars().cycle().take(label.into()).collect()
}
