//! Sessions in a store, for a program that reads them with a client of its own.
//!
//! Owns the verification of tokens and the decoding of records; `sessile.store` owns the commands
//! that it sends to the server. It counts as no use, writes nothing, and knows no cache.

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};
use sessile::{SessionCache, SessionId, tier::L1};
use sessile_store::{
    encryption::{Binding, Encryption},
    record::{Record, SessionRecord, parse_id},
};
use sessile_web::adapter::StoredValues;

use crate::{errors::value_error, json, keys};

/// The keys of an application, for the cookies and the encrypted records of one cookie name.
#[pyclass(frozen, module = "sessile._sessile", name = "_StoreReader")]
pub(crate) struct StoreReader {
    /// Verifies tokens. No session is ever installed in it.
    l1: L1,
    encryption: Encryption,
}

#[pymethods]
impl StoreReader {
    #[new]
    #[pyo3(signature = (*, secret_key = None, keys = None, cookie_name = "session"))]
    fn new(
        py: Python<'_>,
        secret_key: Option<&Bound<'_, PyAny>>,
        keys: Option<&Bound<'_, PyAny>>,
        cookie_name: &str,
    ) -> PyResult<Self> {
        let given = keys::Given {
            secret_key,
            keys,
            insecure_dev_key: false,
        };
        let builder = SessionCache::builder()
            .memory(MEMORY)
            .max_session_size(MAX_SESSION_SIZE)
            .huge_pages(false)
            .cookie_name(cookie_name)
            .keys(keys::ring(py, given)?);
        let l1 = builder
            .build_l1([0; 32])
            .map_err(|error| value_error(keys::with_setting(&error, given.setting())))?;
        Ok(Self {
            encryption: Encryption::derive(&l1),
            l1,
        })
    }

    /// Returns the partition and the id of a token, or `None` if its MAC is not valid.
    fn verify(&self, token: &[u8]) -> Option<Name> {
        self.l1.verify_token(token).map(|proven| name(&proven.id))
    }

    fn __repr__(&self) -> &'static str {
        "_StoreReader(..)"
    }
}

/// Returns the fields of a session's record, or `None` if the bytes are none, or cannot be
/// decrypted. Without a reader the values of an encrypted record are `None`.
#[pyfunction]
#[pyo3(name = "_stored_session")]
pub(crate) fn stored_session<'py>(
    py: Python<'py>,
    partition: u8,
    id: &str,
    record: &[u8],
    reader: Option<&StoreReader>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let (Some(id), Ok(Record::Session(session))) = (parse(partition, id), Record::decode(record))
    else {
        return Ok(None);
    };
    let data = match plain_data(id, &session, reader) {
        Data::Plain(data) => Some(data),
        Data::Unknown => None,
        Data::Bad => return Ok(None),
    };
    let fields = header_fields(py, &session)?;
    let values = data.clone().and_then(StoredValues::decode);
    fields.set_item("raw", data.as_deref().map(|data| PyBytes::new(py, data)))?;
    fields.set_item("user", values.as_ref().and_then(|all| all.user.as_deref()))?;
    fields.set_item("data", values.map(|all| dict(py, &all)).transpose()?)?;
    Ok(Some(fields))
}

/// Returns the partition and the id that an alias leads to, and the end of its grace period; `None`
/// if the record is not an alias.
#[pyfunction]
#[pyo3(name = "_stored_alias")]
pub(crate) fn stored_alias(record: &[u8]) -> Option<(u8, String, u64)> {
    let Ok(Record::Alias(alias)) = Record::decode(record) else {
        return None;
    };
    let (partition, id) = name(&alias.target);
    Some((partition, id, alias.grace_until.0))
}

/// The partition of an id, and its 32 hexadecimal digits.
type Name = (u8, String);

enum Data {
    Plain(Vec<u8>),
    /// It is encrypted, and no keys are given.
    Unknown,
    /// It cannot be decrypted with the keys.
    Bad,
}

fn plain_data(id: SessionId, session: &SessionRecord<'_>, reader: Option<&StoreReader>) -> Data {
    if !session.header.is_encrypted {
        return Data::Plain(session.data.to_vec());
    }
    let Some(reader) = reader else {
        return Data::Unknown;
    };
    let binding = Binding::of(id, &session.header);
    let data = reader.encryption.decrypt(&binding, session.data);
    data.map_or(Data::Bad, Data::Plain)
}

/// Returns what the header says. Times are in milliseconds of the server.
fn header_fields<'py>(
    py: Python<'py>,
    session: &SessionRecord<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    let (header, fields) = (&session.header, PyDict::new(py));
    let user = header.user.map(|user| hex(&user.to_bytes()));
    fields.set_item("label", session.label)?;
    fields.set_item("assurance_level", header.assurance_level)?;
    fields.set_item("created", header.created.0)?;
    fields.set_item("authenticated", header.authenticated.0)?;
    fields.set_item("user_hash", user)?;
    fields.set_item("idle_timeout", header.idle_timeout().as_millis())?;
    Ok(fields)
}

fn dict<'py>(py: Python<'py>, values: &StoredValues) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, json) in &values.pairs {
        let value = json::decode(py, json)
            .map_err(|_| value_error("a value in the session is not JSON"))?;
        dict.set_item(key, value)?;
    }
    Ok(dict)
}

fn name(id: &SessionId) -> Name {
    (id.partition(), hex(&id.to_bytes()))
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn parse(partition: u8, id: &str) -> Option<SessionId> {
    parse_id(id.as_bytes().try_into().ok()?, partition.into())
}

/// Enough for an empty cache of one shard.
const MEMORY: usize = 64 << 10;
const MAX_SESSION_SIZE: usize = 1 << 10;
