//! Requests that are none: each is told what is wrong, where, and what to do.

use super::*;

#[test]
fn a_body_that_cannot_be_read_is_told_where() {
    let api = Running::start();
    let put = |body: &str| api.put("/v1/operations/a", body);

    put("{").problem(400, "bad_request");
    put("").problem(400, "bad_request");
    put(r#"{"kind":"rollout"} x"#).problem(400, "bad_request");
    let untyped = api.ask("PUT", "/v1/operations/a", &bearer("ada"), "{}");
    untyped.problem(415, "bad_request");
    for (body, at) in [
        ("[]", ""),
        ("{}", "/kind"),
        (r#"{"kind":"party"}"#, "/kind"),
        (r#"{"kind":"drain"}"#, "/targets"),
        (r#"{"kind":"drain","targets":{"pod":["a"]}}"#, "/targets"),
        (r#"{"kind":"rollout","maxRate":0}"#, "/maxRate"),
        (r#"{"kind":"rollout","maxRate":"fast"}"#, "/maxRate"),
        (r#"{"kind":"rollout","window":"long"}"#, "/window"),
        (r#"{"kind":"rollout","guards":{"resumeRatio":2}}"#, "/guards/resumeRatio"),
        (r#"{"kind":"rollout","mode":"sideways"}"#, "/mode"),
    ] {
        let (path, message) = put(body).fault();
        assert_eq!(path, at, "{body}: {message}");
    }
    let (path, message) = put(r#"{"kind":"rollout","max_rate":200}"#).fault();
    assert_eq!(path, "/max_rate");
    assert!(message.contains("did you mean `maxRate`"), "{message}");
    assert!(api.fake.asked().is_empty(), "nothing of this reaches the coordinator");
}

#[test]
fn other_paths_methods_and_verbs_are_told_what_there_is() {
    let api = Running::start();

    api.get("/v1/nothing").problem(404, "not_found");
    let wrong = api.ask("DELETE", "/v1/operations/a", &bearer("ada"), "");
    wrong.problem(405, "bad_request");
    let allowed = wrong.header("allow").unwrap();
    for method in ["GET", "PUT", "PATCH", "POST"] {
        assert!(allowed.contains(method), "{allowed}");
    }
    let problem = api.post("/v1/operations/a:burn", "").problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().contains(":abort"), "{problem}");
    api.post("/v1/operations/a", "").problem(404, "not_found");
    let problem = api.post("/v1/nodes/gw-1:burn", "").problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().contains(":cordon"), "{problem}");
    assert_eq!(api.post("/v1/operations/a:pause?resaon=x", "").fault().0, "?resaon");
    api.post("/v1/operations/b:pause", "").problem(404, "not_found");
    assert!(api.metric("tidegate_api_requests_total{call=\"other\",outcome=\"client_error\"}").is_some());
}

#[test]
fn a_status_that_is_none_is_the_control_planes_own_fault() {
    let api = Running::start();
    api.fake.refuse(crate::model::Refused::new("odd", 7, "a status that no table has"));
    api.get("/v1/operations/a").problem(500, "odd");
}
