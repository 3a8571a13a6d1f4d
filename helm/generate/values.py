"""values.schema.json and README.md of the chart, from the comments of values.yaml and the programs' own configuration schemas.

A comment `# -- TEXT` above a key says what it is for; `# @schema WORD` or `# @schema {JSON}` says what may be written, where the
default does not show it. Every object is closed: a key that nobody described is refused.
"""

import json
import re

import yaml

# What `# @schema WORD` means; `?` behind a word allows null too.
TEXT = {"type": "string"}
# What names, images and addresses are made of: nothing that means something in YAML, so that no value can become a structure.
PLAIN = {"type": "string", "pattern": "^([A-Za-z0-9/]([A-Za-z0-9._:/@+-]*[A-Za-z0-9])?)?$"}
NAME = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": 63}
SECRET = {"existingSecret": {**PLAIN, "minLength": 1}, "key": {**PLAIN, "minLength": 1}}
WORDS = {
    "open": {},
    "text": TEXT,
    "name": {"type": "string", "pattern": "^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$"},
    "object": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "strings": {"type": "array", "items": TEXT},
    "strings-by-name": {"type": "object", "additionalProperties": TEXT},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "duration": {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"},
    "int-or-percent": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+%$"}]},
    "gateway-config": {"$ref": "#/definitions/gateway-config"},
    "control-plane-config": {"$ref": "#/definitions/control-plane-config"},
}


def entries(required, **properties):
    """A list of closed objects."""
    item = {"type": "object", "additionalProperties": False, "properties": properties, "required": required}
    return {"type": "array", "items": item}


ALGORITHMS = [f"{family}{bits}" for family in ("HS", "RS", "PS") for bits in (256, 384, 512)] + ["ES256", "ES384", "EdDSA"]
RIGHTS = {"type": "array", "minItems": 1, "items": {"enum": ["publish", "send", "subscribe", "disconnect", "read"]}}
CHANNELS = {"type": "array", "items": TEXT}
WORDS |= {
    "api-keys": entries(["name", "rights", "existingSecret", "key"], name=NAME, rights=RIGHTS, **SECRET),
    "jwt-keys": entries(["alg", "existingSecret", "key"], alg={"enum": ALGORITHMS}, kid=TEXT, **SECRET),
    "client-keys": entries(["name", "user", "existingSecret", "key"], name=NAME, user=TEXT, subscribe=CHANNELS, publish=CHANNELS, **SECRET),
    "api-tokens": entries(["name", "role", "existingSecret", "key"], name=NAME, role={"enum": ["view", "operate", "admin"]}, **SECRET),
    "alert-overrides": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "enabled": {"type": "boolean"},
                "expr": TEXT,
                "for": WORDS["duration"],
                "labels": WORDS["strings-by-name"],
                "annotations": WORDS["strings-by-name"],
            },
        },
    },
}


class Fault(Exception):
    """What is wrong with values.yaml, with its line."""


def schema(values_text, templates, configs):
    """The schema of values: `configs` are the programs' configuration schemas by definition name."""
    words = dict(WORDS)
    # An object that no template emits cannot be patched; the schema says so.
    names = sorted(set(re.findall(r'tidegate\.emit" \(list [.$] "([A-Za-z]+/[a-z-]+)"', templates)) | DYNAMIC)
    words["patches"] = {"type": "object", "additionalProperties": False, "properties": {name: {"type": "object"} for name in names}}
    root = node_schema(yaml.compose(values_text), values_text.splitlines(), words, "")
    definitions = {name: for_draft_7(config) for name, config in configs.items()}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Tidegate chart", **root, "definitions": definitions}


# Named by a loop in their template.
DYNAMIC = {f"{kind}/{part}" for kind in ("Deployment", "Service") for part in ("redis", "nats", "jaeger")} | {
    "NetworkPolicy/redis",
    "NetworkPolicy/nats",
}


def node_schema(node, lines, words, path):
    properties = {}
    for key_node, value_node in node.value:
        key = key_node.value
        where = f"{path}.{key}".lstrip(".")
        about, hint = comments(lines, key_node.start_mark.line)
        default = yaml.safe_load(yaml.serialize(value_node))
        if hint is not None:
            entry = hinted(hint, words, where)
        elif isinstance(default, dict) and default:
            entry = {}
        elif isinstance(default, bool):
            entry = {"type": "boolean"}
        elif isinstance(default, str):
            entry = dict(PLAIN)
        else:
            raise Fault(f"values.yaml: {where}: the default {default!r} does not show what is allowed; add `# @schema`")
        # A map whose keys the chart knows, hint or not, is described key by key.
        is_described = isinstance(value_node, yaml.MappingNode) and value_node.value and hint in (None, "open")
        if is_described:
            entry = {**entry, **node_schema(value_node, lines, words, where)}
            if hint == "open":
                entry["additionalProperties"] = True
        if about:
            entry = {"description": about, **entry}
        if not is_described and default not in ({}, []):
            entry = {**entry, "default": default}
        properties[key] = entry
    root = {"type": "object", "additionalProperties": False, "properties": properties}
    return root


def hinted(hint, words, where):
    if hint.startswith("{"):
        return json.loads(hint)
    word = hint.rstrip("?")
    if word not in words:
        raise Fault(f"values.yaml: {where}: `@schema {hint}` is none of {', '.join(sorted(words))}")
    found = words[word]
    return {"anyOf": [found, {"type": "null"}]} if hint.endswith("?") else dict(found)


def comments(lines, line):
    """The text and the hint right above a key."""
    above = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().lstrip("#").strip())
    about, hint = [], None
    for text in above:
        if text.startswith("@schema "):
            hint = text.removeprefix("@schema ").strip()
        elif text.startswith("-- "):
            about = [text.removeprefix("-- ")]
        elif about:
            about.append(text)
    return " ".join(about), hint


def for_draft_7(config):
    """Helm before 3.18 reads draft 7, which has none of the newer words that the programs' schemas could use."""
    return {key: value for key, value in config.items() if key not in ("$schema", "title")}


def reference(values_text):
    """The table of values for the chart's README."""
    rows = ["| Value | Default | What |", "|---|---|---|"]
    collect_rows(yaml.compose(values_text), values_text.splitlines(), "", rows)
    return "\n".join(rows) + "\n"


def collect_rows(node, lines, path, rows):
    for key_node, value_node in node.value:
        where = f"{path}.{key_node.value}".lstrip(".")
        about, hint = comments(lines, key_node.start_mark.line)
        default = yaml.safe_load(yaml.serialize(value_node))
        is_described = isinstance(value_node, yaml.MappingNode) and value_node.value and hint in (None, "open")
        if is_described:
            if about:
                rows.append(f"| `{where}` | | {about} |")
            collect_rows(value_node, lines, where, rows)
            continue
        shown = json.dumps(default, ensure_ascii=False)
        shown = f"`{shown}`" if len(shown) <= 60 else "see values.yaml"
        rows.append(f"| `{where}` | {shown} | {about} |".replace("|  |", "| |"))


def readme(values_text):
    """The chart's own page: how to install it, and every value."""
    return README.format(values=reference(values_text))


README = """# Tidegate's chart

<!-- Generated from values.yaml by `scripts/chart generate`. -->

```sh
helm install tidegate helm/tidegate -f helm/tidegate/values-dev.yaml     # to try it: with a Redis, NATS and Jaeger of its own
helm install tidegate helm/tidegate -f helm/tidegate/values-ha.yaml \\
  --set redis.url=redis://redis:6379 --set 'nats.urls={{nats://nats:4222}}' -f my-values.yaml
helm test tidegate --logs
```

Needs Kubernetes 1.30 or later, and Helm 3.17 or 4. Installing, in steps: [docs/install.md](../../docs/install.md). How pods leave, and what the
control plane does about it: [docs/upgrade.md](../../docs/upgrade.md). Presets: `values-dev.yaml`, `values-ha.yaml`, `values-million.yaml`.

What depends on several values is checked when the chart is rendered; each message says what to write. A key that is not in the list below is refused.

## Values

{values}
## Configuration of the programs

`gateway.config` takes every key of [docs/configuration.md](../../docs/configuration.md), as YAML: `gateway.config.limits.connections` is `connections` of `[limits]`.
A change there rolls the pods, since it is read at start; a renewed certificate does not. `controlPlane.config` takes those of
[docs/control-plane-configuration.md](../../docs/control-plane-configuration.md).
"""
