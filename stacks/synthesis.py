"""From the committed context to an app that can be synthesized: flags, choices, checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App

from stacks.acknowledgments import acknowledge
from stacks.blueprint import draw
from stacks.system import System, build

BUNDLING = "aws:cdk:bundling-stacks"


def committed(root: Path) -> Mapping[str, Any]:
    """The context of cdk.json: the feature flags and the choices this repository makes."""
    context: dict[str, Any] = json.loads((root / "cdk.json").read_text("utf-8"))["context"]
    return context


def context(root: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """What to give to App. The CDK's command line adds its own, which wins.

    Without that command line nothing is fetched: assets keep their hash but lack the functions' dependencies.
    """
    known = dict(committed(root))
    if "CDK_CLI_VERSION" not in environ:
        known[BUNDLING] = []
    return known


def assemble(app: App, root: Path, cache: Path) -> System:
    """Build all stacks of what the app's context chooses. Raises ConfigFault, LookupError, ValueError."""
    blueprint = draw({key: value for key, value in app.node.get_all_context().items() if _chosen(key)}, root, cache)
    system = build(app, blueprint, root, cache)
    acknowledge(app, blueprint.name)
    return system


def _chosen(key: str) -> bool:
    """Whether a key is an operator's: the CDK's own flags and findings have colons, slashes or an @ in theirs."""
    return not set(key) & set("@:/")
