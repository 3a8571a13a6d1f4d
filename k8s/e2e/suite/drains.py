"""Rows of single pods that leave: deleted, evicted, held back by a budget."""

import json

from .rows import row
from .stage import (
    CONTROL_PLANES, GATEWAYS, RELEASE, Fewest, drain, expect, get, helm, install, kubectl, name, pods, ready, settled, spare_host,
    until,
)
from .traffic import Traffic


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
        # One of an installation before may be believed to lead until its lease is over.
        leads = health["leader"]["name"] in {name(pod) for pod in ready(CONTROL_PLANES)}
        return health if leads and names == {name(pod) for pod in ready()} else None

    health = until(known, 30, "all gateways to be known and a leader to be there")
    spec = get("lease", f"{RELEASE}-control-plane")["spec"]
    expect(spec["leaseTransitions"] == health["leader"]["epoch"], (spec, health["leader"]))
    expect(spec["holderIdentity"] == health["leader"]["name"], (spec, health["leader"]))
    return f"{spec['holderIdentity']} leads, epoch {spec['leaseTransitions']}"


@row
def deleted_pod(world):
    """kubectl delete pod is adopted with its real deadline; nobody loses a message and each client moves once"""
    with Traffic(world, ["most-returns-of-a-client=1"]) as traffic:
        victim = name(ready()[0])
        kubectl("delete", "pod", victim, "--wait=false")
        [operation, *_] = world.control.adopted("kubectl", [victim])
        settled(3)
    world.control.finished(operation["id"], 60)
    return traffic


@row
def forced_deletion(world):
    """kubectl delete --grace-period=0 --force is adopted too, and everybody is back without a loss"""
    with Traffic(world) as traffic:
        victim = name(ready()[0])
        kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
        world.control.adopted("kubectl", [victim])
        settled(3)
    return traffic


@row
def node_drain(world):
    """kubectl drain empties a node: the disruption budget holds, and nobody loses a message"""
    host = spare_host()
    theirs = [name(pod) for pod in ready() if pod["spec"]["nodeName"] == host]
    with Traffic(world, ["most-returns-of-a-client=2"]) as traffic, Fewest() as fewest:
        try:
            drain(host)
            world.control.adopted("node", theirs)
            settled(3)
        finally:
            kubectl("uncordon", host)
    expect(fewest.ready >= 2, f"only {fewest.ready} pods were ready, the budget promises two")
    return f"{traffic}; {len(theirs)} of 3 gateways evicted, at least {fewest.ready} ready"


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
        identity = world.new_name("blocked")
        world.control.start(identity, **spec)

        def blocked():
            conditions = world.control.operation(identity)["conditions"]
            return next((c["message"] for c in conditions if c["type"] == "Blocked"), None)

        message = until(blocked, 90, "the operation to be blocked")
        expect(any(name(pod) == victim for pod in pods()), "the pod was evicted nevertheless")
    finally:
        policy = before.get("unhealthyPodEvictionPolicy", "AlwaysAllow")
        back = {"spec": {"maxUnavailable": before["maxUnavailable"], "unhealthyPodEvictionPolicy": policy}}
        kubectl("patch", "poddisruptionbudget", budget, "--type=merge", f"--patch={json.dumps(back)}")
    world.control.finished(identity, 90)
    settled(3)
    return message
