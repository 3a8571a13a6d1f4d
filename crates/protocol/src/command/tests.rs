use proptest::prelude::*;

use super::*;
use crate::error::ErrorCode;
use crate::position::Epoch;

mod bad;
mod roundtrip;

const SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const SECRET: &str = "AQEBAQEBAQEBAQEBAQEBAQ";

fn parsed(object: &str) -> Request<'_> {
    parse(object, &ParseLimits::default()).unwrap_or_else(|bad| panic!("{object}: {}", bad.error))
}

fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).unwrap()
}

fn position(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch::new(epoch), offset }
}

#[test]
fn a_message_is_cut_into_its_objects() {
    let cut = |message| objects(message).collect::<Vec<_>>();

    assert_eq!(cut("{}"), ["{}"]);
    assert_eq!(cut("{\"id\":1}\n\n \r\n{}\n"), ["{\"id\":1}", "{}"]);
    assert_eq!(cut(""), [""; 0]);
    assert_eq!(parsed(" {} \r").command, Command::Pong);
}

#[test]
fn connect_may_say_nothing_or_all() {
    let connect = |object| match parsed(object).command {
        Command::Connect(connect) => *connect,
        other => panic!("{other:?}"),
    };
    assert_eq!(connect(r#"{"connect":{}}"#), Connect::default());
    assert_eq!(
        connect(r#"{"connect":{"token":null,"positions":{},"subscribe":[],"later":{"a":[]}}}"#),
        Connect::default()
    );

    let object = format!(
        r#"{{"id":1,"connect":{{"token":"t","session":"{SESSION}","resume":"{SECRET}",
        "positions":{{"b":{{"epoch":"k3x","offset":7}},"a":{{"offset":1,"epoch":"0"}}}},
        "subscribe":["b","a"],"client":{{"name":"js","version":"1"}},"info":{{"nick":"Ö"}}}}}}"#
    );
    let expected = Connect {
        token: Some("t".into()),
        resume: Some(Resume { session: SESSION.parse().unwrap(), secret: SECRET.parse().unwrap() }),
        positions: vec![(channel("a"), position(0, 1)), (channel("b"), position(26_061, 7))],
        subscribe: vec![channel("b"), channel("a")],
        client: Some(ClientSoftware { name: "js".into(), version: "1".into() }),
        info: Some(RawJson::trusted(r#"{"nick":"Ö"}"#)),
    };
    assert_eq!(connect(&object.replace('\n', " ")), expected);
}

#[test]
fn the_id_may_stand_on_either_side_of_its_command() {
    let expected = Request { id: Some(u32::MAX), command: Command::Unsubscribe { channel: channel("a") } };

    assert_eq!(parsed(r#"{"id":4294967295,"unsubscribe":{"channel":"a"}}"#), expected);
    assert_eq!(parsed(r#"{"unsubscribe":{"channel":"a"},"id":4294967295}"#), expected);
}

#[test]
fn data_is_carried_as_the_bytes_that_came() {
    for data in [
        "null",
        "1e999",
        "123456789012345678901234567890.0",
        r#"{ "b" : 1, "a":[ ] , "b":2}"#,
        r#""\u00e9\ud800 \/""#,
    ] {
        let object = format!(r#"{{"publish":{{"data": {data} ,"channel":"a"}}}}"#);
        match parsed(&object).command {
            Command::Publish(publish) => assert_eq!(publish.data.as_str(), data),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn text_is_borrowed_unless_it_holds_escapes() {
    let publish = |object| match parsed(object).command {
        Command::Publish(publish) => publish,
        other => panic!("{other:?}"),
    };

    let plain = publish(r#"{"publish":{"channel":"größe:1","data":1,"key":"k","conflate":"c"}}"#);
    assert!(matches!(plain.channel.clone().into_cow(), Cow::Borrowed("größe:1")));
    assert!(matches!(plain.key, Some(Cow::Borrowed("k"))));
    assert!(matches!(plain.conflate, Some(Cow::Borrowed("c"))));
    let escaped = publish(r#"{"p\u0075blish":{"chan\u006eel":"a\/\u00e9","data":1,"key":"\ud83d\ude00"}}"#);
    assert_eq!(escaped.channel, channel("a/é"));
    assert_eq!(escaped.key.as_deref(), Some("😀"));
}

#[test]
fn a_malformed_traceparent_is_dropped_as_its_standard_asks() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = |trace: &str| {
        let object = format!(r#"{{"publish":{{"channel":"a","data":1,"trace":"{trace}"}}}}"#);
        match parsed(&object).command {
            Command::Publish(publish) => publish.trace.map(Cow::into_owned),
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(trace(good).as_deref(), Some(good));
    for bad in [
        "",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
    ] {
        assert_eq!(trace(bad), None, "{bad}");
    }
}

#[test]
fn history_and_subscribe_have_sensible_defaults() {
    assert_eq!(
        parsed(r#"{"history":{"channel":"a"}}"#).command,
        Command::History(History {
            channel: channel("a"),
            after: None,
            limit: limits::HISTORY_LIMIT_DEFAULT,
            order: HistoryOrder::OldestFirst,
        })
    );
    assert_eq!(
        parsed(r#"{"subscribe":{"channel":"a","position":null,"last":5}}"#).command,
        Command::Subscribe(Subscribe { channel: channel("a"), from: StartFrom::Newest(5) })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_answered_and_never_panics(text in ".{0,200}|[{}\\[\\]\",:a-z0-9\\\\ ]{0,100}") {
        if let Err(bad) = parse(&text, &ParseLimits::default()) {
            prop_assert_eq!(bad.error.code, ErrorCode::BadRequest);
            prop_assert!(bad.error.message.len() <= 400, "{}", bad.error.message);
        }
    }
}
