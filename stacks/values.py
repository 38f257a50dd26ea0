"""What deliverables are told of what the stacks made: names for CDK tokens, put by the stack that owns the resource.

``settings`` names are fields of the environment dataclasses in ``blastwall/settings.py``; ``arns`` names are the
resources that ``grants.toml`` speaks of. A name that nobody put is an error at synthesis, not an empty variable at run
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from blastwall import settings
from blastwall.settings import Environment

Owned = TypeVar("Owned")


@dataclass(slots=True)
class Values:
    """Filled while the stacks are built, in the order in which they depend on each other."""

    settings: dict[str, str] = field(default_factory=dict)
    arns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shares: dict[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def put(self, name: str, value: str) -> None:
        self.settings[name] = value

    def own(self, name: str, *arns: str) -> None:
        """The ARNs (patterns) that ``name`` stands for in ``grants.toml``."""
        self.arns[name] = arns

    def share(self, name: str, arns: Mapping[str, tuple[str, ...]]) -> None:
        """ARNs that ``name`` stands for in a grant that says ``by``: those for each value of its condition key."""
        self.shares[name] = arns

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
        return [arn for name in names for arn in _known(self.arns, name)]

    def shared(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """What :meth:`share` was told. Raises LookupError naming it when no stack did."""
        return _known(self.shares, name)


def _known(owned: Mapping[str, Owned], name: str) -> Owned:
    if name not in owned:
        raise LookupError(f"no stack built so far owns a resource {name!r}; known are {', '.join(sorted(owned))}")
    return owned[name]


def _is_environment(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, Environment) and is_dataclass(made)
