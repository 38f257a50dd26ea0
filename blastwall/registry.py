"""Protocols are the folders in ``blastwall/protocols``; nothing else lists them.

A folder's modules have fixed names, so a caller imports only what it needs: checking a configuration must not load a
protocol's engines.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from blastwall import protocols
from blastwall.conversation import ProtocolSpec
from blastwall.model import Secret


@cache
def names() -> tuple[str, ...]:
    """The known protocols, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(protocols.__path__) if module.ispkg))


def protocol(name: str) -> ProtocolSpec:
    """The folder's ``PROTOCOL``. Raises LookupError naming the known protocols."""
    spec = importlib.import_module(_package(name)).PROTOCOL
    assert isinstance(spec, ProtocolSpec), f"{_package(name)}.PROTOCOL must be a ProtocolSpec"
    return spec


def options(name: str) -> type[BaseModel]:
    """The pydantic model of a target's ``options:`` and ``tls:``; imports only ``options`` of the folder.

    Raises LookupError naming the known protocols.
    """
    model = importlib.import_module(f"{_package(name)}.options").Options
    assert isinstance(model, type) and issubclass(model, BaseModel), f"{_package(name)}.options.Options must be a model"
    return model


def listener_options(name: str) -> type[BaseModel] | None:
    """The pydantic model of ``protocols.<name>``: what the gateway's own listener needs; None when it needs nothing.

    Raises LookupError naming the known protocols.
    """
    model = getattr(importlib.import_module(f"{_package(name)}.options"), "Gateway", None)
    assert model is None or (isinstance(model, type) and issubclass(model, BaseModel)), (
        f"{name}: Gateway must be a model"
    )
    return model


def encrypts(name: str) -> bool:
    """Whether the protocol encrypts by itself (SSH), so that its listener needs no TLS. False for an unknown one."""
    return name in names() and bool(protocol(name).manifest.raw.get("encrypts", False))


def read_catalogue(name: str) -> Callable[[str, Secret | None], Any]:
    """The folder's ``live.read_catalogue``: a target's address as a URL, and a password, to a catalogue.

    Raises LookupError for an unknown protocol, and for one whose statements need no catalogue.
    """
    package = _package(name)
    try:
        live = importlib.import_module(f"{package}.live")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.live":
            raise
        raise LookupError(f"{name} has no catalogue to read") from None
    read: Callable[[str, Secret | None], Any] = live.read_catalogue
    return read


def sampler(name: str) -> Callable[..., Any]:
    """The folder's ``sampling.sample``: a few rows of everything that a target keeps, for proposing masking rules.

    Raises LookupError for an unknown protocol, and for one whose targets keep no tables.
    """
    package = _package(name)
    try:
        sampling = importlib.import_module(f"{package}.sampling")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.sampling":
            raise
        raise LookupError(f"{name} keeps no tables to look at") from None
    found: Callable[..., Any] = sampling.sample
    return found


def trust(name: str) -> Callable[[Any, str, int], Mapping[str, str]] | None:
    """The folder's ``trust.trust``: a listener's options, its address and port, to lines that clients and targets are
    given so that they trust it, by their names. None when there is nothing to give.

    Raises LookupError naming the known protocols.
    """
    package = _package(name)
    try:
        module = importlib.import_module(f"{package}.trust")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.trust":
            raise
        return None
    found: Callable[[Any, str, int], Mapping[str, str]] = module.trust
    return found


def _package(name: str) -> str:
    if name not in names():
        raise LookupError(f"unknown protocol {name!r}; known are {', '.join(names())}")
    return f"{protocols.__name__}.{name}"
