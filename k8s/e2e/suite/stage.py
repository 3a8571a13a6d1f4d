"""What the rows act on: the cluster, the release in it, and the control plane's API. Rows say what; here is how."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
CLUSTER = ROOT / "k8s/cluster/cluster"
sys.path.insert(0, str(CLUSTER.parent))

from harness import layout  # noqa: E402

CHART = ROOT / "helm/tidegate"
# A folder of the machine that every node sees, and that is gone with the cluster: what Redis writes outlives its pod in it.
REDIS_DISK = layout.RUN / "redis"
RELEASE = "tidegate"
NAMESPACE = "default"
DEPLOYMENT = f"deployment/{RELEASE}-gateway"
GATEWAYS = "app.kubernetes.io/component=gateway"
CONTROL_PLANES = "app.kubernetes.io/component=control-plane"
# The one of the development preset.
TOKEN = "for-trying-things-out-only"


class Failure(Exception):
    """What a row did not show."""


def expect(condition, otherwise):
    if not condition:
        raise Failure(otherwise)


def until(condition, seconds, what):
    """Polls until condition() gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain for {what}; last time: {found!r}")
        time.sleep(0.5)


def run(*words, check=True, **options):
    """Runs a command to its end; gives its output."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run([str(word) for word in words], text=True, check=False, **options)
    if check and done.returncode:
        raise Failure(f"`{' '.join(map(str, words))}` ended with {done.returncode}:\n{done.stdout}{done.stderr or ''}".strip())
    return done.stdout.strip()


def cluster(*words, **options):
    return run(CLUSTER, *words, **options)


def kubectl(*words, **options):
    return cluster("kubectl", *words, **options)


def get(kind, *words):
    return json.loads(kubectl("get", kind, *words, "-o", "json"))


def helm(*words, **options):
    return cluster("helm", *words, **options)


def install(seconds=240):
    """Installs the release, and waits until its pods are Ready."""
    REDIS_DISK.mkdir(exist_ok=True)
    REDIS_DISK.chmod(0o777)  # the pod's user owns nothing out here
    files = ["--values", CHART / "values-dev.yaml", "--values", HERE / "values.yaml"]
    disk = ["--set", f"devBackends.redis.volume.hostPath.path={REDIS_DISK}"]
    helm("install", RELEASE, CHART, *files, *disk, "--wait", f"--timeout={seconds}s")


def upgrade(*settings, seconds=240):
    """Changes settings of the release, and waits until its pods are Ready."""
    values = [word for setting in settings for word in ("--set", setting)]
    helm("upgrade", RELEASE, CHART, "--reset-then-reuse-values", *values, "--wait", f"--timeout={seconds}s")


def pods(selector=GATEWAYS):
    return get("pods", f"--selector={selector}")["items"]


def name(item):
    return item["metadata"]["name"]


def is_ready(pod):
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def ready(selector=GATEWAYS):
    return [pod for pod in pods(selector) if is_ready(pod)]


def settled(count, selector=GATEWAYS, seconds=180):
    """Waits until exactly so many pods are there, all Ready."""

    def condition():
        there = pods(selector)
        return len(there) == count and all(is_ready(pod) for pod in there)

    until(condition, seconds, f"{count} pods of {selector}, all Ready")


def spare_host():
    """A node with a gateway that nothing else depends on: not the one of the single pods."""
    return next(pod["spec"]["nodeName"] for pod in ready() if pod["spec"]["nodeName"] != "node-1")


def drain(host):
    kubectl("drain", host, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s")


class Fewest:
    """`with Fewest() as fewest:` looks all the time how many gateways are Ready, and keeps the lowest number."""

    def __init__(self):
        self.ready = sys.maxsize
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.wait(0.3):
            try:
                self.ready = min(self.ready, len(ready()))
            except Failure:  # the API server is away: it says nothing about pods
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def modes(inside):
    """Names of the degraded modes that gateways are in."""
    return {mode for report in reports(inside) for mode in report["modes"]}


def reports(inside):
    """What each gateway says of itself, as far as it answers."""
    for pod in pods():
        ip = pod["status"].get("podIP")
        status, text = inside.ask("GET", f"http://{ip}:9000/drain") if ip else (0, "")
        if status == 200:
            yield json.loads(text)


def connections(inside):
    """Clients on all gateways, as these say."""
    return sum(report["connections"] for report in reports(inside))


def address():
    """Where clients connect: the address that the load balancer got."""

    def found():
        ingress = get("service", f"{RELEASE}-gateway")["status"].get("loadBalancer", {}).get("ingress")
        return ingress and ingress[0]["ip"]

    return until(found, 30, "the load balancer's address")


def kill_process(pod, program):
    """kill -9 of a program inside a pod: its process by its name and by the pod's cgroup."""
    for folder in Path("/proc").iterdir():
        try:
            is_program = (folder / "comm").read_text().strip() == program[:15]
            is_in_pod = pod["metadata"]["uid"] in (folder / "cgroup").read_text().replace("_", "-")
        except OSError:  # not a process, or one that has just ended
            continue
        if is_program and is_in_pod:
            os.kill(int(folder.name), signal.SIGKILL)
            return
    raise Failure(f"{name(pod)} runs no {program}")


class Inside:
    """One process inside the cluster's network, which asks on our behalf."""

    def __init__(self):
        command = [CLUSTER, "exec-in-net", sys.executable, HERE / "suite/inside.py"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(word) for word in command], stdin=pipe, stdout=pipe, text=True)

    def ask(self, method, url, body=None, headers=None):
        question = {"method": method, "url": url, "body": body, "headers": headers}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        expect(line, "the process inside the cluster's network has ended")
        answer = json.loads(line)
        return answer["status"], answer["body"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


class ControlPlane:
    """Its API, through its Service."""

    def __init__(self, inside):
        self.inside = inside
        self.url = f"http://{RELEASE}-control-plane.{NAMESPACE}.svc.cluster.local:8080"

    def ask(self, method, path, body=None, **headers):
        headers = {"Authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        status, text = self.inside.ask(method, self.url + path, body, headers)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def operations(self):
        status, page = self.ask("GET", "/v1/operations?limit=100")
        expect(status == 200, f"GET /v1/operations: {status} {page}")
        return page["operations"]

    def operation(self, identity):
        status, operation = self.ask("GET", f"/v1/operations/{identity}")
        expect(status == 200, f"GET /v1/operations/{identity}: {status} {operation}")
        return operation

    def start(self, identity, **spec):
        # What a row before asked of Kubernetes is an operation until its last pod is gone, and has these pods.
        until(lambda: not self.health()["operations"], 60, "earlier operations to be over")
        status, answer = self.ask("PUT", f"/v1/operations/{identity}", spec)
        expect(status in (200, 201), f"PUT /v1/operations/{identity}: {status} {answer}")
        return answer

    def finished(self, identity, seconds):
        """Waits for the end of an operation, which has to be a good one."""
        over = ("Succeeded", "Failed", "Aborted")

        def condition():
            operation = self.operation(identity)
            return operation if operation["state"] in over else None

        operation = until(condition, seconds, f"operation {identity} to be over")
        expect(operation["state"] == "Succeeded", f"{identity} {operation['state']}: {operation['message']}")
        return operation

    def adopted(self, source, nodes, seconds=20):
        """Waits until the ends of these pods are operations of that source; gives those."""

        def condition():
            of_source = [operation for operation in self.operations() if operation["source"] == source]
            theirs = [o for o in of_source if any(step["node"] in nodes for step in o["steps"])]
            covered = {step["node"] for operation in theirs for step in operation["steps"]}
            return theirs if set(nodes) <= covered else None

        return until(condition, seconds, f"operations of source {source} for {', '.join(nodes)}")

    def health(self):
        status, health = self.ask("GET", "/v1/cluster")
        expect(status == 200, f"GET /v1/cluster: {status} {health}")
        return health
