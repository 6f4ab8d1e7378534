//! Users, their sessions, and messages that are shown once.

#![allow(clippy::unwrap_used)]

mod support;

use http::StatusCode;
use sessile::{Error, Handle, SessionLimitPolicy};
use sessile_web::adapter::{SessionExt, ready};
use sessile_web::{Key, Session, SessionError, SignIn};
use support::{Visitor, builder, cache};

type Verb = fn(&Session) -> Result<(), SessionError>;

#[test]
fn the_user_has_a_name_until_they_sign_out() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| {
        assert_eq!(session.user(), None);
        session.sign_in("ada").unwrap();
        assert_eq!(
            session.user().as_deref(),
            Some("ada"),
            "counting this request's"
        );
    });
    assert_eq!(visitor.begin().user().as_deref(), Some("ada"));
    visitor.visit(|session| session.sign_in("Grace \"bob\" Ü".to_owned()).unwrap());
    assert_eq!(visitor.begin().user().as_deref(), Some("Grace \"bob\" Ü"));
    visitor.visit(|session: &Session| ready(session.sign_out()).unwrap());
    assert_eq!(visitor.begin().user(), None);
}

#[test]
fn reserved_keys_are_neither_seen_nor_touched() {
    let mut visitor = Visitor::of(&cache());
    visitor.visit(|session| {
        session.sign_in("ada").unwrap();
        session.make_persistent().unwrap();
        session.insert("a", 1).unwrap();
    });
    let (_, reply) = visitor.visit(|session| {
        assert_eq!(session.keys(), ["a"]);
        assert_eq!(session.pairs(), [("a".to_owned(), "1".into())]);
        assert!(!session.contains_key("sessile:user") && session.json("sessile:user").is_none());
        assert_eq!(session.get::<String>("sessile:user").unwrap(), None);
        let writes: [Verb; 7] = [
            |session| session.insert("sessile:user", "root"),
            |session| session.insert(Key::new("sessile:"), 1),
            |session| session.insert_json("sessile:user", "\"root\""),
            |session| session.remove("sessile:user"),
            |session| session.increment("sessile:persistent", 1).map(drop),
            |session| session.append("sessile:a", 1),
            |session| session.watch("sessile:user"),
        ];
        for write in writes {
            let refused = write(session).unwrap_err();
            assert!(
                matches!(refused, SessionError::ReservedKey { .. }),
                "{refused}"
            );
            assert!(refused.to_string().contains("choose another"));
        }
        session.clear().unwrap();
        assert!(session.keys().is_empty());
    });
    assert_eq!(reply.result, Ok(()));
    assert_eq!(visitor.begin().user().as_deref(), Some("ada"));
}

#[test]
fn a_user_name_in_the_data_is_not_a_sign_in() {
    let cache = cache();
    let data = b"\x01\x0c\x00\x06\x00\x00\x00sessile:user\"root\"";
    let made = cache.create(data).unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.cookie = Some(format!("__Host-session={}", made.token.as_str()));
    let session = visitor.begin();
    assert_eq!((session.user(), session.is_authenticated()), (None, false));
}

#[test]
fn a_message_is_shown_once() {
    const FLASH: Key<String> = Key::new("flash");
    let cache = cache();
    let mut visitor = Visitor::of(&cache);
    let hello = "Hello".to_owned();
    visitor.visit(|session| session.insert(FLASH, hello.clone()).unwrap());
    let (first, _) = visitor.visit(|session| [(); 2].map(|()| session.take(FLASH).unwrap()));
    assert_eq!(first, [Some(hello), None]);
    assert_eq!(
        (visitor.begin().take(FLASH).unwrap(), cache.len()),
        (None, 0)
    );

    visitor.visit(|session| session.insert("flash", 7).unwrap());
    let (refused, _) = visitor.visit(|session| session.take(FLASH));
    assert!(matches!(refused, Err(SessionError::Decode { .. })));
    assert_eq!(
        visitor.begin().get::<u32>("flash").unwrap(),
        Some(7),
        "a value that cannot be decoded is kept"
    );
}

fn device(visitor: &Visitor, label: &str) -> Handle {
    let devices = ready(visitor.begin().user_sessions()).unwrap();
    devices
        .iter()
        .find(|device| device.label() == label)
        .expect("it is in the list")
        .handle()
}

/// Creates two sessions of Ada, and one of another user.
fn devices(cache: &sessile::SessionCache) -> [Visitor; 3] {
    [("ada", "phone"), ("ada", "laptop"), ("mallory", "desk")].map(|(user, label)| {
        let mut visitor = Visitor::of(cache);
        visitor.visit(|session| session.sign_in(SignIn::of(user).label(label)).unwrap());
        visitor
    })
}

#[test]
fn a_user_sees_their_devices_and_which_is_this_one() {
    let [phone, laptop, _] = devices(&cache());
    for (visitor, label) in [(&phone, "phone"), (&laptop, "laptop")] {
        let devices = ready(visitor.begin().user_sessions()).unwrap();
        assert_eq!(devices.len(), 2);
        let this: Vec<_> = devices
            .iter()
            .filter(|device| device.is_current())
            .collect();
        assert_eq!(this[0].label(), label);
        assert_eq!(this.len(), 1);
    }
    let anonymous = Visitor::of(&cache()).begin();
    assert!(ready(anonymous.user_sessions()).unwrap().is_empty());
    assert_eq!(
        (
            ready(anonymous.sign_out_others()).unwrap(),
            ready(anonymous.sign_out_everywhere()).unwrap()
        ),
        (0, 0)
    );
}

#[test]
fn a_session_can_be_ended_by_its_user_only() {
    let [mut phone, laptop, mut mallory] = devices(&cache());
    let handle = device(&laptop, "laptop");
    assert!(
        !mallory
            .visit(|session| ready(session.end_by_handle(&handle)).unwrap())
            .0
    );
    assert!(
        !Visitor::of(&cache())
            .visit(|session| ready(session.end_by_handle(&handle)).unwrap())
            .0
    );
    assert!(laptop.begin().is_authenticated());
    assert!(
        phone
            .visit(|session| ready(session.end_by_handle(&handle)).unwrap())
            .0
    );
    assert!(
        !phone
            .visit(|session| ready(session.end_by_handle(&handle)).unwrap())
            .0,
        "it is gone"
    );
    assert!(!laptop.begin().is_authenticated() && phone.begin().is_authenticated());

    let own = device(&phone, "phone");
    let (ended, reply) = phone.visit(|session| ready(session.end_by_handle(&own)).unwrap());
    assert!(ended && reply.is_removal() && !phone.begin().is_authenticated());
}

#[test]
fn signing_out_on_others_and_everywhere() {
    let cache = cache();
    let [mut phone, laptop, mallory] = devices(&cache);
    let (others, reply) =
        phone.visit(|session: &Session| ready(session.sign_out_others()).unwrap());
    assert_eq!((others, reply.set_cookie()), (1, None));
    assert!(phone.begin().is_authenticated() && !laptop.begin().is_authenticated());

    let [mut laptop, ..] = devices(&cache);
    let (everywhere, reply) =
        laptop.visit(|session: &Session| ready(session.sign_out_everywhere()).unwrap());
    assert_eq!(
        (everywhere, reply.is_removal()),
        (3, true),
        "the phone twice"
    );
    assert!(!phone.begin().is_authenticated() && mallory.begin().is_authenticated());
}

#[test]
fn a_sign_in_of_this_request_is_in_the_list_once_it_is_stored() {
    let [phone, ..] = devices(&cache());
    let mut visitor = phone.clone();
    visitor.visit(|session| {
        session.sign_in(SignIn::of("ada").label("again")).unwrap();
        ready(session.save()).unwrap();
        let devices = ready(session.user_sessions()).unwrap();
        let this = devices.iter().find(|device| device.is_current()).unwrap();
        assert_eq!((this.label(), devices.len()), ("again", 2));
    });
}

#[test]
fn the_options_of_a_sign_in_are_stored() {
    let clock = sessile::ManualClock::new();
    let cache = builder().clock(clock.clone()).build().unwrap();
    let mut visitor = Visitor::of(&cache);
    visitor.visit(|session| {
        session
            .sign_in(SignIn::of("ada").assurance_level(2))
            .unwrap();
        assert_eq!(
            (session.assurance_level(), session.authenticated_for()),
            (0, None)
        );
    });
    clock.advance(std::time::Duration::from_secs(60));
    let session = visitor.begin();
    assert_eq!(session.assurance_level(), 2);
    assert_eq!(
        session.authenticated_for(),
        Some(std::time::Duration::from_secs(60))
    );
}

#[test]
fn one_device_too_many_is_409_and_a_handler_can_see_it() {
    let cache = builder()
        .max_sessions_per_user(1)
        .session_limit_policy(SessionLimitPolicy::Reject)
        .build()
        .unwrap();
    let sign_in = || {
        let mut visitor = Visitor::of(&cache);
        let reply = visitor.visit(|session| session.sign_in("ada").unwrap()).1;
        (visitor, reply)
    };
    let (first, second) = (sign_in(), sign_in());
    assert!(first.1.result.is_ok());
    let error = second.1.result.unwrap_err();
    assert_eq!(
        (error.cause(), error.status()),
        (Error::TooManySessions, StatusCode::CONFLICT)
    );
    assert!(error.to_string().contains("Sign out"), "{error}");
    assert_eq!((cache.len(), second.0.cookie), (1, None));

    let mut visitor = Visitor::of(&cache);
    let (refused, reply) = visitor.visit(|session| {
        session.sign_in("ada").unwrap();
        ready(session.save())
    });
    assert!(
        matches!(refused, Err(SessionError::Store(error)) if error.cause() == Error::TooManySessions)
    );
    let error = reply.result.unwrap_err();
    assert_eq!(
        error.cause(),
        Error::TooManySessions,
        "a 200 would say that they are signed in"
    );
    let (_, reply) = visitor.visit(|session| {
        session.sign_in("ada").unwrap();
        ready(session.save()).unwrap_err();
        session.discard();
    });
    assert_eq!(
        (reply.result, visitor.cookie),
        (Ok(()), None),
        "the handler has answered"
    );
}

#[test]
fn empty_and_too_long_user_names_are_rejected() {
    let session = Visitor::of(&cache()).begin();
    assert!(matches!(session.sign_in(""), Err(SessionError::EmptyUser)));
    assert!(matches!(
        session.sign_in("a".repeat(20_000)),
        Err(SessionError::TooLarge { .. })
    ));
    assert_eq!(session.user(), None);
}
