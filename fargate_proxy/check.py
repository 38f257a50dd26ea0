"""``--check``: whether the process could start here, without starting: settings, configuration, adapters, protocols."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.settings import AuditSettings, ProxySettings, RecordingSettings

#: What composes the ports, by ``adapters``; importing it imports every adapter.
COMPOSERS = {"local": "fargate_proxy.local", "aws": "fargate_proxy.aws"}


def examine(settings: ProxySettings, bundle: Bundle, environ: Mapping[str, str]) -> str:
    """One line that says what would start.

    Raises ValueError naming the setting that is wrong or missing, and ImportError when something is not installed.
    """
    if settings.adapters not in COMPOSERS:
        raise ValueError(f"BLASTWALL_ADAPTERS={settings.adapters!r}: choose one of {', '.join(sorted(COMPOSERS))}")
    importlib.import_module(COMPOSERS[settings.adapters])
    if settings.adapters == "aws":
        RecordingSettings.from_env(environ)
        AuditSettings.from_env(environ)
    specs = [registry.protocol(name) for name in bundle.config.listen]
    protocols = ", ".join(spec.manifest.name for spec in specs)
    return f"ready: {protocols}; {len(bundle.targets)} target(s); {settings.adapters} adapters; {bundle.version[:12]}"
