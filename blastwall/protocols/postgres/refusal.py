"""A denial in PostgreSQL's own words: SQLSTATE, message, DETAIL and HINT."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from blastwall.model import Denial, DenialCode
from blastwall.protocols.postgres import messages

_TABLE = tomllib.loads((files(__package__) / "refusals.toml").read_text("utf-8"))

#: Kind of denial to SQLSTATE.
SQLSTATES: dict[DenialCode, str] = {code: _TABLE[code]["sqlstate"] for code in DenialCode}

_HEADLINES: dict[DenialCode, str] = {code: _TABLE[code]["headline"] for code in DenialCode}


def refusal(denial: Denial, *, fatal: bool = False, position: int = 0) -> bytes:
    """The ErrorResponse for a denial. ``fatal`` when the connection ends with it; ``position`` is the character of the
    statement that it is about, counted from 1 (0: none).
    """
    headline = _HEADLINES[denial.code]
    rules = ", ".join(denial.policies)
    message = f"{headline} ({rules})" if rules else headline
    if denial.ticket is not None:
        message = f"{message}: ticket {denial.ticket}"
    return messages.error_response(
        "FATAL" if fatal else "ERROR",
        SQLSTATES[denial.code],
        f"blastwall: {message}",
        detail=denial.reason or None,
        hint=denial.hint or None,
        position=position or None,
    )
