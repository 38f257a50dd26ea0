"""Timeouts an agent sets for itself: lower than the target's is fine, higher is not.

Source: PostgreSQL documentation, "Setting Parameters" (units of time; a bare number is milliseconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blastwall.protocols.postgres.options import Options

_UNITS: Final[Mapping[str, float]] = {"us": 0.001, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7, "": 1.0}


def milliseconds(text: str) -> float | None:
    """``5s`` or ``'2 min'`` or ``1500`` in milliseconds; None for what is no duration."""
    word = text.strip().strip("'").strip().lower()
    number = word.rstrip("abcdefghijklmnopqrstuvwxyz ")
    scale = _UNITS.get(word[len(number) :].strip())
    try:
        return None if scale is None else float(number) * scale
    except ValueError:
        return None


def raised(setting: str, value: str, options: Options) -> str:
    """Why this SET of a timeout may not be: it lifts the target's own. "" when it may, or is no timeout of ours."""
    limit = {
        "statement_timeout": options.statement_timeout_ms,
        "lock_timeout": options.lock_timeout_ms,
        "idle_in_transaction_session_timeout": options.idle_in_transaction_ms,
    }.get(setting.lower(), 0)
    if not limit:
        return ""
    wanted = milliseconds(value)
    if wanted is None or not 0 < wanted <= limit:
        return f"Sets {setting.lower()} above this target's {limit} ms; set it to less, or leave it."
    return ""
