"""The outside client: sessions and publishers through the Service all the time, and a verdict on what came."""

import json
import subprocess
import tempfile

from .stage import CLUSTER, Failure, address, connections, expect, until

PUBLISHERS = 4
# A cluster of this size on two cores takes its time; the figures are stated, and losses have no tolerance at all.
CONNECT_SECONDS = 60


class Traffic:
    """`with Traffic(world, 40) as traffic:` connects everybody, lets the row act, and asks for the verdict at the end."""

    def __init__(self, world, seconds, allow=()):
        self.world, self.seconds, self.allow = world, seconds, allow
        self.counts = {}

    def __enter__(self):
        world = self.world
        words = [CLUSTER, "exec-in-net", world.loadtest, "verify", "--url", f"ws://{address()}/ws", "--json", "--quiet"]
        words += ["--channel-base", f"room:e2e-{world.next_number()}", "--presence", "30s", "--timeline"]
        words += ["--subscribers", world.sessions, "--publishers", PUBLISHERS, "--rate", 100]
        words += ["--duration", f"{self.seconds}s"]
        for bound in self.allow:
            words += ["--allow", bound]
        self.log = tempfile.TemporaryFile("w+")
        before = connections(world.inside)
        command = [str(word) for word in words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)

        def connected():
            if self.process.poll() is not None:
                self.raise_failure()
            return connections(world.inside) - before >= world.sessions

        try:
            until(connected, CONNECT_SECONDS, f"{world.sessions} clients to be connected")
        except Failure:
            self.stop()
            raise
        return self

    def __exit__(self, kind, _value, _traceback):
        if kind:
            self.stop()
            return
        output, _ = self.process.communicate(timeout=self.seconds + 180)
        if not output:
            self.raise_failure()
        verdict = json.loads(output)
        self.log.close()
        self.counts = verdict["counts"]
        self.latencies = {latency["name"]: latency for latency in verdict["latencies"]}
        expect(verdict["verdict"] == "passed", f"the verdict is {verdict['verdict']}: {verdict['faults']['first'][:5]}")

    def stop(self):
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def raise_failure(self):
        self.log.seek(0)
        raise Failure(f"the load tool ended with {self.process.returncode}: {self.log.read().strip()[-500:]}")

    def __str__(self):
        counts = self.counts
        told = ["clients that came back", "most returns of a client", "peak retries a second"]
        zeros = "/".join(str(counts.get(word, 0)) for word in ("lost", "duplicated", "reordered"))
        figures = ", ".join(f"{counts.get(word, 0)} {word}" for word in told)
        return f"{zeros} lost/duplicated/reordered of {counts.get('delivered', 0)}, {figures}"
