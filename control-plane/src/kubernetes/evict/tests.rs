use serde_json::json;

use super::*;

#[test]
fn the_request_names_the_very_pod_under_the_key_that_the_api_server_reads() {
    let body = serde_json::to_value(eviction("gateway-a", "8d6c")).expect("plain data");

    assert_eq!(body["metadata"]["name"], "gateway-a");
    assert_eq!(body["deleteOptions"]["preconditions"]["uid"], "8d6c");
}

#[test]
fn a_budget_that_allows_none_now_says_when_to_ask_again() {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let cause = "The disruption budget gateways needs 2 healthy pods and has 2 currently";
    let answer = json!({
        "code": 429, "message": message, "reason": "TooManyRequests", "status": "Failure",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": cause}], "retryAfterSeconds": 10},
    });

    let blocked =
        Evicted::Blocked { retry_after: Duration::from_secs(10), message: format!("{message} {cause}") };
    assert_eq!(meaning(&refusal(answer)), blocked);
}

#[test]
fn a_budget_that_names_no_time_is_asked_again_soon() {
    let answer = json!({"code": 429, "message": "not now", "reason": "TooManyRequests", "status": "Failure"});

    let blocked = Evicted::Blocked { retry_after: RETRY_AFTER, message: "not now".to_owned() };
    assert_eq!(meaning(&refusal(answer)), blocked);
}

#[test]
fn two_budgets_on_one_pod_are_refused_for_good_and_any_other_failure_is_not() {
    let two =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

    assert_eq!(meaning(&failure(500, two)), Evicted::Refused { message: two.to_owned() });
    assert_eq!(meaning(&failure(500, "etcd")), Evicted::Unavailable { message: "etcd".to_owned() });
    assert_eq!(meaning(&failure(503, "later")), Evicted::Unavailable { message: "later".to_owned() });
    assert_eq!(meaning(&failure(403, "no right")), Evicted::Refused { message: "no right".to_owned() });
}

#[test]
fn a_pod_that_is_gone_or_was_replaced_needs_no_eviction() {
    assert_eq!(meaning(&failure(404, "not found")), Evicted::Gone);
    assert_eq!(meaning(&failure(409, "the UID in the precondition does not match")), Evicted::Gone);
}

fn failure(code: u16, message: &str) -> kube::Error {
    refusal(json!({"code": code, "message": message, "reason": "", "status": "Failure"}))
}

fn refusal(status: serde_json::Value) -> kube::Error {
    let status: Status = serde_json::from_value(status).expect("a status as servers write it");
    kube::Error::Api(Box::new(status))
}
