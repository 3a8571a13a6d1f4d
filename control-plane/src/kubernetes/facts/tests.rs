use serde_json::{Value, json};

use super::*;

#[test]
fn a_running_pod_tells_where_it_is_and_how_to_reach_it() {
    let facts = pod_facts(&pod(running()), 9000);

    assert_eq!(facts.name, "gateway-a");
    assert_eq!(facts.uid, "8d6c");
    assert_eq!(facts.host.as_deref(), Some("node-1"));
    assert_eq!(facts.zone.as_deref(), Some("eu-1a"));
    assert_eq!(facts.revision.as_deref(), Some("6f7b"));
    assert_eq!(facts.admin.as_deref(), Some("http://10.71.1.7:9100"), "the port that is named");
    assert_eq!((facts.ready, facts.stuck, facts.deletion_cost), (true, None, 7));
}

#[test]
fn a_detached_pod_remembers_its_revision() {
    let mut value = running();
    let labels = value["metadata"]["labels"].as_object_mut().expect("it has labels");
    labels.remove("pod-template-hash");
    assert_eq!(pod_facts(&pod(value.clone()), 9000).revision, None, "no Deployment made it");

    value["metadata"]["annotations"]["tidegate.io/pod-template-hash"] = json!("6f7b");
    let facts = pod_facts(&pod(value), 9000);
    assert_eq!((facts.revision.as_deref(), facts.detached), (Some("6f7b"), true));
    assert!(!pod_facts(&pod(running()), 9000).detached);
}

#[test]
fn a_pod_with_an_ipv6_address_and_no_named_port_is_reached_on_the_usual_one() {
    let mut value = running();
    value["status"]["podIP"] = json!("2001:db8::7");
    value["spec"]["containers"][0]["ports"] = json!([]);

    assert_eq!(pod_facts(&pod(value), 9000).admin.as_deref(), Some("http://[2001:db8::7]:9000"));
}

#[test]
fn a_pod_that_does_not_come_up_says_why() {
    let waiting = |reason: &str| {
        json!([{"name": "gateway", "ready": false, "image": "", "imageID": "",
        "restartCount": 0, "state": {"waiting": {"reason": reason}}}])
    };
    let stuck = |value: Value| pod_facts(&pod(value), 9000).stuck;

    let mut pulls = running();
    pulls["status"]["containerStatuses"] = waiting("ErrImagePull");
    assert_eq!(stuck(pulls).as_deref(), Some("ErrImagePull"));
    let mut starts = running();
    starts["status"]["containerStatuses"] = waiting("ContainerCreating");
    assert_eq!(stuck(starts), None, "every container waits like this for a moment");
    let mut nowhere = running();
    nowhere["status"] = json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
    assert_eq!(stuck(nowhere).as_deref(), Some("Unschedulable"));
}

#[test]
fn the_deletion_timestamp_is_the_end_with_the_grace_period_in_it() {
    let mut value = running();
    value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:10:00Z");
    value["metadata"]["deletionGracePeriodSeconds"] = json!(600);

    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_226_200);
    assert_eq!(deadline(&pod(value)), Some(end));
    assert_eq!(deadline(&pod(running())), None);
}

#[test]
fn the_reason_of_a_disruption_is_read_from_its_condition() {
    let reason = |reason: &str| {
        let mut value = running();
        value["status"]["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
        disruption(&pod(value))
    };

    assert_eq!(reason("EvictionByEvictionAPI"), Some(TerminatedBy::Eviction));
    assert_eq!(reason("DeletionByTaintManager"), Some(TerminatedBy::Node));
    assert_eq!(reason("TerminationByKubelet"), Some(TerminatedBy::Node));
    assert_eq!(disruption(&pod(running())), None);
}

#[test]
fn endpoints_are_told_by_pod_and_what_is_not_said_counts_as_true() {
    let slice = json!({
        "metadata": {"name": "clients-x"}, "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.71.1.7"], "targetRef": {"kind": "Pod", "name": "a"}, "zone": "eu-1a",
             "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.71.1.8"], "targetRef": {"kind": "Pod", "name": "b"}},
            {"addresses": ["192.0.2.1"]},
        ],
    });
    let slice: EndpointSlice = serde_json::from_value(slice).expect("an object as servers write it");

    let told = endpoints(&slice);
    assert_eq!(told["a"], (EndpointState { ready: false, serving: true }, Some("eu-1a".to_owned())));
    assert_eq!(told["b"], (EndpointState { ready: true, serving: true }, None));
    assert_eq!(told.len(), 2, "an endpoint that is no pod is no gateway");
}

#[test]
fn only_replica_sets_of_a_deployment_are_revisions() {
    let set = |annotations: Value| -> ReplicaSet {
        let metadata = json!({"name": "gateway-6f7b", "labels": {"pod-template-hash": "6f7b"}, "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"replicas": 3, "selector": {}}}))
            .expect("an object as servers write it")
    };

    let numbered = set(json!({"deployment.kubernetes.io/revision": "12"}));
    assert_eq!(
        revision(&numbered),
        Some(Revision { hash: "6f7b".to_owned(), number: 12, wanted: 3, deployment: None })
    );
    assert_eq!(revision(&set(json!({}))), None);
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).expect("an object as servers write it")
}

fn running() -> Value {
    json!({
        "metadata": {
            "name": "gateway-a", "uid": "8d6c",
            "labels": {"pod-template-hash": "6f7b", "topology.kubernetes.io/zone": "eu-1a"},
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "gateway", "ports": [
                {"name": "client", "containerPort": 8000}, {"name": "admin", "containerPort": 9100}]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.71.1.7",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}
