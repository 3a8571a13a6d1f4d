"""Rows of what surrounds the pods: permissions, traces, and that nothing is left."""

import json
import subprocess

from .rows import row
from .stage import NAMESPACE, RELEASE, expect, get, helm, kubectl, until
from .traffic import Traffic

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-control-plane"


@row
def permissions(world):
    """the control plane may do what its switches say, and the API server refuses the rest"""
    leases = "leases.coordination.k8s.io"
    allowed = [
        "list pods", "watch replicasets.apps", "create pods --subresource=eviction", "patch pods", f"update {leases}/{RELEASE}-control-plane",
        f"patch deployments.apps/{RELEASE}-gateway --subresource=scale",
    ]
    refused = [
        "delete pods", "get secrets", "list nodes", "patch deployments.apps", f"update {leases}/another", "create pods --subresource=exec",
        "create tokenreviews.authentication.k8s.io", "get configmaps", "patch poddisruptionbudgets.policy",
        f"patch deployments.apps/{RELEASE}-control-plane --subresource=scale",
    ]
    for verbs, answer in ((allowed, "yes"), (refused, "no")):
        for words in verbs:
            said = kubectl("auth", "can-i", *words.split(), f"--as={ACCOUNT}", check=False)
            expect(said.splitlines()[-1:] == [answer], f"may it {words}? {said}")
    for words in ("get secrets", "delete pod --all --dry-run=server", "get nodes", "scale deployment --all --replicas=0"):
        said = kubectl(*words.split(), f"--as={ACCOUNT}", check=False, stderr=subprocess.STDOUT)
        expect("orbidden" in said, f"it did {words}: {said}")
    return f"{len(allowed)} allowed, {len(refused)} refused, 4 tried and forbidden"


@row
def events(world):
    """what happened to pods is told where people look: as Events of the control plane"""

    def told():
        items = get("events.events.k8s.io")["items"]
        return {item["reason"] for item in items if "tidegate" in (item.get("reportingController") or "")}

    return ", ".join(sorted(until(told, 10, "Events of the control plane")))


@row
def one_trace(world):
    """one published message is one trace over two pods and more, read back from Jaeger"""
    with Traffic(world, after=2):
        pass
    url = f"http://{RELEASE}-jaeger.{NAMESPACE}.svc.cluster.local:16686/api/traces?service=tidegate-gateway&operation=publish+room:*&limit=50"

    def found():
        status, text = world.inside.ask("GET", url)
        told = [told_by(trace) for trace in (json.loads(text)["data"] if status == 200 else [])]
        return next((words for words in told if words), None)

    return until(found, 30, "a trace from a publisher's pod to another one")


def told_by(trace):
    """The way of a message in words, if this trace has all of it: published, kept, sent, and received on another pod."""
    pods = {key: {tag["key"]: tag["value"] for tag in process["tags"]}.get("k8s.pod.name") for key, process in trace["processes"].items()}
    steps = {}
    for span in trace["spans"]:
        above = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
        steps.setdefault(span["operationName"].split()[0], []).append((span["spanID"], pods[span["processID"]], above))
    if any(len(steps.get(step, [])) != 1 for step in ("publish", "append", "send")):
        return None
    [(publish, home, _)], [(_, _, append_above)], [(send, _, send_above)] = steps["publish"], steps["append"], steps["send"]
    received = {span: pod for span, pod, above in steps.get("receive", []) if above == [send]}
    fanned_out = [pod for _, pod, above in steps.get("fan-out", []) if set(above) <= set(received)]
    whole = append_above == send_above == [publish] and sorted(fanned_out) == sorted(received.values())
    if not whole or len(set(fanned_out) | {home}) < 2:
        return None
    return f"publish, append, send on {home}; receive, fan-out on {', '.join(sorted(fanned_out))}; trace {trace['traceID']}"


@row
def uninstalls(world):
    """helm uninstall leaves nothing of the release"""
    helm("uninstall", RELEASE, "--wait", "--timeout=120s")
    kinds = "deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,horizontalpodautoscalers"

    def left():
        items = get(kinds, f"--selector=app.kubernetes.io/instance={RELEASE}")["items"]
        return [f"{item['kind']}/{item['metadata']['name']}" for item in items]

    until(lambda: not left(), 120, "everything to be gone")
    # The Lease is the control plane's own, not the chart's: its epoch has to outlive an installation.
    kubectl("delete", "lease", f"{RELEASE}-control-plane", "--ignore-not-found")
