"""The configuration files in the ConfigMaps: TOML that the programs take, made of values and of what the chart knows."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import tomli
import yaml

from harness import CHART, KUBERNETES, PRESETS, Kubernetes, Refused, merged, nested, one, render
from test_render import EVERYTHING


def gateway(values=None, preset="default"):
    return tomli.loads(one(render(values, preset=preset), "ConfigMap", "tidegate-gateway")["data"]["gateway.toml"])


def control_plane(values=None, preset="default"):
    return tomli.loads(one(render(values, preset=preset), "ConfigMap", "tidegate-control-plane")["data"]["control-plane.toml"])


class Derived(unittest.TestCase):
    def test_ports_backends_and_drain_come_from_values(self):
        config = gateway()
        self.assertEqual(config["client"]["listen"], "0.0.0.0:8000")
        self.assertEqual(config["store"]["url"], "redis://redis:6379")
        self.assertEqual(config["bus"]["url"], "nats://nats:4222")
        self.assertEqual(config["drain"]["window"], "5m")
        self.assertEqual(config["node"]["replicas"], 3)
        self.assertNotIn("telemetry", config)

    def test_own_backends_are_named_by_their_services(self):
        config = gateway(preset="dev")
        self.assertEqual(config["store"]["url"], "redis://tidegate-redis:6379")
        self.assertEqual(config["telemetry"]["otlp_endpoint"], "http://tidegate-jaeger:4317")

    def test_keys_are_files_from_existing_secrets(self):
        config = gateway(EVERYTHING)
        self.assertEqual(config["api"]["keys"], [{"name": "shop", "rights": ["publish"], "secret_file": "/etc/tidegate/api-keys/shop"}])
        self.assertEqual(config["auth"]["jwt"]["keys"], [{"alg": "ES256", "public_key_file": "/etc/tidegate/jwt-keys/0"}])
        self.assertEqual(config["auth"]["api_keys"][0]["secret_file"], "/etc/tidegate/client-keys/robot")
        spec = one(render(EVERYTHING), "Deployment", "tidegate-gateway")["spec"]["template"]["spec"]
        mounts = {it["name"]: it["mountPath"] for it in spec["containers"][0]["volumeMounts"]}
        for volume, path in {"api-keys": "/etc/tidegate/api-keys", "jwt-keys": "/etc/tidegate/jwt-keys", "tls": "/etc/tidegate/tls"}.items():
            self.assertEqual(mounts[volume], path)
        self.assertLessEqual(set(mounts), {it["name"] for it in spec["volumes"]})

    def test_the_control_plane_finds_its_own_gateways(self):
        config = control_plane(EVERYTHING)
        selector = dict(it.split("=") for it in config["kubernetes"]["selector"].split(","))
        labels = one(render(EVERYTHING), "Deployment", "tidegate-gateway")["spec"]["template"]["metadata"]["labels"]
        self.assertLessEqual(selector.items(), labels.items())
        self.assertEqual(config["kubernetes"]["service"], "tidegate-gateway")
        self.assertEqual(config["auth"]["tokens"], [{"name": "admin", "role": "admin", "token_file": "/etc/tidegate/api-tokens/admin"}])

    def test_both_programs_use_the_same_names_and_the_same_budget(self):
        values = nested("gateway", {"config": {"store": {"prefix": "a:"}, "bus": {"prefix": "b"}}, "drain": {"maxRate": 70}})
        config = control_plane(values)
        self.assertEqual((config["store"]["prefix"], config["bus"]["prefix"], config["budget"]["max_rate"]), ("a:", "b", 70))
        self.assertEqual(control_plane(merged(values, nested("controlPlane.config.budget.max_rate", 90)))["budget"]["max_rate"], 90)

    def test_keys_in_files_of_a_csi_driver_are_kept_beside_those_of_secrets(self):
        brought = {"alg": "RS256", "public_key_file": "/csi/public.pem"}
        config = gateway(merged(nested("gateway.config.auth.jwt.keys", [brought]), {"gateway": {"jwtKeys": EVERYTHING["gateway"]["jwtKeys"]}}))
        self.assertEqual(config["auth"]["jwt"]["keys"], [brought, {"alg": "ES256", "public_key_file": "/etc/tidegate/jwt-keys/0"}])
        tls = {"cert_file": "/csi/tls.crt", "key_file": "/csi/tls.key"}
        self.assertEqual(gateway(nested("gateway.config.client.tls", tls))["client"]["tls"], tls)

    def test_both_programs_send_their_spans_to_the_same_place(self):
        for config in (gateway(preset="dev"), control_plane(preset="dev")):
            self.assertEqual(config["telemetry"]["otlp_endpoint"], "http://tidegate-jaeger:4317")
        self.assertNotIn("telemetry", control_plane())

    def test_numbers_of_people_stay_whole(self):
        written = nested("gateway.config", {"limits": {"connections": 1234567}, "session": {"ttl": "1m"}})
        self.assertEqual(gateway(written)["limits"]["connections"], 1234567)
        text = one(render(written), "ConfigMap", "tidegate-gateway")["data"]["gateway.toml"]
        self.assertIn("\nconnections = 1234567\n", text)


class Hostile(unittest.TestCase):
    def test_no_text_can_become_a_structure(self):
        server = Kubernetes(KUBERNETES[-1])
        kinds = sorted(it["kind"] for it in render(EVERYTHING))
        texts = list(text_values(yaml.safe_load((CHART / "values.yaml").read_text())))
        self.assertGreater(len(texts), 40)
        for path in texts:
            for hostile in ('x"}, evil: {a: "b', "x\n  evil: yes\n---\nkind: Pod\n"):
                with self.subTest(value=path, text=hostile):
                    try:
                        objects = render(merged(EVERYTHING, nested(path, hostile)))
                    except Refused as refused:
                        self.assertRegex(str(refused), r"pattern|must be one of|thing\(s\) to change")
                        continue
                    self.assertEqual(sorted(it["kind"] for it in objects), kinds)
                    self.assertEqual([fault for it in objects if server.knows(it) for fault in server.faults(it)], [])

    def test_no_text_can_leave_its_string(self):
        hostile = 'x"\n[admin]\nlisten = "0.0.0.0:1"\n# {{ .Values }} \\ \u2028 é <&>'
        config = gateway(nested("gateway.config", {"store": {"prefix": hostile}, "auth": {"jwt": {"issuer": hostile}}}))
        self.assertEqual(config["store"]["prefix"], hostile)
        self.assertEqual(config["auth"]["jwt"]["issuer"], hostile)
        self.assertEqual(config["admin"]["listen"], "0.0.0.0:9000")

    def test_names_of_releases_as_long_as_helm_allows_them_make_valid_objects(self):
        for it in render(release="r" * 53):
            self.assertLessEqual(len(it["metadata"]["name"]), 63)
            self.assertLessEqual(max(map(len, it["metadata"]["labels"].values())), 63)


def text_values(values, path=""):
    """Paths of all values that are text by default."""
    for key, value in values.items():
        where = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from text_values(value, where)
        elif isinstance(value, str):
            yield where


class Accepted(unittest.TestCase):
    """Only where GATEWAY_BINARY or CONTROL_PLANE_BINARY name one: `scripts/test chart` does."""

    def check(self, binary, text, **environment):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "config.toml")
            file.write_text(text)
            command = [binary, "--config", str(file), "--check-config"]
            return subprocess.run(command, capture_output=True, text=True, env={"POD_NAME": "pod-1", "POD_IP": "10.0.0.1", **environment})

    @unittest.skipUnless("GATEWAY_BINARY" in os.environ, "GATEWAY_BINARY is not set")
    def test_the_gateway_takes_what_presets_render(self):
        for preset in PRESETS:
            text = one(render(preset=preset), "ConfigMap", "tidegate-gateway")["data"]["gateway.toml"]
            done = self.check(os.environ["GATEWAY_BINARY"], text)
            self.assertEqual(done.returncode, 0, f"{preset}: {done.stderr}\n{text}")

    @unittest.skipUnless("CONTROL_PLANE_BINARY" in os.environ, "CONTROL_PLANE_BINARY is not set")
    def test_the_control_plane_takes_what_presets_render(self):
        for preset in PRESETS:
            text = one(render(preset=preset), "ConfigMap", "tidegate-control-plane")["data"]["control-plane.toml"]
            done = self.check(os.environ["CONTROL_PLANE_BINARY"], text)
            self.assertEqual(done.returncode, 0, f"{preset}: {done.stderr}\n{text}")
