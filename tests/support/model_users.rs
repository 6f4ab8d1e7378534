//! The part of the model that is about users. Which session is a user's stalest is known to the cache to a
//! sixteenth of its timeout: the model takes its word for it, and checks it against the list of before.

use sessile::{AtLimit, Deadlines, Device, Error, Handle, SessionId, SignIn};

use super::{LIFETIME, MOST_SESSIONS, Pair, Session, TICK};

impl Pair {
    pub(super) fn sign_in(
        &mut self,
        id: &SessionId,
        user: u8,
        deadlines: Deadlines,
        renew: bool,
        label: u8,
    ) {
        let before = self.sessions_of(user);
        let text = text(label);
        let with = SignIn { deadlines, assurance: label, label: &text, renew_lifetime: renew };
        let answer = self.cache.sign_in(id, &name(user), with);
        let own = self.live.get(id).and_then(|session| session.handle);
        let mut others: Vec<_> =
            before.iter().filter(|device| Some(device.handle) != own).collect();
        let is_full = others.len() >= MOST_SESSIONS;
        if let Err(Error::TooManySessions) = answer {
            assert!(is_full && self.at_limit == AtLimit::Refuse);
            let after = self.sessions_of(user);
            assert_eq!(handles(&before), handles(&after), "a refusal ends nobody");
            return self.agree(id, true);
        }
        assert!(!is_full || answer.is_err() || self.at_limit == AtLimit::EndStalest);
        let is_in = answer.is_ok();
        let now = self.now;
        self.reissued(id, answer, |session| {
            session.user = Some(user);
            if renew {
                session.end = now + (session.end - session.start).min(LIFETIME);
                session.start = now;
            }
            session.set(deadlines, now);
            if !renew && session.start != session.created {
                // Nothing says any more from when it counted.
                session.start = session.created;
            }
            (session.label, session.signed_in, session.handle) = (label, now, None);
        });
        if is_in && is_full {
            let stalest = others.pop().expect("they are sorted, the stalest last").handle;
            let left: Vec<_> = self.cache.sessions_of(&name(user));
            assert!(left.iter().all(|device| device.handle != stalest), "the stalest goes");
            self.live.retain(|_, session| session.handle != Some(stalest));
        }
        if is_in {
            self.learn_handle(user, &handles(&before));
        }
    }

    /// Notes what the session is called that has just been signed in to, if it is there at all.
    fn learn_handle(&mut self, user: u8, before: &[Handle]) {
        let list = self.cache.sessions_of(&name(user));
        let mut new = list.iter().filter(|device| !before.contains(&device.handle));
        if let Some(device) = new.next() {
            assert!(!self.handles.contains(&device.handle), "a handle is new");
            let issued = self.known.last().expect("it was issued").id;
            let session = self.live.get_mut(&issued).expect("it was issued");
            session.handle = Some(device.handle);
            self.handles.push(device.handle);
        }
        assert!(new.next().is_none());
    }

    /// The list of a user's sessions, after it was checked.
    pub(super) fn sessions_of(&mut self, user: u8) -> Vec<Device> {
        let list = self.cache.sessions_of(&name(user));
        assert!(list.len() <= MOST_SESSIONS, "the limit is kept");
        assert!(list.is_sorted_by_key(Device::last_seen));
        for device in &list {
            let of = |session: &&Session| session.handle == Some(device.handle);
            let session = self.live.values().find(of).expect("what is listed is there");
            session.check(device, user, self.now);
        }
        let listed = handles(&list);
        let theirs = self.live.iter().filter(|(_, session)| session.user == Some(user));
        let theirs: Vec<_> = theirs
            .map(|(id, session)| {
                (*id, session.handle.is_some_and(|handle| listed.contains(&handle)))
            })
            .collect();
        theirs.iter().for_each(|(id, is_there)| self.agree(id, *is_there));
        list
    }

    pub(super) fn end_session(&mut self, which: u16) {
        let Some(&handle) = self.handles.get(usize::from(which) % self.handles.len().max(1)) else {
            return;
        };
        let parsed: Handle = handle.to_string().parse().expect("its own text");
        let answer = self.cache.end_session(&parsed);
        let found = self.live.iter().find(|(_, session)| session.handle == Some(handle));
        match found.map(|(id, _)| *id) {
            Some(id) => {
                self.agree(&id, answer);
                self.live.remove(&id);
            }
            None => assert!(!answer, "what is over is not ended again"),
        }
        assert!(!self.cache.end_session(&handle));
    }

    pub(super) fn end_user(&mut self, user: u8, except: Option<u16>) {
        let before = self.sessions_of(user);
        let except = except.and_then(|which| self.pick(which));
        let ended = self.cache.end_user(&name(user), except.as_ref());
        let left = handles(&self.cache.sessions_of(&name(user)));
        assert_eq!(ended, before.len() - left.len(), "as many as it says");
        let kept = except.map(|id| self.resolve(id, user));
        if let Some((id, is_promised)) = kept
            && is_promised
            && let Some(session) = self.live.get(&id)
            && session.user == Some(user)
        {
            let was_there = before.iter().any(|device| Some(device.handle) == session.handle);
            assert_eq!(left.len(), usize::from(was_there), "the exception is kept");
        }
        let is_kept = |handle: Option<Handle>| handle.is_some_and(|own| left.contains(&own));
        self.live.retain(|id, session| {
            let is_it = kept.is_some_and(|(kept, _)| kept == *id);
            let stays = session.user != Some(user) || is_kept(session.handle);
            assert!(session.user != Some(user) || !stays || is_it, "all others are ended");
            stays
        });
    }

    /// Where an id went, and whether `end_user` is to know.
    fn resolve(&self, mut id: SessionId, user: u8) -> (SessionId, bool) {
        let mut is_promised = true;
        while let Some(alias) = self.aliases.get(&id) {
            let is_remembered = self.now < alias.until && !self.is_short;
            is_promised &= is_remembered && alias.user == Some(user);
            id = alias.target;
        }
        (id, is_promised)
    }
}

impl Session {
    /// Checks what a list says of a session.
    fn check(&self, device: &Device, user: u8, now: u32) {
        assert_eq!(self.user, Some(user), "what is listed is the user's");
        assert!(!self.is_dead(now), "what is past its deadline is not listed");
        assert_eq!((device.label.as_str(), device.assurance), (&*text(self.label), self.label));
        assert_eq!(device.age(), TICK * (now - self.created));
        assert_eq!(device.signed_in_for(), TICK * (now - self.signed_in));
        let (seen, used) = (device.last_seen(), TICK * (now - self.used));
        assert!(
            used <= seen && seen <= used + TICK * (self.idle_timeout / 16),
            "{seen:?} {used:?}"
        );
    }
}

fn handles(list: &[Device]) -> Vec<Handle> {
    list.iter().map(|device| device.handle).collect()
}

fn name(user: u8) -> String {
    format!("user {user}")
}

fn text(label: u8) -> String {
    "label".chars().cycle().take(label.into()).collect()
}
