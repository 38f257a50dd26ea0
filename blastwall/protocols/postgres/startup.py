"""Which startup parameters an agent may set: the table is ``startup.toml``."""

from __future__ import annotations

from collections.abc import Mapping


def judge_startup(parameters: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Return what is kept (canonical names and values) and the first problem (names the parameter), None when there is none.

    ``_pq_.`` options are neither kept nor a problem: they are negotiated (``unknown_options``).
    """
    raise NotImplementedError


def unknown_options(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The ``_pq_.`` names, for NegotiateProtocolVersion."""
    raise NotImplementedError
