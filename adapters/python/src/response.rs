//! The headers of a response in Python's hands: those that a session may change go to `sessile-web` and come back.
//!
//! Owns the way between a list of pairs of bytes and a header map. It does not know why a header is set.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, SET_COOKIE, VARY},
};
use pyo3::{
    exceptions::PyValueError,
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use sessile_web::{Session, Sessions};

/// Whether a message begins the response.
pub(crate) fn is_start(message: &Bound<'_, PyDict>) -> PyResult<bool> {
    let kind = message.get_item(intern!(message.py(), "type"))?;
    let kind = kind.as_ref().and_then(|kind| kind.cast::<PyString>().ok());
    Ok(kind.is_some_and(|kind| kind == "http.response.start"))
}

/// Whether a message says that more of the body is to come.
pub(crate) fn has_more(message: &Bound<'_, PyDict>) -> PyResult<bool> {
    let more = message.get_item(intern!(message.py(), "more_body"))?;
    more.map_or(Ok(false), |more| more.is_truthy())
}

/// The status of an `http.response.start`.
pub(crate) fn status(message: &Bound<'_, PyDict>) -> PyResult<StatusCode> {
    let status = message.get_item(intern!(message.py(), "status"))?;
    let code: u16 = status.map_or(Ok(200), |status| status.extract())?;
    StatusCode::from_u16(code)
        .map_err(|_| PyValueError::new_err(format!("the status of the response was {code}")))
}

/// Commits a session and writes the response's headers. If nothing could be stored, the message is that of the
/// response that says so, and the answer its text.
pub(crate) fn commit(
    py: Python<'_>,
    session: &Session,
    status: StatusCode,
    message: &Bound<'_, PyDict>,
) -> PyResult<Option<String>> {
    let given = message.get_item(intern!(py, "headers"))?;
    let (others, mut headers) = split(py, given.as_ref())?;
    let committed = if session.has_work() {
        py.detach(|| Sessions::commit(session, status, &mut headers))
    } else {
        // Nothing is stored: no lock is waited for.
        Sessions::commit(session, status, &mut headers)
    };
    let (list, refused) = match committed {
        Ok(()) => (others, None),
        Err(error) => {
            message.set_item(intern!(py, "status"), error.status().as_u16())?;
            (PyList::empty(py), Some(error.to_string()))
        }
    };
    for (name, value) in &headers {
        list.append((
            PyBytes::new(py, name.as_str().as_bytes()),
            PyBytes::new(py, value.as_bytes()),
        ))?;
    }
    message.set_item(intern!(py, "headers"), list)?;
    Ok(refused)
}

/// The headers that a session may change, and a list of the others as they are. One that is no header is left
/// to the server.
fn split<'py>(
    py: Python<'py>,
    given: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyList>, HeaderMap)> {
    let (others, mut headers) = (PyList::empty(py), HeaderMap::new());
    let Some(given) = given else {
        return Ok((others, headers));
    };
    for header in given.try_iter()? {
        let header = header?;
        match ours(&header)? {
            Some((name, value)) => drop(headers.append(name, value)),
            None => others.append(header)?,
        }
    }
    Ok((others, headers))
}

fn ours(header: &Bound<'_, PyAny>) -> PyResult<Option<(HeaderName, HeaderValue)>> {
    let (name, value) = halves(header)?;
    let Ok(name) = name.cast::<PyBytes>() else {
        return Ok(None);
    };
    let name =
        OURS.iter().find(|ours| ours.as_str().as_bytes().eq_ignore_ascii_case(name.as_bytes()));
    let Some(name) = name else {
        return Ok(None);
    };
    let value = value
        .cast::<PyBytes>()
        .ok()
        .and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
    Ok(value.map(|value| (name.clone(), value)))
}

/// The name and the value of a header.
pub(crate) fn halves<'py>(
    header: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    match header.cast::<PyTuple>() {
        Ok(pair) => Ok((pair.get_item(0)?, pair.get_item(1)?)),
        Err(_) => Ok((header.get_item(0)?, header.get_item(1)?)),
    }
}

const OURS: [HeaderName; 3] = [VARY, SET_COOKIE, CACHE_CONTROL];
