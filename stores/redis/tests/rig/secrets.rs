//! The bytes that nodes send to the server, and those that it keeps.

use sessile::{IssuedSession, SignInOptions};

use crate::support::{
    node::{Node, Site},
    server::{self, Server},
};

const DATA: &[u8] = b"the visitor's shopping cart";
const USER: &str = "visitor@example.org";

// ID-8: docs/security-checklist.md
#[test]
fn no_token_no_tag_and_no_user_name_is_sent_or_stored() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let [one, two] = [(); 2].map(|()| site.node(&server));
        let (issued, last) = all_verbs(&one, &two);
        let sent = [one.proxy.sent(), two.proxy.sent()].concat();
        let stored = dump(&server);
        assert!(
            contains(&sent, DATA) && contains(&stored, DATA),
            "it is plain"
        );
        assert!(contains(&stored, hex(&last).as_bytes()), "ids are plain");
        for bytes in [&sent, &stored] {
            assert!(!contains(bytes, USER.as_bytes()), "{kind}: a user's name");
            for session in &issued {
                let token = session.token.as_str();
                assert!(!contains(bytes, token.as_bytes()), "{kind}: a token");
                let tag = &decode(token)[20..];
                assert!(!contains(bytes, tag), "{kind}: a tag");
                assert!(
                    !contains(bytes, encode_hex(tag).as_bytes()),
                    "{kind}: a tag"
                );
            }
        }
    }
}

#[test]
fn with_encryption_no_data_is_sent_or_stored_in_plain_text() {
    for kind in server::kinds() {
        let server = Server::start(kind, &[]);
        let site = Site::new(&server);
        let node = || site.node_with(&server, |builder| builder.encrypt(true));
        let [one, two] = [(); 2].map(|()| node());
        let (_, last) = all_verbs(&one, &two);
        let sent = [one.proxy.sent(), two.proxy.sent()].concat();
        for bytes in [sent, dump(&server)] {
            assert!(
                contains(&bytes, hex(&last).as_bytes()),
                "something is there"
            );
            assert!(!contains(&bytes, &DATA[..8]), "{kind}: plain text");
        }
        assert_eq!(two.open(&last), Ok(Some(DATA.to_vec())));
    }
}

/// Uses each verb that writes, and returns all sessions, and one that still exists.
fn all_verbs(one: &Node, two: &Node) -> (Vec<IssuedSession>, IssuedSession) {
    let created = one.verbs.create(DATA).expect("the store is up");
    assert_eq!(two.open(&created), Ok(Some(DATA.to_vec())));
    let record = two.verbs.load(&created.id, &mut bytes::BytesMut::new());
    let version = record
        .expect("the store is up")
        .expect("it is there")
        .version;
    two.verbs
        .save(&created.id, version, DATA)
        .expect("no other request saves");
    let rotated = two.verbs.rotate(&created.id, std::time::Duration::ZERO);
    let rotated = rotated.expect("the store is up");
    let options = SignInOptions::new();
    let signed_in = one.verbs.sign_in_with(&rotated.id, USER, options);
    let signed_in = signed_in.expect("the store is up");
    let ended = one.verbs.create(DATA).expect("the store is up");
    assert_eq!(two.verbs.end(&ended.id), Ok(true));
    let listed = two.verbs.user_sessions(USER).expect("the store is up");
    assert_eq!(listed.len(), 1);
    (vec![created, rotated, signed_in, ended], signed_in)
}

/// Returns all keys and values of a server.
fn dump(server: &Server) -> Vec<u8> {
    let client = redis::Client::open(server.url()).expect("a valid URL");
    let mut open = client.get_connection().expect("the server is reachable");
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut open).expect("keys");
    let mut bytes = keys.concat();
    for key in &keys {
        let kind: String = redis::cmd("TYPE")
            .arg(key)
            .query(&mut open)
            .expect("a type");
        let command = match kind.as_str() {
            "string" => redis::cmd("GET").arg(key).to_owned(),
            "hash" => redis::cmd("HGETALL").arg(key).to_owned(),
            "zset" => redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).to_owned(),
            other => panic!("a key of the type {other}"),
        };
        let value: redis::Value = command.query(&mut open).expect("a value");
        append(&mut bytes, &value);
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, value: &redis::Value) {
    match value {
        redis::Value::BulkString(text) => bytes.extend_from_slice(text),
        redis::Value::Array(values) => values.iter().for_each(|value| append(bytes, value)),
        _ => {}
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn hex(session: &IssuedSession) -> String {
    encode_hex(&session.id.to_bytes())
}

fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes base64url without padding.
fn decode(text: &str) -> Vec<u8> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let group = |letters: &[u8]| {
        let word = letters
            .iter()
            .fold(0, |word, letter| word << 6 | u32::from(digit(*letter)));
        word.to_be_bytes()[1..].to_vec()
    };
    text.as_bytes().chunks(4).flat_map(group).collect()
}
