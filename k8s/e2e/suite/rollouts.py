"""Rows of many pods that leave: rollouts by whoever wants one, and scaling."""

from datetime import datetime

from .rows import row
from .stage import DEPLOYMENT, expect, get, kubectl, name, pods, ready, settled, until, upgrade
from .traffic import Traffic

# A pod of a third of the clients takes longer to empty at this pace than another one to start.
SLOW = 15


@row
def rollout_restart(world):
    """kubectl rollout restart is adopted as a rollout; nobody loses a message"""
    before = [name(pod) for pod in ready()]
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        kubectl("rollout", "restart", DEPLOYMENT)
        world.control.adopted("rollout", before, seconds=150)
        settled(3)
    return traffic


@row
def operation(world):
    """a rollout that is asked for at the API replaces every pod at its pace, one after the other"""
    before = {name(pod) for pod in ready()}
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        identity = world.new_name("rollout")
        world.control.start(identity, kind="rollout", window="30s", maxRate=300, reason="end-to-end suite")
        over = world.control.finished(identity, 240)
        settled(3)
    expect(not before & {name(pod) for pod in ready()}, "a pod was not replaced")
    expect(over["counters"]["repeats"] <= over["counters"]["moved"], over["counters"])
    return f"{traffic}; {over['counters']['moved']} moved, {over['counters']['forced']} forced"


@row
def scaled(world):
    """scale 3 → 5 → 2: the emptiest pods go, as a scale-down, and nobody loses a message"""
    with Traffic(world) as traffic:
        kubectl("scale", DEPLOYMENT, "--replicas=5")
        settled(5)
        new = {name(pod) for pod in ready()} - nodes_with_clients(world)
        kubectl("scale", DEPLOYMENT, "--replicas=2")
        going = until(lambda: terminating(3), 30, "three pods to be on their way out")
        world.control.adopted("hpa", going)
        settled(2)
    kubectl("scale", DEPLOYMENT, "--replicas=3")
    settled(3)
    expect(new <= set(going), f"{going} went; the empty ones were {new}")
    return traffic


@row
def scaled_down(world):
    """a rollout with the target scaleDown, 3 → 2: the very pod that was emptied goes, and nobody loses a message"""
    before = {name(pod) for pod in ready()}
    try:
        with Traffic(world) as traffic:
            identity = world.new_name("scale-down")
            world.control.start(identity, kind="rollout", target="scaleDown", replicas=2, maxRate=300)
            over = world.control.finished(identity, 180)
            settled(2)
        wanted = get(DEPLOYMENT)["spec"]["replicas"]
        left = {name(pod) for pod in ready()}
    finally:
        kubectl("scale", DEPLOYMENT, "--replicas=3")
        settled(3)
    emptied = {step["node"] for step in over["steps"]}
    expect(wanted == 2, f"the Deployment wanted {wanted} pods")
    expect(before - left == emptied and len(emptied) == 1, f"{before - left} went, and {emptied} had been emptied")
    expect(over["counters"]["forced"] == 0, over["counters"])
    return f"{traffic}; {over['counters']['moved']} moved"


@row
def detached(world):
    """a rollout with the replacement detach: every new pod is Ready before the old one is empty, and no orphan is left"""
    before = {name(pod) for pod in ready()}
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        identity = world.new_name("detach")
        world.control.start(identity, kind="rollout", replacement="detach", maxRate=SLOW)
        over = world.control.finished(identity, 400)
        settled(3)
    new = sorted(ready(), key=lambda pod: pod["metadata"]["creationTimestamp"])
    expect(not before & {name(pod) for pod in new}, "a pod was not replaced")
    expect(all("ownerReferences" in pod["metadata"] for pod in new), "an orphan is left")
    steps = sorted(over["steps"], key=lambda step: step["startedAt"])
    early = [step["drainedAt"] / 1000 - ready_since(pod) for step, pod in zip(steps, new, strict=True)]
    expect(min(early) >= 0, f"Ready before the old pod was empty, in seconds: {early}")
    expect(over["counters"]["forced"] == 0, over["counters"])
    return f"{traffic}; {over['counters']['moved']} moved; Ready {min(early):.0f} to {max(early):.0f} s before the old pod was empty"


@row
def helm_upgrade(world):
    """helm upgrade with a new image tag is adopted as a rollout; every pod runs the new image, and nobody loses a message"""
    before = [name(pod) for pod in ready()]
    tag = world.new_tag()
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        upgrade(f"gateway.image.tag={tag}")
        world.control.adopted("rollout", before)
        settled(3)
    images = {pod["spec"]["containers"][0]["image"] for pod in ready()}
    expect(images == {f"tidegate-gateway:{tag}"}, images)
    return f"{traffic}; {images.pop()}"


def terminating(count):
    """Names of pods on their way out, once there are so many."""
    going = [name(pod) for pod in pods() if "deletionTimestamp" in pod["metadata"]]
    return going if len(going) == count else None


def ready_since(pod):
    """When it became Ready: Unix time, in whole seconds."""
    since = next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready")
    return datetime.fromisoformat(since).timestamp()


def nodes_with_clients(world):
    nodes = world.control.health()["nodes"]
    return {node["name"] for node in nodes if node["report"] and node["report"]["connections"] > 0}
