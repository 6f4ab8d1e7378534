//! The commands and replies of the meta protocol: six commands, without input and output.
//!
//! ```text
//!  mg KEY v c t f O1         get          HD, VA, EN       v value │ c cas │ t time left │ f flags
//!  mg KEY T60 O2             touch        HD, EN           T time to live │ O opaque
//!  ms KEY LEN ME T60 F7 c    add          HD, NS
//!  ms KEY LEN C9 T60 F7 c    set if       HD, EX, NF
//!  md KEY C9                 delete if    HD, EX, NF
//!  version, stats settings                VERSION, STAT … END
//! ```
//!
//! Owns the limits of what a server may send. Invariant: bytes of any kind become lines or an
//! error, without a panic, and no length that a server names is allocated before its bytes have
//! arrived. It knows no key and no record.

use bytes::{Buf, Bytes, BytesMut};

/// Commands that are sent together. Each has one reply, which repeats its number.
pub(crate) struct Commands {
    bytes: Vec<u8>,
    first: u32,
    count: u32,
}

/// The condition and the attributes of a value that is stored.
#[derive(Clone, Copy)]
pub(crate) struct Put {
    /// The value that is replaced, by its unique number; `None` for a key that must not exist.
    pub(crate) cas: Option<u64>,
    /// The time to live as the protocol has it: seconds, a time, or 0 for no end.
    pub(crate) expiry: u64,
    /// Flags that the server keeps beside the value.
    pub(crate) flags: u32,
}

/// The parts of an item that a `get` returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The value, its number, the time left and the flags.
    Value,
    /// All but the value.
    Attributes,
}

/// A line of a server, with the value that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The reply to a meta command.
    Reply(Reply),
    /// The reply to `version`.
    Version(String),
    /// A fact of `stats`.
    Stat(String, String),
    /// The end of `stats`.
    End,
    /// The server could not do it.
    Failed(Failure),
}

/// The reply to a meta command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    /// The number of the command.
    pub(crate) opaque: Option<u32>,
    /// The unique number of the value, or 0.
    pub(crate) cas: u64,
    /// The time left in seconds; `None` if there is no end.
    pub(crate) left: Option<u32>,
    /// The flags of the item.
    pub(crate) flags: u32,
    /// The value.
    pub(crate) value: Bytes,
}

/// The result of a meta command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// `HD`: done, or found without its value.
    Done,
    /// `VA`: found.
    Value,
    /// `EN`: there is no such key.
    Miss,
    /// `NS`: the key exists, so it was not added.
    NotStored,
    /// `EX`: the value has another number.
    Exists,
    /// `NF`: there is no such key to change.
    NotFound,
}

/// A line that tells of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `SERVER_ERROR`: no memory, or a value that is too large.
    Full,
    /// `SERVER_ERROR` for another reason.
    Server(String),
    /// `ERROR` and `CLIENT_ERROR`: the server did not understand, so later lines mean nothing.
    Rejected(String),
}

/// Bytes that are not of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Commands {
    /// Creates a list of commands that are numbered from `first` on.
    pub(crate) fn new(first: u32) -> Self {
        Self {
            bytes: Vec::with_capacity(256),
            first,
            count: 0,
        }
    }

    /// Returns the bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of the first command.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// Returns the number of commands.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Gets an item.
    pub(crate) fn get(&mut self, key: &str, parts: Parts) {
        let flags: &[u8] = match parts {
            Parts::Value => b" v c t f",
            Parts::Attributes => b" c t f",
        };
        self.begin(b"mg ", key);
        self.bytes.extend_from_slice(flags);
        self.end();
    }

    /// Sets the time to live of an item.
    pub(crate) fn touch(&mut self, key: &str, expiry: u64) {
        self.begin(b"mg ", key);
        self.number(b" T", expiry);
        self.end();
    }

    /// Stores a value, given in parts.
    pub(crate) fn put(&mut self, key: &str, put: Put, value: &[&[u8]]) {
        let len: usize = value.iter().map(|part| part.len()).sum();
        self.begin(b"ms ", key);
        self.number(b" ", len as u64);
        match put.cas {
            Some(cas) => self.number(b" C", cas),
            None => self.bytes.extend_from_slice(b" ME"),
        }
        self.number(b" T", put.expiry);
        self.number(b" F", put.flags.into());
        self.bytes.extend_from_slice(b" c");
        self.end();
        value
            .iter()
            .for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.extend_from_slice(LINE_END);
    }

    /// Deletes the value that has this number.
    pub(crate) fn delete(&mut self, key: &str, cas: u64) {
        self.begin(b"md ", key);
        self.number(b" C", cas);
        self.end();
    }

    fn begin(&mut self, verb: &[u8], key: &str) {
        debug_assert!(key.len() <= MAX_KEY_LEN);
        self.bytes.extend_from_slice(verb);
        self.bytes.extend_from_slice(key.as_bytes());
    }

    fn number(&mut self, flag: &[u8], number: u64) {
        self.bytes.extend_from_slice(flag);
        self.bytes.extend_from_slice(number.to_string().as_bytes());
    }

    fn end(&mut self) {
        let opaque = self.first.wrapping_add(self.count);
        self.number(b" O", opaque.into());
        self.bytes.extend_from_slice(LINE_END);
        self.count += 1;
    }
}

/// Takes the first line, and the value that follows it, from what has arrived. Returns `None` if it
/// is not complete.
pub(crate) fn parse(arrived: &mut BytesMut) -> Result<Option<Line>, Malformed> {
    let Some(end) = line_end(arrived)? else {
        return Ok(None);
    };
    let line = str::from_utf8(&arrived[..end]).map_err(|_| Malformed)?;
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    if first == "VA" {
        return parse_value(arrived, end);
    }
    let parsed = parse_line(first, rest)?;
    arrived.advance(end + LINE_END.len());
    Ok(Some(parsed))
}

/// Returns the position of the end of the first line.
fn line_end(arrived: &[u8]) -> Result<Option<usize>, Malformed> {
    let within = &arrived[..arrived.len().min(MAX_LINE_LEN)];
    match within.iter().position(|&byte| byte == b'\n') {
        Some(at) if at > 0 && within[at - 1] == b'\r' => Ok(Some(at - 1)),
        Some(_) => Err(Malformed),
        None if within.len() == MAX_LINE_LEN => Err(Malformed),
        None => Ok(None),
    }
}

fn parse_line(first: &str, rest: &str) -> Result<Line, Malformed> {
    let code = match first {
        "HD" => Code::Done,
        "EN" => Code::Miss,
        "NS" => Code::NotStored,
        "EX" => Code::Exists,
        "NF" => Code::NotFound,
        "VERSION" => return Ok(Line::Version(rest.to_owned())),
        "STAT" => {
            let (name, value) = rest.split_once(' ').ok_or(Malformed)?;
            return Ok(Line::Stat(name.to_owned(), value.to_owned()));
        }
        "END" => return Ok(Line::End),
        "SERVER_ERROR" => return Ok(Line::Failed(server_error(rest))),
        "ERROR" | "CLIENT_ERROR" => return Ok(Line::Failed(Failure::Rejected(shown(rest)))),
        _ => return Err(Malformed),
    };
    Reply::parse(code, rest).map(Line::Reply)
}

fn parse_value(arrived: &mut BytesMut, end: usize) -> Result<Option<Line>, Malformed> {
    let line = str::from_utf8(&arrived[..end]).map_err(|_| Malformed)?;
    let mut words = line.splitn(3, ' ').skip(1);
    let len: usize = words.next().unwrap_or("").parse().map_err(|_| Malformed)?;
    if len > MAX_VALUE_LEN {
        return Err(Malformed);
    }
    let mut reply = Reply::parse(Code::Value, words.next().unwrap_or(""))?;
    let start = end + LINE_END.len();
    let Some(tail) = arrived.get(start + len..start + len + LINE_END.len()) else {
        return Ok(None);
    };
    if tail != LINE_END {
        return Err(Malformed);
    }
    arrived.advance(start);
    reply.value = arrived.split_to(len).freeze();
    arrived.advance(LINE_END.len());
    Ok(Some(Line::Reply(reply)))
}

impl Reply {
    fn parse(code: Code, flags: &str) -> Result<Self, Malformed> {
        let mut reply = Self {
            code,
            opaque: None,
            cas: 0,
            left: None,
            flags: 0,
            value: Bytes::new(),
        };
        for flag in flags.split_ascii_whitespace() {
            let (kind, number) = flag.split_at_checked(1).ok_or(Malformed)?;
            match kind {
                "c" => reply.cas = number.parse().map_err(|_| Malformed)?,
                "f" => reply.flags = number.parse().map_err(|_| Malformed)?,
                "O" => reply.opaque = Some(number.parse().map_err(|_| Malformed)?),
                "t" if number == "-1" => reply.left = None,
                "t" => reply.left = Some(number.parse().map_err(|_| Malformed)?),
                // A later server may send more.
                _ => {}
            }
        }
        Ok(reply)
    }
}

fn server_error(text: &str) -> Failure {
    if text.starts_with("out of memory") || text.starts_with("object too large") {
        Failure::Full
    } else {
        Failure::Server(shown(text))
    }
}

/// Returns the part of a text that may be shown.
fn shown(text: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
    text.chars().filter(is_plain).take(MAX_SHOWN).collect()
}

/// The longest key of the protocol, in bytes.
pub(crate) const MAX_KEY_LEN: usize = 250;
/// The longest line of a server, in bytes.
const MAX_LINE_LEN: usize = 2_048;
/// The longest value that is read, in bytes. The largest session has 16 MiB of data.
const MAX_VALUE_LEN: usize = 17 << 20;
/// The longest text of a server that an error repeats, in bytes.
const MAX_SHOWN: usize = 100;
const LINE_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Line>, Malformed> {
        let (mut arrived, mut lines) = (BytesMut::from(bytes), Vec::new());
        while let Some(line) = parse(&mut arrived)? {
            lines.push(line);
        }
        Ok(lines)
    }

    fn reply(bytes: &[u8]) -> Reply {
        match all(bytes).as_deref() {
            Ok([Line::Reply(reply)]) => reply.clone(),
            other => panic!("one reply, not {other:?}"),
        }
    }

    // Replies of memcached 1.6.18, recorded in November 2026.
    #[test]
    fn replies_of_a_server_are_parsed() {
        let found = reply(b"VA 3 c1 t60 f7 O12\r\nabc\r\n");
        assert_eq!((found.code, &found.value[..]), (Code::Value, &b"abc"[..]));
        assert_eq!((found.cas, found.left, found.flags), (1, Some(60), 7));
        assert_eq!(found.opaque, Some(12));
        assert_eq!(reply(b"VA 3 t-1 c3\r\nabc\r\n").left, None);
        assert_eq!(reply(b"HD c5 O12 ki\r\n").cas, 5);
        for (line, code) in [
            ("EN O98", Code::Miss),
            ("NS c0", Code::NotStored),
            ("NF c0", Code::NotFound),
            ("EX", Code::Exists),
        ] {
            assert_eq!(reply(format!("{line}\r\n").as_bytes()).code, code);
        }
        assert_eq!(
            all(b"VERSION 1.6.18\r\nSTAT item_size_max 1048576\r\nEND\r\n"),
            Ok(vec![
                Line::Version("1.6.18".to_owned()),
                Line::Stat("item_size_max".to_owned(), "1048576".to_owned()),
                Line::End
            ])
        );
    }

    #[test]
    fn failures_are_told_apart() {
        let failure = |line: &str| match all(format!("{line}\r\n").as_bytes()).as_deref() {
            Ok([Line::Failed(failure)]) => failure.clone(),
            other => panic!("one failure, not {other:?}"),
        };
        let full = "SERVER_ERROR out of memory storing object";
        assert_eq!(failure(full), Failure::Full);
        let large = "SERVER_ERROR object too large for cache";
        assert_eq!(failure(large), Failure::Full);
        let other = failure("SERVER_ERROR b\u{7f}usy");
        assert_eq!(other, Failure::Server("busy".to_owned()));
        let client = failure("CLIENT_ERROR bad command line format");
        assert!(matches!(client, Failure::Rejected(_)));
        assert_eq!(failure("ERROR"), Failure::Rejected(String::new()));
    }

    #[test]
    fn a_line_may_arrive_in_any_parts() {
        let bytes = b"HD c1 O1\r\nVA 5 c2 O2\r\na\r\nbc\r\nEN O3\r\n";
        let whole = all(bytes).expect("three lines");
        assert_eq!(whole.len(), 3);
        let (mut arrived, mut lines) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            arrived.extend_from_slice(&[*byte]);
            lines.extend(parse(&mut arrived).expect("valid so far"));
        }
        assert_eq!(lines, whole);
    }

    #[test]
    fn hostile_bytes_are_an_error() {
        for bytes in [
            &b"-ERR unknown command 'version'\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\n",
            b"HD\n",
            b"\n",
            b"HD c18446744073709551616\r\n",
            b"HD t-2\r\n",
            b"VA\r\n",
            b"VA x\r\n",
            b"VA -1\r\n",
            b"VA 99999999999999999999\r\n",
            b"VA 18874368 c1\r\n",
            b"VA 3 c1\r\nabcde",
            b"STAT x\r\n",
            b"\xff\xfe\r\n",
            &[b'x'; MAX_LINE_LEN],
        ] {
            assert_eq!(all(bytes), Err(Malformed), "{:?}", bytes.escape_ascii());
        }
        for bytes in [
            &b""[..],
            b"HD",
            b"HD\r",
            b"VA 3 c1\r\nabc",
            b"VA 3 c1\r\nabc\r",
        ] {
            assert_eq!(all(bytes), Ok(Vec::new()), "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn commands_are_numbered() {
        let mut commands = Commands::new(u32::MAX);
        commands.get("key", Parts::Attributes);
        let put = Put {
            cas: Some(9),
            expiry: 60,
            flags: 7,
        };
        commands.put("key", put, &[b"ab", b"c"]);
        commands.put("key", Put { cas: None, ..put }, &[b""]);
        commands.delete("key", 9);
        commands.touch("key", 61);
        assert_eq!((commands.first(), commands.len()), (u32::MAX, 5));
        let expected = "mg key c t f O4294967295\r\nms key 3 C9 T60 F7 c O0\r\nabc\r\n\
                        ms key 0 ME T60 F7 c O1\r\n\r\nmd key C9 O2\r\nmg key T61 O3\r\n";
        assert_eq!(str::from_utf8(commands.bytes()), Ok(expected));
    }
}
