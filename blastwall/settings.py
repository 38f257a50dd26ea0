"""One frozen dataclass per deliverable: written to an environment by the stacks, read from it at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_PREFIX = "BLASTWALL_"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The gateway process. Paths are absolute or relative to its working directory; times in seconds.

    ``config`` is the configuration folder, ``overrides`` a JSON file merged into it (the local rig's ports and
    addresses), ``state`` where local adapters keep their files. ``drain_seconds`` is how long live connections may
    finish after SIGTERM. ``ready_fd`` (-1: none) gets one JSON line once the gateway accepts connections.
    """

    config: str = "config"
    overrides: str = ""
    state: str = ".state"
    drain_seconds: float = 2.0
    ready_fd: int = -1

    def to_env(self) -> dict[str, str]:
        """The environment that :meth:`from_env` reads back."""
        return {_PREFIX + field.name.upper(): str(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ProxySettings:
        """Read ``BLASTWALL_*``; what is absent has its default. Raises ValueError naming the variable."""
        known = cls()

        def text(name: str, default: str) -> str:
            return environ.get(_PREFIX + name.upper(), default)

        return cls(
            config=text("config", known.config),
            overrides=text("overrides", known.overrides),
            state=text("state", known.state),
            drain_seconds=_number("drain_seconds", text("drain_seconds", str(known.drain_seconds))),
            ready_fd=int(_number("ready_fd", text("ready_fd", str(known.ready_fd)))),
        )

    @property
    def config_path(self) -> Path:
        return Path(self.config)

    @property
    def state_path(self) -> Path:
        return Path(self.state)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{_PREFIX}{name.upper()}={text!r}: a number is expected") from None
