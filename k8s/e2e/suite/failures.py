"""Rows of things that break: leaders, the API server, processes, nodes, backends, all replicas of the control plane."""

from .rows import row
from .stage import (
    CONTROL_PLANES, DEPLOYMENT, RELEASE, cluster, expect, get, kill_process, kubectl, modes, name, pods, ready, settled, spare_host,
    until,
)
from .traffic import Traffic


def lease():
    return get("lease", f"{RELEASE}-control-plane")["spec"]


@row
def leader_killed(world):
    """the leader dies in the middle of a rollout: another one goes on under a higher epoch, within the lease"""
    before = lease()
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        identity = world.new_name("leader")
        world.control.start(identity, kind="rollout", window="30s", maxRate=300)
        until(lambda: world.control.operation(identity)["state"] == "Running", 20, "the rollout to run")
        leader = next(name(pod) for pod in pods(CONTROL_PLANES) if before["holderIdentity"].startswith(name(pod)))
        kubectl("delete", "pod", leader, "--grace-period=0", "--force", "--wait=false")
        after = until(lambda: (now := lease())["holderIdentity"] not in ("", before["holderIdentity"]) and now, 30, "a new leader")
        expect(after["leaseTransitions"] > before["leaseTransitions"], (before, after))
        world.control.finished(identity, 240)
        settled(3)
    settled(3, CONTROL_PLANES)
    return f"{traffic}; epoch {before['leaseTransitions']} → {after['leaseTransitions']}"


@row
def api_server_restarted(world):
    """the API server is away for ten seconds in the middle of a rollout, which goes on; nothing is seen twice"""
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        identity = world.new_name("api")
        world.control.start(identity, kind="rollout", window="30s", maxRate=300)
        until(lambda: world.control.operation(identity)["state"] == "Running", 20, "the rollout to run")
        cluster("restart-api", "--away", "10")
        over = world.control.finished(identity, 240)
        settled(3)
    return f"{traffic}; {over['counters']['nodesOver']} nodes"


@row
def process_killed(world):
    """kill -9 of a gateway's process: the container starts again, its clients are elsewhere meanwhile"""
    with Traffic(world) as traffic:
        victim = ready()[0]
        kill_process(victim, "tidegate-gateway")

        def restarted():
            [status] = get("pod", name(victim))["status"]["containerStatuses"]
            return status["restartCount"] >= 1 and status["ready"]

        until(restarted, 40, "the container to be started again")
    return traffic


@row
def control_plane_gone(world):
    """without any control plane a rollout by Kubernetes goes on, gently; a new leader takes over when it is back"""
    before = lease()
    deployment = f"deployment/{RELEASE}-control-plane"
    with Traffic(world, ["most-returns-of-a-client=3"]) as traffic:
        kubectl("rollout", "restart", DEPLOYMENT)
        kubectl("scale", deployment, "--replicas=0")
        kubectl("rollout", "status", DEPLOYMENT, "--timeout=150s")
        settled(3)
        kubectl("scale", deployment, "--replicas=3")
        settled(3, CONTROL_PLANES)
    until(lambda: lease()["leaseTransitions"] > before["leaseTransitions"], 30, "a new leader")
    return traffic


@row
def bus_lost(world):
    """the NATS pod is deleted: a named degraded mode, back to normal, nothing that was acknowledged is lost"""
    return backend_lost(world, "nats", "bus")


@row
def store_lost(world):
    """the Redis pod is deleted, its disk is kept: a named degraded mode, back to normal, nothing acknowledged is lost"""
    return backend_lost(world, "redis", "store")


def backend_lost(world, component, role):
    with Traffic(world) as traffic:
        before = name(pods(f"app.kubernetes.io/component={component}")[0])
        kubectl("delete", "pod", before, "--wait=false")
        named = until(lambda: {mode for mode in modes(world.inside) if mode.startswith(role)}, 30, f"a mode of the {role}")
        settled(1, f"app.kubernetes.io/component={component}")
        until(lambda: not modes(world.inside), 30, "all gateways to be back to normal")
        until(lambda: world.control.health()[role] == "up", 30, f"the {role} to be up for the control plane too")
    return f"{traffic}; {traffic.counts['refused for now']} publishes refused for now; {', '.join(sorted(named))}"


@row
def node_lost(world):
    """a node loses power: its sessions live elsewhere, without ghosts; it comes back, and pods are spread again"""
    host = spare_host()
    theirs = {name(pod) for pod in ready() if pod["spec"]["nodeName"] == host}
    try:
        with Traffic(world, after=20) as traffic:
            cluster("node", "kill", host)
            until(lambda: not theirs & {name(pod) for pod in ready()}, 90, f"{host} to be given up")
    finally:
        cluster("node", "start", host)
    settled(3, seconds=400)
    settled(3, CONTROL_PLANES, seconds=400)
    hosts = {pod["spec"]["nodeName"] for pod in ready()}
    expect(len(hosts) == 3, f"three pods on {hosts}")
    return traffic
