"""What every rendered pod and Service keeps to, whatever the preset."""

import unittest

from harness import PRESETS, merged, nested, one, pods, render
from test_render import EVERYTHING

CASES = [(preset, {}) for preset in PRESETS] + [("default", EVERYTHING)]
OURS = {"gateway", "control-plane", "round-trip", "redis", "nats", "jaeger"}


def rendered():
    for preset, values in CASES:
        yield preset, render(values, preset=preset)


class Pods(unittest.TestCase):
    def test_pods_are_restricted(self):
        for preset, objects in rendered():
            for name, _, spec in pods(objects):
                with self.subTest(preset=preset, pod=name):
                    pod = spec["securityContext"]
                    self.assertEqual((pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]), (True, 65532, 65532))
                    self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertFalse(any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")))
                    self.assertFalse(any("hostPath" in volume for volume in spec.get("volumes", [])))
                    for container in spec["containers"]:
                        if container["name"] not in OURS:
                            continue
                        context = container["securityContext"]
                        self.assertTrue(context["readOnlyRootFilesystem"])
                        self.assertFalse(context["allowPrivilegeEscalation"])
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertNotIn("privileged", context)

    def test_only_the_control_plane_has_a_token_of_kubernetes(self):
        for preset, objects in rendered():
            for name, labels, spec in pods(objects):
                with self.subTest(preset=preset, pod=name):
                    is_control_plane = labels["app.kubernetes.io/component"] == "control-plane"
                    self.assertEqual(spec["automountServiceAccountToken"], is_control_plane)
                    self.assertFalse(spec["enableServiceLinks"])
            for account in (it for it in objects if it["kind"] == "ServiceAccount"):
                self.assertFalse(account["automountServiceAccountToken"])

    def test_resources_are_stated_and_cpu_is_not_throttled(self):
        for preset, objects in rendered():
            for name, _, spec in pods(objects):
                for container in (it for it in spec["containers"] if it["name"] in OURS):
                    with self.subTest(preset=preset, pod=name):
                        self.assertLessEqual({"cpu", "memory"}, set(container["resources"]["requests"]))
                        self.assertIn("memory", container["resources"]["limits"])
                        self.assertNotIn("cpu", container["resources"]["limits"])

    def test_each_probe_asks_something_else(self):
        for name in ("tidegate-gateway", "tidegate-control-plane"):
            container = one(render(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
            paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")]
            self.assertEqual(paths, ["/startupz", "/livez", "/readyz"])

    def test_pods_of_one_revision_are_spread(self):
        spec = one(render(), "Deployment", "tidegate-gateway")["spec"]["template"]["spec"]
        keys = [(it["topologyKey"], it["matchLabelKeys"]) for it in spec["topologySpreadConstraints"]]
        self.assertEqual(keys, [("topology.kubernetes.io/zone", ["pod-template-hash"]), ("kubernetes.io/hostname", ["pod-template-hash"])])

    def test_no_secret_is_written_into_an_object(self):
        for preset, objects in rendered():
            secrets = [it["metadata"]["name"] for it in objects if it["kind"] == "Secret"]
            # What is known to everybody is no secret.
            self.assertEqual(secrets, ["tidegate-dev"] if preset == "dev" else [])


class Services(unittest.TestCase):
    def test_clients_reach_nothing_but_the_client_port(self):
        for preset, objects in rendered():
            for it in (it for it in objects if it["kind"] == "Service"):
                with self.subTest(preset=preset, service=it["metadata"]["name"]):
                    ports = [port["targetPort"] for port in it["spec"]["ports"]]
                    if it["spec"]["type"] != "ClusterIP":
                        self.assertEqual((it["metadata"]["name"], ports), ("tidegate-gateway", ["client"]))
                    elif "client" in ports:
                        self.assertEqual(ports, ["client"])

    def test_names_of_ports_are_as_short_as_kubernetes_wants_them(self):
        # The published schemas do not say it; an API server does.
        for preset, objects in rendered():
            for name, _, spec in pods(objects):
                for port in (port for container in spec["containers"] for port in container.get("ports", [])):
                    with self.subTest(preset=preset, pod=name):
                        self.assertRegex(port["name"], "^[a-z0-9-]{1,15}$")

    def test_selectors_never_change(self):
        # A Deployment's selector cannot be changed: whatever is here was promised with the first release.
        selector = one(render(), "Deployment", "tidegate-gateway")["spec"]["selector"]["matchLabels"]
        wanted = {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/instance": "tidegate", "app.kubernetes.io/component": "gateway"}
        self.assertEqual(selector, wanted)

    def test_the_service_has_every_knob_that_a_balancer_needs(self):
        spec = one(render(EVERYTHING), "Service", "tidegate-gateway")["spec"]
        for key, value in {
            "loadBalancerClass": "example.com/nlb",
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 32000,
            "allocateLoadBalancerNodePorts": False,
            "trafficDistribution": "PreferClose",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "ipFamilyPolicy": "PreferDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
        }.items():
            self.assertEqual(spec[key], value)
        self.assertEqual(spec["ports"][0]["port"], 443)


class NetworkPolicies(unittest.TestCase):
    def test_the_admin_port_is_for_the_control_plane_and_monitoring(self):
        policy = one(render(), "NetworkPolicy", "tidegate-gateway")["spec"]
        rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["ingress"]}
        self.assertIsNone(rules["client"])
        self.assertEqual(rules["api"], [{"podSelector": {}}])
        (peer,) = rules["admin"]
        self.assertEqual(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "control-plane")

    def test_what_is_configured_can_be_reached(self):
        values = merged(
            nested("gateway.config.auth", {"jwt": {"jwks_url": "https://id.example/keys"}, "hook": {"connect_url": "http://hook:7070/x"}}),
            {"redis": {"url": "rediss://user:pass@redis:7000/3"}, "nats": {"urls": ["tls://a:4333", "nats://b"]}},
        )
        policy = one(render(values), "NetworkPolicy", "tidegate-gateway")["spec"]
        ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        self.assertEqual(ports, {53, 7000, 4333, 4222, 443, 7070})

    def test_every_pod_of_a_preset_that_listens_for_us_alone_has_a_policy(self):
        names = {it["metadata"]["name"] for it in render(preset="dev") if it["kind"] == "NetworkPolicy"}
        self.assertEqual(names, {"tidegate-gateway", "tidegate-control-plane", "tidegate-redis", "tidegate-nats"})


class Rights(unittest.TestCase):
    def rules(self, **switches):
        role = one(render({"controlPlane": {"rbac": switches}}), "Role", "tidegate-control-plane")
        return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}

    def test_each_switch_stands_for_its_verbs(self):
        everything = self.rules()
        self.assertEqual(everything - self.rules(evict=False), {("pods/eviction", "create")})
        self.assertEqual(everything - self.rules(deletionCost=False), {("pods", "patch")})
        self.assertEqual(everything - self.rules(events=False), {("events", "create"), ("events", "patch")})
        self.assertEqual(self.rules(scale=True) - everything, {("deployments/scale", "get"), ("deployments/scale", "patch")})
        self.assertEqual(self.rules(detach=True, deletionCost=False), everything)

    def test_only_the_gateways_can_be_scaled(self):
        role = one(render({"controlPlane": {"rbac": {"scale": True}}}), "Role", "tidegate-control-plane")
        [rule] = [rule for rule in role["rules"] if rule["resources"] == ["deployments/scale"]]
        self.assertEqual(rule["resourceNames"], ["tidegate-gateway"])

    def test_without_switches_nothing_can_be_changed_but_the_lease(self):
        left = self.rules(evict=False, deletionCost=False, events=False)
        self.assertEqual({it for it in left if it[1] not in ("get", "list", "watch")}, {("leases", "create"), ("leases", "update")})

    def test_rights_over_the_whole_cluster_are_asked_for(self):
        kinds = {it["kind"] for it in render()}
        self.assertNotIn("ClusterRole", kinds)
        role = next(it for it in render({"controlPlane": {"rbac": {"tokenReview": True}}}) if it["kind"] == "ClusterRole")
        self.assertEqual(role["rules"], [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}])


class Disruptions(unittest.TestCase):
    def test_a_budget_is_made_where_there_is_more_than_one_pod(self):
        def budgets(values):
            return {it["metadata"]["name"] for it in render(values) if it["kind"] == "PodDisruptionBudget"}

        self.assertIn("tidegate-gateway", budgets({}))
        self.assertNotIn("tidegate-gateway", budgets({"gateway": {"replicas": 1}}))
        scaled = {"gateway": {"replicas": 1, "autoscaling": {"mode": "hpa", "min": 2}}}
        self.assertIn("tidegate-gateway", budgets(scaled))
        self.assertNotIn("tidegate-gateway", budgets(merged(scaled, {"gateway": {"autoscaling": {"min": 1}}})))

    def test_the_grace_period_is_the_sum_of_the_drain(self):
        spec = one(render(), "Deployment", "tidegate-gateway")["spec"]
        self.assertEqual(spec["template"]["spec"]["terminationGracePeriodSeconds"], 15 + 300 + 20 + 10 + 5)
        self.assertGreater(spec["progressDeadlineSeconds"], 350)
        longer = {"gateway": {"drain": {"window": "1m30s", "margin": "500ms"}, "preStopSleepSeconds": 7}}
        spec = one(render(longer), "Deployment", "tidegate-gateway")["spec"]
        self.assertEqual(spec["template"]["spec"]["terminationGracePeriodSeconds"], 15 + 90 + 20 + 1 + 7 + 5)

    def test_an_autoscaler_owns_the_number_of_pods(self):
        for mode in ("hpa", "keda"):
            objects = render({"gateway": {"autoscaling": {"mode": mode}}})
            self.assertNotIn("replicas", one(objects, "Deployment", "tidegate-gateway")["spec"])
        hpa = one(render({"gateway": {"autoscaling": {"mode": "hpa"}}}), "HorizontalPodAutoscaler", "tidegate-gateway")["spec"]
        self.assertEqual(hpa["metrics"][0]["pods"]["metric"]["name"], "tidegate_connections_active")
        self.assertEqual(hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 1800)


class Backends(unittest.TestCase):
    def test_redis_can_be_given_a_disk(self):
        claim = {"persistentVolumeClaim": {"claimName": "redis"}}
        objects = render(nested("devBackends.redis.volume", claim), preset="dev")
        for part, volume in (("redis", claim), ("nats", {"emptyDir": {"sizeLimit": "1Gi"}})):
            volumes = one(objects, "Deployment", f"tidegate-{part}")["spec"]["template"]["spec"]["volumes"]
            self.assertEqual(volumes, [{"name": "data", **volume}])


class Rollouts(unittest.TestCase):
    def template(self, values):
        return one(render(values), "Deployment", "tidegate-gateway")["spec"]["template"]

    def test_pods_are_replaced_for_what_is_read_at_start_only(self):
        before = self.template({})
        for values in (
            {"gateway": {"replicas": 5}},
            {"gateway": {"pdb": {"maxUnavailable": 2}}},
            {"gateway": {"service": {"externalTrafficPolicy": "Local"}}},
            {"observability": {"prometheusRule": {"enabled": True}}},
            {"controlPlane": {"replicas": 3}},
        ):
            self.assertEqual(self.template(values), before, values)
        for values in (
            {"gateway": {"config": {"limits": {"connections": 5}}}},
            {"gateway": {"drain": {"settle": "30s"}}},
            {"redis": {"url": "redis://other:6379"}},
        ):
            self.assertNotEqual(self.template(values)["metadata"]["annotations"], before["metadata"]["annotations"], values)

    def test_a_last_resort_patch_reaches_any_object(self):
        values = {"patches": {"Deployment/gateway": {"spec": {"paused": True}}, "Service/gateway": {"spec": {"sessionAffinity": "ClientIP"}}}}
        objects = render(values)
        self.assertTrue(one(objects, "Deployment", "tidegate-gateway")["spec"]["paused"])
        self.assertEqual(one(objects, "Service", "tidegate-gateway")["spec"]["sessionAffinity"], "ClientIP")
        self.assertEqual(one(objects, "Deployment", "tidegate-gateway")["spec"]["template"], self.template({}))
