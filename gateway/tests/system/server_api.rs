//! The server API over its real port: every call against real clients, and every way to be refused.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::{Builder, Gateway, HttpResponse, until};

use crate::native::{connect, connect_as, connect_with, native, token_with};

pub(super) const ALL: &str = "a key that may do everything";
const READER: &str = "a key that may only look";

pub(super) fn gateway() -> Builder {
    native()
        .config(&format!("[[api.keys]]\nname = \"all\"\nsecret = \"{ALL}\""))
        .config(r#"rights = ["publish", "send", "subscribe", "disconnect", "read"]"#)
        .config(&format!("[[api.keys]]\nname = \"reader\"\nsecret = \"{READER}\"\nrights = [\"read\"]"))
}

/// Any request with a key.
#[track_caller]
pub(super) fn request(gateway: &Gateway, key: &str, method: &str, target: &str, body: &str) -> HttpResponse {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    gateway.api_call(method, target, &headers, body)
}

/// A call that has to succeed, and its answer.
#[track_caller]
pub(super) fn post(gateway: &Gateway, call: &str, body: &Value) -> Value {
    answer(&request(gateway, ALL, "POST", &format!("/v1/{call}"), &body.to_string()))
}

#[track_caller]
pub(super) fn get(gateway: &Gateway, target: &str) -> Value {
    answer(&request(gateway, READER, "GET", &format!("/v1/{target}"), ""))
}

#[track_caller]
fn answer(response: &HttpResponse) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_str(&response.body).expect("an answer is JSON")
}

/// Status and body of a refusal, which is a problem as RFC 9457 says.
#[track_caller]
pub(super) fn problem(response: &HttpResponse) -> (u16, Value) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{response:?}");
    let problem: Value = serde_json::from_str(&response.body).expect("a problem is JSON");
    assert_eq!(problem["status"], response.status);
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    (response.status, problem)
}

/// The values that entries of a list have under a name.
pub(super) fn column<'v>(list: &'v Value, name: &str) -> Vec<&'v Value> {
    list.as_array().into_iter().flatten().map(|entry| &entry[name]).collect()
}

#[test]
fn a_publication_reaches_the_subscribers_once_however_often_it_is_repeated() {
    let gateway = gateway().start();
    let mut client = connect(&gateway);
    client.ask("subscribe", json!({ "channel": "log:a" }));
    client.ask("subscribe", json!({ "channel": "talk:b" }));
    let publish = json!({ "channel": "log:a", "data": { "n": 1.50 }, "key": "order-1" });

    let first = post(&gateway, "publish", &publish);
    let again = post(&gateway, "publish", &publish);
    let without_history = post(&gateway, "publish", &json!({ "channel": "talk:b", "data": 2, "key": "k" }));
    let repeated = post(&gateway, "publish", &json!({ "channel": "talk:b", "data": 2, "key": "k" }));

    assert_eq!((&first["offset"], first.get("duplicate")), (&json!(1), None));
    assert_eq!((&again["epoch"], &again["offset"]), (&first["epoch"], &json!(1)));
    assert_eq!(again["duplicate"], true);
    assert_eq!((without_history, repeated), (json!({}), json!({ "duplicate": true })));
    let message = json!({ "channel": "log:a", "data": { "n": 1.5 }, "offset": 1 });
    assert_eq!(client.expect("message"), message, "a server is nobody's user");
    assert_eq!(client.expect("message"), json!({ "channel": "talk:b", "data": 2 }));
    assert!(client.hears_nothing());
    gateway.await_metric("tidegate_publications_total", &[("source", "server")], 2.0);
    gateway.await_metric("tidegate_idempotent_repeats_total", &[], 2.0);
    gateway.await_metric("tidegate_api_requests_total", &[("call", "publish"), ("outcome", "ok")], 4.0);
}

#[test]
fn a_broadcast_and_a_batch_say_what_became_of_each_part_and_go_on_behind_a_bad_one() {
    let gateway = gateway().start();
    let mut client = connect_as(&gateway, "ann");
    client.ask("subscribe", json!({ "channel": "talk:a" }));
    client.ask("subscribe", json!({ "channel": "log:b" }));

    let broadcast =
        post(&gateway, "broadcast", &json!({ "channels": ["talk:a", "no spaces", "log:b"], "data": 1 }));
    let results = &broadcast["results"];
    assert_eq!(column(results, "channel"), ["talk:a", "no spaces", "log:b"]);
    assert_eq!(results[1]["error"]["errors"][0]["path"], "/channels/1", "{broadcast}");
    assert_eq!(results[2]["offset"], 1);

    let commands = json!({ "commands": [
        { "publish": { "channel": "log:b", "data": 2 } },
        { "publish": { "chanel": "log:b", "data": 3 } },
        { "send": { "user": "ann", "data": 4 } },
        { "unsubscribe": { "user": "ann", "channel": "log:b" } },
    ] });
    let batch = post(&gateway, "batch", &commands);
    assert_eq!(batch["results"][0]["publish"]["offset"], 2, "{batch}");
    assert_eq!(batch["results"][1]["error"]["status"], 422);
    assert_eq!(batch["results"][1]["error"]["errors"][0]["path"], "/commands/1/publish/chanel");
    assert_eq!(batch["results"][2], json!({ "send": { "sessions": 1 } }));
    assert_eq!(batch["results"][3], json!({ "unsubscribe": { "sessions": 1 } }));

    // What goes to a user may come before what was published to a channel just before; a channel's messages are in order.
    let heard: Vec<_> = (0..5).map(|_| client.next_object()).collect();
    let column_of = |name: &str| -> Vec<_> { heard.iter().filter_map(|object| object.get(name)).collect() };
    let messages: Vec<_> = column_of("message").iter().map(|message| message["data"].clone()).collect();
    assert_eq!(messages, [1, 1, 2], "{heard:?}");
    assert_eq!(column_of("direct"), [&json!({ "data": 4 })], "{heard:?}");
    assert_eq!(
        heard[4]["unsubscribed"]["channel"], "log:b",
        "after all that was published before: {heard:?}"
    );

    // A batch needs no right of its own, each of its commands does.
    let refused = answer(&request(&gateway, READER, "POST", "/v1/batch", &commands.to_string()));
    assert_eq!(refused["results"][0]["error"]["status"], 403, "{refused}");
}

#[test]
fn messages_go_to_all_sessions_of_a_user_or_to_one() {
    let gateway = gateway().start();
    let ann = json!({ "token": token_with(&json!({ "sub": "ann" })) });
    let ((mut phone, session), mut laptop) = (connect_with(&gateway, ann), connect_as(&gateway, "ann"));
    let mut bob = connect_as(&gateway, "bob");

    assert_eq!(post(&gateway, "send", &json!({ "user": "ann", "data": 1 })), json!({ "sessions": 2 }));
    let one = json!({ "session": session["session"], "data": 2, "key": "once" });
    assert_eq!(post(&gateway, "send", &one), json!({ "sessions": 1 }));
    assert_eq!(post(&gateway, "send", &one), json!({ "sessions": 0 }), "the same key again");
    assert_eq!(post(&gateway, "send", &json!({ "user": "carol", "data": 3 })), json!({ "sessions": 0 }));

    assert_eq!([phone.expect("direct")["data"].clone(), phone.expect("direct")["data"].clone()], [1, 2]);
    assert_eq!(laptop.expect("direct")["data"], 1);
    assert!(phone.hears_nothing() && laptop.hears_nothing() && bob.hears_nothing());
    gateway.await_metric("tidegate_direct_messages_total", &[("outcome", "delivered")], 3.0);
}

#[test]
fn a_server_subscribes_a_user_to_what_its_token_does_not_allow_and_ends_it_again() {
    let gateway = gateway().start();
    let mut client = connect_as(&gateway, "ann");
    assert_eq!(client.refused("subscribe", json!({ "channel": "closed:x" })).code, "forbidden");
    let change = json!({ "user": "ann", "channel": "closed:x" });

    assert_eq!(post(&gateway, "subscribe", &change), json!({ "sessions": 1 }));
    // The answer says that the order is on its way, not that it has arrived.
    until("the order to arrive", || {
        post(&gateway, "publish", &json!({ "channel": "closed:x", "data": "in" }));
        client.hears_within(Duration::from_millis(20)).then_some(())
    });
    assert_eq!(client.expect("message")["data"], "in");
    assert_eq!(post(&gateway, "unsubscribe", &change), json!({ "sessions": 1 }));
    while client.next_object().get("unsubscribed").is_none() {}
    post(&gateway, "publish", &json!({ "channel": "closed:x", "data": "out" }));
    assert!(client.hears_nothing());

    let unknown = json!({ "user": "ann", "channel": "nowhere:x" });
    let refused = request(&gateway, ALL, "POST", "/v1/subscribe", &unknown.to_string());
    let (status, problem) = problem(&refused);
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_channel")), "{problem}");
}

#[test]
fn channels_are_listed_by_name_in_pages_and_looked_at_one_by_one() {
    let gateway = gateway().start();
    let (mut one, mut two) = (connect(&gateway), connect(&gateway));
    for channel in ["talk:a", "talk:b", "talk:c", "log:d"] {
        one.ask("subscribe", json!({ "channel": channel }));
    }
    two.ask("subscribe", json!({ "channel": "log:d" }));
    let head = post(&gateway, "publish", &json!({ "channel": "log:d", "data": 1 }));
    post(&gateway, "publish", &json!({ "channel": "log:quiet", "data": 1 }));

    let first = get(&gateway, "channels?prefix=talk:&limit=2");
    assert_eq!(column(&first["channels"], "channel"), ["talk:a", "talk:b"]);
    let cursor = first["next"].as_str().expect("there is more");
    let second = get(&gateway, &format!("channels?prefix=talk:&limit=2&cursor={cursor}"));
    assert_eq!(column(&second["channels"], "channel"), ["talk:c"]);
    assert_eq!(second.get("next"), None);
    assert_eq!(
        get(&gateway, "channels/log%3Ad"),
        json!({ "channel": "log:d", "subscribers": 2, "epoch": head["epoch"], "offset": 1 })
    );
    assert_eq!(get(&gateway, "channels/log:quiet")["subscribers"], 0);
    let (status, missing) = problem(&request(&gateway, READER, "GET", "/v1/channels/talk:none", ""));
    assert_eq!((status, &missing["code"]), (404, &json!("not_found")), "{missing}");
}

#[test]
fn presence_and_history_are_read_in_pages() {
    let gateway = gateway().start();
    let members: Vec<_> = ["ann", "bob", "cat"]
        .map(|user| {
            let mut client = connect_as(&gateway, user);
            client.ask("subscribe", json!({ "channel": "room:tea" }));
            client
        })
        .into();
    for number in 1..=5 {
        post(&gateway, "publish", &json!({ "channel": "log:a", "data": number }));
    }

    let first = get(&gateway, "channels/room:tea/presence?limit=2");
    assert_eq!((&first["total"], column(&first["members"], "user").len()), (&json!(3), 2));
    let cursor = first["next"].as_str().expect("there is more");
    let rest = get(&gateway, &format!("channels/room:tea/presence?limit=2&cursor={cursor}"));
    let mut users = [column(&first["members"], "user"), column(&rest["members"], "user")].concat();
    users.sort_by_key(|user| user.as_str());
    assert_eq!(users, ["ann", "bob", "cat"]);
    let without = request(&gateway, READER, "GET", "/v1/channels/talk:a/presence", "");
    assert_eq!(problem(&without).1["code"], "bad_request");

    let oldest = get(&gateway, "channels/log:a/history?limit=3");
    assert_eq!(
        (&oldest["offset"], column(&oldest["messages"], "data")),
        (&json!(5), vec![&json!(1), &json!(2), &json!(3)])
    );
    let cursor = oldest["next"].as_str().expect("there is more");
    let rest = get(&gateway, &format!("channels/log:a/history?limit=3&cursor={cursor}"));
    assert_eq!(column(&rest["messages"], "offset"), [4, 5]);
    let newest = get(&gateway, "channels/log:a/history?limit=2&newest_first=true");
    assert_eq!(column(&newest["messages"], "offset"), [5, 4]);
    let epoch = oldest["epoch"].as_str().expect("an epoch is text");
    let after = get(&gateway, &format!("channels/log:a/history?after_epoch={epoch}&after_offset=3"));
    assert_eq!(column(&after["messages"], "offset"), [4, 5]);
    drop(members);
}

#[test]
fn sessions_and_nodes_say_who_is_where() {
    let gateway = gateway().set("node.name", "gateway-7").start();
    let ann = json!({ "token": token_with(&json!({ "sub": "ann" })) });
    let (mut client, session) = connect_with(&gateway, ann);
    client.ask("subscribe", json!({ "channel": "log:a" }));
    let bob = connect_as(&gateway, "bob");

    let all = get(&gateway, "sessions?limit=1");
    let cursor = all["next"].as_str().expect("there is more");
    let rest = get(&gateway, &format!("sessions?limit=1&cursor={cursor}"));
    let mut users = [column(&all["sessions"], "user"), column(&rest["sessions"], "user")].concat();
    users.sort_by_key(|user| user.as_str());
    assert_eq!(users, ["ann", "bob"]);
    assert_eq!(column(&get(&gateway, "sessions?node=gateway-7")["sessions"], "user").len(), 2);

    let id = session["session"].as_str().expect("a session has a name");
    let shown = get(&gateway, &format!("sessions/{id}"));
    assert_eq!(column(&get(&gateway, "sessions?user=ann")["sessions"], "session"), [id]);
    assert_eq!((&shown["node"], &shown["connected"]), (&json!("gateway-7"), &json!(true)), "{shown}");
    assert_eq!(column(&shown["subscriptions"], "channel"), ["log:a"]);
    assert!(!shown.to_string().contains(session["resume"].as_str().expect("a secret is text")));
    client.cut();
    gateway.await_metric("tidegate_store_entries", &[("kind", "session_detached")], 1.0);
    assert_eq!(get(&gateway, &format!("sessions/{id}"))["connected"], false);
    let unknown = request(&gateway, READER, "GET", "/v1/sessions/AQIDBAUGBwgJCgsMDQ4PEA", "");
    assert_eq!(problem(&unknown).0, 404);

    let nodes = get(&gateway, "nodes");
    assert_eq!(column(&nodes["nodes"], "node"), ["gateway-7"]);
    assert_eq!(nodes["nodes"][0]["phase"], "serving", "{nodes}");
    drop(bob);
}

#[test]
fn without_a_key_or_its_right_nothing_is_done() {
    let gateway = gateway().start();
    let publish = json!({ "channel": "log:a", "data": 1 }).to_string();

    let missing = gateway.api_call("POST", "/v1/publish", &[("content-type", "application/json")], &publish);
    assert_eq!(missing.header("www-authenticate"), Some(r#"Bearer realm="tidegate""#));
    assert_eq!((problem(&missing).0, &problem(&missing).1["code"]), (401, &json!("unauthorized")));
    let near = [&ALL[..ALL.len() - 1], &format!("{ALL}x"), "no key at all, but a long one"];
    for wrong in near {
        assert_eq!(problem(&request(&gateway, wrong, "POST", "/v1/publish", &publish)).0, 401, "{wrong}");
    }
    let (status, lacks) = problem(&request(&gateway, READER, "POST", "/v1/publish", &publish));
    assert_eq!((status, &lacks["code"]), (403, &json!("forbidden")));
    assert!(lacks["detail"].as_str().is_some_and(|detail| detail.contains("`publish`")), "{lacks}");

    assert_eq!(
        problem(&request(&gateway, READER, "GET", "/v1/channels/log:a", "")).0,
        404,
        "it was not published"
    );
    gateway.await_metric("tidegate_keys_total", &[("port", "api"), ("outcome", "unknown")], 3.0);
    let refused = [("call", "publish"), ("outcome", "client_error")];
    gateway.await_metric("tidegate_api_requests_total", &refused, 5.0);
}

#[test]
fn a_bad_request_is_told_what_is_wrong_and_where() {
    let gateway = gateway().start();
    let cases = [
        ("publish", r#"{"chanel": "log:a", "data": 1}"#, "/chanel"),
        ("publish", r#"{"channel": "no spaces", "data": 1}"#, "/channel"),
        ("publish", r#"{"channel": 7, "data": 1}"#, "/channel"),
        ("publish", r#"{"channel": "log:a", "data": 1, "key": ""}"#, "/key"),
        ("broadcast", r#"{"channels": "log:a", "data": 1}"#, "/channels"),
        ("send", r#"{"data": 1}"#, ""),
        ("send", r#"{"user": "ann", "session": "AQIDBAUGBwgJCgsMDQ4PEA", "data": 1}"#, ""),
        ("disconnect", r#"{"user": "ann", "code": 1000}"#, "/code"),
        ("disconnect", r#"{}"#, ""),
        ("subscribe", r#"{"session": "short", "channel": "log:a"}"#, "/session"),
    ];
    for (call, body, path) in cases {
        let (status, problem) = problem(&request(&gateway, ALL, "POST", &format!("/v1/{call}"), body));
        assert_eq!((status, &problem["code"]), (422, &json!("bad_request")), "{body}: {problem}");
        assert_eq!(problem["errors"][0]["path"], path, "{body}: {problem}");
    }
    assert_eq!(problem(&request(&gateway, ALL, "POST", "/v1/publish", "{")).0, 400);
    assert_eq!(problem(&request(&gateway, ALL, "POST", "/v1/publicize", "{}")).0, 404);
    let method = request(&gateway, ALL, "PUT", "/v1/publish", "{}");
    assert_eq!((problem(&method).0, method.header("allow")), (405, Some("POST")));
    assert_eq!(problem(&request(&gateway, READER, "GET", "/v1/channels?limit=0", "")).0, 422);
}

#[test]
fn data_may_be_as_long_as_a_message_and_not_a_byte_longer() {
    let gateway = gateway().set("limits.message_bytes", "4KiB").start();
    let publish = |bytes: usize| {
        // Two of them are quotation marks.
        let body = json!({ "channel": "log:a", "data": "x".repeat(bytes - 2) }).to_string();
        request(&gateway, ALL, "POST", "/v1/publish", &body)
    };

    assert_eq!(answer(&publish(4096))["offset"], 1);
    let (status, too_large) = problem(&publish(4097));
    assert_eq!((status, &too_large["code"]), (413, &json!("too_large")), "{too_large}");
    assert_eq!(too_large["errors"][0]["path"], "/data");
    // Bodies have a bound of their own: it is never read to its end.
    assert_eq!(problem(&publish(2 << 20)).0, 413);
}

#[test]
fn the_description_that_is_served_is_the_one_in_the_docs() {
    let gateway = gateway().start();

    let served = gateway.api_call("GET", "/openapi.json", &[], "");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    let documented = include_str!("../../../docs/openapi.json");
    assert!(served.body == documented, "docs/openapi.json is not what is served; run `make docs`");
    let page = gateway.api_call("GET", "/docs", &[], "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("/v1/publish") && page.body.contains("/v1/nodes"), "{}", page.body);
}
