//! Every limit, at it and one above.

use serde_json::json;

use super::*;

const DRAIN: &str = r#"{"kind":"drain","targets":{"pods":["gw-1"]}}"#;

#[test]
fn a_body_may_be_so_long_whether_it_says_so_or_not() {
    let api = Running::limited(ApiLimits { body_bytes_max: 100, ..ApiLimits::default() });
    let longest = format!("{DRAIN:<100}");
    let chunked = |body: &str| {
        api.send(&format!(
            "PUT /v1/operations/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{}Content-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            bearer("ada"),
            body.len(),
        ))
    };

    api.put("/v1/operations/a", &longest).json(201);
    chunked(&longest).json(200);
    let longer = longest + " ";
    for answer in [api.put("/v1/operations/a", &longer), chunked(&longer)] {
        let problem = answer.problem(413, "too_large");
        assert!(problem["detail"].as_str().unwrap().contains("100 bytes"), "{problem}");
    }
    assert_eq!(api.metric("tidegate_api_refused_total{bound=\"body\"}"), Some(2.0));
}

#[test]
fn ids_names_reasons_and_pages_have_their_limits() {
    let api = Running::start();
    api.put(&format!("/v1/operations/{}", "a".repeat(64)), DRAIN).json(201);
    let (path, _) = api.put(&format!("/v1/operations/{}", "a".repeat(65)), DRAIN).fault();
    assert_eq!(path, "{id}");
    assert_eq!(api.put("/v1/operations/a%20b", DRAIN).fault().0, "{id}");
    assert_eq!(api.get("/v1/operations/a:pause").fault().0, "{id}", "verbs are told, not looked at");

    api.get(&format!("/v1/nodes/{}", "n".repeat(253))).problem(404, "not_found");
    assert_eq!(api.get(&format!("/v1/nodes/{}", "n".repeat(254))).fault().0, "{node}");

    let reason = |bytes| json!({ "kind": "rollout", "reason": "r".repeat(bytes) }).to_string();
    api.put("/v1/operations/r", &reason(256)).json(201);
    assert_eq!(api.put("/v1/operations/s", &reason(257)).fault().0, "/reason");
    api.post(&format!("/v1/operations/r:pause?reason={}", "r".repeat(256)), "").json(200);
    assert_eq!(
        api.post(&format!("/v1/operations/r:pause?reason={}", "r".repeat(257)), "").fault().0,
        "?reason"
    );
    api.post(&format!("/v1/nodes/gw-1:cordon?reason={}", "r".repeat(256)), "").json(200);
    assert_eq!(
        api.post(&format!("/v1/nodes/gw-1:cordon?reason={}", "r".repeat(257)), "").fault().0,
        "?reason"
    );

    for limit in [1, 200] {
        api.get(&format!("/v1/operations?limit={limit}")).json(200);
    }
    for limit in ["0", "201", "many"] {
        assert_eq!(api.get(&format!("/v1/operations?limit={limit}")).fault().0, "?limit");
    }
}

#[test]
fn what_is_quoted_of_a_bad_body_is_cut_short() {
    let api = Running::start();
    let answer = api.put("/v1/operations/a", &json!({ "kind": "drain", "é".repeat(20_000): 1 }).to_string());
    let (path, message) = answer.fault();
    assert!(path.len() <= 500 && message.len() <= 500, "{} {}", path.len(), message.len());
    assert!(answer.body.len() < 3_000, "{}", answer.body.len());
}

#[test]
fn more_requests_at_once_than_may_be_are_told_to_come_back() {
    let api = Running::limited(ApiLimits { requests_max: 1, ..ApiLimits::default() });
    let go = api.fake.hold();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| api.put("/v1/operations/a", DRAIN));
        while api.fake.asked().is_empty() {
            std::thread::yield_now();
        }
        let refused = api.get("/v1/cluster");
        refused.problem(503, "unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
        go.send(()).unwrap();
        first.join().unwrap().json(201);
    });
    assert_eq!(api.metric("tidegate_api_refused_total{bound=\"requests\"}"), Some(1.0));
    api.await_metric("tidegate_api_requests_total{call=\"put_operation\",outcome=\"ok\"}", 1.0);
    assert_eq!(
        api.metric("tidegate_api_requests_total{call=\"cluster\",outcome=\"server_error\"}"),
        Some(1.0)
    );
}

#[test]
fn more_watchers_than_may_be_are_refused_and_leave_room_for_calls() {
    let api = Running::limited(ApiLimits { watchers_max: 2, requests_max: 1, ..ApiLimits::default() });
    api.put("/v1/operations/a", DRAIN).json(201);
    let mut one = api.follow("/v1/health/events", "");
    let mut two = api.follow("/v1/operations/a/events", "");
    assert!(one.next().is_some() && two.next().is_some());

    for path in ["/v1/health/events", "/v1/operations/a/events", "/v1/operations/a?wait=1s"] {
        api.get(path).problem(503, "unavailable");
    }
    assert_eq!(api.metric("tidegate_api_refused_total{bound=\"watchers\"}"), Some(3.0));
    api.get("/v1/operations/a").json(200);

    drop(one);
    api.await_metric("tidegate_api_watchers{kind=\"health_events\"}", 0.0);
    api.get("/v1/operations/a?wait=0.001").json(200);
}

#[test]
fn a_coordinator_that_does_not_answer_in_time_is_not_waited_for() {
    let api =
        Running::limited(ApiLimits { answer_timeout: Duration::from_millis(50), ..ApiLimits::default() });
    let go = api.fake.hold();

    let problem = api.put("/v1/operations/a", DRAIN).problem(503, "unavailable");

    assert!(problem["detail"].as_str().unwrap().contains("may have been done"), "{problem}");
    assert!(go.is_closed(), "the call was dropped");
}

#[test]
fn a_caller_that_leaves_is_counted_and_makes_room() {
    let api = Running::limited(ApiLimits { requests_max: 1, ..ApiLimits::default() });
    let mut go = api.fake.hold();
    let mut socket = api.connect();
    let (head, length) = (bearer("ada"), DRAIN.len());
    let request = format!(
        "PUT /v1/operations/a HTTP/1.1\r\nHost: t\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{DRAIN}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    while api.fake.asked().is_empty() {
        std::thread::yield_now();
    }
    drop(socket);

    let closed = async { tokio::time::timeout(PATIENCE, go.closed()).await };
    api.runtime.block_on(closed).expect("the call is dropped with its caller");
    api.await_metric("tidegate_api_requests_total{call=\"put_operation\",outcome=\"abandoned\"}", 1.0);
    api.get("/v1/cluster").json(200);
}
