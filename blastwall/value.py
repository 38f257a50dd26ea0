"""What every statement makes several of: small values, cheap to make when compiled.

A compiled dataclass is still made by the interpreter, and so is a named tuple; a class with an ``__init__`` of its own
is not. Members are those of ``__match_args__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

T = TypeVar("T")

try:
    from mypy_extensions import mypyc_attr as mypyc_attr
except ImportError:  # where nothing is compiled

    def mypyc_attr(*attrs: str, **kwattrs: object) -> Callable[[T], T]:
        """What the compiler is to know of a class: ``free_list_len=1`` keeps the room of one for the next."""
        return _same


def _same(given: T) -> T:
    return given


class Value:
    """Equal by its members, and shown by them."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, n) == getattr(other, n) for n in self.__match_args__)

    def __hash__(self) -> int:
        raise TypeError(f"a {type(self).__name__} may change, so it has no hash")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([f'{n}={getattr(self, n)!r}' for n in self.__match_args__])})"


class Fixed(Value):
    """Nobody changes it once it is made: its members are ``Final``. It has a hash, and copies with changes."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(tuple([getattr(self, name) for name in self.__match_args__]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple([getattr(self, name) for name in self.__match_args__])

    def _asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__}

    def _replace(self, **changes: Any) -> Self:  # noqa: ANN401 - whatever its members are
        return type(self)(**{**self._asdict(), **changes})
