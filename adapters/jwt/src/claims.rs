//! The claims of a token.
//!
//! Owns the registered claims of RFC 7519, section 4.1, and their comparison with the settings. It
//! knows no key and no signature.

use core::{fmt, ops::Deref};
use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    Rejection,
    header::{Names, Text},
    name::Name,
};

/// The claims of a token that was verified, as a `T` of the application.
///
/// Dereferences to the `T`, which is read from the whole payload of the token. With the feature
/// `axum` it is an extractor of routes whose state contains the [`Verifier`](crate::Verifier).
#[derive(Clone)]
pub struct Claims<T> {
    pub(crate) name: Name,
    pub(crate) subject: Option<Box<str>>,
    pub(crate) issued_at: Option<f64>,
    pub(crate) expires_at: Option<f64>,
    pub(crate) custom: T,
}

impl<T> Claims<T> {
    /// Returns the claim `sub`, or `None` if the token has none.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Returns the claim `iat` in Unix seconds, or `None` if the token has none.
    #[must_use]
    pub fn issued_at(&self) -> Option<f64> {
        self.issued_at
    }

    /// Returns the claim `exp` in Unix seconds, or `None` if the token has none.
    #[must_use]
    pub fn expires_at(&self) -> Option<f64> {
        self.expires_at
    }

    /// Returns the application's claims.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.custom
    }
}

impl<T> Deref for Claims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.custom
    }
}

/// Shows no claim.
impl<T> fmt::Debug for Claims<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// The expected values of the registered claims.
#[derive(Clone, Default)]
pub(crate) struct Expected {
    pub(crate) audiences: Vec<String>,
    pub(crate) issuers: Vec<String>,
    pub(crate) leeway_seconds: f64,
    pub(crate) requires_exp: bool,
    pub(crate) requires_iat: bool,
    /// The maximum time from `iat` to `exp`, in seconds.
    pub(crate) max_lifetime_seconds: Option<f64>,
}

/// The registered claims of a token.
#[derive(Default)]
pub(crate) struct Registered<'a> {
    pub(crate) issuer: Option<Cow<'a, str>>,
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) audience: Option<Audience<'a>>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) expires_at: Option<f64>,
    pub(crate) not_before: Option<f64>,
    pub(crate) issued_at: Option<f64>,
}

impl<'a> Registered<'a> {
    /// Reads the registered claims of a payload.
    pub(crate) fn parse(json: &'a str) -> Result<Self, Rejection> {
        serde_json::from_str(json).map_err(|_| Rejection::Claims)
    }

    /// Compares the claims with the settings, at a time in Unix seconds.
    pub(crate) fn check(&self, expected: &Expected, now: f64) -> Result<(), Rejection> {
        self.check_times(expected, now)?;
        self.check_lifetime(expected, now)?;
        match &self.issuer {
            _ if expected.issuers.is_empty() => {}
            None => return Err(Rejection::MissingClaim("iss")),
            Some(issuer) if expected.issuers.iter().any(|known| known == issuer) => {}
            Some(_) => return Err(Rejection::Issuer),
        }
        match &self.audience {
            _ if expected.audiences.is_empty() => Ok(()),
            None => Err(Rejection::MissingClaim("aud")),
            Some(audience) if audience.contains_any(&expected.audiences) => Ok(()),
            Some(_) => Err(Rejection::Audience),
        }
    }

    fn check_times(&self, expected: &Expected, now: f64) -> Result<(), Rejection> {
        let leeway = expected.leeway_seconds;
        match self.expires_at {
            None if expected.requires_exp => return Err(Rejection::MissingClaim("exp")),
            Some(expires_at) if now >= expires_at + leeway => return Err(Rejection::Expired),
            _ => {}
        }
        if self.issued_at.is_none() && expected.requires_iat {
            return Err(Rejection::MissingClaim("iat"));
        }
        let begins = [self.not_before, self.issued_at].into_iter().flatten();
        match begins.fold(f64::MIN, f64::max) > now + leeway {
            true => Err(Rejection::NotYetValid),
            false => Ok(()),
        }
    }

    /// A cut-off is freed after the maximum lifetime. A token that is valid for longer would be
    /// accepted again.
    fn check_lifetime(&self, expected: &Expected, now: f64) -> Result<(), Rejection> {
        let (Some(max), Some(expires_at)) = (expected.max_lifetime_seconds, self.expires_at) else {
            return Ok(());
        };
        match expires_at - self.issued_at.unwrap_or(now) > max {
            true => Err(Rejection::Lifetime),
            false => Ok(()),
        }
    }
}

/// The claim `aud`: one string or several.
pub(crate) struct Audience<'a>(Vec<Cow<'a, str>>);

impl Audience<'_> {
    fn contains_any(&self, expected: &[String]) -> bool {
        self.0
            .iter()
            .any(|given| expected.iter().any(|known| known == given))
    }
}

impl<'de> Deserialize<'de> for Audience<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Audience<'de>, E> {
        Ok(Audience(vec![Cow::Borrowed(text)]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Audience<'de>, E> {
        Ok(Audience(vec![Cow::Owned(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience<'de>, A::Error> {
        let mut audiences = Vec::new();
        while let Some(Text(audience)) = list.next_element()? {
            audiences.push(audience);
        }
        Ok(Audience(audiences))
    }
}

/// A date in Unix seconds: a finite JSON number, which may have a fraction (RFC 7519, section 2).
struct Date(f64);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DateVisitor)
    }
}

struct DateVisitor;

impl Visitor<'_> for DateVisitor {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Date, E> {
        Ok(Date(seconds as f64))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Date, E> {
        Ok(Date(seconds as f64))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Date, E> {
        match seconds.is_finite() {
            true => Ok(Date(seconds)),
            false => Err(E::custom("not finite")),
        }
    }
}

impl<'de> Deserialize<'de> for Registered<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RegisteredVisitor)
    }
}

struct RegisteredVisitor;

impl<'de> Visitor<'de> for RegisteredVisitor {
    type Value = Registered<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Registered<'de>, A::Error> {
        let mut claims = Registered::default();
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "iss" => claims.issuer = Some(map.next_value::<Text<'de>>()?.0),
                "sub" => claims.subject = Some(map.next_value::<Text<'de>>()?.0),
                "jti" => claims.id = Some(map.next_value::<Text<'de>>()?.0),
                "aud" => claims.audience = Some(map.next_value()?),
                "exp" => claims.expires_at = Some(map.next_value::<Date>()?.0),
                "nbf" => claims.not_before = Some(map.next_value::<Date>()?.0),
                "iat" => claims.issued_at = Some(map.next_value::<Date>()?.0),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            names.add(name);
        }
        names.check()?;
        Ok(claims)
    }
}
