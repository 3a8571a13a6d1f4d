"""Redis, NATS, gateways and the floor as child processes on free ports, for the scripts that measure."""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.request

CONFIG = """
[auth]
anonymous = true
[session]
messages_per_second = 0
bytes_per_second = 0
[limits]
connections = 100000
connections_per_ip = 0
[overload]
loop_lag = "0s"
[namespaces.log]
history_size = 1000
subscribe = "anyone"
publish = "anyone"
[namespaces.talk]
subscribe = "anyone"
publish = "anyone"
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_port(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def cpu_us(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1000


def metrics(port):
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        found[name] = float(value)
    return found


def total(page, pattern):
    return sum(value for name, value in page.items() if re.search(pattern, name))


def arguments(description):
    """The arguments that all of them take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", required=True, help="the gateway's binary, a release build")
    parser.add_argument("--loadtest", required=True, help="tidegate-loadtest's binary")
    parser.add_argument("--nats-server", default=".cache/servers/bin/nats-server")
    return parser


class Stage:
    """Processes, ended with the block: gateways with Redis and NATS, or one gateway that has neither, or the floor."""

    def __init__(self, args, gateways, alone=False, core=None):
        self.args, self.core, self.processes = args, core, {}
        self.folder = tempfile.TemporaryDirectory()
        self.redis, self.nats, *ports = free_ports(2 + 3 * max(gateways, 1))
        self.admin = ports[gateways : 2 * gateways]
        self.client = ports[: max(gateways, 1)]
        backends = {}
        if gateways == 0:
            self.start("floor", [args.loadtest, "floor", "--listen", f"127.0.0.1:{self.client[0]}"])
        elif not alone:
            folder = self.folder.name
            self.start("redis", ["redis-server", "--port", str(self.redis), "--save", "", "--dir", folder])
            self.start("nats", [args.nats_server, "-p", str(self.nats)])
            await_port(self.redis)
            await_port(self.nats)
            backends = {
                "STORE__URL": f"redis://127.0.0.1:{self.redis}",
                "BUS__URL": f"nats://127.0.0.1:{self.nats}",
            }
        config = pathlib.Path(self.folder.name) / "gateway.toml"
        config.write_text(CONFIG)
        for index in range(gateways):
            settings = backends | {
                "NODE__NAME": f"node-{index}",
                "NODE__WORKERS": "1",
                "NODE__REPLICAS": str(gateways),
                "CLIENT__LISTEN": f"127.0.0.1:{self.client[index]}",
                "ADMIN__LISTEN": f"127.0.0.1:{self.admin[index]}",
                "API__LISTEN": f"127.0.0.1:{ports[2 * gateways + index]}",
            }
            environment = os.environ | {f"TIDEGATE_{key}": value for key, value in settings.items()}
            self.start(f"node-{index}", [args.gateway, "--config", str(config)], environment)
        for port in self.client:
            await_port(port)

    def start(self, name, command, environment=None):
        pinned = command if self.core is None else ["taskset", "-c", str(self.core), *command]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes[name] = subprocess.Popen(pinned, env=environment, **quiet)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.folder.cleanup()

    def used_us(self):
        return {name: cpu_us(process.pid) for name, process in self.processes.items()}

    def settle(self):
        """Waits until the sessions whose connections have gone are put away, and gives what was used until then."""
        used = sum(self.used_us().values())
        for _ in range(60):
            time.sleep(0.5)
            before, used = used, sum(self.used_us().values())
            if used - before < 25_000:
                break
        return used

    def read(self):
        return [metrics(port) for port in self.admin], self.used_us()

    def fan_out(self, seconds, channel, subscribers, core=None):
        """One client publishes to so many, spread over all nodes. The load tool's report."""
        pin = [] if core is None else ["taskset", "-c", str(core)]
        path, dialect = ("/room", []) if channel is None else ("/ws", ["--dialect", "native", "--channel-base", channel])
        first, *others = [f"ws://127.0.0.1:{port}{path}" for port in self.client]
        command = [*pin, self.args.loadtest, "fanout", "--json", "--quiet", "--url", first, *dialect]
        command += ["--subscribers", str(subscribers), "--duration", f"{seconds}s"]
        for other in others:
            command += ["--other-url", other]
        report = subprocess.run(command, capture_output=True, text=True)
        if report.returncode != 0:
            raise SystemExit(f"{report.stdout}{report.stderr}")
        return json.loads(report.stdout)
