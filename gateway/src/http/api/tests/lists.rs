//! Calls that look.

use serde_json::json;
use tidegate_protocol::command::HistoryOrder;
use tidegate_protocol::id::NodeName;
use tidegate_protocol::position::Position;

use super::fake::{Asked, EPOCH, SESSION, channel_name};
use super::*;

fn next(answer: &Value) -> &str {
    answer["next"].as_str().expect("there is another page")
}

#[test]
fn channels_are_listed_page_by_page() {
    let api = Running::start();
    let answer = api.get("/v1/channels?prefix=chat%3A&limit=2").ok();

    let first = json!({ "channel": "chat:1", "subscribers": 12, "epoch": "2r", "offset": 18 });
    assert_eq!(answer["channels"], json!([first, { "channel": "live", "subscribers": 1 }]));
    let query = ChannelsQuery { prefix: "chat:".into(), after: None, limit: 2 };
    assert_eq!(api.fake.one(), Asked::Channels(query.clone()));

    let path = format!("/v1/channels?prefix=chat:&limit=2&cursor={}", next(&answer));
    let answer = api.get(&path).ok();
    assert!(answer.get("next").is_none(), "{answer}");
    assert_eq!(api.fake.one(), Asked::Channels(ChannelsQuery { after: Some(channel_name("live")), ..query }));
}

#[test]
fn a_list_needs_no_parameters() {
    let api = Running::start();
    api.get("/v1/channels").ok();
    let query = ChannelsQuery { prefix: "".into(), after: None, limit: 100 };
    assert_eq!(api.fake.one(), Asked::Channels(query));

    api.get("/v1/sessions?").ok();
    let query = SessionsQuery { user: None, node: None, after: None, limit: 100 };
    assert_eq!(api.fake.one(), Asked::Sessions(query));
}

#[test]
fn a_channel_is_looked_up_by_its_percent_encoded_name() {
    let api = Running::start();
    for (path, name) in [
        ("live", "live"),
        ("chat:1", "chat:1"),
        ("chat%3A1", "chat:1"),
        ("a%2Fb%3Fc%25", "a/b?c%"),
        ("caf%C3%A9", "café"),
    ] {
        let answer = api.get(&format!("/v1/channels/{path}")).ok();
        assert_eq!(answer, json!({ "channel": name, "subscribers": 1 }));
        assert_eq!(api.fake.one(), Asked::Channel(channel_name(name)));
    }
    api.get("/v1/channels/absent").problem(404, "not_found");
}

#[test]
fn presence_lists_members_with_their_info_as_it_came() {
    let api = Running::start();
    let answer = api.get("/v1/channels/chat:1/presence?limit=2");
    assert!(answer.body.contains(r#""info":{"colour":  "teal"}"#), "{}", answer.body);
    let answer = answer.ok();

    assert_eq!(answer["total"], 3);
    assert_eq!(answer["members"][1], json!({ "user": "ann", "session": SESSION, "since_ms": 1000 }));
    let query = PresenceQuery { channel: channel_name("chat:1"), after: None, limit: 2 };
    assert_eq!(api.fake.one(), Asked::Presence(query.clone()));

    api.get(&format!("/v1/channels/chat:1/presence?limit=2&cursor={}", next(&answer))).ok();
    assert_eq!(api.fake.one(), Asked::Presence(PresenceQuery { after: Some(SESSION), ..query }));
}

#[test]
fn history_comes_with_its_head_and_data_as_it_came() {
    let api = Running::start();
    let answer = api.get("/v1/channels/chat:1/history?after_epoch=2r&after_offset=3&limit=5");
    assert!(answer.body.contains(r#""data":{"n":1.0,  "t":"\u0041"}"#), "{}", answer.body);
    let answer = answer.ok();

    assert_eq!((&answer["epoch"], &answer["offset"]), (&json!("2r"), &json!(9)));
    let message = json!({ "offset": 1, "data": { "n": 1.0, "t": "A" }, "from": "ann", "at_ms": 1000 });
    assert_eq!(answer["messages"][0], message);
    assert!(answer["messages"][1].get("from").is_none(), "{answer}");
    let Asked::History(query) = api.fake.one() else { panic!() };
    assert_eq!(query.after, Some(Position { epoch: EPOCH, offset: 3 }));
    assert_eq!((query.order, query.limit), (HistoryOrder::OldestFirst, 5));
}

#[test]
fn a_page_of_history_goes_on_in_its_order_whatever_else_is_said() {
    let api = Running::start();
    let answer = api.get("/v1/channels/chat:1/history?newest_first=true").ok();
    let Asked::History(query) = api.fake.one() else { panic!() };
    assert_eq!((query.after, query.order), (None, HistoryOrder::NewestFirst));

    for others in ["", "&newest_first=true", "&after_epoch=1&after_offset=1"] {
        api.get(&format!("/v1/channels/chat:1/history?cursor={}{others}", next(&answer))).ok();
        let Asked::History(query) = api.fake.one() else { panic!() };
        let after = Some(Position { epoch: EPOCH, offset: 2 });
        assert_eq!((query.after, query.order), (after, HistoryOrder::NewestFirst), "{others}");
    }
}

#[test]
fn sessions_are_listed_by_user_and_node() {
    let api = Running::start();
    let answer = api.get("/v1/sessions?user=ann&node=gateway-0&limit=1").ok();

    let subscriptions = json!([{ "channel": "chat:1", "epoch": "2r", "offset": 4 }, { "channel": "live" }]);
    let session = json!({
        "session": SESSION, "user": "ann", "node": "gateway-0", "connected": true, "since_ms": 1000,
        "subscriptions": subscriptions,
    });
    assert_eq!(answer["sessions"], json!([session]));
    let node = Some(NodeName::parse("gateway-0").unwrap());
    let query = SessionsQuery { user: Some("ann".into()), node, after: None, limit: 1 };
    assert_eq!(api.fake.one(), Asked::Sessions(query.clone()));

    api.get(&format!("/v1/sessions?user=ann&node=gateway-0&limit=1&cursor={}", next(&answer))).ok();
    assert_eq!(api.fake.one(), Asked::Sessions(SessionsQuery { after: Some(SESSION), ..query }));
}

#[test]
fn a_session_is_looked_up_by_its_id() {
    let api = Running::start();
    assert_eq!(api.get(&format!("/v1/sessions/{SESSION}")).ok()["node"], "gateway-0");
    assert_eq!(api.fake.one(), Asked::Session(SESSION));
    api.get("/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA").problem(404, "not_found");
}

#[test]
fn nodes_are_listed_with_their_load() {
    let api = Running::start();
    let node = json!({
        "node": "gateway-0", "phase": "serving", "version": "0.1.0", "connections": 7, "capacity": 100,
        "load": 0.25, "since_ms": 1000,
    });
    assert_eq!(api.get("/v1/nodes").ok(), json!({ "nodes": [node] }));
}

#[test]
fn what_is_wrong_in_a_path_or_query_is_named() {
    let api = Running::start();
    let id = SESSION.to_string();
    let foreign = api.get("/v1/channels").ok();
    api.fake.asked();
    for (path, at, message) in [
        ("/v1/channels?limit=0", "?limit", "from 1 to 1000"),
        ("/v1/channels?limit=ten", "?limit", "from 1 to 1000"),
        ("/v1/channels?limit=1&limit=2", "?limit", "duplicate field"),
        ("/v1/channels?perfix=a", "?perfix", "unknown field `perfix`, expected one of `prefix`"),
        ("/v1/channels?cursor=x", "?cursor", "not a `next`"),
        (&format!("/v1/sessions?cursor={}", next(&foreign)), "?cursor", "not a `next`"),
        ("/v1/channels/a%20b", "{channel}", "white space"),
        ("/v1/channels/%FF", "{channel}", "UTF-8"),
        ("/v1/channels/a%0Ab/presence", "{channel}", "white space"),
        (&format!("/v1/sessions/{id}0"), "{session}", "22 characters"),
        ("/v1/sessions?node=a%20b", "?node", "printable ASCII"),
        ("/v1/channels/chat:1/history?after_epoch=2r", "?after_offset", "is missing"),
        ("/v1/channels/chat:1/history?after_offset=1", "?after_epoch", "is missing"),
        ("/v1/channels/chat:1/history?after_epoch=2R&after_offset=1", "?after_epoch", "not an epoch"),
        ("/v1/channels/chat:1/history?newest_first=1", "?newest_first", "`true` or `false`"),
    ] {
        let (found, said) = api.get(path).fault(422, "bad_request");
        assert_eq!(found, at, "{path}: {said}");
        assert!(said.contains(message), "{path}: {said}");
    }
    assert_eq!(api.fake.asked(), [], "nothing of this was asked");
}
