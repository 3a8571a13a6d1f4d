"""What the presets render, word for word: a change of the chart shows here as a diff. `UPDATE_GOLDEN=1 scripts/chart-test` writes them anew."""

import os
import re
import unittest
from pathlib import Path

import yaml

from harness import PRESETS, render

class Dumper(yaml.SafeDumper):
    """Text of several lines as it reads in a file."""


def text_of_lines(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, text_of_lines)

FOLDER = Path(__file__).parent / "golden"


class Golden(unittest.TestCase):
    maxDiff = 5000

    def test_presets_render_what_was_agreed_on(self):
        for preset in PRESETS:
            objects = sorted(render(preset=preset), key=lambda it: (it["kind"], it["metadata"]["name"]))
            # Dashboards are generated, and compared by their own check.
            objects = [it for it in objects if "dashboard" not in it["metadata"]["name"]]
            text = "---\n".join(yaml.dump(it, Dumper=Dumper, sort_keys=False, width=140) for it in objects)
            text = re.sub(r"(checksum/config: )[0-9a-f]{64}", r"\1CHECKSUM", text)
            file = FOLDER / f"{preset}.yaml"
            if "UPDATE_GOLDEN" in os.environ:
                FOLDER.mkdir(exist_ok=True)
                file.write_text(text)
            with self.subTest(preset=preset):
                self.assertEqual(text, file.read_text())

    def test_notes_say_the_next_command_and_what_to_think_of(self):
        notes = render(preset="dev", notes=True)
        for part in ("rollout status deployment/tidegate-gateway", "helm -n tests test tidegate", "/v1/operations/first-drain", "16686", "Anonymous clients"):
            self.assertIn(part, notes)
        notes = render(notes=True)
        for part in ("Nobody can connect", "Nobody can call the control plane", "No TLS"):
            self.assertIn(part, notes)
        self.assertNotIn("helm -n tests test", notes)
