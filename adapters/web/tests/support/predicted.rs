//! The expected response of a request, computed from the session that its cookie opened when it was
//! read, and opens when it is stored.

use super::{Act, Data, KEYS, LIFETIME, REMEMBERED, Tab, USERS, View};

pub(super) enum Predicted {
    /// 409, no cookie, and nothing is stored.
    Conflict,
    /// 200, no cookie, and nothing to store.
    Nothing,
    /// No cookie. The status is 409, unless the session's cookie was persistent already.
    NoCookie,
    /// 200, and the response's cookie, or the request's if there is none, opens this session.
    Session(Option<View>),
}

impl Tab {
    /// Returns the data with this request's changes applied.
    pub(super) fn own(&self, data: &Data) -> Data {
        let mut data = data.clone();
        for act in &self.acts {
            match act {
                Act::Set(key, value) => drop(data.insert(KEYS[*key].into(), *value)),
                Act::Remove(key) | Act::Take(key) => drop(data.remove(KEYS[*key])),
                Act::Clear => data.clear(),
                Act::Add => *data.entry("n".into()).or_default() += 1,
                _ => {}
            }
        }
        data
    }

    /// Returns the user whom this request signs in.
    pub(super) fn user(&self) -> Option<&'static str> {
        let user = |act: &Act| {
            if let Act::SignIn(user, _) = act {
                Some(USERS[*user])
            } else {
                None
            }
        };
        self.acts.iter().rev().find_map(user)
    }

    /// Returns the seconds for which the request keeps the session; `None` if that is unchanged.
    pub(super) fn keep(&self) -> Option<u64> {
        let base = self.base.as_ref().and_then(|base| base.as_ref());
        let mut user = base.and_then(|view| view.user.as_deref());
        let mut keep = None;
        for act in &self.acts {
            match act {
                Act::SignIn(name, is_remembered) => {
                    let is_anothers = user.is_some_and(|user| user != USERS[*name]);
                    user = Some(USERS[*name]);
                    if *is_remembered {
                        keep = Some(REMEMBERED);
                    } else if is_anothers && keep.is_none() {
                        keep = Some(LIFETIME);
                    }
                }
                Act::Persistent => keep = Some(LIFETIME),
                Act::Remember => keep = Some(REMEMBERED),
                _ => {}
            }
        }
        keep
    }

    pub(super) fn renames(&self, before: Option<&View>) -> bool {
        before.is_some_and(|before| changes_user(&before.data, &self.own(&before.data)))
    }

    pub(super) fn predict_open(&self, before: &View, is_alias: bool) -> Predicted {
        let holds =
            |(key, value): &(usize, Option<i64>)| before.data.get(KEYS[*key]) == value.as_ref();
        let renames = self.renames(Some(before));
        let is_torn = is_alias && renames && before.user.is_some() && self.user().is_none();
        if !self.watches.iter().all(holds) || is_torn {
            return Predicted::Conflict;
        }
        let (data, changes) = (
            self.own(&before.data),
            self.acts.iter().any(Act::is_of_data),
        );
        let user = self
            .user()
            .map(str::to_owned)
            .or_else(|| before.user.clone());
        let is_emptied = data.is_empty() && user.is_none() && (changes || self.keep().is_some());
        if is_emptied && !is_alias {
            return Predicted::Session(None);
        }
        Predicted::Session(Some(View { user, data }))
    }

    /// Predicts the response if the session that was read has a new id.
    pub(super) fn predict_replaced(&self, base: &View) -> Predicted {
        let data = self.own(&base.data);
        let user = self.user().map(str::to_owned);
        if user.is_some() || base.user.is_none() && changes_user(&base.data, &data) {
            return Predicted::Session(Some(View { user, data }));
        }
        match self.keep() {
            _ if data != base.data => Predicted::Conflict,
            Some(REMEMBERED) => Predicted::Conflict,
            Some(_) => Predicted::NoCookie,
            None => Predicted::Nothing,
        }
    }

    /// Predicts the response if the session that was read ended or expired.
    pub(super) fn predict_ended(&self, base: &View) -> Predicted {
        let nothing = Data::new();
        if self.user().is_some() {
            return self.watched(|| self.new_session(self.own(&nothing)));
        }
        let own = self.own(&base.data);
        let mut data = self.own(&nothing);
        let is_watched = |key: &str| {
            self.watches
                .iter()
                .any(|(watched, _)| KEYS[*watched] == key)
        };
        data.retain(|key, _| own.get(key) != base.data.get(key) || is_watched(key));
        let may_create = base.user.is_none() || data.contains_key(KEYS[2]);
        self.watched(|| match () {
            () if data.is_empty() => Predicted::Nothing,
            () if may_create => self.new_session(data.clone()),
            () => Predicted::Conflict,
        })
    }

    /// Predicts a conflict if a watched key had a value, because nothing is stored now.
    fn watched(&self, otherwise: impl FnOnce() -> Predicted) -> Predicted {
        let is_held = self.watches.iter().any(|(_, value)| value.is_some());
        if is_held {
            Predicted::Conflict
        } else {
            otherwise()
        }
    }

    pub(super) fn new_session(&self, data: Data) -> Predicted {
        let user = self.user().map(str::to_owned);
        if data.is_empty() && user.is_none() {
            return if self.cookie.is_none() && self.sign_outs > 0 {
                Predicted::Session(None)
            } else {
                Predicted::Nothing
            };
        }
        Predicted::Session(Some(View { user, data }))
    }
}

impl Act {
    pub(super) fn is_of_data(&self) -> bool {
        matches!(
            self,
            Self::Set(..)
                | Self::Remove(_)
                | Self::Take(_)
                | Self::Clear
                | Self::Add
                | Self::Watch(_)
        )
    }
}

pub(super) fn changes_user(old: &Data, new: &Data) -> bool {
    new.get(KEYS[2])
        .is_some_and(|user| old.get(KEYS[2]) != Some(user))
}
