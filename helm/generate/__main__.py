"""`scripts/chart generate`: everything of the chart that is made from something else. With `--check`, says what is stale."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import dashboards
import manifests
import values

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/tidegate"


def outputs(helm):
    """What each file ought to hold; in this order, since later ones are rendered with earlier ones."""
    configs = {f"{name}-config": json.loads((ROOT / f"helm/schema/{name}.json").read_text()) for name in ("gateway", "control-plane")}
    text = (CHART / "values.yaml").read_text()
    templates = "\n".join(path.read_text() for path in sorted((CHART / "templates").rglob("*.yaml")))
    yield CHART / "values.schema.json", json.dumps(values.schema(text, templates, configs), indent=1, ensure_ascii=False) + "\n"
    yield CHART / "README.md", values.readme(text)
    for name in dashboards.DASHBOARDS:
        yield CHART / f"files/dashboards/{name}.json", dashboards.render(name)
    yield from manifests.render(helm, CHART, ROOT / "k8s")


def main():
    parser = argparse.ArgumentParser(prog="scripts/chart generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if something is stale")
    parser.add_argument("--helm", required=True, help="the helm to render plain manifests with")
    options = parser.parse_args()
    stale = []
    try:
        for path, wanted in outputs(options.helm):
            if path.exists() and path.read_text() == wanted:
                continue
            stale.append(path.relative_to(ROOT))
            if not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(wanted)
    except (values.Fault, subprocess.CalledProcessError) as fault:
        sys.exit(f"chart: {getattr(fault, 'stderr', None) or fault}")
    for path in stale:
        print(f"chart: {path} {'is stale; run `scripts/chart generate`' if options.check else 'written'}")
    sys.exit(1 if stale and options.check else 0)


main()
