"""Rows of the way in: what new connections find while pods behind the balancer leave."""

import json
import subprocess
import sys

from .rows import row
from .stage import CLUSTER, HERE, RELEASE, address, drain, expect, get, kubectl, ready, settled, spare_host, until, upgrade
from .traffic import Traffic


@row
def local_traffic(world):
    """with externalTrafficPolicy Local a node is drained, and of new connections none is refused"""
    upgrade("gateway.service.externalTrafficPolicy=Local")
    try:
        expect(get("service", f"{RELEASE}-gateway")["spec"].get("healthCheckNodePort"), "no health check port")
        until(lambda: len({pod["spec"]["nodeName"] for pod in ready()}) > 1, 5, "pods on more than one node")
        host = spare_host()
        with Traffic(world, ["most-returns-of-a-client=2", "refused-connects=0"]) as traffic, Visitors() as visitors:
            try:
                drain(host)
                settled(3)
            finally:
                kubectl("uncordon", host)
    finally:
        upgrade("gateway.service.externalTrafficPolicy=Cluster")
    expect(set(visitors.outcomes) == {"101"}, f"what new connections met: {visitors.outcomes}")
    return f"{traffic}; {visitors.outcomes['101']} new connections meanwhile, none refused"


class Visitors:
    """`with Visitors() as visitors:` opens one connection after the other and counts what each of them met."""

    def __enter__(self):
        command = [CLUSTER, "exec-in-net", sys.executable, HERE / "suite/visitors.py", address()]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(word) for word in command], stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_):
        output, _ = self.process.communicate(timeout=30)
        self.outcomes = json.loads(output)
