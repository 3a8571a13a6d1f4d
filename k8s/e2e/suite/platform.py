"""Rows of what surrounds the pods: permissions, traces, and that nothing is left."""

import json

from .rows import row
from .stage import CONTROL_PLANES, NAMESPACE, RELEASE, expect, get, helm, kubectl, until

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-control-plane"


@row
def permissions(world):
    """the control plane may do what its switches say, and the API server refuses the rest"""
    lease = f"lease/{RELEASE}-control-plane"
    allowed = ["list pods", "watch replicasets.apps", "create pods/eviction", "patch pods", f"update {lease}"]
    refused = [
        "delete pods", "get secrets", "list nodes", "patch deployments.apps", "update lease/another", "create pods/exec",
        "create tokenreviews.authentication.k8s.io", "get configmaps", "patch poddisruptionbudgets.policy",
    ]
    for verbs, answer in ((allowed, "yes"), (refused, "no")):
        for words in verbs:
            said = kubectl("auth", "can-i", *words.split(), f"--as={ACCOUNT}", check=False)
            expect(said.splitlines()[-1:] == [answer], f"may it {words}? {said}")
    return f"{len(allowed)} allowed, {len(refused)} refused"


@row
def events(world):
    """what happened to pods is told where people look: as Events of the control plane"""

    def told():
        items = get("events.events.k8s.io")["items"]
        return {item["reason"] for item in items if "tidegate" in (item.get("reportingController") or "")}

    return ", ".join(sorted(until(told, 10, "Events of the control plane")))


@row
def one_trace(world):
    """one published message is one trace over two pods, read back from Jaeger"""
    url = f"http://{RELEASE}-jaeger.{NAMESPACE}.svc.cluster.local:16686/api/traces?service=tidegate-gateway&limit=200"

    def found():
        status, text = world.inside.ask("GET", url)
        for trace in json.loads(text)["data"] if status == 200 else []:
            of_pods = {tag["value"] for process in trace["processes"].values() for tag in process["tags"] if tag["key"] == "k8s.pod.name"}
            if len(of_pods) >= 2:
                return f"{len(trace['spans'])} spans on {len(of_pods)} pods"
        return None

    return until(found, 30, "a trace over two pods")


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
