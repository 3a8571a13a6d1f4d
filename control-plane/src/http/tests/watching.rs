//! Waits and streams of events.

use super::*;
use crate::model::{Complaint, OperationState};

const ROLLOUT: &str = r#"{"kind":"rollout"}"#;

/// Waits until a request has begun to watch.
fn await_watched(api: &Running, id: &str) {
    let start = std::time::Instant::now();
    while !api.fake.is_watched(id) {
        assert!(start.elapsed() < PATIENCE, "nobody watches {id}");
        std::thread::yield_now();
    }
}

#[test]
fn a_wait_ends_when_the_operation_is_over() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| api.get("/v1/operations/a?wait=60s&until=terminal"));
        await_watched(&api, "a");
        api.await_metric("tidegate_api_watchers{kind=\"wait\"}", 1.0);

        api.fake.progress("a", |operation| operation.message = "half".to_owned());
        api.fake.progress("a", |operation| operation.state = OperationState::Succeeded);

        let answer = waiting.join().unwrap();
        assert_eq!(answer.json(200)["state"], "Succeeded");
        assert_eq!(answer.header("etag"), Some("\"3\""));
    });
    api.await_metric("tidegate_api_watchers{kind=\"wait\"}", 0.0);
    assert_eq!(
        api.get("/v1/operations/a?wait=60s").json(200)["state"],
        "Succeeded",
        "what is over is not awaited"
    );
}

#[test]
fn a_wait_for_a_change_ends_at_the_next_revision() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);
    let known = |revision: u64| {
        let headers = format!("{}If-None-Match: \"{revision}\"\r\n", bearer("vera"));
        api.ask("GET", "/v1/operations/a?wait=60s&until=change", &headers, "")
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| known(1));
        await_watched(&api, "a");
        api.fake.progress("a", |operation| operation.message = "half".to_owned());
        assert_eq!(waiting.join().unwrap().json(200)["message"], "half");
    });
    assert_eq!(known(1).json(200)["revision"], 2, "it has changed since what the caller knows");
}

#[test]
fn a_wait_that_is_over_answers_with_what_there_is() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);

    assert_eq!(api.get("/v1/operations/a?wait=0.01&until=terminal").json(200)["state"], "Pending");
    let headers = format!("{}If-None-Match: \"1\"\r\n", bearer("vera"));
    let unchanged = api.ask("GET", "/v1/operations/a?wait=0.01&until=change", &headers, "");
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), Some("\"1\""));
    assert_eq!(api.ask("GET", "/v1/operations/a", &headers, "").status, 304);
}

#[test]
fn a_wait_says_how_long_and_for_what() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);
    api.fake.progress("a", |operation| operation.state = OperationState::Failed);

    api.get("/v1/operations/a?wait=600s").json(200);
    for (query, at) in [
        ("wait=600.001", "?wait"),
        ("wait=soon", "?wait"),
        ("wait=1s&until=tomorrow", "?until"),
        ("until=change", "?until"),
        ("for=1s", "?for"),
    ] {
        let (path, message) = api.get(&format!("/v1/operations/a?{query}")).fault();
        assert_eq!(path, at, "{message}");
    }
    api.get("/v1/operations/b?wait=1s").problem(404, "not_found");
    api.get("/v1/operations/b").problem(404, "not_found");
}

#[test]
fn events_tell_each_change_until_the_operation_is_over() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);

    let mut events = api.follow("/v1/operations/a/events", "");
    let (name, id, operation) = events.next().unwrap();
    assert_eq!((name.as_str(), id.as_str(), &operation["state"]), ("operation", "1", &"Pending".into()));
    api.fake.progress("a", |operation| operation.state = OperationState::Planning);
    let (_, id, operation) = events.next().unwrap();
    assert_eq!((id.as_str(), &operation["state"]), ("2", &"Planning".into()));
    api.await_metric("tidegate_api_watchers{kind=\"operation_events\"}", 1.0);
    api.fake.progress("a", |operation| operation.state = OperationState::Succeeded);
    assert_eq!(events.next().unwrap().2["state"], "Succeeded");
    assert!(events.next().is_none());
    api.await_metric("tidegate_api_watchers{kind=\"operation_events\"}", 0.0);
}

#[test]
fn who_comes_back_to_a_stream_gets_what_is_new() {
    let api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);
    api.fake.progress("a", |operation| operation.state = OperationState::Planning);

    let mut behind = api.follow("/v1/operations/a/events", "Last-Event-ID: 1\r\n");
    assert_eq!(behind.next().unwrap().1, "2");
    let mut abreast = api.follow("/v1/operations/a/events", "Last-Event-ID: 2\r\n");
    assert_eq!(abreast.status, 200);
    api.fake.progress("a", |operation| operation.state = OperationState::Aborted);
    assert_eq!(abreast.next().unwrap().1, "3", "what it had is not sent again");

    assert_eq!(api.follow("/v1/operations/a/events", "Last-Event-ID: 3\r\n").status, 204);
    assert_eq!(api.follow("/v1/operations/b/events", "").status, 404);
}

#[test]
fn the_clusters_health_is_told_by_status_document_and_events() {
    let api = Running::start();
    let mut events = api.follow("/v1/health/events", "");

    let document = api.get("/v1/health").json(200);
    assert_eq!(document["leader"]["epoch"], 7);
    assert_eq!(api.get("/v1/cluster").json(200), document);
    let (name, id, told) = events.next().unwrap();
    assert_eq!((name.as_str(), told), ("health", document.clone()));
    assert_eq!(id, document["at"].to_string());

    api.fake.cluster_is(|cluster| {
        cluster.serves_well = false;
        let message = "no node takes in clients".to_owned();
        cluster.complaints.push(Complaint { code: "no_ready_node".to_owned(), message, severe: true });
    });
    assert_eq!(api.get("/v1/health").json(503)["complaints"][0]["code"], "no_ready_node");
    assert_eq!(api.get("/v1/cluster").json(200)["servesWell"], false);
    assert_eq!(events.next().unwrap().2["servesWell"], false);
}

#[test]
fn streams_and_waits_end_when_the_process_is_told_to_leave() {
    let mut api = Running::start();
    api.put("/v1/operations/a", ROLLOUT).json(201);
    let mut health = api.follow("/v1/health/events", "");
    let mut operation = api.follow("/v1/operations/a/events", "");
    assert!(health.next().is_some() && operation.next().is_some());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| api.get("/v1/operations/a?wait=60s"));
        api.await_metric("tidegate_api_watchers{kind=\"wait\"}", 1.0);
        api.lifecycle.advance(Phase::Draining);
        assert_eq!(waiting.join().unwrap().json(200)["state"], "Pending");
    });

    assert!(health.next().is_none() && operation.next().is_none());
    assert_eq!(api.get("/v1/cluster").status, 200, "calls are answered until the process stops");
    api.stop();
    assert!(TcpStream::connect(api.address).is_err());
}
