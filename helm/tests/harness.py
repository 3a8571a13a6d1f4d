"""Renders the chart with a helm of `scripts/setup chart`, for the tests beside this file.

Which helms there are comes by HELM (several, with colons in between): the first renders everything, the others the presets.
"""

import functools
import json
import os
import subprocess
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/tidegate"
TOOLS = Path(os.environ.get("CHART_TOOLS", ROOT / ".cache/chart"))
HELMS = os.environ.get("HELM", f"{TOOLS}/v4/helm:{TOOLS}/v3/helm").split(":")

# What every install needs and no default can know.
BACKENDS = {"redis": {"url": "redis://redis:6379"}, "nats": {"urls": ["nats://nats:4222"]}}
PRESETS = {
    "default": ([], BACKENDS),
    "dev": (["values-dev.yaml"], {}),
    "ha": (["values-ha.yaml"], BACKENDS),
    "million": (["values-ha.yaml", "values-million.yaml"], BACKENDS),
}
KUBERNETES = ["1.30.0", "1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0", "1.36.0"]


class Refused(Exception):
    """What helm said instead of rendering."""


def render(values=None, preset="default", kubernetes=KUBERNETES[-1], helm=HELMS[0], notes=False, release="tidegate"):
    """The rendered objects; with `notes` the text that an install ends with."""
    files, base = PRESETS[preset]
    return _render(json.dumps(merged(base, values or {})), tuple(files), kubernetes, helm, notes, release)


@functools.lru_cache(maxsize=None)
def _render(values, files, kubernetes, helm, notes, release):
    command = [helm, "template", release, str(CHART), "--namespace", "tests", "--kube-version", kubernetes]
    if notes:
        # Only an install renders them; `--dry-run=client` needs no cluster.
        command = [helm, "install", release, str(CHART), "--namespace", "tests", "--dry-run=client"]
    for file in files:
        command += ["--values", str(CHART / file)]
    command += ["--values", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": "/dev/null"})
    if done.returncode != 0:
        raise Refused(done.stderr)
    if notes:
        return done.stdout.partition("NOTES:\n")[2]
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def merged(base, over):
    """`over` merged over `base`, as helm merges values."""
    result = dict(base)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def nested(path, value):
    """{"a": {"b": value}} for "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def one(objects, kind, name):
    """The object of a kind and name."""
    found = [it for it in objects if it["kind"] == kind and it["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind}/{name}: {len(found)} of {[(it['kind'], it['metadata']['name']) for it in objects]}"
    return found[0]


def pods(objects):
    """(name, labels, pod spec) of everything that makes pods."""
    for it in objects:
        if it["kind"] == "Pod":
            yield it["metadata"]["name"], it["metadata"]["labels"], it["spec"]
        elif it["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = it["spec"]["template"]
            yield it["metadata"]["name"], template["metadata"]["labels"], template["spec"]


class Kubernetes:
    """What the API server of a version takes, strictly: an unknown field is a fault, as with `kubectl --validate=strict`."""

    def __init__(self, version):
        swagger = json.loads((TOOLS / f"kubernetes-{version}.json").read_text())
        self.definitions = {name: closed(name, it) for name, it in swagger["definitions"].items()}
        self.by_kind = {}
        for name, it in swagger["definitions"].items():
            for kind in it.get("x-kubernetes-group-version-kind", []):
                self.by_kind["/".join(filter(None, (kind["group"], kind["version"], kind["kind"])))] = name

    def knows(self, it):
        return f"{it['apiVersion']}/{it['kind']}" in self.by_kind

    def faults(self, it):
        name = self.by_kind[f"{it['apiVersion']}/{it['kind']}"]
        validator = jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": self.definitions})
        where = f"{it['kind']}/{it['metadata']['name']}"
        return [f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(it)]


def closed(name, definition):
    if name.endswith((".IntOrString", ".Quantity")):
        return {"type": ["string", "number"]}
    if "properties" not in definition:
        return definition
    return {**definition, "additionalProperties": False}
