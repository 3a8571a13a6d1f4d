use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use crate::position::Epoch;
use crate::testing::{any_channel, any_json, any_position, any_session, any_text};

fn written(append: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    append(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn objects_look_as_they_are_documented() {
    let position = Position { epoch: "k3x".parse().unwrap(), offset: 18 };
    let message = Message {
        channel: "chat:\"1\"".into(),
        data: RawJson::trusted("{ }"),
        offset: Some(18),
        from: Some("ann".into()),
        trace: None,
    };
    let published = Reply::Publish(Published { position: Some(position), duplicate: false });
    let error = ErrorBody::new(ErrorCode::Forbidden, "publish on chat:room1 needs …");
    let gap = Gap { channel: "a".into(), position: Some(position) };
    let closing = Closing { code: 4000, name: "drain".into(), reconnect: true, after_ms: Some(250) };

    assert_eq!(
        written(|out| append_message(out, &message)),
        r#"{"message":{"channel":"chat:\"1\"","data":{ },"offset":18,"from":"ann"}}"#
    );
    assert_eq!(
        written(|out| append_reply(out, 3, &published)),
        r#"{"id":3,"publish":{"epoch":"k3x","offset":18}}"#
    );
    assert_eq!(
        written(|out| append_error(out, Some(3), &error)),
        concat!(
            r#"{"id":3,"error":{"code":"forbidden","message":"publish on chat:room1 needs …","#,
            r#""retry":false,"retry_after_ms":null}}"#
        )
    );
    assert_eq!(
        written(|out| append_error(out, None, &ErrorBody::new(ErrorCode::Limit, "slow").retry_after_ms(5))),
        r#"{"error":{"code":"limit","message":"slow","retry":true,"retry_after_ms":5}}"#
    );
    assert_eq!(written(|out| append_gap(out, &gap)), r#"{"gap":{"channel":"a","epoch":"k3x","offset":18}}"#);
    assert_eq!(
        written(|out| append_closing(out, &closing)),
        r#"{"closing":{"code":4000,"name":"drain","reconnect":true,"after_ms":250}}"#
    );
    assert_eq!(written(append_ping), "{}");
    assert_eq!(written(|out| append_reply(out, 0, &Reply::Unsubscribe)), r#"{"id":0,"unsubscribe":{}}"#);
}

#[test]
fn the_reply_to_connect_looks_as_it_is_documented() {
    let state =
        ChannelState { position: Some(Position { epoch: Epoch::new(0), offset: 7 }), recovered: Some(true) };
    let connected = Connected {
        session: SessionId::from_bytes([0; 16]),
        resume: ResumeSecret::from_bytes([1; 16]),
        resumed: true,
        user: "".into(),
        node: "gateway-0".into(),
        ping_ms: 30_000,
        session_ttl_ms: 120_000,
        token_expires_in_ms: None,
        channels: vec![("a".into(), state), ("b".into(), ChannelState::default())],
        limits: ClientLimits {
            message_bytes: 1 << 20,
            subscriptions: 128,
            messages_per_second: Some(100),
            bytes_per_second: None,
        },
    };
    assert_eq!(
        written(|out| append_reply(out, 1, &Reply::Connect(Box::new(connected)))),
        concat!(
            r#"{"id":1,"connect":{"session":"AAAAAAAAAAAAAAAAAAAAAA","resume":"AQEBAQEBAQEBAQEBAQEBAQ","#,
            r#""resumed":true,"user":"","node":"gateway-0","ping_ms":30000,"session_ttl_ms":120000,"#,
            r#""channels":{"a":{"epoch":"0","offset":7,"recovered":true},"b":{}},"#,
            r#""limits":{"message_bytes":1048576,"subscriptions":128,"messages_per_second":100}}}"#
        )
    );
}

#[test]
fn what_a_newer_server_adds_is_ignored() {
    let known = parse(r#"{"expiring":{"in_ms":5,"later":{}},"hint":[1]}"#).unwrap();
    assert_eq!(known, Event::Expiring { in_ms: 5 });
    assert_eq!(parse(r#"{"weather":[{}]}"#).unwrap(), Event::Unknown { name: "weather".into() });

    let object = r#"{"id":null,"error":{"code":"tired","message":"m","retry":true,"retry_after_ms":null}}"#;
    let error = ErrorBody::new(ErrorCode::Internal, "m");
    assert_eq!(parse(object).unwrap(), Event::Error { id: None, error });
}

#[test]
fn what_breaks_the_dialect_is_an_error_that_names_it() {
    for (object, message) in [
        ("[]", "invalid type: sequence, expected an object"),
        (r#"{"message":{"channel":"a"}}"#, "message: `data` is missing"),
        (r#"{"publish":{}}"#, "a reply to publish without an id"),
        (r#"{"id":1}"#, "nothing beside the id"),
        ("{}{}", "trailing characters"),
    ] {
        let error = parse(object).unwrap_err().to_string();
        assert!(error.starts_with(&format!("not an object of tidegate.v1.json: {message}")), "{error}");
    }
}

#[test]
fn objects_are_joined_by_line_feeds() {
    let mut objects = Objects::new();
    assert!(objects.is_empty());

    objects.push(append_ping);
    objects.push_encoded(br#"{"message":1}"#);
    objects.push(|out| append_expiring(out, 7));
    assert_eq!(objects.as_bytes(), b"{}\n{\"message\":1}\n{\"expiring\":{\"in_ms\":7}}");
    assert_eq!(objects.len(), objects.as_bytes().len());

    objects.clear();
    objects.push(append_ping);
    assert_eq!(objects.as_bytes(), b"{}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_event_is_read_back(event in event()) {
        let object = written(|out| append(out, &event));
        prop_assert!(!object.contains('\n'));
        prop_assert_eq!(parse(&object).unwrap(), event);
    }

    #[test]
    fn any_text_is_read_or_refused_and_never_panics(text in ".{0,200}|[{}\\[\\]\",:a-z0-9\\\\ ]{0,100}") {
        let json: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
        let is_object = json.is_ok_and(|json| json.get().starts_with('{'));
        prop_assert!(is_object || parse(&text).is_err());
    }
}

fn append(out: &mut Vec<u8>, event: &Event<'_>) {
    match event {
        Event::Message(message) => append_message(out, message),
        Event::Direct(direct) => append_direct(out, direct),
        Event::Join(join) => append_join(out, join),
        Event::Leave(leave) => append_leave(out, leave),
        Event::Gap(gap) => append_gap(out, gap),
        Event::Unsubscribed(unsubscribed) => append_unsubscribed(out, unsubscribed),
        Event::Expiring { in_ms } => append_expiring(out, *in_ms),
        Event::Reconnect(reconnect) => append_reconnect(out, reconnect),
        Event::Closing(closing) => append_closing(out, closing),
        Event::Ping => append_ping(out),
        Event::Reply { id, reply } => append_reply(out, *id, reply),
        Event::Error { id, error } => append_error(out, *id, error),
        Event::Unknown { .. } => unreachable!("no server writes it"),
    }
}

fn event() -> impl Strategy<Value = Event<'static>> {
    prop_oneof![
        notice(),
        (any::<u32>(), reply()).prop_map(|(id, reply)| Event::Reply { id, reply }),
        (any::<Option<u32>>(), error()).prop_map(|(id, error)| Event::Error { id, error }),
    ]
}

fn notice() -> impl Strategy<Value = Event<'static>> {
    let text = || any_text(0..20);
    let message = (any_channel(), any_json(), any::<Option<u64>>(), maybe_text(), maybe_text()).prop_map(
        |(channel, data, offset, from, trace)| {
            Event::Message(Message { channel: channel.into_cow(), data, offset, from, trace })
        },
    );
    let unsubscribed = (any_channel(), text(), text()).prop_map(|(channel, code, message)| {
        Event::Unsubscribed(Unsubscribed { channel: channel.into_cow(), code, message })
    });
    let reconnect = (any::<u64>(), any::<u64>(), text()).prop_map(|(after_ms, within_ms, reason)| {
        Event::Reconnect(Reconnect { after_ms, within_ms, reason })
    });
    let closing = (any::<u16>(), text(), any::<bool>(), any::<Option<u64>>()).prop_map(
        |(code, name, reconnect, after_ms)| Event::Closing(Closing { code, name, reconnect, after_ms }),
    );
    prop_oneof![
        message,
        (any_json(), maybe_text()).prop_map(|(data, from)| Event::Direct(Direct { data, from })),
        attendance().prop_map(Event::Join),
        attendance().prop_map(Event::Leave),
        (any_channel(), prop::option::of(any_position()))
            .prop_map(|(channel, position)| Event::Gap(Gap { channel: channel.into_cow(), position })),
        unsubscribed,
        any::<u64>().prop_map(|in_ms| Event::Expiring { in_ms }),
        reconnect,
        closing,
        Just(Event::Ping),
    ]
}

fn reply() -> impl Strategy<Value = Reply<'static>> {
    let message = (any::<u64>(), any_json(), maybe_text(), any::<u64>())
        .prop_map(|(offset, data, from, at_ms)| HistoryMessage { offset, data, from, at_ms });
    let member = (any_text(0..20), any_session(), prop::option::of(any_json()), any::<u64>())
        .prop_map(|(user, session, info, since_ms)| Member { user, session, info, since_ms });
    prop_oneof![
        connected().prop_map(|connected| Reply::Connect(Box::new(connected))),
        state().prop_map(Reply::Subscribe),
        Just(Reply::Unsubscribe),
        (prop::option::of(any_position()), any::<bool>())
            .prop_map(|(position, duplicate)| Reply::Publish(Published { position, duplicate })),
        any::<u32>().prop_map(|sessions| Reply::Send { sessions }),
        prop::collection::vec(member, 0..3).prop_map(|members| Reply::Presence { members }),
        (any_position(), prop::collection::vec(message, 0..3))
            .prop_map(|(head, messages)| Reply::History(HistoryPage { head, messages })),
        any::<Option<u64>>().prop_map(|token_expires_in_ms| Reply::Refresh { token_expires_in_ms }),
    ]
}

fn connected() -> impl Strategy<Value = Connected<'static>> {
    let numbers = any::<(u64, u64, Option<u64>, u64, u32, Option<u32>, Option<u32>)>();
    let channels = prop::collection::vec((any_channel(), state()), 0..3);
    (any_session(), any::<([u8; 16], bool)>(), any_text(0..20), any_text(0..20), channels, numbers).prop_map(
        |(session, (resume, resumed), user, node, channels, numbers)| Connected {
            session,
            resume: ResumeSecret::from_bytes(resume),
            resumed,
            user,
            node,
            ping_ms: numbers.0,
            session_ttl_ms: numbers.1,
            token_expires_in_ms: numbers.2,
            channels: channels.into_iter().map(|(name, state)| (name.into_cow(), state)).collect(),
            limits: ClientLimits {
                message_bytes: numbers.3,
                subscriptions: numbers.4,
                messages_per_second: numbers.5,
                bytes_per_second: numbers.6,
            },
        },
    )
}

fn state() -> impl Strategy<Value = ChannelState> {
    (prop::option::of(any_position()), any::<Option<bool>>())
        .prop_map(|(position, recovered)| ChannelState { position, recovered })
}

fn attendance() -> impl Strategy<Value = Attendance<'static>> {
    (any_channel(), any_text(0..20), any_session(), prop::option::of(any_json())).prop_map(
        |(channel, user, session, info)| Attendance { channel: channel.into_cow(), user, session, info },
    )
}

fn error() -> impl Strategy<Value = ErrorBody> {
    (prop::sample::select(&ErrorCode::ALL[..]), any_text(0..40), any::<Option<u64>>())
        .prop_map(|(code, message, retry_after_ms)| ErrorBody { code, message, retry_after_ms })
}

fn maybe_text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of(any_text(0..20))
}
