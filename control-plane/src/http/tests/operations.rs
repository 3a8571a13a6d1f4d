//! Beginning, listing, changing and telling operations.

use serde_json::json;

use super::*;
use crate::model::{OperationState, Refused};

const DRAIN: &str = r#"{"kind":"drain","targets":{"pods":["gw-1"]}}"#;

#[test]
fn putting_the_same_twice_is_one_operation_and_another_body_is_told() {
    let api = Running::start();

    let first = api.put("/v1/operations/deploy-42", DRAIN);
    let second = api.put("/v1/operations/deploy-42", DRAIN);

    let operation = first.json(201);
    assert_eq!((&operation["id"], &operation["state"]), (&json!("deploy-42"), &json!("Pending")));
    assert_eq!((&operation["requestedBy"], &operation["source"]), (&json!("ada"), &json!("api")));
    assert_eq!(first.header("etag"), Some("\"1\""));
    assert_eq!(first.header("location"), Some("/v1/operations/deploy-42"));
    assert_eq!(second.json(200), operation);
    assert_eq!(second.header("location"), None);
    api.put("/v1/operations/deploy-42", r#"{"kind":"rollout"}"#).problem(409, "id_reused");
    assert_eq!(api.fake.asked(), ["put deploy-42 by ada"; 3]);
}

#[test]
fn a_refusal_of_the_coordinator_keeps_its_status_code_and_numbers() {
    let api = Running::start();

    let no_room =
        Refused::new("no_headroom", 422, "150 clients have no room on gw-2: force it, or add nodes");
    api.fake.refuse(no_room.with("free", 20).with("moves", 150));
    let problem = api.put("/v1/operations/a", DRAIN).problem(422, "no_headroom");
    assert_eq!(problem["details"], json!({ "free": 20, "moves": 150 }));
    assert!(problem["detail"].as_str().unwrap().contains("force it"));

    api.fake
        .refuse(Refused::new("conflict", 409, "gw-1 belongs to rollout-7").with("operation", "rollout-7"));
    let problem = api.put("/v1/operations/a", DRAIN).problem(409, "conflict");
    assert_eq!(problem["details"]["operation"], "rollout-7");

    api.fake.refuse(Refused::new("store_unavailable", 503, "the store does not answer: try again"));
    let answer = api.put("/v1/operations/a", DRAIN);
    answer.problem(503, "store_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn the_same_idempotency_key_of_the_same_caller_is_one_operation() {
    let api = Running::start();
    let post = |who: &str, key: &str| {
        let headers = format!("{}Content-Type: application/json\r\nIdempotency-Key: {key}\r\n", bearer(who));
        api.ask("POST", "/v1/operations", &headers, DRAIN)
    };

    let first = post("ada", "build-9");
    let id = first.json(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), Some(&*format!("/v1/operations/{id}")));
    assert_eq!(post("ada", "build-9").json(200)["id"], *id);
    assert_ne!(post("ada", "build-10").json(201)["id"], *id);
    assert_ne!(post("otto", "build-9").json(201)["id"], *id, "keys of others are others");

    let (one, other) = (api.post("/v1/operations", DRAIN), api.post("/v1/operations", DRAIN));
    assert_ne!(one.json(201)["id"], other.json(201)["id"], "without a key each is a new one");

    post("ada", &"k".repeat(255)).json(201);
    for wrong in ["k".repeat(256), "a b".to_owned()] {
        let (path, _) = post("ada", &wrong).fault();
        assert_eq!(path, "Idempotency-Key:");
    }
}

#[test]
fn a_plan_changes_nothing() {
    let api = Running::start();

    let forecast = api.post("/v1/operations:plan", DRAIN).json(200);

    assert_eq!(forecast["waves"][0]["nodes"], json!(["gw-1"]));
    assert_eq!(api.fake.asked(), ["plan Drain"]);
    assert_eq!(api.get("/v1/operations").json(200), json!({ "operations": [] }));
    api.fake.refuse(Refused::new("no_headroom", 422, "there is no room for 150 clients").with("moves", 150));
    let problem = api.post("/v1/operations:plan", DRAIN).problem(422, "no_headroom");
    assert_eq!(problem["details"]["moves"], 150);
}

#[test]
fn force_may_stand_in_the_query_or_in_the_body() {
    let api = Running::start();

    api.put("/v1/operations/a?force=true", DRAIN).json(201);
    api.put("/v1/operations/b", r#"{"kind":"rollout","force":true}"#).json(201);
    api.put("/v1/operations/c?force=false", DRAIN).json(201);

    assert_eq!(api.fake.asked(), ["put a force by ada", "put b force by ada", "put c by ada"]);
    let (path, _) = api.put("/v1/operations/d?force=maybe", DRAIN).fault();
    assert_eq!(path, "?force");
}

#[test]
fn pages_lead_through_all_operations_newest_first() {
    let api = Running::start();
    for id in ["a", "b", "c", "d", "e"] {
        let body = if id == "c" { r#"{"kind":"rollout"}"# } else { DRAIN };
        api.put(&format!("/v1/operations/{id}"), body).json(201);
    }
    api.fake.progress("b", |operation| operation.state = OperationState::Succeeded);
    let ids = |answer: &Value| -> Vec<String> {
        let operations = answer["operations"].as_array().unwrap().iter();
        operations.map(|operation| operation["id"].as_str().unwrap().to_owned()).collect()
    };

    let (mut seen, mut path) = (Vec::new(), "/v1/operations?limit=2".to_owned());
    loop {
        let page = api.get(&path).json(200);
        seen.push(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/operations?limit=2&cursor={next}");
    }

    assert_eq!(seen, [vec!["e", "d"], vec!["c", "b"], vec!["a"]]);
    let of = |query: &str| ids(&api.get(&format!("/v1/operations?{query}")).json(200));
    assert_eq!(of("state=finished"), ["b"]);
    assert_eq!(of("state=active&kind=drain"), ["e", "d", "a"]);
    assert_eq!(of("kind=rollout"), ["c"]);
    for (query, at) in
        [("state=late", "?state"), ("kind=party", "?kind"), ("cursor=x", "?cursor"), ("page=2", "?page")]
    {
        let (path, message) = api.get(&format!("/v1/operations?{query}")).fault();
        assert_eq!(path, at, "{message}");
    }
}

#[test]
fn a_change_needs_the_revision_that_was_seen() {
    let api = Running::start();
    api.put("/v1/operations/a", DRAIN).json(201);
    let patch = |headers: &str, body: &str| api.json("PATCH", "/v1/operations/a", headers, body);

    let problem = patch("", r#"{"maxRate":50}"#).problem(428, "precondition_required");
    assert!(problem["detail"].as_str().unwrap().contains("If-Match"), "{problem}");
    let changed = patch("If-Match: \"1\"\r\n", r#"{"maxRate":50}"#);
    assert_eq!(changed.json(200)["spec"]["maxRate"], 50.0);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let stale = patch("If-Match: \"1\"\r\n", r#"{"maxRate":60}"#).problem(412, "stale_revision");
    assert_eq!(stale["details"]["revision"], 2);
    patch("If-Match: *\r\n", r#"{"maxRate":70}"#).json(200);
    assert_eq!(patch("If-Match: *\r\n", r#"{"maxRate":null}"#).json(200)["spec"]["maxRate"], Value::Null);
    for wrong in ["W/\"4\"", "4", "\"four\"", "\"1\", \"2\""] {
        let (path, _) = patch(&format!("If-Match: {wrong}\r\n"), r#"{"maxRate":50}"#).fault();
        assert_eq!(path, "If-Match:", "{wrong}");
    }
}

#[test]
fn a_change_is_checked_as_a_new_operation_is() {
    let api = Running::start();
    api.put("/v1/operations/a", DRAIN).json(201);
    for (body, at) in [
        (r#"{"maxRate":0}"#, "/maxRate"),
        (r#"{"rate":-1}"#, "/rate"),
        (r#"{"maxDisplaced":0}"#, "/maxDisplaced"),
        (r#"{"window":"0s"}"#, "/window"),
        (r#"{"maxParallel":0}"#, "/maxParallel"),
        (r#"{"deadline":"soon"}"#, "/deadline"),
        (r#"{"paused":"yes"}"#, "/paused"),
        ("{}", "/"),
        ("[]", ""),
    ] {
        let (path, message) = api.json("PATCH", "/v1/operations/a", "If-Match: *\r\n", body).fault();
        assert_eq!(path, at, "{body}: {message}");
    }
    let (_, message) = api.json("PATCH", "/v1/operations/a", "If-Match: *\r\n", r#"{"maxrate":1}"#).fault();
    assert!(message.contains("`maxrate`") && message.contains("`maxRate`"), "{message}");
}

#[test]
fn an_operation_can_be_told_the_same_twice() {
    let api = Running::start();
    api.put("/v1/operations/a", DRAIN).json(201);

    let first = api.post("/v1/operations/a:pause", "");
    let second = api.post("/v1/operations/a%3Apause?reason=lunch", "");
    assert_eq!(first.json(200)["desired"], "pause");
    assert_eq!(second.json(200), first.json(200));
    assert_eq!(api.post("/v1/operations/a:resume", "").json(200)["desired"], "run");
    assert_eq!(api.post("/v1/operations/a:force", "").json(200)["spec"]["force"], true);
    api.post("/v1/operations/a:retry", "").problem(409, "wrong_state");
    assert_eq!(api.post("/v1/operations/a:abort", "").json(200)["state"], "Aborted");
    assert_eq!(api.post("/v1/operations/a:retry", "").json(200)["state"], "Pending");
    assert_eq!(
        api.fake.asked()[1..],
        [
            "Pause a by ada",
            "Pause a by ada",
            "Resume a by ada",
            "Force a by ada",
            "Retry a by ada",
            "Abort a by ada",
            "Retry a by ada",
        ]
    );
}

#[test]
fn nodes_can_be_seen_and_cordoned_by_either_name() {
    let api = Running::start();

    assert_eq!(api.get("/v1/nodes").json(200), api.get("/v1/pods").json(200));
    assert_eq!(api.get("/v1/nodes").json(200)["nodes"][1]["name"], "gw-2");
    assert_eq!(api.get("/v1/pods/gw-1").json(200), api.get("/v1/nodes/gw-1").json(200));
    api.get("/v1/nodes/gw-9").problem(404, "not_found");
    let cordoned = json!({ "node": "gw-1", "cordoned": true });
    assert_eq!(api.post("/v1/pods/gw-1:cordon", "").json(200), cordoned);
    assert_eq!(api.post("/v1/nodes/gw-1:cordon", "").json(200), cordoned);
    assert_eq!(
        api.post("/v1/nodes/gw-1:uncordon", "").json(200),
        json!({ "node": "gw-1", "cordoned": false })
    );
    api.post("/v1/pods/gw-9:cordon", "").problem(404, "not_found");
    let asked = api.fake.asked();
    assert_eq!(asked[..3], ["cordon gw-1 On by ada", "cordon gw-1 On by ada", "cordon gw-1 Off by ada"]);
}
