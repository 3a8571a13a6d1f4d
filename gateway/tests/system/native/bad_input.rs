//! What a client must not send: each time an error that a person understands, and nobody else is touched.

use serde_json::{Value, json};
use tidegate_wire::frame::OpCode;

use super::{
    Bystanders, connect, connect_with, expect_data, native, open, publish, resume, subscriber, token_of,
};

#[test]
fn what_is_no_command_is_refused_with_its_fault_and_the_session_goes_on() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let long = "x".repeat(200);
    let faults = [
        ("{", "not valid JSON"),
        (r#"{"id":1,"publish":{"channel":"talk:tea","data":tru}}"#, "not valid JSON"),
        (r#"{"subscribe":{"channel":"talk:tea"}} {}"#, "not valid JSON"),
        ("[]", "an object that names a command"),
        ("7", "an object that names a command"),
        ("\"connect\"", "an object that names a command"),
        (r#"{"presence":{"channel":"a"},"unsubscribe":{"channel":"a"}}"#, "one object holds one command"),
        (r#"{"id":1}"#, "no command beside `id`"),
        (r#"{"id":1,"id":2,"presence":{"channel":"a"}}"#, "`id` appears twice"),
        (r#"{"teleport":{}}"#, "there is no command `teleport`"),
        (r#"{"Subscribe":{"channel":"a"}}"#, "there is no command `Subscribe`"),
        (r#"{"id":-1,"presence":{"channel":"a"}}"#, "id"),
        (r#"{"id":4294967296,"presence":{"channel":"a"}}"#, "id"),
        (r#"{"id":1e400,"presence":{"channel":"a"}}"#, "id"),
        (r#"{"id":"1","presence":{"channel":"a"}}"#, "id"),
        (r#"{"subscribe":"talk:tea"}"#, "subscribe"),
        (r#"{"subscribe":null}"#, "subscribe"),
        (r#"{"subscribe":{}}"#, "`channel` is missing"),
        (r#"{"subscribe":{"channel":7}}"#, "channel"),
        (r#"{"subscribe":{"channel":"a","channel":"b"}}"#, "channel"),
        (r#"{"publish":{"channel":"talk:tea"}}"#, "`data` is missing"),
        (r#"{"publish":{"channel":"a","data":1,"key":""}}"#, "key"),
        (r#"{"send":{"data":1}}"#, "user"),
        (r#"{"history":{"channel":"log:tea","limit":1e400}}"#, "limit"),
        (r#"{"history":{"channel":"log:tea","limit":-1}}"#, "limit"),
        (r#"{"history":{"channel":"log:tea","after":{"epoch":"!","offset":1}}}"#, "epoch"),
        (
            r#"{"subscribe":{"channel":"log:tea","position":{"epoch":"a","offset":18446744073709551616}}}"#,
            "offset",
        ),
        (&format!(r#"{{"{long}":{{}}}}"#), "there is no command"),
    ];
    for (object, fault) in faults {
        let mut client = connect(&gateway);
        client.socket().send_text(object);
        let refusal = client.expect_refusal();
        assert_eq!(refusal.code, "bad_request", "{object}: {refusal:?}");
        assert!(refusal.message.contains(fault) && refusal.message.len() < 300, "{object}: {refusal:?}");
        assert!(!refusal.retry, "{object}: {refusal:?}");
        client.settle();
    }
    bystanders.are_not_affected();
}

#[test]
fn the_id_of_a_bad_command_is_told_where_it_can_be_read() {
    let gateway = native().start();
    let mut client = connect(&gateway);

    for object in [
        r#"{"id":41,"teleport":{}}"#,
        r#"{"teleport":{},"id":41}"#,
        r#"{"id":41,"subscribe":{"channel":""}}"#,
        r#"{"id":41,"subscribe":{"channel":"a"}"#,
    ] {
        client.socket().send_text(object);
        assert_eq!(client.next_object()["id"], 41, "{object}");
    }
}

#[test]
fn the_other_objects_of_a_message_are_not_lost_with_a_bad_one() {
    let gateway = native().start();
    let mut client = subscriber(&gateway, "talk:tea");

    client.socket().send_text(
        "{\"publish\":{\"channel\":\"talk:tea\",\"data\":1}}\n\n  \n{\n{\"publish\":{\"channel\":\"talk:tea\",\"data\":2}}\n",
    );

    assert_eq!(client.expect_refusal().code, "bad_request");
    expect_data(&mut client, "talk:tea", 1);
    expect_data(&mut client, "talk:tea", 2);
}

#[test]
fn data_may_nest_to_the_limit_and_no_deeper() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let mut client = subscriber(&gateway, "talk:tea");
    let publish_nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"id":900,"publish":{{"channel":"talk:tea","data":{open}{close}}}}}"#)
    };

    client.socket().send_text(&publish_nested(32));
    assert_eq!(client.answer(900)["publish"], json!({}));
    client.expect("message");
    for depth in [33, 100_000] {
        client.socket().send_text(&publish_nested(depth));
        let error = client.answer(900)["error"].clone();
        assert_eq!(error["code"], "bad_request");
        assert!(error["message"].as_str().unwrap().contains("nested too deep"), "{error}");
    }
    let objects = r#"{"a":"#.repeat(50_000);
    client.socket().send_text(&objects);
    assert_eq!(client.expect_refusal().code, "bad_request");
    bystanders.are_not_affected();
}

#[test]
fn data_comes_as_the_bytes_that_were_sent() {
    let gateway = native().start();
    let mut client = subscriber(&gateway, "log:tea");
    let odd = [
        "1e400",
        "123456789012345678901234567890.000",
        r#"{ "b" : 1.50,"a":-0, "b":[ ] }"#,
        r#""\ud800 \u0041 \/""#,
        "\"\u{2028} тот чай 🫖\"",
        "null",
    ];

    for data in odd {
        client.socket().send_text(&format!(r#"{{"publish":{{"channel":"log:tea","data":{data}}}}}"#));
        let message = client.next_text();
        assert!(message.contains(&format!("\"data\":{data},")), "{data} became {message}");
    }
    let mut late = connect(&gateway);
    late.socket().send_text(r#"{"id":1,"subscribe":{"channel":"log:tea","last":6}}"#);
    late.next_text();
    for data in odd {
        let message = late.next_text();
        assert!(message.contains(&format!("\"data\":{data},")), "{data} became {message}");
    }
}

#[test]
fn channel_names_keep_to_their_rules() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let longest = format!("talk:{}", "é".repeat(125));
    assert_eq!(longest.len(), 255);
    let mut client = subscriber(&gateway, &longest);
    publish(&mut client, &longest, 1);
    expect_data(&mut client, &longest, 1);

    let bad = ["", " ", "talk:a b", "talk:\n", "talk:\u{0}", "talk:\u{7f}", "talk:\u{a0}", "talk:\u{2003}"];
    let too_long = format!("{longest}x");
    for name in bad.into_iter().chain([&*too_long]) {
        // A fresh one each time: too many of these close a connection.
        let mut client = connect(&gateway);
        for (command, body) in [
            ("subscribe", json!({ "channel": name })),
            ("publish", json!({ "channel": name, "data": 1 })),
            ("history", json!({ "channel": name, "limit": 1 })),
            ("presence", json!({ "channel": name })),
        ] {
            let refusal = client.refused(command, body);
            assert_eq!(refusal.code, "bad_request", "{command} {name:?}");
            assert!(refusal.message.contains("channel"), "{command} {name:?}: {refusal:?}");
        }
        let mut late = open(&gateway);
        assert_eq!(late.refused("connect", json!({ "subscribe": [name] })).code, "bad_request", "{name:?}");
    }
    bystanders.are_not_affected();
}

#[test]
fn binary_messages_and_text_that_is_none_end_their_connection_and_no_other() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let (mut binary, mut garbled, mut early) = (connect(&gateway), connect(&gateway), open(&gateway));

    binary.socket().send_binary(b"{}");
    garbled.socket().send_frame(true, false, OpCode::Text, b"{\"publish\":\xff}");
    early.socket().send_binary(b"{}");

    assert_eq!(
        binary.read_to_closing().1,
        json!({ "code": 1003, "name": "unsupported_data", "reconnect": false })
    );
    assert_eq!(garbled.expect_closing(), 1007);
    assert_eq!(early.expect_closing(), 1003);
    bystanders.are_not_affected();
}

#[test]
fn a_message_over_the_limit_ends_its_connection_and_no_other() {
    let gateway = native().set("limits.message_bytes", "2KiB").start();
    let mut bystanders = Bystanders::of(&gateway);
    let (mut client, connected) = connect_with(&gateway, json!({}));
    assert_eq!(connected["limits"]["message_bytes"], 2048);
    let object = |bytes: usize| {
        let frame = r#"{"publish":{"channel":"talk:tea","data":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };

    client.socket().send_text(&object(2048));
    client.settle();
    client.socket().send_text(&object(2049));

    assert_eq!(client.expect_closing(), 1009);
    bystanders.are_not_affected();
}

#[test]
fn who_keeps_sending_what_is_no_command_is_closed() {
    let gateway = native().start();
    let mut bystanders = Bystanders::of(&gateway);
    let mut client = connect(&gateway);

    (0..20).for_each(|_| client.socket().send_text("nonsense"));

    let (before, closing) = client.read_to_closing();
    assert_eq!(closing, json!({ "code": 4502, "name": "bad_message", "reconnect": false }));
    assert!(before.iter().all(|object| object["error"]["code"] == "bad_request"), "{before:?}");
    assert_eq!(before.len(), 6, "five are answered, and the one that is too many");
    bystanders.are_not_affected();
}

#[test]
fn a_foreign_session_is_answered_as_one_that_never_was_and_is_not_touched() {
    for anonymous in ["true", "false"] {
        let gateway = native().set("auth.anonymous", anonymous).start();
        let (mut victim, session) = connect_with(&gateway, json!({ "token": token_of("ann") }));
        victim.ask("subscribe", json!({ "channel": "talk:tea" }));
        let (_other, other) = connect_with(&gateway, json!({ "token": token_of("bob") }));
        let attempts = [
            json!({ "session": session["session"], "resume": other["resume"] }),
            json!({ "session": "AAAAAAAAAAAAAAAAAAAAAA", "resume": session["resume"] }),
            json!({ "session": session["session"], "resume": "AAAAAAAAAAAAAAAAAAAAAA" }),
        ];

        let answers = attempts.map(|attempt| {
            let mut thief = open(&gateway);
            let id = thief.command("connect", attempt);
            let mut answer = thief.answer(id);
            let closing = (anonymous == "false").then(|| thief.read_to_closing().1);
            if let Some(connected) = answer.get_mut("connect") {
                assert_eq!((&connected["resumed"], &connected["user"]), (&json!(false), &json!("")));
                assert_eq!(connected["channels"], json!({}));
                // The only thing that may differ: a new session has its own.
                connected["session"] = Value::Null;
                connected["resume"] = Value::Null;
            }
            (answer, closing)
        });

        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[1], answers[2]);
        if let Some(closing) = &answers[0].1 {
            assert_eq!(closing["code"], 4508);
        }
        publish(&mut victim, "talk:tea", "still here");
        expect_data(&mut victim, "talk:tea", "still here");
        let (_back, resumed) = resume(&gateway, &session);
        assert_eq!(resumed["resumed"], true, "its own secret is good as before");
    }
}

#[test]
fn a_session_or_secret_that_is_none_is_a_bad_request() {
    let gateway = native().start();
    for body in [
        json!({ "session": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "resume": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "session": "short", "resume": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "session": 7, "resume": "AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "positions": { "log:tea": 7 } }),
        json!({ "positions": { "log:tea": { "epoch": "a", "offset": -1 } } }),
        json!({ "subscribe": "log:tea" }),
        json!({ "token": "" }),
    ] {
        let mut client = open(&gateway);
        assert_eq!(client.refused("connect", body.clone()).code, "bad_request", "{body}");
        client.ask("connect", json!({}));
    }
}
