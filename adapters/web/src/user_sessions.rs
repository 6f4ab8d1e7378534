//! Where else a session's user is signed in, and signing out there.
//!
//! Thin over the engine's lists. What it adds is which of them is this one, and that nobody ends a session of
//! somebody else by its handle.

use core::ops::Deref;

use sessile::Handle;

use crate::{
    Session,
    state::{Request, State},
};

/// A session in the list of its user's. Everything that the engine says of it is there: its label, when it was
/// last seen, and the handle by which [`Session::end_device`] ends it.
#[derive(Clone, Debug)]
pub struct Device {
    device: sessile::SessionInfo,
    is_current: bool,
}

impl Device {
    /// Whether it is the session that asks.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_current
    }
}

impl Deref for Device {
    type Target = sessile::SessionInfo;

    fn deref(&self) -> &sessile::SessionInfo {
        &self.device
    }
}

impl Session {
    /// All sessions of the user who is signed in, this one among them, the most recently seen first; none if
    /// nobody is. A sign-in of this request counts once it is stored.
    ///
    /// ```
    /// # use http::{HeaderMap, StatusCode, header};
    /// # use sessile::{KeyRing, SessionCache};
    /// # use sessile_web::SessionManager;
    /// use sessile_web::SignIn;
    ///
    /// # let cache = SessionCache::builder().memory(4 << 20).keys(KeyRing::generate()?).build()?;
    /// # let sessions = SessionManager::new(cache);
    /// # let sign_in = |label| {
    /// #     let session = sessions.begin(&HeaderMap::new());
    /// session.sign_in(SignIn::of("ada").label(label))?;
    /// #     session.save()?;
    /// #     Ok::<_, sessile_web::SessionError>(session)
    /// # };
    /// # let (_phone, session) = (sign_in("phone")?, sign_in("laptop")?);
    /// // Later, on one of two devices:
    /// let devices = session.devices();
    /// let phone = devices.iter().find(|device| device.label == "phone").expect("it is signed in");
    /// assert!(!phone.is_current());
    /// assert!(session.end_device(&phone.handle));
    /// assert_eq!(session.devices().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn devices(&self) -> Vec<Device> {
        self.with(|state, request| {
            let Some(user) = state.user(request) else {
                return Vec::new();
            };
            let this = state.handle(request);
            let devices = request.sessions.cache().user_sessions(&user).into_iter();
            devices
                .map(|device| Device { is_current: Some(device.handle) == this, device })
                .collect()
        })
    }

    /// Signs this session's user out on one of their devices, by the handle that the list gave, at once. Says
    /// whether it was there: not if it is somebody else's. If it is this session, it is signed out as
    /// [`sign_out`](Self::sign_out) does.
    pub fn end_device(&self, handle: &Handle) -> bool {
        self.with(|state, request| {
            let Some(this) = state.handle(request) else {
                return false;
            };
            if *handle == this {
                state.sign_out(request);
                return true;
            }
            let is_own = this.user().is_some() && handle.user() == this.user();
            is_own && request.sessions.cache().end_by_handle(handle)
        })
    }

    /// Signs this session's user out on all other devices, at once, and says on how many. For after a change of
    /// the password.
    pub fn sign_out_others(&self) -> usize {
        self.with(|state, request| {
            let user = state.user(request);
            let this = state.stored.live(request).map(|live| live.id);
            user.map_or(0, |user| request.sessions.cache().end_user_sessions(&user, this.as_ref()))
        })
    }

    /// Signs this session's user out on all devices, this one too, at once, and says on how many.
    pub fn sign_out_everywhere(&self) -> usize {
        self.with(|state, request| {
            let user = state.user(request);
            let ended =
                user.map_or(0, |user| request.sessions.cache().end_user_sessions(&user, None));
            state.sign_out(request);
            ended
        })
    }
}

impl State {
    /// What lists call this session. It is read again if this request gave it a new id.
    fn handle(&mut self, request: &Request) -> Option<Handle> {
        let live = self.stored.live(request)?;
        if live.record.is_none() {
            let mut buffer = bytes::BytesMut::new();
            live.record = request.sessions.cache().load(&live.id, &mut buffer);
        }
        live.record.map(|record| record.handle())
    }
}
