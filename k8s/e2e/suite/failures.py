"""Rows of things that break: leaders, the API server, processes, nodes, backends, all replicas of the control plane."""

from .drains import DEPLOYMENT
from .rows import row
from .stage import CONTROL_PLANES, RELEASE, cluster, expect, get, kill_process, kubectl, name, pods, ready, settled, until
from .traffic import Traffic


def lease():
    return get("lease", f"{RELEASE}-control-plane")["spec"]


@row
def leader_killed(world):
    """the leader dies in the middle of a rollout: another one goes on under a higher epoch, within the lease"""
    before = lease()
    with Traffic(world, 120, ["most-returns-of-a-client=3"]) as traffic:
        world.control.start("e2e-leader", kind="rollout", window="30s", maxRate=300)
        until(lambda: world.control.operation("e2e-leader")["state"] == "Running", 20, "the rollout to run")
        leader = next(name(pod) for pod in pods(CONTROL_PLANES) if before["holderIdentity"].startswith(name(pod)))
        kubectl("delete", "pod", leader, "--grace-period=0", "--force", "--wait=false")
        after = until(lambda: (now := lease())["holderIdentity"] not in ("", before["holderIdentity"]) and now, 30, "a new leader")
        expect(after["leaseTransitions"] > before["leaseTransitions"], (before, after))
        world.control.finished("e2e-leader", 240)
        settled(3)
    settled(3, CONTROL_PLANES)
    return f"{traffic}; epoch {before['leaseTransitions']} → {after['leaseTransitions']}"


@row
def api_server_restarted(world):
    """the API server is away for ten seconds in the middle of a rollout, which goes on; nothing is seen twice"""
    with Traffic(world, 150, ["most-returns-of-a-client=3"]) as traffic:
        world.control.start("e2e-api", kind="rollout", window="30s", maxRate=300)
        until(lambda: world.control.operation("e2e-api")["state"] == "Running", 20, "the rollout to run")
        cluster("restart-api", "--away", "10")
        over = world.control.finished("e2e-api", 240)
        settled(3)
    return f"{traffic}; {over['counters']['nodesOver']} nodes"


@row
def process_killed(world):
    """kill -9 of a gateway's process: the container starts again, its clients are elsewhere meanwhile"""
    with Traffic(world, 45) as traffic:
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
    with Traffic(world, 120, ["most-returns-of-a-client=3"]) as traffic:
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
    """the NATS pod is deleted: named degraded mode, back to normal, nothing that was acknowledged is lost"""
    with Traffic(world, 60, ["refused-for-now=1000000", "catch-up=10s"]) as traffic:
        kubectl("delete", "pod", f"--selector=app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=nats", "--wait=false")
        settled(1, "app.kubernetes.io/component=nats")
        until(lambda: world.control.health()["bus"] == "up", 30, "the bus to be up again")
    return traffic


@row
def node_lost(world):
    """a node loses power: its sessions live elsewhere within the lease, and it comes back"""
    victim = next(pod for pod in ready() if pod["spec"]["nodeName"] != "node-1")
    host = victim["spec"]["nodeName"]
    with Traffic(world, 90, ["resume-from-loss-p99=60s"]) as traffic:
        cluster("node", "kill", host)
        until(lambda: name(victim) not in [name(pod) for pod in ready()], 80, f"{host} to be given up")
    cluster("node", "start", host)
    settled(3, seconds=400)
    return traffic
