"""Rows of drains: asked for at the API, and by what Kubernetes does on its own."""

import json

from .rows import row
from .stage import (
    CONTROL_PLANES, GATEWAYS, RELEASE, expect, get, helm, install, kubectl, name, pods, ready, settled, until,
)
from .traffic import Traffic

DEPLOYMENT = f"deployment/{RELEASE}-gateway"


@row
def installs(world):
    """helm install with the development preset becomes Ready, and helm test makes a round trip"""
    install()
    settled(3)
    settled(3, CONTROL_PLANES)
    helm("test", RELEASE, "--timeout=90s")


@row
def knows_its_pods(world):
    """the control plane knows every pod, one replica leads by the Lease, and its epoch is the Lease's count"""

    def known():
        health = world.control.health()
        names = {node["name"] for node in health["nodes"] if node["reachable"]}
        return health if names == {name(pod) for pod in ready()} and health["leader"]["name"] else None

    health = until(known, 30, "all gateways to be known and a leader to be there")
    spec = get("lease", f"{RELEASE}-control-plane")["spec"]
    expect(spec["leaseTransitions"] == health["leader"]["epoch"], (spec, health["leader"]))
    expect(spec["holderIdentity"] == health["leader"]["name"], (spec, health["leader"]))
    return f"{spec['holderIdentity']} leads, epoch {spec['leaseTransitions']}"


@row
def deleted_pod(world):
    """kubectl delete pod is adopted with its real deadline; nobody loses a message and each client moves once"""
    with Traffic(world, 45, ["most-returns-of-a-client=1"]) as traffic:
        victim = name(ready()[0])
        kubectl("delete", "pod", victim, "--wait=false")
        [operation, *_] = world.control.adopted("kubectl", [victim])
        settled(3)
    world.control.finished(operation["id"], 60)
    return traffic


@row
def forced_deletion(world):
    """kubectl delete --grace-period=0 --force is adopted too, and everybody is back without a loss"""
    with Traffic(world, 40) as traffic:
        victim = name(ready()[0])
        kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
        world.control.adopted("kubectl", [victim])
        settled(3)
    return traffic


@row
def rollout_restart(world):
    """kubectl rollout restart is adopted as a rollout; nobody loses a message"""
    before = [name(pod) for pod in ready()]
    with Traffic(world, 120, ["most-returns-of-a-client=3"]) as traffic:
        kubectl("rollout", "restart", DEPLOYMENT)
        world.control.adopted("rollout", before, seconds=150)
        settled(3)
    return traffic


@row
def operation(world):
    """a rollout that is asked for at the API replaces every pod at its pace, one after the other"""
    before = {name(pod) for pod in ready()}
    with Traffic(world, 150, ["most-returns-of-a-client=3"]) as traffic:
        world.control.start("e2e-rollout", kind="rollout", window="30s", maxRate=300, reason="end-to-end suite")
        over = world.control.finished("e2e-rollout", 240)
        settled(3)
    expect(not before & {name(pod) for pod in ready()}, "a pod was not replaced")
    expect(over["counters"]["repeats"] <= over["counters"]["moved"], over["counters"])
    return f"{traffic}; {over['counters']['moved']} moved, {over['counters']['forced']} forced"


@row
def scaled(world):
    """scale 3 → 5 → 2: the emptiest pods go, as a scale-down, and nobody loses a message"""
    with Traffic(world, 120) as traffic:
        kubectl("scale", DEPLOYMENT, "--replicas=5")
        settled(5)
        new = {name(pod) for pod in ready()} - {step for step in traffic_nodes(world)}
        kubectl("scale", DEPLOYMENT, "--replicas=2")
        going = until(lambda: terminating(3), 30, "three pods to be on their way out")
        world.control.adopted("hpa", going)
        settled(2)
    kubectl("scale", DEPLOYMENT, "--replicas=3")
    settled(3)
    expect(new <= set(going), f"{going} went; the empty ones were {new}")
    return traffic


@row
def node_drain(world):
    """kubectl drain asks the eviction API; the disruption budget holds, and nobody loses a message"""
    victim = ready()[0]
    host = victim["spec"]["nodeName"]
    fewest = 3
    with Traffic(world, 90) as traffic:
        theirs = [name(pod) for pod in ready() if pod["spec"]["nodeName"] == host]
        kubectl("cordon", host)
        try:
            for pod in theirs:
                body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
                evict = ["create", "--raw", f"/api/v1/namespaces/default/pods/{pod}/eviction", "-f", "-"]
                until(lambda: "Success" in kubectl(*evict, input=json.dumps(body), check=False), 90, f"{pod}'s eviction")
                fewest = min(fewest, len(ready()))
            world.control.adopted("node", theirs)
            settled(3)
        finally:
            kubectl("uncordon", host)
    expect(fewest >= 2, f"only {fewest} pods were ready, the budget promises two")
    return traffic


@row
def blocked_eviction(world):
    """a disruption budget in the way leaves the pod drained and the operation blocked by name; then it goes on"""
    budget = name(get("poddisruptionbudgets", f"--selector={GATEWAYS}")["items"][0])
    # Drained pods are not ready and may always go; so that the budget has a say, it has to count them too.
    strict = '{"spec":{"maxUnavailable":0,"unhealthyPodEvictionPolicy":"IfHealthyBudget"}}'
    before = get("poddisruptionbudget", budget)["spec"]
    victim = name(ready()[0])
    kubectl("patch", "poddisruptionbudget", budget, "--type=merge", f"--patch={strict}")
    try:
        spec = {"kind": "drain", "targets": {"pods": [victim]}, "then": "evict", "window": "20s", "settle": "2s"}
        world.control.start("e2e-blocked", **spec)

        def blocked():
            conditions = world.control.operation("e2e-blocked")["conditions"]
            return next((c["message"] for c in conditions if c["type"] == "Blocked"), None)

        message = until(blocked, 90, "the operation to be blocked")
        expect(any(name(pod) == victim for pod in pods()), "the pod was evicted nevertheless")
    finally:
        policy = before.get("unhealthyPodEvictionPolicy", "AlwaysAllow")
        back = {"spec": {"maxUnavailable": before["maxUnavailable"], "unhealthyPodEvictionPolicy": policy}}
        kubectl("patch", "poddisruptionbudget", budget, "--type=merge", f"--patch={json.dumps(back)}")
    world.control.finished("e2e-blocked", 90)
    settled(3)
    return message


def terminating(count):
    """Names of pods on their way out, once there are so many."""
    going = [name(pod) for pod in pods() if "deletionTimestamp" in pod["metadata"]]
    return going if len(going) == count else None


def traffic_nodes(world):
    """Nodes that have clients."""
    nodes = world.control.health()["nodes"]
    return [node["name"] for node in nodes if node["report"] and node["report"]["connections"] > 0]
