"""Rows of many pods that leave: rollouts by whoever wants one, and scaling."""

from .rows import row
from .stage import DEPLOYMENT, expect, kubectl, name, pods, ready, settled, until, upgrade
from .traffic import Traffic


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


def nodes_with_clients(world):
    nodes = world.control.health()["nodes"]
    return {node["name"] for node in nodes if node["report"] and node["report"]["connections"] > 0}
