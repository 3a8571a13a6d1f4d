//! Who ended a pod, told by what Kubernetes shows at that moment.

use serde_json::{Value, json};

use super::*;

const START: SystemTime = SystemTime::UNIX_EPOCH;

#[test]
fn a_pod_that_somebody_deletes_is_missing_from_what_its_owner_wants() {
    let mut cluster = cluster_of(&["a", "b", "c"], 3);

    cluster.apply(Change::Pod(Event::Apply(terminating("b", "r1"))), START);
    assert_eq!(ended_by(&cluster, "b"), Some(TerminatedBy::Deletion));

    cluster.apply(Change::Pod(Event::Apply(pod("d", "r1"))), START);
    cluster.apply(Change::Pod(Event::Apply(terminating("b", "r1"))), START);
    assert_eq!(
        ended_by(&cluster, "b"),
        Some(TerminatedBy::Deletion),
        "its replacement does not hide the cause"
    );
}

#[test]
fn a_scale_down_leaves_as_many_pods_as_are_wanted() {
    let mut cluster = cluster_of(&["a", "b", "c"], 3);

    cluster.apply(Change::Set(Event::Apply(set("r1", 1, 1))), START);
    cluster.apply(Change::Pod(Event::Apply(terminating("b", "r1"))), START);
    cluster.apply(Change::Pod(Event::Apply(terminating("c", "r1"))), START);

    assert_eq!(ended_by(&cluster, "b"), Some(TerminatedBy::ScaleDown));
    assert_eq!(ended_by(&cluster, "c"), Some(TerminatedBy::ScaleDown));
    assert_eq!(cluster.view().replicas_wanted, 1);
}

#[test]
fn a_scale_down_that_is_heard_of_after_its_effect_is_recognized_for_two_seconds() {
    let mut cluster = cluster_of(&["a", "b"], 2);
    cluster.apply(Change::Pod(Event::Apply(terminating("b", "r1"))), START);
    assert_eq!(ended_by(&cluster, "b"), Some(TerminatedBy::Deletion));

    cluster.apply(Change::Set(Event::Apply(set("r1", 1, 1))), START + Duration::from_millis(1_999));
    assert_eq!(ended_by(&cluster, "b"), Some(TerminatedBy::ScaleDown));

    cluster.apply(Change::Set(Event::Apply(set("r1", 1, 2))), START + CAUSE_LATE);
    assert_eq!(
        ended_by(&cluster, "b"),
        Some(TerminatedBy::ScaleDown),
        "what comes later is about other pods"
    );
}

#[test]
fn a_pod_of_an_older_revision_ends_by_a_rollout() {
    let mut cluster = cluster_of(&["a", "b"], 2);

    cluster.apply(Change::Set(Event::Apply(set("r2", 2, 1))), START);
    cluster.apply(Change::Pod(Event::Apply(pod("c", "r2"))), START);
    cluster.apply(Change::Pod(Event::Apply(terminating("a", "r1"))), START);

    assert_eq!(ended_by(&cluster, "a"), Some(TerminatedBy::Rollout));
    assert_eq!(cluster.view().newest_revision.as_deref(), Some("r2"));
    assert_eq!(cluster.view().deployment.as_deref(), Some("gateway"));
}

#[test]
fn pods_of_two_deployments_have_none_in_common() {
    let mut cluster = cluster_of(&["a"], 1);
    let mut other = set("r2", 1, 1);
    let owners = other.metadata.owner_references.as_mut().expect("a Deployment made it");
    owners[0].name = "canary".to_owned();

    cluster.apply(Change::Set(Event::Apply(other)), START);
    assert_eq!(cluster.view().deployment, None);
}

#[test]
fn a_detached_pod_counts_for_no_replica_set() {
    let mut cluster = cluster_of(&["a", "b", "c"], 2);
    cluster.apply(Change::Pod(Event::Apply(read(detached("a")))), START);

    cluster.apply(Change::Pod(Event::Apply(terminating("b", "r1"))), START);
    assert_eq!(ended_by(&cluster, "b"), Some(TerminatedBy::Deletion), "c alone is fewer than wanted");

    cluster.apply(Change::Pod(Event::Apply(pod("d", "r1"))), START);
    let mut ending = detached("a");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:10:00Z");
    cluster.apply(Change::Pod(Event::Apply(read(ending))), START);
    assert_eq!(ended_by(&cluster, "a"), Some(TerminatedBy::Deletion), "nobody scaled anything down");
}

#[test]
fn what_a_pod_itself_says_of_its_end_counts_more_than_what_it_looks_like() {
    let mut cluster = cluster_of(&["a", "b"], 1);
    let mut evicted = value("a", "r1");
    evicted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:10:00Z");
    evicted["status"]["conditions"] =
        json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);

    cluster.apply(Change::Pod(Event::Apply(read(evicted))), START);
    assert_eq!(ended_by(&cluster, "a"), Some(TerminatedBy::Eviction));
}

#[test]
fn a_pod_that_was_deleted_without_warning_is_shown_for_half_a_minute() {
    let mut cluster = cluster_of(&["a", "b"], 2);

    cluster.apply(Change::Pod(Event::Delete(pod("b", "r1"))), START);
    let gone = facts_of(&cluster, "b").expect("still shown");
    assert!(gone.gone);
    let end = gone.termination.expect("it is at its end");
    assert_eq!((end.deadline, end.by), (START, TerminatedBy::Deletion));

    cluster.forget(START + GONE_SHOWN - Duration::from_millis(1));
    assert!(facts_of(&cluster, "b").is_some());
    cluster.forget(START + GONE_SHOWN);
    assert!(facts_of(&cluster, "b").is_none());
    assert!(cluster.ends.is_empty() && cluster.gone.is_empty(), "nothing is kept of it");
}

#[test]
fn a_deletion_that_happened_while_the_api_server_was_away_is_seen_in_the_next_list() {
    let mut cluster = cluster_of(&["a", "b"], 2);

    list(&mut cluster, &["a", "c"]);

    assert!(facts_of(&cluster, "b").is_some_and(|pod| pod.gone));
    assert!(facts_of(&cluster, "c").is_some_and(|pod| !pod.gone));
}

#[test]
fn a_view_is_complete_once_everything_was_listed() {
    let mut cluster = Cluster::new(9000, true);
    list(&mut cluster, &["a"]);
    cluster.apply(Change::Set(Event::InitDone), START);
    cluster.apply(Change::Budget(Event::InitDone), START);
    assert!(!cluster.view().complete, "the Service's endpoints are not known yet");

    cluster.apply(Change::Slice(Event::InitDone), START);
    assert!(cluster.view().complete);
}

#[test]
fn a_pod_knows_its_endpoint_and_the_budgets_that_count_it() {
    let mut cluster = cluster_of(&["a"], 1);
    let budget = |name: &str, selector: Value| {
        let object = json!({"metadata": {"name": name}, "spec": {"selector": selector},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
        Change::Budget(Event::Apply(read(object)))
    };
    cluster.apply(budget("ours", json!({"matchLabels": {"app": "gateway"}})), START);
    cluster.apply(budget("others", json!({"matchLabels": {"app": "redis"}})), START);
    cluster.apply(budget("everything", json!({})), START);
    cluster.apply(budget("nothing", Value::Null), START);
    let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.71.1.7"],
        "targetRef": {"kind": "Pod", "name": "a"}, "zone": "eu-1b", "conditions": {"ready": false, "serving": true}}]});
    cluster.apply(Change::Slice(Event::Apply(read(slice))), START);

    let pod = facts_of(&cluster, "a").expect("it runs");
    assert_eq!(pod.budgets, ["everything", "ours"]);
    assert_eq!(pod.endpoint, Some(EndpointState { ready: false, serving: true }));
    assert_eq!(pod.zone.as_deref(), Some("eu-1b"), "the endpoint knows it where the pod does not");
}

/// A Deployment's first revision with these pods.
fn cluster_of(names: &[&str], wanted: u32) -> Cluster {
    let mut cluster = Cluster::new(9000, false);
    cluster.apply(Change::Set(Event::Apply(set("r1", 1, wanted))), START);
    list(&mut cluster, names);
    cluster
}

fn list(cluster: &mut Cluster, names: &[&str]) {
    cluster.apply(Change::Pod(Event::Init), START);
    for name in names {
        cluster.apply(Change::Pod(Event::InitApply(pod(name, "r1"))), START);
    }
    cluster.apply(Change::Pod(Event::InitDone), START);
}

fn facts_of(cluster: &Cluster, name: &str) -> Option<PodFacts> {
    cluster.view().pods.into_iter().find(|pod| pod.name == name)
}

fn ended_by(cluster: &Cluster, name: &str) -> Option<TerminatedBy> {
    facts_of(cluster, name)?.termination.map(|end| end.by)
}

fn pod(name: &str, revision: &str) -> Pod {
    read(value(name, revision))
}

fn terminating(name: &str, revision: &str) -> Pod {
    let mut value = value(name, revision);
    value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:10:00Z");
    read(value)
}

fn detached(name: &str) -> Value {
    let mut value = value(name, "r1");
    value["metadata"]["labels"] = json!({"app": "gateway"});
    value["metadata"]["annotations"] = json!({"tidegate.io/pod-template-hash": "r1"});
    value
}

fn value(name: &str, revision: &str) -> Value {
    let labels = json!({"app": "gateway", "pod-template-hash": revision});
    json!({"metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": labels}, "status": {}})
}

fn set(revision: &str, number: u64, wanted: u32) -> ReplicaSet {
    read(json!({
        "metadata": {
            "name": format!("gateway-{revision}"), "labels": {"pod-template-hash": revision},
            "annotations": {"deployment.kubernetes.io/revision": number.to_string()},
            "ownerReferences": [{"kind": "Deployment", "name": "gateway", "apiVersion": "apps/v1", "uid": "1", "controller": true}],
        },
        "spec": {"replicas": wanted, "selector": {}},
    }))
}

fn read<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object as servers write it")
}
