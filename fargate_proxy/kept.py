"""Keys that a task was started with: out of its environment before anything else runs, and never on a disk.

The container's agent puts them there from Secrets Manager: the deployment's masking key, and for each protocol the
private keys that its listener names (``keys`` of its ``protocol.toml``), as ``BLASTWALL_<PROTOCOL>_<OPTION>``.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.errors import ConfigFault, Problem
from blastwall.local.masking_key import LocalMaskingKey
from blastwall.ports import MaskingKey
from blastwall.settings import ProxySettings


class Kept:
    """Made once at start; :meth:`adopt` gives each configuration that is loaded what it needs of it."""

    def __init__(self, settings: ProxySettings, environ: MutableMapping[str, str]) -> None:
        self._given = settings.adapters == "aws"  # elsewhere keys are files that the configuration names
        self._environ = environ
        self._files: dict[tuple[str, str], Path] = {}
        self._masking: MaskingKey
        if not self._given:
            self._masking = LocalMaskingKey(settings.state_path / "keys")
            return
        from blastwall.aws.masking_key import TaskMaskingKey  # here, like all of AWS

        self._masking = TaskMaskingKey(environ)
        for protocol in registry.names():
            for option, variable in registry.protocol(protocol).manifest.keys.items():
                if key := environ.pop(variable, ""):
                    self._files[protocol, option] = _in_memory(variable, key)

    def adopt(self, bundle: Bundle) -> Bundle:
        """The same with its keys. Raises ConfigFault naming each that a listener needs and the task was not given."""
        bundle = bundle.with_masking_key(self._environ, self._masking)
        if not self._given:
            return bundle
        problems: list[Problem] = []
        listeners = dict(bundle.listeners)
        for protocol, options in bundle.listeners.items():
            keys = registry.protocol(protocol).manifest.keys
            wanted = {name: variable for name, variable in keys.items() if getattr(options, name)}
            for name, variable in wanted.items():
                if (protocol, name) not in self._files and protocol in bundle.config.listen:
                    message = f"{variable} is empty: the secret of the {protocol} keys has no member {name}"
                    problems.append(Problem("environment", 0, message))
            found = {name: self._files[protocol, name] for name in wanted if (protocol, name) in self._files}
            listeners[protocol] = options.model_copy(update=found)
        if problems:
            raise ConfigFault(tuple(problems))
        return replace(bundle, listeners=MappingProxyType(listeners))


def _in_memory(name: str, content: str) -> Path:
    """A file that only this process can open, for libraries that want one; it lives as long as the process."""
    descriptor = os.memfd_create(name)
    written = os.write(descriptor, content.encode())
    assert written == len(content.encode())  # keys are small, and memory does not write in parts
    return Path(f"/proc/self/fd/{descriptor}")
