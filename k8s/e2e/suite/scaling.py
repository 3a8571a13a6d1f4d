"""Rows of the autoscaler: pods follow the connections, by nothing but what the chart brings along."""

import json
import subprocess
import threading
from types import SimpleNamespace

from .rows import row
from .stage import (
    CHART, CONTROL_PLANES, GATEWAYS, NAMESPACE, RELEASE, Failure, Fewest, expect, get, helm, kubectl, name, pods,
    settled, until, upgrade,
)
from .traffic import Traffic

API = "v1beta1.external.metrics.k8s.io"
METRIC = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/tidegate_connections"
PER_POD = 300
FEWEST, MOST = 2, 5
# The autoscaler looks every 15 s, and the chart's own patience is half an hour. Pods that came within a policy's period may
# go within it all at once, so the window is longer than the period.
ON = [
    "controlPlane.externalMetrics.enabled=true",
    "gateway.autoscaling.mode=hpa",
    f"gateway.autoscaling.min={FEWEST}",
    f"gateway.autoscaling.max={MOST}",
    f"gateway.autoscaling.connectionsPerPod={PER_POD}",
    "gateway.autoscaling.cpuPercent=0",
    "gateway.autoscaling.hpa.connections=external",
    "gateway.autoscaling.behavior.scaleUp.stabilizationWindowSeconds=0",
    "gateway.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=45",
    "gateway.autoscaling.behavior.scaleDown.policies[0].type=Pods",
    "gateway.autoscaling.behavior.scaleDown.policies[0].value=1",
    "gateway.autoscaling.behavior.scaleDown.policies[0].periodSeconds=30",
]
OFF = ["gateway.autoscaling.mode=none", "gateway.replicas=3", "controlPlane.externalMetrics.enabled=false"]
REACHES = 240


@row
def hpa(world):
    """an autoscaler follows the connections, with nothing else installed: up with them, gently down, and nobody loses a message"""
    some, many = part(world, 400), part(world, 600)
    try:
        with Fewest() as fewest:
            upgrade(*ON)
        expect(fewest.ready >= FEWEST, f"only {fewest.ready} pods were ready while the autoscaler took over")
        until(lambda: connections_told() is not None, 60, "the external metric to be served")
        nobody = f"--as=system:serviceaccount:{NAMESPACE}:default"
        said = kubectl("get", "--raw", METRIC, nobody, check=False, stderr=subprocess.STDOUT)
        expect("orbidden" in said, f"everybody may read the metric: {said}")
        settled(FEWEST, seconds=REACHES)
        with Watch() as watch:
            with Traffic(some) as stayed:
                with Traffic(many, alone=False) as left:
                    settled(4, seconds=REACHES)
                    told = until(lambda: told_at_least(1000), 30, "the metric to tell of all clients")
                going = down_to(FEWEST)
                world.control.adopted("hpa", going)
        expect(watch.most_leaving == 1, f"{watch.most_leaving} pods left at a time")
        expect(watch.most <= 4, f"there were {watch.most} pods; 1,000 connections are four times {PER_POD} at most")
    finally:
        # The number of pods is the autoscaler's until somebody takes it.
        values = [word for setting in OFF for word in ("--set", setting)]
        helm("upgrade", RELEASE, CHART, "--reset-then-reuse-values", "--force-conflicts", *values, "--wait", f"--timeout={REACHES}s")
        settled(3)
        settled(3, CONTROL_PLANES)
    gone = kubectl("get", "apiservice", API, "--ignore-not-found")
    expect(not gone, f"the API service is still there: {gone}")
    return f"{FEWEST} → 4 pods at {told} connections → {FEWEST}, one at a time; who stayed: {stayed}; who left: {left}"


def part(world, sessions):
    """The world, for some of its clients."""
    return SimpleNamespace(loadtest=world.loadtest, inside=world.inside, new_name=world.new_name, sessions=sessions)


def connections_told():
    """What autoscalers are told; `None` while nobody knows."""
    answer = kubectl("get", "--raw", METRIC, check=False)
    try:
        return int(json.loads(answer)["items"][0]["value"])
    except (ValueError, KeyError, IndexError):
        return None


def told_at_least(count):
    told = connections_told()
    return told if told and told >= count else None


def down_to(count):
    """Waits for a scale-down to its end; gives the names of those that went."""
    before = {name(pod) for pod in pods()}
    settled(count, seconds=REACHES)
    return before - {name(pod) for pod in pods()}


class Watch:
    """Looks all the time how many pods there are that do not leave, and how many leave at a time."""

    def __init__(self):
        self.most = self.most_leaving = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.wait(0.5):
            try:
                there = get("pods", f"--selector={GATEWAYS}")["items"]
            except Failure:
                continue
            leaving = sum("deletionTimestamp" in pod["metadata"] for pod in there)
            self.most = max(self.most, len(there) - leaving)
            self.most_leaving = max(self.most_leaving, leaving)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
