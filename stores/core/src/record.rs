//! The format of a record, the same bytes in every store.
//!
//! ```text
//!  byte 0   format │ bit 6 lifetime renewed │ bit 7 data encrypted        all numbers little-endian,
//!       1   kind: 1 session, 2 alias                                      times in ms of the server
//!       2   assurance level
//!       3   length of the label
//!       4   version u32
//!       8   serial u32
//!      12   idle timeout u32, ticks of 100 ms
//!      16   created u64         24 authenticated u64, or 0
//!      32   issued u64          40 end of the lifetime u64
//!      48   user hash, 16 bytes, zeros without a user
//!      64   session: label │ data
//!           alias: id of the target, 32 hexadecimal digits │ its place u16 │ end of the grace u64
//! ```
//!
//! Decodes what any server returns: hostile or truncated bytes are an error, never a panic. It
//! knows no store and no cache.

use std::{fmt, time::Duration};

use sessile::{SessionId, UserHash, Version};

use crate::store::{Lifetime, NewAlias, NewRecord, ServerTime, StoredData};

/// A record, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A session.
    Session(SessionRecord<'a>),
    /// An id that was replaced.
    Alias(AliasRecord),
}

/// A session, decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionRecord<'a> {
    /// The header.
    pub header: Header,
    /// The label; empty without a user.
    pub label: &'a str,
    /// The data, encrypted if the header says so.
    pub data: &'a [u8],
}

/// An alias, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AliasRecord {
    /// The header of the session at the time when the id was replaced.
    pub header: Header,
    /// The id that it leads to.
    pub target: SessionId,
    /// The end of the grace period.
    pub grace_until: ServerTime,
}

/// The header of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The data is encrypted.
    pub is_encrypted: bool,
    /// The lifetime was renewed at a sign-in.
    pub is_renewed: bool,
    /// The authentication assurance level; 0 without a user.
    pub assurance_level: u8,
    /// The version.
    pub version: Version,
    /// 32 random bits, by which handles tell a user's sessions apart.
    pub serial: u32,
    /// The idle timeout, in ticks of 100 ms.
    pub idle_ticks: u32,
    /// The creation.
    pub created: ServerTime,
    /// The last sign-in, or zero without a user.
    pub authenticated: ServerTime,
    /// The issue of the id.
    pub issued: ServerTime,
    /// The end of the lifetime.
    pub end: ServerTime,
    /// The user.
    pub user: Option<UserHash>,
}

/// A record that cannot be decoded. It opens nothing and is never overwritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// The format is not [`FORMAT`]: a later build wrote the record.
    UnknownFormat(u8),
    /// The bytes are not a record of this format.
    Malformed,
}

impl<'a> Record<'a> {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let format = *bytes.first().ok_or(RecordError::Malformed)?;
        if format & FORMAT_MASK != FORMAT {
            return Err(RecordError::UnknownFormat(format & FORMAT_MASK));
        }
        let (head, body) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(RecordError::Malformed)?;
        let header = Header::decode(head);
        match head[1] {
            KIND_SESSION => {
                SessionRecord::decode(header, usize::from(head[3]), body).map(Self::Session)
            }
            KIND_ALIAS => AliasRecord::decode(header, body).map(Self::Alias),
            _ => None,
        }
        .ok_or(RecordError::Malformed)
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Session(session) => &session.header,
            Self::Alias(alias) => &alias.header,
        }
    }
}

impl<'a> SessionRecord<'a> {
    fn decode(header: Header, label_len: usize, body: &'a [u8]) -> Option<Self> {
        let (label, data) = body.split_at_checked(label_len)?;
        let label = std::str::from_utf8(label).ok()?;
        let is_valid = label_len <= MAX_LABEL_LEN && (header.user.is_some() || label.is_empty());
        is_valid.then_some(Self {
            header,
            label,
            data,
        })
    }

    /// Encodes the session.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.label.len() + self.data.len());
        bytes.extend(self.header.encode(KIND_SESSION, self.label.len() as u8));
        bytes.extend(self.label.as_bytes());
        bytes.extend(self.data);
        bytes
    }
}

impl AliasRecord {
    fn decode(header: Header, body: &[u8]) -> Option<Self> {
        let (digits, rest) = body.split_first_chunk::<32>()?;
        let (place, rest) = rest.split_first_chunk()?;
        let grace_until = ServerTime(u64::from_le_bytes(rest.try_into().ok()?));
        let target = parse_id(digits, u16::from_le_bytes(*place))?;
        Some(Self {
            header,
            target,
            grace_until,
        })
    }

    /// Encodes the alias.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ALIAS_LEN);
        bytes.extend(self.header.encode(KIND_ALIAS, 0));
        bytes.extend(encode_target(&self.target));
        bytes.extend(self.grace_until.0.to_le_bytes());
        bytes
    }
}

impl Header {
    /// Returns the header of a record that is created at `now`.
    #[must_use]
    pub fn new(new: &NewRecord<'_>, now: ServerTime) -> Self {
        let after = |lifetime: Duration| now.after(lifetime);
        let (created, end, is_renewed) = match new.lifetime {
            Lifetime::New(lifetime) => (now, after(lifetime), false),
            Lifetime::Renewed { created, lifetime } => (created, after(lifetime), true),
            Lifetime::Continued {
                created,
                end,
                is_renewed,
            } => (created, end, is_renewed),
        };
        let authenticated = new.user.map_or(ServerTime(0), |_| now);
        Self {
            is_encrypted: new.data.is_encrypted,
            is_renewed,
            assurance_level: new.assurance_level,
            version: new.version,
            serial: new.serial,
            idle_ticks: to_ticks(new.idle_timeout),
            created,
            authenticated,
            issued: now,
            end,
            user: new.user,
        }
    }

    /// Returns the idle timeout.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        TICK.saturating_mul(self.idle_ticks)
    }

    /// Returns the time until the record expires if the session was last used `since` ago: the idle
    /// timeout, or the rest of the lifetime if that is shorter. `None` if that is over.
    #[must_use]
    pub fn expires_in(&self, now: ServerTime, since: Duration) -> Option<Duration> {
        let rest = Duration::from_millis(self.end.0.saturating_sub(now.0));
        let left = self.idle_timeout().saturating_sub(since).min(rest);
        (!left.is_zero()).then_some(left)
    }

    fn decode(head: &[u8; HEADER_LEN]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(chunk(head, at));
        let time_at = |at: usize| ServerTime(u64::from_le_bytes(chunk(head, at)));
        let user: [u8; 16] = chunk(head, 48);
        Self {
            is_encrypted: head[0] & ENCRYPTED != 0,
            is_renewed: head[0] & RENEWED != 0,
            assurance_level: head[2],
            version: Version::new(u32_at(4)),
            serial: u32_at(8),
            idle_ticks: u32_at(12),
            created: time_at(16),
            authenticated: time_at(24),
            issued: time_at(32),
            end: time_at(40),
            user: (user != [0; 16]).then(|| UserHash::new(user)),
        }
    }

    fn encode(&self, kind: u8, label_len: u8) -> [u8; HEADER_LEN] {
        let mut head = [0; HEADER_LEN];
        head[..16].copy_from_slice(&self.encode_prefix(kind, label_len));
        let times = [self.created, self.authenticated, self.issued, self.end];
        for (at, time) in (16..).step_by(8).zip(times) {
            head[at..at + 8].copy_from_slice(&time.0.to_le_bytes());
        }
        head[48..].copy_from_slice(&self.user.map_or([0; 16], |user| user.to_bytes()));
        head
    }

    /// Encodes the first 16 bytes, which the writer of a record chooses. The others are times of
    /// the server and the user.
    #[must_use]
    pub fn encode_prefix(&self, kind: u8, label_len: u8) -> [u8; PREFIX_LEN] {
        let mut bytes = [0; PREFIX_LEN];
        bytes[0] = format_byte(self.is_encrypted, self.is_renewed);
        bytes[1..4].copy_from_slice(&[kind, self.assurance_level, label_len]);
        bytes[4..8].copy_from_slice(&self.version.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.serial.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.idle_ticks.to_le_bytes());
        bytes
    }
}

impl NewAlias {
    /// Returns the end of the grace period of an alias that is created at `now`. Without a grace
    /// period it is over at every time, so that a clock that is set back does not renew it.
    #[must_use]
    pub fn grace_until(&self, now: ServerTime) -> ServerTime {
        match self.grace {
            Duration::ZERO => ServerTime(0),
            grace => now.after(grace),
        }
    }
}

impl ServerTime {
    /// Returns the time that is `span` later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis)).min(Self::MAX)
    }

    /// Returns the span since an earlier time, or zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl<'a> StoredData<'a> {
    /// Returns data that is not encrypted.
    #[must_use]
    pub fn plain(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            is_encrypted: false,
        }
    }
}

/// Returns the first byte of a record.
#[must_use]
pub fn format_byte(is_encrypted: bool, is_renewed: bool) -> u8 {
    let renewed = if is_renewed { RENEWED } else { 0 };
    let encrypted = if is_encrypted { ENCRYPTED } else { 0 };
    FORMAT | renewed | encrypted
}

/// Encodes the target of an alias as it stands in the record: 32 hexadecimal digits and the place.
#[must_use]
pub fn encode_target(id: &SessionId) -> [u8; TARGET_LEN] {
    let mut bytes = [0; TARGET_LEN];
    for (pair, byte) in bytes.chunks_exact_mut(2).zip(id.to_bytes()) {
        pair.copy_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    bytes[32..].copy_from_slice(&id.place().to_le_bytes());
    bytes
}

/// Decodes the target of an alias, or `None` if the bytes are not one.
#[must_use]
pub fn decode_target(bytes: &[u8]) -> Option<SessionId> {
    let (digits, place) = bytes.split_first_chunk::<32>()?;
    parse_id(digits, u16::from_le_bytes(place.try_into().ok()?))
}

/// Parses the 32 hexadecimal digits of an id, as keys and messages contain them: lower case only.
#[must_use]
pub fn parse_id(digits: &[u8; 32], place: u16) -> Option<SessionId> {
    let value = |digit: u8| DIGITS.iter().position(|&known| known == digit);
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4 | value(pair[1])?) as u8;
    }
    Some(SessionId::from_parts(bytes, place))
}

/// Returns the span in whole ticks of 100 ms, rounded down.
#[must_use]
pub fn to_ticks(span: Duration) -> u32 {
    u32::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

impl fmt::Debug for SessionRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("header", &self.header)
            .field("data_len", &self.data.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("version", &self.version)
            .field("created", &self.created)
            .field("end", &self.end)
            .field("is_encrypted", &self.is_encrypted)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat(format) => write!(
                f,
                "the record has format {format}, this build reads {FORMAT}"
            ),
            Self::Malformed => f.write_str("the bytes are not a record"),
        }
    }
}

impl std::error::Error for RecordError {}

fn chunk<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

/// The format that this build writes and reads.
pub const FORMAT: u8 = 1;
/// The length of the header, in bytes.
pub const HEADER_LEN: usize = 64;
/// The length of the part of the header that the writer chooses, in bytes.
pub const PREFIX_LEN: usize = 16;
/// The length of the encoded target of an alias, in bytes.
pub const TARGET_LEN: usize = 34;
/// The length of an alias, in bytes.
pub const ALIAS_LEN: usize = HEADER_LEN + TARGET_LEN + 8;
/// The kind byte of a session.
pub const KIND_SESSION: u8 = 1;
/// The kind byte of an alias.
pub const KIND_ALIAS: u8 = 2;

const RENEWED: u8 = 1 << 6;
const ENCRYPTED: u8 = 1 << 7;
const FORMAT_MASK: u8 = RENEWED - 1;
const MAX_LABEL_LEN: usize = 63;
const TICK: Duration = Duration::from_millis(100);
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests;
