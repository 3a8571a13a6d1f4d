"""The outside client: sessions and publishers through the Service all the time, and a verdict on what came."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from .stage import CLUSTER, Failure, address, connections, expect, until

PUBLISHERS = 4
# Each goes to half of the sessions.
MESSAGES_A_SECOND = 20
# A cluster of this size on two cores takes its time; the figures are stated, and losses have no tolerance at all.
CONNECT_SECONDS = 60
# No row acts for longer.
ROW_SECONDS = 600
# A line a second.
LOG_BYTES = 1 << 20
# After the last message: for what is still to come, and for the roll call.
END_SECONDS = 180


class Traffic:
    """`with Traffic(world) as traffic:` connects everybody, lets the row act, and asks for the verdict at the end.

    Messages are sent until the row has acted, and for some seconds more: what breaks may show late.
    """

    def __init__(self, world, allow=(), after=5, alone=True):
        self.world, self.allow, self.after, self.alone = world, allow, after, alone
        self.counts, self.latencies = {}, {}

    def __enter__(self):
        world = self.world
        words = [CLUSTER, "exec-in-net", world.loadtest, "verify", "--url", f"ws://{address()}/ws", "--json"]
        words += ["--channel-base", f"room:{world.new_name('traffic')}", "--presence", "30s", "--timeline"]
        words += ["--subscribers", world.sessions, "--publishers", PUBLISHERS, "--rate", MESSAGES_A_SECOND]
        self.folder = tempfile.TemporaryDirectory()
        self.stop_file = Path(self.folder.name) / "stop"
        words += ["--duration", f"{ROW_SECONDS}s", "--stop-file", self.stop_file]
        for bound in self.allow:
            words += ["--allow", bound]
        self.log = tempfile.TemporaryFile("w+")
        if self.alone:
            until(lambda: connections(world.inside) == 0, CONNECT_SECONDS, "the clients of the row before to be gone")
        command = [str(word) for word in words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)

        def sends():
            if self.process.poll() is not None:
                self.raise_failure()
            return "sending: " in self.told()

        try:
            until(sends, CONNECT_SECONDS, f"{world.sessions} clients to be connected")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, _value, _traceback):
        if kind:
            self.stop()
            return
        time.sleep(self.after)
        self.stop_file.touch()
        output, _ = self.process.communicate(timeout=END_SECONDS)
        if not output:
            self.raise_failure()
        verdict = json.loads(output)
        self.close()
        self.counts = verdict["counts"]
        self.latencies = {latency["name"]: latency for latency in verdict["latencies"]}
        expect(verdict["measured_seconds"] < ROW_SECONDS, f"messages were sent for {ROW_SECONDS} s, the row acted for longer")
        expect(verdict["verdict"] == "passed", f"the verdict is {verdict['verdict']}: {verdict['faults']['first'][:5]}; {self}")

    def stop(self):
        self.process.kill()
        self.process.communicate()
        self.close()

    def close(self):
        self.log.close()
        self.folder.cleanup()

    def told(self):
        """What the load tool has said of its progress; read without moving the place where it writes on."""
        return os.pread(self.log.fileno(), LOG_BYTES, 0).decode()

    def raise_failure(self):
        raise Failure(f"the load tool ended with {self.process.returncode}: {self.told().strip()[-500:]}")

    def __str__(self):
        counts = self.counts
        told = ["clients that came back", "most returns of a client", "peak retries a second", "refused connects"]
        zeros = "/".join(str(counts.get(word, 0)) for word in ("lost", "duplicated", "reordered"))
        figures = ", ".join(f"{counts.get(word, 0)} {word}" for word in told)
        return f"{zeros} lost/duplicated/reordered of {counts.get('delivered', 0)}, {figures}{self.resumes()}"

    def resumes(self):
        """How long clients were without a session, from the end of the one connection."""
        took = self.latencies.get("from loss to resume")
        if not took or not took["count"]:
            return ""
        seconds = {part: took[f"{part}_us"] / 1e6 for part in ("p50", "p99", "max")}
        return f"; from loss to resume {seconds['p50']:.2f} / {seconds['p99']:.2f} / {seconds['max']:.2f} s (p50, p99, longest)"
