//! Verifies tokens, for `sessile.jwt.decode` and `Verifier`.
//!
//! Owns the rules that `sessile_jwt` does not have: the subject, further required claims, and the
//! audience of a token that is verified without one. A forked child builds its own verifier,
//! because the list of revocations is that of another process.

use core::fmt::Write as _;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyString, PyType},
};
use serde::de::IgnoredAny;
use sessile_jwt::{Claims, Rejection, VerifierBuildError, VerifierBuilder};

use super::{exception, key_error, keys, revocations::Revocations};
use crate::{errors::seconds, fork::OfProcess, json};

/// Verifies tokens with one set of keys and rules. Created by `sessile.jwt`.
#[pyclass(frozen, module = "sessile._sessile", name = "_Verifier")]
pub(crate) struct Verifier {
    settings: VerifierBuilder,
    revocations: Option<Py<Revocations>>,
    further: FurtherRules,
    built: Mutex<OfProcess<Built>>,
    /// True if verifying takes long enough to release the interpreter lock: not for HMAC.
    is_slow: bool,
    /// Held only by threads that hold the interpreter lock, as `built`.
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// The name of a token in a list of revocations.
#[pyclass(frozen, module = "sessile._sessile", name = "_TokenName")]
pub(crate) struct TokenName(pub(super) Claims<IgnoredAny>);

/// The verifier of this process, with the number of its list of revocations.
struct Built {
    verifier: sessile_jwt::Verifier,
    list: Option<u64>,
}

/// The rules that are checked on the claims in Python.
struct FurtherRules {
    subject: Option<String>,
    required: Vec<String>,
    /// True if a token with an audience is rejected, because none is expected.
    rejects_audience: bool,
}

/// A token that is rejected, with the name of the claim that is missing.
struct Rejected {
    class: &'static str,
    cause: &'static str,
    text: String,
    claim: Option<String>,
}

#[pymethods]
impl Verifier {
    #[new]
    fn new(rules: &Bound<'_, PyAny>, revocations: Option<Py<Revocations>>) -> PyResult<Self> {
        let settings = settings(rules)?;
        let further = FurtherRules::of(rules)?;
        if revocations.is_some() && !rules.getattr("require_exp")?.is_truthy()? {
            return Err(PyValueError::new_err(
                "`options`: `require_exp` must be True with `revocations`, got False",
            ));
        }
        let counts = CAUSES.iter().map(|cause| (*cause, 0)).collect();
        // Reports unfit settings now. The list of revocations may not exist before a fork.
        let verifier = build(&settings, None)?;
        let list = None;
        let algorithms: Vec<String> = rules.getattr("algorithms")?.extract()?;
        Ok(Self {
            is_slow: !algorithms.iter().all(|name| name.starts_with("HS")),
            settings,
            revocations,
            further,
            built: Mutex::new(OfProcess::new(Built { verifier, list })),
            counts: Mutex::new(counts),
        })
    }

    /// Verifies a token and returns its claims. `now` is in seconds since 1970.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        token: &Bound<'py, PyAny>,
        now: Option<f64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let verifier = self.verifier(py)?;
        let now = now.map(time).transpose()?;
        let found = with_text(token, |token| self.verify(py, &verifier, token, now))?;
        found.map_err(|rejected| {
            *self.counts.lock().entry(rejected.cause).or_default() += 1;
            rejected.into_exception()
        })
    }

    /// Counts a request without a token.
    fn count_missing(&self) {
        *self.counts.lock().entry("missing").or_default() += 1;
    }

    /// Returns the number of rejected tokens by cause.
    fn rejections(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    /// Returns the numbers in the text format of Prometheus.
    fn prometheus(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = String::from(REJECTIONS_HEAD);
        for (cause, count) in &*self.counts.lock() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{REJECTIONS}{{cause=\"{cause}\"}} {count}");
        }
        if let Some(revocations) = &self.revocations {
            text.push_str(&revocations.get().prometheus(py)?);
        }
        Ok(text)
    }
}

impl Verifier {
    /// Returns the verifier of this process.
    fn verifier(&self, py: Python<'_>) -> PyResult<sessile_jwt::Verifier> {
        let revocations = match &self.revocations {
            Some(revocations) => Some(revocations.get().current(py)?),
            None => None,
        };
        let list = revocations.as_ref().map(|current| current.number);
        if let Some(verifier) = self.built_for(list) {
            return Ok(verifier);
        }
        let verifier = build(&self.settings, revocations.map(|current| current.list))?;
        *self.built.lock() = OfProcess::new(Built {
            verifier: verifier.clone(),
            list,
        });
        Ok(verifier)
    }

    /// Returns the verifier of this process, if it has this list of revocations.
    fn built_for(&self, list: Option<u64>) -> Option<sessile_jwt::Verifier> {
        let built = self.built.lock();
        let built = built.get().filter(|built| built.list == list);
        built.map(|built| built.verifier.clone())
    }

    fn verify<'py>(
        &self,
        py: Python<'py>,
        verifier: &sessile_jwt::Verifier,
        token: &str,
        now: Option<SystemTime>,
    ) -> Result<Bound<'py, PyDict>, Rejected> {
        let verify = || match now {
            Some(now) => verifier.verify_at(token, now),
            None => verifier.verify(token),
        };
        let verified = if self.is_slow {
            py.detach(verify)
        } else {
            verify()
        };
        let name = TokenName(verified.map_err(Rejected::from)?);
        let claims = part(py, token, PAYLOAD)?;
        self.further.check(&claims)?;
        with_name(py, &claims, name).map_err(|_| Rejected::malformed())
    }
}

impl FurtherRules {
    fn of(rules: &Bound<'_, PyAny>) -> PyResult<Self> {
        let audience: Vec<String> = rules.getattr("audience")?.extract()?;
        let verifies_audience: bool = rules.getattr("verify_aud")?.extract()?;
        if !verifies_audience && !audience.is_empty() {
            return Err(PyValueError::new_err(
                "`options`: `verify_aud` must be True if `audience` is given, got False",
            ));
        }
        Ok(Self {
            subject: rules.getattr("subject")?.extract()?,
            required: rules.getattr("required")?.extract()?,
            rejects_audience: verifies_audience && audience.is_empty(),
        })
    }

    fn check(&self, claims: &Bound<'_, PyDict>) -> Result<(), Rejected> {
        let claim = |name: &str| claims.get_item(name).ok().flatten();
        let required = self.required.iter().map(String::as_str);
        let required = required.chain(self.subject.is_some().then_some("sub"));
        for name in required {
            if claim(name).is_none_or(|value| value.is_none()) {
                return Err(Rejected::missing(name));
            }
        }
        let subject = self.subject.as_ref().zip(claim("sub"));
        if subject.is_some_and(|(expected, given)| !given.eq(expected).unwrap_or(false)) {
            let text = "subject of the token is not `subject`".to_owned();
            return Err(Rejected::new("InvalidSubjectError", "subject", text));
        }
        if self.rejects_audience && claim("aud").is_some() {
            let text = "token has an audience, and `audience` is not set".to_owned();
            return Err(Rejected::new("InvalidAudienceError", "audience", text));
        }
        Ok(())
    }
}

impl Rejected {
    fn new(class: &'static str, cause: &'static str, text: String) -> Self {
        Self {
            class,
            cause,
            text,
            claim: None,
        }
    }

    fn missing(name: &str) -> Self {
        let text = format!("claim `{name}` of the token is missing");
        Self {
            claim: Some(name.to_owned()),
            ..Self::new("MissingRequiredClaimError", "missing_claim", text)
        }
    }

    fn malformed() -> Self {
        Self::from(Rejection::Malformed)
    }

    fn into_exception(self) -> PyErr {
        let mut attributes = vec![("cause", self.cause)];
        attributes.extend(self.claim.as_deref().map(|claim| ("claim", claim)));
        exception(self.class, &self.text, &attributes)
    }
}

impl From<Rejection> for Rejected {
    fn from(rejection: Rejection) -> Self {
        let class = match rejection {
            Rejection::MissingClaim(name) => return Self::missing(name),
            Rejection::TooLong | Rejection::Malformed | Rejection::Header => "DecodeError",
            Rejection::Algorithm => "InvalidAlgorithmError",
            Rejection::UnknownKey | Rejection::Signature => "InvalidSignatureError",
            Rejection::Claims => "MalformedClaimsError",
            Rejection::Expired => "ExpiredSignatureError",
            Rejection::NotYetValid => "ImmatureSignatureError",
            Rejection::Issuer => "InvalidIssuerError",
            Rejection::Audience => "InvalidAudienceError",
            Rejection::Lifetime => "JWTClaimsError",
            Rejection::Revoked => "RevokedTokenError",
            Rejection::Unavailable => "RevocationsUnavailableError",
            _ => "JWTError",
        };
        Self::new(class, rejection.cause(), rejection.to_string())
    }
}

/// Returns the header or the payload of a token, without verifying it.
#[pyfunction]
#[pyo3(name = "_jwt_read")]
pub(crate) fn read<'py>(
    py: Python<'py>,
    token: &Bound<'py, PyAny>,
    is_payload: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let read = with_text(token, |token| {
        // Both must be readable, although one is returned.
        let (header, claims) = (part(py, token, HEADER)?, part(py, token, PAYLOAD)?);
        let is_token = token.len() <= MAX_TOKEN_LEN && token.split('.').count() == 3;
        let read = if is_payload { claims } else { header };
        is_token.then_some(read).ok_or_else(Rejected::malformed)
    })?;
    read.map_err(Rejected::into_exception)
}

fn settings(rules: &Bound<'_, PyAny>) -> PyResult<VerifierBuilder> {
    let names: Vec<String> = rules.getattr("algorithms")?.extract()?;
    let algorithms: Vec<_> = names
        .iter()
        .map(|name| super::algorithm("algorithms", name))
        .collect::<PyResult<_>>()?;
    let given: Vec<keys::GivenKey> = rules.getattr("keys")?.extract()?;
    let keys = keys::verification_keys(&given, &algorithms)?;
    let mut builder = sessile_jwt::Verifier::builder()
        .algorithms(algorithms)
        .keys(keys)
        .require_exp(rules.getattr("require_exp")?.extract()?)
        .max_token_len(MAX_TOKEN_LEN)
        .leeway(seconds("leeway", rules.getattr("leeway")?.extract()?)?);
    for audience in rules.getattr("audience")?.extract::<Vec<String>>()? {
        builder = builder.audience(audience);
    }
    if let Some(token_type) = rules.getattr("token_type")?.extract::<Option<String>>()? {
        builder = builder.token_type(token_type);
    }
    for issuer in rules.getattr("issuer")?.extract::<Vec<String>>()? {
        builder = builder.issuer(issuer);
    }
    Ok(builder)
}

fn build(
    settings: &VerifierBuilder,
    revocations: Option<sessile_jwt::Revocations>,
) -> PyResult<sessile_jwt::Verifier> {
    let mut settings = settings.clone();
    if let Some(revocations) = revocations {
        settings = settings.revocations(revocations);
    }
    settings.build().map_err(|error| match error {
        VerifierBuildError::NoKey { .. }
        | VerifierBuildError::UnusedKey { .. }
        | VerifierBuildError::RepeatedKeyId { .. }
        | VerifierBuildError::TooManyKeys { .. } => key_error(error),
        error => PyValueError::new_err(error.to_string()),
    })
}

/// Calls `act` with a token. Text that is not Unicode is no token, and is empty here.
fn with_text<R>(token: &Bound<'_, PyAny>, act: impl FnOnce(&str) -> R) -> PyResult<R> {
    if let Ok(text) = token.cast::<PyString>() {
        return Ok(act(&text.to_cow().unwrap_or_default()));
    }
    let Ok(bytes) = token.cast::<PyBytes>() else {
        let name = token.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "`token` must be a str or bytes, got {name}"
        )));
    };
    Ok(act(
        core::str::from_utf8(bytes.as_bytes()).unwrap_or_default()
    ))
}

/// Returns a part of a token as a dict.
fn part<'py>(py: Python<'py>, token: &str, at: usize) -> Result<Bound<'py, PyDict>, Rejected> {
    let text = token.split('.').nth(at).ok_or_else(Rejected::malformed)?;
    let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text);
    let json = json.map_err(|_| Rejected::malformed())?;
    let value = json::decode(py, &json).map_err(|_| Rejected::malformed())?;
    value.cast_into().map_err(|_| Rejected::malformed())
}

/// Returns a `sessile.jwt.Claims` with the same items, and the name of its token.
fn with_name<'py>(
    py: Python<'py>,
    claims: &Bound<'py, PyDict>,
    name: TokenName,
) -> PyResult<Bound<'py, PyDict>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "sessile.jwt", "Claims")?;
    let named = class.call1((claims,))?;
    named.setattr(intern!(py, "_token"), Py::new(py, name)?)?;
    named.cast_into().map_err(Into::into)
}

fn time(seconds: f64) -> PyResult<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok();
    let time = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    time.ok_or_else(|| {
        PyValueError::new_err(format!(
            "`now` must be a number of seconds since 1970, got {seconds}"
        ))
    })
}

const HEADER: usize = 0;
const PAYLOAD: usize = 1;

/// The maximum length of a token, in bytes.
const MAX_TOKEN_LEN: usize = 16 << 10;

const REJECTIONS: &str = "sessile_jwt_rejections_total";
const REJECTIONS_HEAD: &str = "# HELP sessile_jwt_rejections_total Rejected tokens by their cause.\n\
    # TYPE sessile_jwt_rejections_total counter\n";

/// The causes of `sessile_jwt`, and the further rules'.
const CAUSES: [&str; 17] = [
    "missing",
    "too_long",
    "malformed",
    "algorithm",
    "header",
    "unknown_key",
    "signature",
    "claims",
    "missing_claim",
    "expired",
    "not_yet_valid",
    "issuer",
    "audience",
    "subject",
    "lifetime",
    "revoked",
    "unavailable",
];
