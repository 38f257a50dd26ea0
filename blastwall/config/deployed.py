"""The configuration as it was deployed: every process of a deployment runs on the same version, or not at all."""

from __future__ import annotations

from pathlib import Path

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.errors import ConfigFault, Problem


def load_deployed(path: Path, version: str, origin: str = "") -> Bundle:
    """The directory's bundle, if it is this ``version`` (hexadecimal; "": whichever it is).

    ``origin`` says where the directory came from. Raises ConfigFault for another version and for what does not load.
    """
    bundle = load_bundle(path)
    if version and bundle.version != version:
        message = f"this is version {bundle.version[:12]}, not {version[:12]}, which was deployed; deploy again"
        raise ConfigFault((Problem(origin or str(path), 0, message),))
    return bundle
