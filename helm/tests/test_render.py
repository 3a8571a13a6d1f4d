"""Every preset renders, with every helm and Kubernetes that the chart names, to what an API server takes."""

import subprocess
import unittest

import yaml

from harness import CHART, HELMS, KUBERNETES, PRESETS, ROOT, Kubernetes, render

# Of other projects; their schemas come with them.
FOREIGN = {"ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule", "TCPRoute", "TLSRoute", "HTTPRoute"}

# Switches on what the presets leave out.
EVERYTHING = {
    "commonLabels": {"team": "realtime"},
    "commonAnnotations": {"example.com/owner": "realtime"},
    "global": {"imageRegistry": "registry.example", "imagePullSecrets": [{"name": "pull"}]},
    "gateway": {
        "apiKeys": [{"name": "shop", "rights": ["publish"], "existingSecret": "shop", "key": "key"}],
        "jwtKeys": [{"alg": "ES256", "existingSecret": "jwt", "key": "public.pem"}],
        "clientKeys": [{"name": "robot", "user": "robot", "existingSecret": "robot", "key": "key"}],
        "tls": {"existingSecret": "certificate"},
        "service": {
            "loadBalancerClass": "example.com/nlb",
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 32000,
            "allocateLoadBalancerNodePorts": False,
            "trafficDistribution": "PreferClose",
            "sourceRanges": ["192.0.2.0/24"],
            "ipFamilyPolicy": "PreferDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
        },
        "proxyProtocol": {"enabled": True, "trustedCIDRs": ["10.0.0.0/8"]},
        "preStopSleepSeconds": 3,
        "autoscaling": {"mode": "hpa", "hpa": {"connections": "external", "selector": {"service": "tidegate"}}},
        "hostUsers": False,
        "eviction": "never",
        "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
        "extraArgs": ["--set=telemetry.log_level=debug"],
        "extraEnv": [{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "deployment.environment=test"}],
        "extraEnvFrom": [{"secretRef": {"name": "more"}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "extraContainers": [{"name": "side", "image": "side:1"}],
        "initContainers": [{"name": "before", "image": "before:1"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "realtime", "operator": "Exists"}],
        "priorityClassName": "high",
    },
    "controlPlane": {
        "api": {"tokens": [{"name": "admin", "role": "admin", "existingSecret": "operators", "key": "admin"}]},
        "rbac": {"tokenReview": True, "detach": True, "scale": True},
        "externalMetrics": {"enabled": True, "tls": {"existingSecret": "metrics-tls", "caBundle": "Q0E="}, "annotations": {"example.com/a": "b"}},
    },
    "redis": {"existingSecret": "redis", "tls": {"caSecret": "redis-ca"}, "secretKeys": {"username": "user"}},
    "nats": {"existingSecret": "nats", "tls": {"caSecret": "nats-ca"}},
    "observability": {
        "monitor": {"kind": "ServiceMonitor"},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
        "tracing": {"otlpEndpoint": "http://collector:4317"},
    },
    "networkPolicy": {"apiServerCIDRs": ["10.0.0.1/32"], "monitoringFrom": [{"namespaceSelector": {}}]},
    "tests": {"existingSecret": "test-token"},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}",
    ],
}


class Presets(unittest.TestCase):
    def test_every_preset_renders_with_every_helm_and_kubernetes(self):
        for helm in HELMS:
            for kubernetes in KUBERNETES:
                for preset in PRESETS:
                    with self.subTest(helm=helm, kubernetes=kubernetes, preset=preset):
                        self.assertGreater(len(render(preset=preset, kubernetes=kubernetes, helm=helm)), 10)

    def test_helms_agree_on_what_they_render(self):
        for preset in PRESETS:
            first, *others = [render(preset=preset, helm=helm) for helm in HELMS]
            for other in others:
                self.assertEqual(without_release_service(first), without_release_service(other))

    def test_older_kubernetes_than_supported_is_refused(self):
        with self.assertRaisesRegex(Exception, "kubeVersion"):
            render(kubernetes="1.29.9")

    def test_helm_has_nothing_to_object_to(self):
        for helm in HELMS:
            for preset, (files, _) in PRESETS.items():
                values = [argument for file in files for argument in ("--values", str(CHART / file))]
                values += ["--set", "redis.url=redis://r:6379", "--set", "nats.urls={nats://n:4222}"] if preset != "dev" else []
                done = subprocess.run([helm, "lint", "--strict", str(CHART), *values], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Strictness(unittest.TestCase):
    def test_api_servers_know_every_field(self):
        cases = [(preset, {}) for preset in PRESETS] + [("default", EVERYTHING)]
        for version in (KUBERNETES[0], KUBERNETES[-1]):
            server = Kubernetes(version)
            for preset, values in cases:
                for it in render(values, preset=preset, kubernetes=version):
                    with self.subTest(kubernetes=version, preset=preset, object=f"{it['kind']}/{it['metadata']['name']}"):
                        self.assertTrue(server.knows(it) or it["kind"] in FOREIGN, f"{it['apiVersion']} {it['kind']}")
                        if server.knows(it):
                            self.assertEqual(server.faults(it), [])

    def test_an_unknown_field_would_be_found(self):
        it = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"tpye": "ClusterIP"}}
        self.assertTrue(Kubernetes(KUBERNETES[-1]).faults(it))

    def test_extra_objects_are_templates(self):
        names = {it["metadata"]["name"] for it in render(EVERYTHING)}
        self.assertLessEqual({"tidegate-more", "tidegate-text"}, names)


class Generated(unittest.TestCase):
    def test_nothing_generated_is_stale(self):
        done = subprocess.run(["scripts/chart", "generate", "--check"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_plain_manifests_are_taken_by_the_oldest_and_the_newest(self):
        for version in (KUBERNETES[0], KUBERNETES[-1]):
            server = Kubernetes(version)
            for file in ("namespace.yaml", "gateway.yaml", "control-plane.yaml"):
                for it in yaml.safe_load_all((ROOT / "k8s" / file).read_text()):
                    self.assertEqual(server.faults(it), [])


def without_release_service(objects):
    """Helm's own words about itself aside."""
    return sorted((yaml.safe_dump(it) for it in objects))
