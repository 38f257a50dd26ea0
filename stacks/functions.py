"""The functions of ``functions.toml``: what each is given, and whether its handler is there. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("functions.toml")
STACKS = ("audit", "credentials", "approvals")


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """One function. ``settings`` names a class of ``blastwall/settings.py``; ``grants`` are words of ``grants.toml``.

    ``memory`` in MiB, ``timeout`` in seconds; ``network``: it runs in the VPC; ``spool``: it mounts the tasks' spool;
    ``schedule``: an EventBridge expression; ``concurrency``: reserved, 0 for none.
    """

    name: str
    stack: str
    about: str
    settings: str
    grants: tuple[str, ...]
    memory: int = 512
    timeout: int = 15
    network: bool = False
    spool: bool = False
    schedule: str = ""
    concurrency: int = 0

    @property
    def title(self) -> str:
        """``credential_vendor`` as a construct's id: CredentialVendor."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def handler(self) -> str:
        return f"lambdas.{self.name}.handler.handler"


def read_functions(text: str, root: Path) -> Mapping[str, FunctionRow]:
    """Read the table; handlers are looked for below ``root``.

    Raises ValueError naming the row: an unknown key or stack, or a handler that is not there.
    """
    table: dict[str, dict[str, Any]] = tomllib.loads(text).get("functions", {})
    rows = {}
    for name, given in table.items():
        try:
            row = FunctionRow(name, **{**given, "grants": tuple(given.get("grants", ()))})
        except TypeError as error:
            raise ValueError(f"functions.toml, {name}: {str(error).partition(') ')[2] or error}") from None
        if row.stack not in STACKS:
            raise ValueError(f"functions.toml, {name}: stack is one of {', '.join(STACKS)}, not {row.stack!r}")
        file = root / "lambdas" / name / "handler.py"
        if not file.is_file():
            raise ValueError(
                f"functions.toml, {name}: there is no lambdas/{name}/handler.py; write it, or drop the row"
            )
        rows[name] = row
    return rows
