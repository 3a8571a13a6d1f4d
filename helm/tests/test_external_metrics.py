"""The external metrics API: nothing of it unless it is asked for, and then all that the API server needs to come in."""

import base64
import ssl
import tempfile
import unittest
from pathlib import Path

import tomli

from harness import HELMS, KUBERNETES, Kubernetes, merged, nested, one, render

ON = nested("controlPlane.externalMetrics.enabled", True)
OWN = merged(ON, nested("controlPlane.externalMetrics.tls", {"existingSecret": "metrics-tls", "caBundle": "Q0E="}))
HPA = merged(ON, nested("gateway.autoscaling", {"mode": "hpa", "hpa": {"connections": "external"}}))
API = "v1beta1.external.metrics.k8s.io"
NAME = "tidegate-external-metrics"


def shake_hands(folder, host):
    """As the API server with the bundle, and the control plane with its pair; raises what the API server would object to."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client = ssl.create_default_context(cafile=folder / "ca.crt")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname=host), server.wrap_bio(there, back, server_side=True)]
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    assert ends[0].version() and client.verify_mode == ssl.CERT_REQUIRED


class ExternalMetrics(unittest.TestCase):
    def test_without_the_switch_there_is_nothing_of_it(self):
        off, on = render(), render(ON)
        added = {(it["kind"], it["metadata"]["name"]) for it in on} - {(it["kind"], it["metadata"]["name"]) for it in off}
        cluster = f"tests-{NAME}"
        wanted = {("Secret", NAME), ("Service", NAME), ("APIService", API), ("ClusterRole", cluster), ("ClusterRoleBinding", cluster), ("RoleBinding", cluster)}
        self.assertEqual(added, wanted)
        self.assertFalse([it for it in off if "external-metrics" in str(it) or "external_metrics" in str(it)])

    def test_api_servers_know_every_field(self):
        for version in (KUBERNETES[0], KUBERNETES[-1]):
            server = Kubernetes(version)
            for values in (ON, OWN, HPA):
                for it in render(values, kubernetes=version):
                    self.assertEqual(server.faults(it), [])

    def test_the_api_server_finds_its_way_to_the_port(self):
        objects = render(ON)
        spec = one(objects, "APIService", API)["spec"]
        self.assertEqual(spec["service"], {"namespace": "tests", "name": NAME, "port": 443})
        self.assertNotIn("insecureSkipTLSVerify", spec)
        service = one(objects, "Service", NAME)["spec"]
        (port,) = service["ports"]
        pod = one(objects, "Deployment", "tidegate-control-plane")["spec"]["template"]
        self.assertLessEqual(service["selector"].items(), pod["metadata"]["labels"].items())
        ports = {it["name"]: it["containerPort"] for it in pod["spec"]["containers"][0]["ports"]}
        config = tomli.loads(one(objects, "ConfigMap", "tidegate-control-plane")["data"]["control-plane.toml"])["external_metrics"]
        self.assertEqual(config["listen"], f"0.0.0.0:{ports[port['targetPort']]}")
        mount = next(it for it in pod["spec"]["containers"][0]["volumeMounts"] if it["name"] == "external-metrics")
        self.assertEqual(config["tls_cert_file"], f"{mount['mountPath']}/tls.crt")
        self.assertEqual(config["tls_key_file"], f"{mount['mountPath']}/tls.key")
        policy = one(objects, "NetworkPolicy", "tidegate-control-plane")["spec"]
        rules = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == "ext-metrics"]
        self.assertEqual(rules, [{"ports": [{"port": "ext-metrics", "protocol": "TCP"}]}])
        policy = one(render(merged(ON, nested("networkPolicy.apiServerCIDRs", ["10.0.0.1/32"]))), "NetworkPolicy", "tidegate-control-plane")
        rules = [rule["from"] for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "ext-metrics"]
        self.assertEqual(rules, [[{"ipBlock": {"cidr": "10.0.0.1/32"}}]])

    def test_the_charts_own_certificate_is_for_the_service_and_signed_by_the_bundle(self):
        for helm in HELMS:
            objects = render(ON, helm=helm)
            data = one(objects, "Secret", NAME)["data"]
            self.assertEqual(one(objects, "APIService", API)["spec"]["caBundle"], data["ca.crt"])
            with tempfile.TemporaryDirectory() as folder:
                for name, text in data.items():
                    Path(folder, name).write_bytes(base64.b64decode(text))
                shake_hands(Path(folder), f"{NAME}.tests.svc")
                with self.assertRaises(ssl.SSLCertVerificationError):
                    shake_hands(Path(folder), "tidegate-control-plane.tests.svc")
            # The authority's key is nowhere: nobody can sign another certificate.
            self.assertEqual(set(data), {"ca.crt", "tls.crt", "tls.key"})

    def test_a_certificate_of_ones_own_is_used(self):
        objects = render(OWN)
        self.assertFalse([it for it in objects if it["kind"] == "Secret"])
        self.assertEqual(one(objects, "APIService", API)["spec"]["caBundle"], "Q0E=")
        volumes = one(objects, "Deployment", "tidegate-control-plane")["spec"]["template"]["spec"]["volumes"]
        self.assertEqual([it["secret"]["secretName"] for it in volumes if it["name"] == "external-metrics"], ["metrics-tls"])
        annotation = {"cert-manager.io/inject-ca-from": "tests/metrics"}
        values = nested("controlPlane.externalMetrics", {"tls": {"existingSecret": "metrics-tls"}, "annotations": annotation})
        api = one(render(merged(ON, values)), "APIService", API)
        self.assertEqual((api["metadata"]["annotations"], "caBundle" in api["spec"]), (annotation, False))

    def test_it_may_ask_what_others_may_do_and_read_who_the_aggregator_is(self):
        objects = render(ON)
        role = one(objects, "ClusterRole", f"tests-{NAME}")
        self.assertEqual(role["rules"], [{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}])
        reader = one(objects, "RoleBinding", f"tests-{NAME}")
        self.assertEqual((reader["metadata"]["namespace"], reader["roleRef"]["name"]), ("kube-system", "extension-apiserver-authentication-reader"))
        account = {"kind": "ServiceAccount", "name": "tidegate-control-plane", "namespace": "tests"}
        for it in (reader, one(objects, "ClusterRoleBinding", f"tests-{NAME}")):
            self.assertEqual(it["subjects"], [account])
        without = render(merged(ON, nested("controlPlane.rbac.create", False)))
        self.assertFalse([it for it in without if it["metadata"]["name"] == f"tests-{NAME}"])

    def test_the_autoscaler_reads_what_is_served(self):
        (metric, cpu) = one(render(HPA), "HorizontalPodAutoscaler", "tidegate-gateway")["spec"]["metrics"]
        self.assertEqual(metric["external"]["metric"], {"name": "tidegate_connections"})
        self.assertEqual(metric["external"]["target"], {"type": "AverageValue", "averageValue": "50000"})
        self.assertEqual(cpu["type"], "Resource")
        for values, name in (
            (nested("gateway.autoscaling.hpa.metric", "tidegate_load"), "tidegate_load"),
            (nested("controlPlane.externalMetrics.enabled", False), "tidegate_connections_active"),
        ):
            hpa = one(render(merged(HPA, values)), "HorizontalPodAutoscaler", "tidegate-gateway")
            self.assertEqual(hpa["spec"]["metrics"][0]["external"]["metric"]["name"], name)

    def test_values_of_an_older_release_lack_it_and_render(self):
        # As `helm upgrade --reuse-values` leaves them.
        old = {"controlPlane": {"externalMetrics": None, "ports": {"externalMetrics": None}}}
        self.assertEqual(render(old), render())
        old["controlPlane"]["externalMetrics"] = {"enabled": True}
        old["gateway"] = {"autoscaling": {"mode": "hpa", "hpa": {"connections": "external", "metric": "tidegate_connections_active"}}}
        hpa = one(render(old), "HorizontalPodAutoscaler", "tidegate-gateway")
        self.assertEqual(hpa["spec"]["metrics"][0]["external"]["metric"]["name"], "tidegate_connections")

    def test_notes_say_that_there_is_one_and_how_to_read_it(self):
        notes = render(merged(ON, nested("gateway.autoscaling.mode", "hpa")), notes=True)
        self.assertIn("kubectl get --raw /apis/external.metrics.k8s.io/v1beta1/namespaces/tests/tidegate_connections", notes)
        self.assertIn("external metrics of the whole cluster", notes)
        self.assertIn("that the autoscaler does not read", notes)
        self.assertNotIn("does not read", render(HPA, notes=True))
