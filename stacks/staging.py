"""The configuration as it is deployed: what an operator edits, with listeners and TLS as they are in AWS."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from blastwall import registry
from blastwall.config.bundle import GATEWAY, Bundle, load_bundle
from blastwall.config.cases import CASES, load_cases
from blastwall.config.document import read_document
from blastwall.config.judging import Judge
from blastwall.config.masking import FILE as MASKING
from blastwall.config.rehearsal import run_cases
from blastwall.errors import ConfigFault, Problem
from stacks.ports import inside

#: Files of the configuration directory that are deployed; a private key that lies beside them is not.
PATTERNS = ("*.yaml", "*.toml", "policies/*.cedar", "policies/*.yaml")
#: In the asset, and in a function's layer (below /opt), the configuration has this name.
FOLDER = "config"
#: The certificate and its key never lie in the configuration: the gateway gets them from Secrets Manager at start.
TLS = {"certificate": "/run/blastwall/server.crt", "key": "/run/blastwall/server.key"}
ORIGIN = "the stacks' own settings"
KEYS = "keys"  # the public halves of listeners' keys, by protocol


def stage(config: Path, overrides: Mapping[str, Any], cache: Path) -> tuple[Path, Bundle]:
    """Write the configuration as deployed below ``cache``; return its directory and what it loads as.

    The directory's name is a hash of its content, and it holds one folder, :data:`FOLDER`. Raises ConfigFault.
    """
    written = load_bundle(config, overrides, "overrides")  # problems name the operator's own lines
    files = {str(path.relative_to(config)): path.read_bytes() for path in _files(config)}
    document = read_document((config / GATEWAY).read_text("utf-8"), str(config / GATEWAY))
    document.override(overrides, "overrides")
    protocols = sorted({target.protocol for target in written.targets.values()})
    listen = {name: f"0.0.0.0:{inside(registry.protocol(name).manifest.port)}" for name in protocols}
    document.override({"listen": None}, ORIGIN)
    document.override({"listen": listen, "tls": TLS, "insecure_local": False}, ORIGIN)
    document.override({"targets": {name: {"local": None} for name in written.targets}}, ORIGIN)
    document.override({"protocols": _keyless(written, config, files)}, ORIGIN)
    files[GATEWAY] = yaml.safe_dump(document.value, sort_keys=True).encode()
    if MASKING in files:
        files[MASKING] = _without_key(files[MASKING])
    for path in _named(written):
        files[_inside(path, config)] = path.read_bytes()
    directory = cache / _hash(files)
    _write(directory / FOLDER, files)
    return directory, load_bundle(directory / FOLDER)


def rehearse(staged: Path, bundle: Bundle) -> None:
    """Decide every policy case. Raises ConfigFault with each that fails: such a policy must not be deployed."""
    folder = staged / FOLDER
    if not (folder / CASES).exists():
        return
    suite = load_cases(folder, bundle)
    problems = [
        Problem(f"{CASES} (policy case {outcome.case.name!r})", outcome.line, "; ".join(outcome.wrong))
        for outcome in run_cases(suite, bundle, Judge().judge)
        if outcome.wrong
    ]
    if problems:
        raise ConfigFault(tuple(problems))


def _keyless(written: Bundle, config: Path, files: dict[str, bytes]) -> dict[str, dict[str, str]]:
    """Listeners' private keys come from Secrets Manager; of each, only its public half is deployed, for the outputs."""
    places: dict[str, dict[str, str]] = {}
    for protocol, options in written.listeners.items():
        for name in registry.protocol(protocol).manifest.keys:
            key: Path | None = getattr(options, name)
            if key is None:
                continue
            public = key.with_name(f"{key.name}.pub")
            if not public.is_file():
                message = (
                    f"{public} is missing; make it with `ssh-keygen -y -f {key.name}`: the stacks tell who trusts it"
                )
                raise ConfigFault((Problem(str(config / GATEWAY), 0, message),))
            places.setdefault(protocol, {})[name] = f"{KEYS}/{protocol}/{name}"
            files[f"{KEYS}/{protocol}/{name}.pub"] = public.read_bytes()
    return places


def _without_key(text: bytes) -> bytes:
    """masking.yaml for tasks, whose key is the deployment's own."""
    document = yaml.safe_load(text)
    return yaml.safe_dump({name: part for name, part in document.items() if name != "key"}, sort_keys=False).encode()


def _inside(path: Path, config: Path) -> str:
    """Raises ConfigFault for a file that lies elsewhere."""
    if not path.resolve().is_relative_to(config.resolve()):
        message = f"{path} is outside the configuration directory, so it cannot be deployed; copy it into it"
        raise ConfigFault((Problem(str(config / GATEWAY), 0, message),))
    return str(path.resolve().relative_to(config.resolve()))


def _files(config: Path) -> Iterator[Path]:
    for pattern in PATTERNS:
        yield from sorted(config.glob(pattern))


def _named(bundle: Bundle) -> Iterator[Path]:
    """Files that the options of targets and listeners name, keys left out: certificates, catalogues."""
    for target in bundle.targets.values():
        yield from _paths(target.options)
    for protocol, options in bundle.listeners.items():
        keys = registry.protocol(protocol).manifest.keys
        yield from (value for name, value in options if isinstance(value, Path) and name not in keys)


def _paths(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for _, item in value:
            yield from _paths(item)


def _hash(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()[:32]


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the folder as a whole, or leave the one that another synthesis wrote: its name says what it holds."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent.parent, prefix="staging-") as made:
        for name, content in files.items():
            place = Path(made) / FOLDER / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        with contextlib.suppress(OSError):  # another synthesis was first
            (Path(made) / FOLDER).rename(folder)
    if not folder.is_dir():
        raise ConfigFault((Problem(str(folder), 0, "the configuration cannot be staged here; is the disk full?"),))
