use super::*;

fn header() -> Header {
    Header {
        is_encrypted: false,
        is_renewed: true,
        assurance_level: 2,
        version: Version::new(0x0403_0201),
        serial: 7,
        idle_ticks: 18_000,
        created: ServerTime(1),
        authenticated: ServerTime(2),
        issued: ServerTime(3),
        end: ServerTime(4),
        user: Some(UserHash::new([9; 16])),
    }
}

fn session() -> Vec<u8> {
    let session = SessionRecord {
        header: header(),
        label: "laptop",
        data: b"cart",
    };
    session.encode()
}

#[test]
fn a_session_decodes_to_what_was_encoded() {
    let bytes = session();
    assert_eq!(bytes.len(), HEADER_LEN + 10);
    assert_eq!(&bytes[..8], &[FORMAT | RENEWED, 1, 2, 6, 1, 2, 3, 4]);
    let Ok(Record::Session(decoded)) = Record::decode(&bytes) else {
        panic!("a session was encoded");
    };
    assert_eq!(decoded.header, header());
    assert_eq!((decoded.label, decoded.data), ("laptop", &b"cart"[..]));
}

#[test]
fn an_alias_decodes_to_what_was_encoded() {
    let alias = AliasRecord {
        header: header(),
        target: SessionId::from_parts([0xab; 16], 0x0102),
        grace_until: ServerTime(5),
    };
    let bytes = alias.encode();
    assert_eq!(bytes.len(), ALIAS_LEN);
    assert_eq!(&bytes[64..66], b"ab");
    assert_eq!(Record::decode(&bytes), Ok(Record::Alias(alias)));
    assert_eq!(decode_target(&bytes[64..98]), Some(alias.target));
}

#[test]
fn truncated_records_are_malformed() {
    let alias = AliasRecord {
        header: header(),
        target: SessionId::from_parts([1; 16], 0),
        grace_until: ServerTime(5),
    };
    let bytes = alias.encode();
    for len in 0..ALIAS_LEN {
        let decoded = Record::decode(&bytes[..len]);
        assert_eq!(decoded, Err(RecordError::Malformed), "{len} bytes");
    }
    let bytes = session();
    for len in 0..HEADER_LEN + "laptop".len() {
        assert_eq!(Record::decode(&bytes[..len]), Err(RecordError::Malformed));
    }
}

#[test]
fn a_later_format_is_told_from_damage() {
    let mut bytes = session();
    bytes[0] = 2;
    assert_eq!(Record::decode(&bytes), Err(RecordError::UnknownFormat(2)));
    bytes[0] = 2 | ENCRYPTED;
    assert_eq!(
        Record::decode(&bytes[..1]),
        Err(RecordError::UnknownFormat(2))
    );
}

#[test]
fn damaged_fields_are_malformed() {
    let damage = |at: usize, byte: u8| {
        let mut bytes = session();
        bytes[at] = byte;
        Record::decode(&bytes).map(|_| ())
    };
    assert_eq!(damage(1, 3), Err(RecordError::Malformed), "an unknown kind");
    assert_eq!(damage(3, 200), Err(RecordError::Malformed), "a long label");
    assert_eq!(damage(64, 0xff), Err(RecordError::Malformed), "not UTF-8");
    let mut anonymous = session();
    anonymous[48..64].fill(0);
    assert_eq!(Record::decode(&anonymous), Err(RecordError::Malformed));
}

#[test]
fn a_record_expires_at_the_earlier_of_its_deadlines() {
    let mut header = header();
    header.end = ServerTime(10_000);
    header.idle_ticks = 30;
    let at = |now, since| header.expires_in(ServerTime(now), Duration::from_millis(since));
    assert_eq!(at(0, 0), Some(Duration::from_secs(3)));
    assert_eq!(at(0, 1_000), Some(Duration::from_secs(2)));
    assert_eq!(at(9_500, 0), Some(Duration::from_millis(500)));
    assert_eq!(at(0, 3_000), None);
    assert_eq!(at(10_000, 0), None);
}
