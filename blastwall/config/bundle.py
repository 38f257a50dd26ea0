"""What the gateway runs on: validated configuration, policies and risk, under one version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blastwall.model import Target
from blastwall.policy.decide import Policies


@dataclass(frozen=True, slots=True)
class Bundle:
    """``targets`` are the house's own values; ``config`` keeps what only a deliverable needs (credentials, TLS, local)."""

    config: Any
    policies: Policies
    targets: Mapping[str, Target]
    version: str


def load_bundle(path: Path, overrides: Mapping[str, Any] | None = None, origin: str = "overrides") -> Bundle:
    """Load the configuration directory ``path`` (gateway.yaml, policies/*.cedar, risk.toml).

    ``overrides`` has gateway.yaml's shape; its mappings are merged into the file's, anything else replaces. ``origin``
    names it in problems. Raises ConfigFault with every problem at once.
    """
    raise NotImplementedError
