"""Alerts and dashboards ask for metrics that exist, and alerts fire when they should and have a page that says what to do."""

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from harness import CHART, ROOT, TOOLS, merged, nested, one, render

ON = {"observability": {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}}


def documented_metrics():
    """Names with their labels, from the generated lists; histograms with the names of their series."""
    metrics = {}
    for page in sorted((ROOT / "docs").glob("*metrics.md")):
        for name, kind, labels in re.findall(r"^\| `([a-z_]+)` \| (\w+) \|[^|]*\|([^|]*)\|", page.read_text(), re.M):
            found = set(re.findall(r"`(\w+)`", labels))
            for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
                metrics[name + suffix] = found | ({"le"} if suffix == "_bucket" else set())
    return metrics


def unknown_names(query, metrics):
    """What a query names that no program exports: metrics, and labels in their selectors."""
    known = metrics.keys()
    names = set(re.findall(r"(?<![\w:])((?:tidegate|process)_[a-z_]+)(?![\w:(])", query))
    faults = {name for name in names if name not in known}
    for name, selector in re.findall(r"((?:tidegate|process)_[a-z_]+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)))
        # The list is written by a node without servers, which has no series of these, and so no labels.
        if not name.startswith(("tidegate_store_", "tidegate_bus_")):
            faults |= {f"{name}{{{label}}}" for label in labels - metrics.get(name, set()) - {"namespace", "pod"}}
    return faults


class Alerts(unittest.TestCase):
    def setUp(self):
        self.groups = one(render(ON), "PrometheusRule", "tidegate")["spec"]["groups"]
        self.alerts = {rule["alert"]: rule for group in self.groups for rule in group["rules"] if "alert" in rule}

    def test_every_rule_names_metrics_and_labels_that_exist(self):
        metrics = documented_metrics()
        for group in self.groups:
            for rule in group["rules"]:
                with self.subTest(rule=rule.get("alert", rule.get("record"))):
                    self.assertEqual(unknown_names(rule["expr"], metrics), set())

    def test_a_metric_that_does_not_exist_would_be_found(self):
        self.assertEqual(unknown_names('rate(tidegate_no_such_total{pod="x"}[1m])', documented_metrics()), {"tidegate_no_such_total"})
        self.assertEqual(unknown_names('tidegate_degraded{mood="x"}', documented_metrics()), {"tidegate_degraded{mood}"})

    def test_they_fire_when_they_should_and_not_before(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "written.yaml").write_text(yaml.safe_dump({"groups": self.groups}))
            for rule in self.alerts.values():
                del rule["annotations"]
            Path(folder, "rules.yaml").write_text(yaml.safe_dump({"groups": self.groups}))
            Path(folder, "alerts.yaml").write_text((ROOT / "helm/tests/alerts.yaml").read_text())
            for command in (["check", "rules", "written.yaml"], ["test", "rules", "alerts.yaml"]):
                done = subprocess.run([TOOLS / "promtool", *command], cwd=folder, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_is_tested(self):
        tests = yaml.safe_load((ROOT / "helm/tests/alerts.yaml").read_text())["tests"]
        fired = {it["alertname"] for test in tests for it in test["alert_rule_test"] if it.get("exp_alerts")}
        quiet = {it["alertname"] for test in tests for it in test["alert_rule_test"] if not it.get("exp_alerts")}
        self.assertEqual(fired, set(self.alerts), "an alert without a test that it fires")
        self.assertEqual(quiet, set(self.alerts), "an alert without a test that it stays quiet")

    def test_every_alert_has_a_page_and_every_page_an_alert(self):
        page = (ROOT / "docs/runbooks.md").read_text()
        self.assertEqual(set(re.findall(r"^## (Tidegate\w+)$", page, re.M)), set(self.alerts))
        for name, rule in self.alerts.items():
            self.assertTrue(rule["annotations"]["runbook_url"].endswith(f"docs/runbooks.md#{name.lower()}"))
            self.assertIn(rule["labels"]["severity"], ("info", "warning", "critical"))

    def test_overrides_change_or_remove_one_alert(self):
        overrides = {"TidegateImbalance": {"enabled": False}, "TidegateHandshakeSlow": {"for": "1h", "labels": {"severity": "page"}}}
        values = merged(ON, nested("observability.prometheusRule.overrides", overrides))
        rules = {it.get("alert"): it for group in one(render(values), "PrometheusRule", "tidegate")["spec"]["groups"] for it in group["rules"]}
        self.assertNotIn("TidegateImbalance", rules)
        self.assertEqual((rules["TidegateHandshakeSlow"]["for"], rules["TidegateHandshakeSlow"]["labels"]), ("1h", {"severity": "page"}))


class Dashboards(unittest.TestCase):
    def test_every_query_names_metrics_and_labels_that_exist(self):
        metrics = documented_metrics()
        for file in sorted((CHART / "files/dashboards").glob("*.json")):
            for panel in json.loads(file.read_text())["panels"]:
                for target in panel["targets"]:
                    with self.subTest(dashboard=file.stem, panel=panel["title"]):
                        self.assertEqual(unknown_names(target["expr"], metrics), set())

    def test_each_is_a_config_map_with_grafanas_label(self):
        maps = [it for it in render(ON) if it["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
        self.assertEqual(len(maps), 4)
        for it in maps:
            for text in it["data"].values():
                self.assertTrue(json.loads(text)["panels"])
