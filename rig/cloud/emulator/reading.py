"""Which properties of a template nothing read: an emulator drops silently what it does not know."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_found: dict[str, dict[str, list[str]]] = {}
_lock = threading.Lock()


class Watched(Properties):
    """Properties that remember which of them were looked at; whoever takes all of them has looked at each."""

    def __init__(self, given: Properties) -> None:
        super().__init__(given)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  a template's values have no type
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401
        self.read.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.read.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:  # noqa: ANN401
        self.read.update(super().keys())
        return super().keys()

    def items(self) -> Any:  # noqa: ANN401
        self.read.update(super().keys())
        return super().items()

    def values(self) -> Any:  # noqa: ANN401
        self.read.update(super().keys())
        return super().values()


def watch() -> None:
    """Notice, from now on, what each resource's handler reads when the resource is made."""
    for kind, handler in provisioners._RESOURCE_HANDLERS.items():
        if "create" in handler:
            handler["create"] = _watching(kind, handler["create"])


def unread() -> dict[str, dict[str, list[str]]]:
    """Type of resource -> property -> logical ids of the resources that have it, sorted."""
    with _lock:
        return {kind: {name: sorted(ids) for name, ids in sorted(of.items())} for kind, of in sorted(_found.items())}


def _watching(kind: str, create: Callable[..., Made]) -> Callable[..., Made]:
    def made(logical_id: str, props: Properties, stack_name: str) -> Made:
        watched = Watched(props)
        result = create(logical_id, watched, stack_name)
        with _lock:
            for name in dict.keys(watched) - watched.read:
                _found.setdefault(kind, {}).setdefault(name, []).append(logical_id)
        return result

    return made
