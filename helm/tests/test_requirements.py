"""Values that cannot work are refused, with a message that says what to write."""

import unittest

from harness import Refused, merged, nested, render

# (values, part of the message)
FAULTS = [
    ({"redis": {"url": ""}}, "set redis.url"),
    ({"nats": {"urls": []}}, "set nats.urls"),
    ({"redis": {"url": ""}, "gateway": {"replicas": 1}, "controlPlane": {"enabled": False}}, "nats.urls without redis.url"),
    ({"redis": {"url": "redis:6379"}}, "redis.url is no URL"),
    ({"nats": {"urls": ["nats:4222"]}}, "write nats://HOST:4222"),
    ({"devBackends": {"redis": {"enabled": True}}}, "redis.url and devBackends.redis.enabled"),
    ({"devBackends": {"nats": {"enabled": True}}}, "nats.urls and devBackends.nats.enabled"),
    (nested("gateway.terminationGracePeriodSeconds", 60), "is 60, but a drain may take 350 s"),
    (nested("gateway.strategy.progressDeadlineSeconds", 300), "progressDeadlineSeconds is 300"),
    (nested("gateway", {"service": {"externalTrafficPolicy": "Local"}, "drain": {"lbPropagation": "0s"}}), "5s at least"),
    (nested("gateway.drain.lbPropagation", "4s"), "until a pod that the control plane drains is seen not to be ready"),
    (nested("gateway.probes.readiness.periodSeconds", 10), "set 21s at least"),
    (nested("gateway.drain", {"window": "5s", "leaveGrace": "4s"}), "more than half"),
    (nested("gateway.service.healthCheckNodePort", 32000), "healthCheckNodePort is for type LoadBalancer with"),
    (nested("gateway.service", {"type": "ClusterIP", "nodePort": 30000}), "no meaning for type ClusterIP"),
    (nested("gateway.service", {"type": "NodePort", "loadBalancerClass": "x"}), "loadBalancerClass is for type LoadBalancer"),
    (nested("gateway.proxyProtocol.enabled", True), "without trustedCIDRs"),
    (nested("gateway.route.enabled", True), "without parentRefs"),
    (nested("gateway.ports.api", 8000), "need a port each"),
    (nested("gateway.pdb.minAvailable", 2), "set one of them to null"),
    (nested("gateway.autoscaling", {"mode": "hpa", "min": 9, "max": 3}), "min is above max"),
    (nested("gateway.autoscaling", {"mode": "hpa", "connectionsPerPod": 100000}), "aim at half of that"),
    (nested("gateway.autoscaling", {"mode": "hpa", "cpuPercent": 0, "hpa": {"connections": "none"}}), "nothing to scale on"),
    (nested("gateway.autoscaling", {"mode": "keda", "keda": {"trigger": "prometheus"}}), "serverAddress is needed"),
    (nested("gateway", {"autoscaling": {"mode": "hpa"}, "resources": {"requests": None}}), "which is not set"),
    (nested("observability.tracing.otlpEndpoint", "collector:4317"), "write http://HOST:4317"),
    (nested("gateway.config.client.listen", "0.0.0.0:1"), "gateway.config.client.listen is written by the chart; set gateway.ports.client"),
    (nested("gateway.config.store.password", "x" * 20), "redis.existingSecret"),
    (nested("gateway.config.drain.window", "1m"), "gateway.config.drain is written by the chart"),
    (nested("gateway.config.auth.jwt.keys", [{"alg": "HS256", "secret": "x" * 32}]), "readable in a ConfigMap; set gateway.jwtKeys"),
    (nested("gateway.config.api.keys", [{"name": "a", "rights": ["read"], "secret": "x" * 32}]), "set gateway.apiKeys"),
    (nested("gateway", {"tls": {"existingSecret": "a"}, "config": {"client": {"tls": {"cert_file": "/b", "key_file": "/c"}}}}), "keep one"),
    (nested("controlPlane.config.kubernetes.evict", False), "controlPlane.config.kubernetes.evict is written by the chart; set controlPlane.rbac.evict"),
    (nested("controlPlane.config.kubernetes.detach", True), "set controlPlane.rbac.detach"),
    (nested("controlPlane.rbac", {"detach": True, "evict": False}), "nobody else deletes a detached pod"),
    (nested("controlPlane.rbac", {"scale": True, "deletionCost": False}), "the Deployment would take any pods"),
    (nested("controlPlane.config.auth.tokens", [{"name": "a", "role": "view", "token": "x" * 20}]), "set controlPlane.api.tokens"),
    (nested("controlPlane", {"enabled": False, "externalMetrics": {"enabled": True}}), "it is the control plane that serves them"),
    (nested("controlPlane", {"replicas": 0, "externalMetrics": {"enabled": True}}), "an API without a server holds up the whole cluster"),
    (nested("controlPlane.externalMetrics", {"enabled": True, "tls": {"existingSecret": "s"}}), "set tls.caBundle to the authority's PEM"),
    (nested("controlPlane.externalMetrics", {"enabled": True, "tls": {"caBundle": "Q0E="}}), "caBundle is for tls.existingSecret"),
    (nested("controlPlane", {"externalMetrics": {"enabled": True}, "ports": {"externalMetrics": 8080}}), "controlPlane.ports: api, admin and"),
    (
        merged(nested("controlPlane.externalMetrics.enabled", True), nested("gateway.autoscaling.mode", "keda")),
        "KEDA serves the same API",
    ),
    (nested("controlPlane.config.external_metrics.listen", "0.0.0.0:1"), "set controlPlane.externalMetrics.enabled"),
    (
        nested("gateway.apiKeys", [{"name": "a", "rights": ["read"], "existingSecret": "s", "key": "k"}] * 2),
        "has a name twice",
    ),
    (
        merged(nested("observability.prometheusRule.enabled", True), nested("observability.prometheusRule.overrides.NoSuch", {"for": "1m"})),
        "there is no such alert",
    ),
]

# Refused by the schema: (values, part of the message)
UNKNOWN = [
    (nested("gatway.replicas", 3), "gatway"),
    (nested("gateway.replica", 3), "replica"),
    (nested("gateway.config.limits.conections", 5), "conections"),
    (nested("gateway.config.limits.connections", "many"), "connections"),
    (nested("gateway.config.namespaces.room.slow_reader", "wait"), "slow_reader"),
    (nested("gateway.drain.window", "5 minutes"), "window"),
    (nested("gateway.service.type", "ExternalName"), "type"),
    (nested("gateway.image.tag", 1.1), "tag"),
    (nested("gateway.apiKeys", [{"name": "../../etc", "rights": ["read"], "existingSecret": "s", "key": "k"}]), "name"),
    (nested("gateway.ports.client", 70000), "client"),
    (nested("patches", {"Deployment/gatway": {}}), "gatway"),
    (nested("devBackends.redis.persistent", True), "persistent"),
    (nested("controlPlane.config.budget.max_rat", 5), "max_rat"),
    (nested("controlPlane.api.tokens", [{"name": "a", "role": "root", "existingSecret": "s", "key": "k"}]), "role"),
    (nested("controlPlane.externalMetrics.tls.caBundle", "-----BEGIN"), "caBundle"),
]


class Requirements(unittest.TestCase):
    def test_each_rule_between_values_says_what_to_write(self):
        for values, message in FAULTS:
            with self.subTest(values=values):
                with self.assertRaises(Refused) as refused:
                    render(values)
                self.assertIn(message, str(refused.exception))

    def test_all_faults_are_told_at_once(self):
        with self.assertRaises(Refused) as refused:
            render({"redis": {"url": ""}, "nats": {"urls": []}, "gateway": {"proxyProtocol": {"enabled": True}}})
        for part in ("redis.url", "nats.urls", "trustedCIDRs"):
            self.assertIn(part, str(refused.exception))

    def test_newer_words_of_kubernetes_are_refused_before_it(self):
        values = nested("gateway.service.trafficDistribution", "PreferSameZone")
        render(values, kubernetes="1.34.0")
        with self.assertRaisesRegex(Refused, "needs Kubernetes 1.34"):
            render(values, kubernetes="1.33.0")

    def test_an_exact_grace_period_is_taken(self):
        render(nested("gateway.terminationGracePeriodSeconds", 350))

    def test_what_the_schema_does_not_know_is_refused(self):
        for values, part in UNKNOWN:
            with self.subTest(values=values):
                with self.assertRaises(Refused) as refused:
                    render(values)
                self.assertIn(part, str(refused.exception))

    def test_a_parent_chart_may_hand_down_globals_of_its_own(self):
        render({"global": {"storageClass": "fast"}})
