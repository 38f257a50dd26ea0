"""Templates for reading and comparing: one YAML file a stack, hashes of assets and configurations masked. Pure.

``python -m stacks.snapshot ASSEMBLY FOLDER`` writes those of a synthesized assembly; ``make synth`` does.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SUFFIX = ".template.json"
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


class _Plain(yaml.SafeDumper):
    """Without anchors: what stands in two places is shown in both."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401  any node
        return True


def readable(template: Mapping[str, Any]) -> str:
    """The template as YAML, what a bootstrap check adds left out and every SHA-256 in it masked."""
    shown = {name: part for name, part in template.items() if name != "Rules"}
    parameters = {name: part for name, part in template.get("Parameters", {}).items() if name != "BootstrapVersion"}
    shown.pop("Parameters", None)
    if parameters:
        shown = {"Parameters": parameters, **shown}
    return _HASH.sub("HASH", yaml.dump(shown, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True))


def snapshots(assembly: Path) -> Mapping[str, str]:
    """Each stack's name to its readable template."""
    return {
        file.name.removesuffix(SUFFIX): readable(json.loads(file.read_text("utf-8")))
        for file in sorted(assembly.glob(f"*{SUFFIX}"))
    }


def write(assembly: Path, folder: Path) -> list[str]:
    """Make the folder hold just the assembly's snapshots; return the names of those that changed."""
    made = {f"{name}.yaml": text for name, text in snapshots(assembly).items()}
    known = {file.name: file.read_text("utf-8") for file in folder.glob("*.yaml")}
    for name in known.keys() - made.keys():
        (folder / name).unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")
    return sorted(name for name in made.keys() | known.keys() if made.get(name) != known.get(name))


if __name__ == "__main__":
    changed = write(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write("\n".join(changed or ["no template changed"]) + "\n")
