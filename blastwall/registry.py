"""Protocols are the folders in ``blastwall/protocols``; nothing else lists them."""

from __future__ import annotations

from typing import Any

from blastwall.conversation import ProtocolSpec


def names() -> tuple[str, ...]:
    """The known protocols, sorted."""
    raise NotImplementedError


def protocol(name: str) -> ProtocolSpec:
    """The folder's ``PROTOCOL``. Raises LookupError naming the known ones."""
    raise NotImplementedError


def options(name: str) -> type[Any]:
    """The pydantic model of a target's ``options:``; imports only the folder's ``options`` module. Raises LookupError."""
    raise NotImplementedError
