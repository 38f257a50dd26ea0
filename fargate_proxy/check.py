"""``--check``: whether the process could start here, without starting: settings, configuration, adapters, protocols."""

from __future__ import annotations

from collections.abc import Mapping

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.settings import AuditSettings, ProxySettings, RecordingSettings
from blastwall.wire.tls import check_bundle

ADAPTERS = ("aws", "local")


def examine(settings: ProxySettings, bundle: Bundle, environ: Mapping[str, str]) -> str:
    """One line that says what would start.

    Raises ValueError naming the setting that is wrong or missing, ConfigFault for an unknown protocol.
    """
    if settings.adapters not in ADAPTERS:
        raise ValueError(f"BLASTWALL_ADAPTERS={settings.adapters!r}: choose one of {', '.join(ADAPTERS)}")
    if settings.adapters == "aws":
        from fargate_proxy import aws  # here: a local gateway starts without AWS's library

        if absent := aws.missing(settings):
            raise ValueError(f"set {', '.join(absent)}")
        RecordingSettings.from_env(environ)
        AuditSettings.from_env(environ)
    check_bundle(environ)
    specs = [registry.protocol(name) for name in bundle.config.listen]
    protocols = ", ".join(spec.manifest.name for spec in specs)
    return f"ready: {protocols}; {len(bundle.targets)} target(s); {settings.adapters} adapters; {bundle.version[:12]}"
