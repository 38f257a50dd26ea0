"""What deliverables are told of what the stacks made: names for CDK tokens, put by the stack that owns the resource.

``settings`` names are fields of the environment dataclasses in ``blastwall/settings.py``; ``arns`` names are the
resources that ``grants.toml`` speaks of. A name that nobody put is an error at synthesis, not an empty variable at run time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from blastwall import settings
from blastwall.settings import Environment


@dataclass(slots=True)
class Values:
    """Filled while the stacks are built, in the order in which they depend on each other."""

    settings: dict[str, str] = field(default_factory=dict)
    arns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def put(self, name: str, value: str) -> None:
        self.settings[name] = value

    def own(self, name: str, *arns: str) -> None:
        """The ARNs (patterns) that ``name`` stands for in ``grants.toml``."""
        self.arns[name] = arns

    def environment(self, class_name: str) -> dict[str, str]:
        """``BLASTWALL_*`` variables for a settings class: values by the names of its fields, else its own defaults.

        Raises LookupError naming the field that has neither, or the class that does not exist.
        """
        made = getattr(settings, class_name, None)
        known = isinstance(made, type) and issubclass(made, Environment)
        if made is None or not known:
            raise LookupError(f"blastwall/settings.py has no environment {class_name!r}; name one that it has")
        given: dict[str, Any] = {}
        for item in fields(made):  # type: ignore[arg-type]  # every Environment is a dataclass
            if item.name in self.settings:
                given[item.name] = self.settings[item.name]
            elif item.default is MISSING and item.default_factory is MISSING:
                raise LookupError(f"{class_name}.{item.name} has no default, and no stack put a value for it")
        return made(**given).to_env()

    def resolve(self, names: Iterable[str]) -> list[str]:
        """The ARNs of resources. Raises LookupError naming one that no stack owns."""
        found: list[str] = []
        for name in names:
            if name not in self.arns:
                known = ", ".join(sorted(self.arns))
                raise LookupError(f"no stack built so far owns a resource {name!r}; known are {known}")
            found += self.arns[name]
        return found
