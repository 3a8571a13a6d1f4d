"""Plain manifests in k8s/ for people without Helm: the chart's production preset, rendered, one file for each part."""

import subprocess

import yaml

HEADER = "# Rendered from helm/tidegate by `scripts/chart generate`. Change it by a kustomization of yours; k8s/README.md has one.\n"


def render(helm, chart, folder):
    """Every file of k8s/ that is rendered, with what it ought to hold."""
    command = [helm, "template", "tidegate", str(chart), "--namespace", "tidegate", "--skip-tests", "-f", str(folder / "values.yaml")]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    parts = {}
    for document in text.split("\n---\n"):
        document = "\n".join(line for line in document.splitlines() if not line.startswith("# Source:")).strip().removeprefix("---").strip()
        parsed = yaml.safe_load(document)
        if parsed is None:
            continue
        part = parsed["metadata"]["labels"]["app.kubernetes.io/component"]
        lines = [line.rstrip() for line in document.splitlines() if line.strip() and "helm.sh/chart" not in line]
        text = "\n".join(lines).replace("managed-by: Helm", "managed-by: kustomize")
        parts.setdefault(part, []).append(text + "\n")
    for part, documents in sorted(parts.items()):
        yield folder / f"{part}.yaml", HEADER + "---\n" + "---\n".join(documents)
    resources = "".join(f"  - {part}.yaml\n" for part in sorted(parts))
    yield folder / "kustomization.yaml", KUSTOMIZATION + resources


KUSTOMIZATION = """# `kubectl apply -k k8s/`, once redis.url and nats.urls in values.yaml are yours and `scripts/chart generate` has been run.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: tidegate
resources:
  - namespace.yaml
"""
