//! Calls that do something.

use serde_json::json;
use tidegate_protocol::command::Target;
use tidegate_protocol::error::{ErrorBody, ErrorCode};

use super::fake::{Asked, SESSION, channel_name, json as raw};
use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn publish_on(channel: &str, data: &str) -> Publish {
    Publish { channel: channel_name(channel), data: raw(data), key: None, conflate: None, trace: None }
}

fn user(name: &str) -> Target<'static> {
    Target::User(name.to_owned().into())
}

#[test]
fn a_publication_reaches_the_node_with_data_as_the_bytes_that_came() {
    let api = Running::start();
    let data = r#"{"b":1.0e2,  "a":"\u0041","a":[]}"#;
    let body = format!(r#"{{"key":"k","channel":"chat:1","data": {data} ,"conflate":"c"}}"#);
    let headers = format!("{}Content-Type: application/json\r\nTraceparent: {TRACE}\r\n", bearer(ALL_RIGHTS));

    let answer = api.ask("POST", "/v1/publish", &headers, &body);

    assert_eq!(answer.ok(), json!({ "epoch": "2r", "offset": 1 }));
    let (key, conflate, trace) = (Some("k".into()), Some("c".into()), Some(TRACE.into()));
    let Asked::Publish(publish) = api.fake.one() else { panic!() };
    assert_eq!(publish.data.as_str(), data);
    assert_eq!(publish, Publish { key, conflate, trace, ..publish_on("chat:1", data) });
}

#[test]
fn an_answer_says_only_what_is_known_and_that_nothing_was_delivered_twice() {
    let api = Running::start();
    let answer = api.post("/v1/publish", r#"{"channel":"live","data":null,"key":null}"#);
    assert_eq!(answer.ok(), json!({}));

    let answer = api.post("/v1/publish", r#"{"channel":"live","data":0,"key":"again"}"#);
    assert_eq!(answer.ok(), json!({ "duplicate": true }));
}

#[test]
fn data_over_several_lines_is_put_on_one() {
    let api = Running::start();
    api.post("/v1/publish", "{\n\"channel\": \"live\",\n\"data\": {\n\t\"a\": \"x\\ny\"\n}\n}").ok();

    let Asked::Publish(publish) = api.fake.one() else { panic!() };
    assert_eq!(publish.data.as_str(), "{ \t\"a\": \"x\\ny\" }");
}

#[test]
fn a_traceparent_that_is_malformed_or_there_twice_is_none() {
    let api = Running::start();
    for traces in [
        "traceparent: 00-0-0-01\r\n".to_owned(),
        format!("traceparent: {}\r\n", TRACE.to_uppercase()),
        format!("traceparent: {TRACE}-more\r\n"),
        format!("traceparent: {}\r\n", TRACE.replacen("00", "ff", 1)),
        format!("traceparent: 00-{}-00f067aa0ba902b7-01\r\n", "0".repeat(32)),
        format!("traceparent: {TRACE}\r\ntraceparent: {TRACE}\r\n"),
    ] {
        let headers = format!("{}Content-Type: application/json\r\n{traces}", bearer(ALL_RIGHTS));
        api.ask("POST", "/v1/publish", &headers, r#"{"channel":"live","data":1}"#).ok();
        assert_eq!(api.fake.one(), Asked::Publish(publish_on("live", "1")), "{traces}");
    }
}

#[test]
fn a_broadcast_is_one_publication_a_channel_with_one_result_each() {
    let api = Running::start();
    let body = r#"{"channels":["chat:1","no good","forbidden","live"],"data":[1, 2],"key":"k"}"#;
    let answer = api.post("/v1/broadcast", body).ok();

    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0], json!({ "channel": "chat:1", "epoch": "2r", "offset": 1 }));
    assert_eq!(results[1]["channel"], "no good");
    assert_eq!(results[1]["error"]["status"], 422);
    assert_eq!(results[1]["error"]["errors"][0]["path"], "/channels/1");
    assert_eq!(results[2]["error"]["code"], "forbidden");
    assert_eq!(results[3], json!({ "channel": "live" }));
    let keyed = |channel| Asked::Publish(Publish { key: Some("k".into()), ..publish_on(channel, "[1, 2]") });
    assert_eq!(api.fake.asked(), ["chat:1", "forbidden", "live"].map(keyed));
}

#[test]
fn a_broadcast_of_a_thousand_channels_keeps_the_order_of_results() {
    let api = Running::start();
    let channels: Vec<_> = (0..1000).map(|index| format!("live:{index}")).collect();
    let answer = api.post("/v1/broadcast", &json!({ "channels": channels, "data": 1 }).to_string()).ok();

    let results = answer["results"].as_array().unwrap().iter();
    let answered: Vec<_> = results.map(|result| result["channel"].as_str().unwrap()).collect();
    assert_eq!(answered, channels);
}

#[test]
fn a_batch_carries_out_its_commands_in_order_and_answers_each() {
    let api = Running::start();
    let commands = json!({ "commands": [
        { "publish": { "channel": "chat:1", "data": 1 } },
        { "send": { "user": "ann", "data": 2 } },
        { "subscribe": { "session": SESSION, "channel": "live" } },
        { "unsubscribe": { "user": "ann", "channel": "live" } },
        { "disconnect": { "token_id": "t" } },
        { "publish": { "channel": "chat:1", "data": 3 } },
    ] });

    let answer = api.post("/v1/batch", &commands.to_string()).ok();

    assert_eq!(
        answer["results"],
        json!([
            { "publish": { "epoch": "2r", "offset": 1 } },
            { "send": { "sessions": 2 } },
            { "subscribe": { "sessions": 3 } },
            { "unsubscribe": { "sessions": 4 } },
            { "disconnect": { "sessions": 5 } },
            { "publish": { "epoch": "2r", "offset": 6 } },
        ])
    );
    let channel = channel_name("live");
    assert_eq!(
        api.fake.asked(),
        [
            Asked::Publish(publish_on("chat:1", "1")),
            Asked::Send(Send { target: user("ann"), data: raw("2"), key: None }),
            Asked::Subscribe(SubscriptionChange {
                target: Target::Session(SESSION),
                channel: channel.clone()
            }),
            Asked::Unsubscribe(SubscriptionChange { target: user("ann"), channel }),
            Asked::Disconnect(Disconnect {
                subject: Subject::Token("t".into()),
                code: None,
                reason: None,
                revoke: false
            }),
            Asked::Publish(publish_on("chat:1", "3")),
        ]
    );
}

#[test]
fn a_command_that_fails_does_not_stop_those_behind_it() {
    let api = Running::start();
    let commands = [
        r#"{"publish":{"channel":"no good","data":1}}"#,
        r#"{"publish":{"channel":"live","data":1},"send":{}}"#,
        r#"{"history":{"channel":"live"}}"#,
        r#"{}"#,
        r#"{"publish":["live",1]}"#,
        r#"{"send":{"data":1}}"#,
        r#"{"publish":{"channel":"forbidden","data":1}}"#,
        r#"7"#,
        r#"{"publish":{"channel":"live","data":2}}"#,
    ];

    let answer = api.post("/v1/batch", &format!(r#"{{"commands":[{}]}}"#, commands.join(","))).ok();

    let results = answer["results"].as_array().unwrap().iter();
    let found: Vec<_> = results
        .map(|result| {
            let error = &result["error"];
            (error["status"].as_u64().unwrap_or(200), error["errors"][0]["path"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        found,
        [
            (422, "/commands/0/publish/channel"),
            (422, "/commands/1"),
            (422, "/commands/2"),
            (422, "/commands/3"),
            (422, "/commands/4/publish"),
            (422, "/commands/5/send"),
            (403, ""),
            (422, "/commands/7"),
            (200, ""),
        ]
    );
    let asked = [publish_on("forbidden", "1"), publish_on("live", "2")].map(Asked::Publish);
    assert_eq!(api.fake.asked(), asked, "only what is well-formed was asked");
}

#[test]
fn each_command_of_a_batch_needs_its_own_right() {
    let api = Running::start();
    let headers = format!("{}Content-Type: application/json\r\n", bearer(&secret_of("publish")));
    let body = r#"{"commands":[{"send":{"user":"ann","data":1}},{"publish":{"channel":"live","data":1}}]}"#;

    let answer = api.ask("POST", "/v1/batch", &headers, body).ok();

    assert_eq!(answer["results"][0]["error"]["code"], "forbidden");
    assert_eq!(answer["results"][1], json!({ "publish": {} }));
    assert_eq!(api.fake.one(), Asked::Publish(publish_on("live", "1")));
}

#[test]
fn a_message_is_sent_to_a_user_or_a_session() {
    let api = Running::start();
    let answer = api.post("/v1/send", r#"{"user":"ann","data":{"x": 1},"key":"k"}"#);
    assert_eq!(answer.ok(), json!({ "sessions": 2 }));
    let sent = Send { target: user("ann"), data: raw(r#"{"x": 1}"#), key: Some("k".into()) };
    assert_eq!(api.fake.one(), Asked::Send(sent));

    api.post("/v1/send", &format!(r#"{{"session":"{SESSION}","data":1,"user":null}}"#)).ok();
    let sent = Send { target: Target::Session(SESSION), data: raw("1"), key: None };
    assert_eq!(api.fake.one(), Asked::Send(sent));
}

#[test]
fn subscriptions_are_begun_and_ended() {
    let api = Running::start();
    let body = r#"{"user":"ann","channel":"chat:1"}"#;
    let change = SubscriptionChange { target: user("ann"), channel: channel_name("chat:1") };

    assert_eq!(api.post("/v1/subscribe", body).ok(), json!({ "sessions": 3 }));
    assert_eq!(api.fake.one(), Asked::Subscribe(change.clone()));
    assert_eq!(api.post("/v1/unsubscribe", body).ok(), json!({ "sessions": 4 }));
    assert_eq!(api.fake.one(), Asked::Unsubscribe(change));
}

#[test]
fn a_disconnect_carries_its_code_its_reason_and_whether_to_revoke() {
    let api = Running::start();
    let answer = api.post("/v1/disconnect", r#"{"user":"ann","code":4504,"reason":"closed","revoke":true}"#);
    assert_eq!(answer.ok(), json!({ "sessions": 5 }));
    let subject = Subject::User("ann".into());
    let asked = Disconnect { subject, code: Some(4504), reason: Some("closed".into()), revoke: true };
    assert_eq!(api.fake.one(), Asked::Disconnect(asked));

    api.post("/v1/disconnect", &format!(r#"{{"session":"{SESSION}"}}"#)).ok();
    let subject = Subject::Session(SESSION);
    let asked = Disconnect { subject, code: None, reason: None, revoke: false };
    assert_eq!(api.fake.one(), Asked::Disconnect(asked));
}

#[test]
fn what_the_node_refuses_has_the_status_of_its_code() {
    let api = Running::start();
    for code in ErrorCode::ALL {
        api.fake.refuse(ErrorBody::new(code, "this is why it cannot be"));
        let answer = api.post("/v1/publish", r#"{"channel":"live","data":1}"#);
        let problem = answer.problem(code.http_status(), code.as_str());
        assert_eq!(problem["detail"], "this is why it cannot be");
    }

    api.fake.refuse(ErrorBody::new(ErrorCode::Unavailable, "the store is away").retry_after_ms(1_200));
    let answer = api.post("/v1/publish", r#"{"channel":"live","data":1}"#);
    assert_eq!(answer.problem(503, "unavailable")["retry_after_ms"], 1_200);
    assert_eq!(answer.header("retry-after"), Some("2"));
}
