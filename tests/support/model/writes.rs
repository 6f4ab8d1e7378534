//! The part of the model that is about creating and changing sessions.

use sessile::{CreateOptions, Error, EventKind, Handle, IssuedSession, Version};

use super::{
    IDLE, LIFETIME, MAX_DATA, Pair, Session, SessionTimeouts, SideEffects, SignInDetails, USERS,
};

impl Pair {
    pub(super) fn create(&mut self, len: u16, timeouts: SessionTimeouts) {
        let data = self.fresh_data(usize::from(len) % (MAX_DATA + 16));
        match self
            .cache
            .create_with(&data, CreateOptions::new().timeouts(timeouts.get()))
        {
            Ok(issued) => {
                let own = self.own_events(SideEffects::EvictAnonymous);
                let &[(EventKind::Created, Some(handle))] = &own[..] else {
                    panic!("{own:?}")
                };
                assert!(
                    handle.user().is_none() && !self.handles.contains(&handle),
                    "the handle is new"
                );
                self.handles.push(handle);
                self.created(issued, data, handle, |session, now| {
                    session.set(timeouts, now);
                });
            }
            Err(Error::TooLarge {
                given: len,
                max: limit,
            }) => {
                assert!(len == data.len() && limit == MAX_DATA && len > limit);
                self.expect(SideEffects::Nothing, &[]);
            }
            Err(error) => self.check_full(error),
        }
    }

    /// Creates many sessions, so that memory runs short if there is little; optionally with users.
    pub(super) fn flood(&mut self, number: u8, len: u16, user: Option<u8>) {
        for each in 0..number % if self.is_short { 24 } else { 4 } {
            let before = self.known.len();
            self.create(len % (MAX_DATA as u16), SessionTimeouts::default());
            let issued = self.known.get(before).map(|issued| issued.id);
            if let (Some(id), Some(user)) = (issued, user) {
                let user = user.wrapping_add(each) % USERS;
                self.sign_in(
                    &id,
                    user,
                    SignInDetails {
                        idle: None,
                        label: each,
                    },
                    false,
                    None,
                );
            }
        }
    }

    pub(super) fn created(
        &mut self,
        issued: IssuedSession,
        data: Vec<u8>,
        handle: Handle,
        with: impl FnOnce(&mut Session, u32),
    ) {
        assert!(data.len() <= MAX_DATA);
        let mut session = Session {
            data,
            version: issued.version.get(),
            user: None,
            created: self.now.max(self.cutoff),
            used: self.now,
            idle_timeout: IDLE,
            start: self.now,
            end: self.now + LIFETIME,
            label: 0,
            signed_in: 0,
            handle,
            is_over: false,
        };
        with(&mut session, self.now);
        session.start = session.created;
        assert!(
            self.live.insert(issued.id, session).is_none(),
            "an id is new"
        );
        self.known.push(issued);
    }

    /// Asserts that `Full` occurs only when memory is short, and that nothing was evicted.
    pub(super) fn check_full(&mut self, error: Error) {
        assert!(error == Error::Full && self.is_short, "{error}");
        self.expect(SideEffects::Expiry, &[]);
    }

    pub(super) fn touch(&mut self, which: u16) {
        let Some(id) = self.pick(which) else { return };
        let (resolved, answer) = (self.resolve(&id), self.cache.touch(&id));
        self.expect(SideEffects::Nothing, &[]);
        self.check_id(&resolved, answer.is_ok());
        if answer.is_ok() {
            self.used(&resolved.end);
        }
    }

    pub(super) fn set_timeouts(&mut self, which: u16, timeouts: SessionTimeouts) {
        let Some(id) = self.pick(which) else { return };
        let resolved = self.resolve(&id);
        let version = self
            .live
            .get(&resolved.end)
            .map_or(0, |session| session.version);
        let answer = self
            .cache
            .set_timeouts(&id, Version::new(version), timeouts.get());
        self.expect(SideEffects::Nothing, &[]);
        self.check_id(&resolved, answer.is_ok());
        let now = self.now;
        if let (Ok(next), Some(session)) = (answer, self.live.get_mut(&resolved.end)) {
            assert_eq!(next.get(), version + 1);
            session.version = next.get();
            session.set(timeouts, now);
        }
    }

    pub(super) fn save(&mut self, which: u16, stale: bool, len: u16) {
        let Some(id) = self.pick(which) else { return };
        let data = self.fresh_data(usize::from(len) % (MAX_DATA + 1));
        let resolved = self.resolve(&id);
        let known = self.live.get(&resolved.end);
        let known = known.map(|session| (session.version, session.handle));
        let version = known.map_or(0, |(version, _)| version);
        let answer = self
            .cache
            .save(&id, Version::new(version.wrapping_sub(stale.into())), &data);
        let handle = known.map(|(_, handle)| handle);
        let has_user = handle.is_some_and(|handle| handle.user().is_some());
        match answer {
            Ok(_) if has_user => self.expect(SideEffects::EvictAny, &[]),
            Ok(_) => self.expect(SideEffects::EvictAnonymous, &[]),
            Err(Error::Conflict) => {
                self.expect(SideEffects::Expiry, &[(EventKind::Conflict, handle)]);
            }
            Err(Error::Gone) => self.expect(SideEffects::Expiry, &[]),
            Err(error) => self.check_full(error),
        }
        self.check_id(&resolved, answer != Err(Error::Gone));
        match answer {
            Ok(next) => {
                assert!(!stale && next.get() == version + 1);
                let session = self
                    .live
                    .get_mut(&resolved.end)
                    .expect("the model agrees that the session is live");
                (session.data, session.version) = (data, next.get());
                self.used(&resolved.end);
            }
            Err(error) => assert!(
                stale || error != Error::Conflict,
                "a conflict without another write"
            ),
        }
    }
}
