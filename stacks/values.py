"""What deliverables are told of what the stacks made: names for CDK tokens, put by the stack that owns the resource.

``settings`` names are fields of the environment dataclasses in ``blastwall/settings.py``; ``arns`` names are the
resources that ``grants.toml`` speaks of. A name that nobody put is an error at synthesis, not an empty variable at run
time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
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
        classes = {name: made for name, made in vars(settings).items() if _is_environment(made)}
        if class_name not in classes:
            raise LookupError(f"blastwall/settings.py has no environment {class_name!r}; name one that it has")
        given: dict[str, Any] = {}
        for item in fields(classes[class_name]):
            if item.name in self.settings:
                given[item.name] = self.settings[item.name]
            elif item.default is MISSING and item.default_factory is MISSING:
                raise LookupError(f"{class_name}.{item.name} has no default, and no stack put a value for it")
        environment: dict[str, str] = classes[class_name](**given).to_env()
        return environment

    def resolve(self, names: Iterable[str]) -> list[str]:
        """The ARNs of resources. Raises LookupError naming one that no stack owns."""
        found: list[str] = []
        for name in names:
            if name not in self.arns:
                known = ", ".join(sorted(self.arns))
                raise LookupError(f"no stack built so far owns a resource {name!r}; known are {known}")
            found += self.arns[name]
        return found


def _is_environment(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, Environment) and is_dataclass(made)
