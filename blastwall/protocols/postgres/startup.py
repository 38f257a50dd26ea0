"""Which startup parameters an agent may set: the table is ``startup.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

OPTION_PREFIX = "_pq_."

_TABLE: dict[str, Any] = tomllib.loads(files(__package__).joinpath("startup.toml").read_text("utf-8"))
_PARAMETERS: Mapping[str, Mapping[str, Any]] = _TABLE["parameters"]
_REFUSED: Mapping[str, str] = _TABLE["refused"]
_DURATION = re.compile(r"([0-9]{1,10}) ?(ms|s|min|h)?")
_MILLISECONDS = {None: 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


def judge_startup(parameters: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Return what is kept (canonical names and values) and the first problem (names the parameter), None when there
    is none.

    Names of settings are compared as the server does, without regard to case; ``user`` and ``database`` exactly.
    ``_pq_.`` options are neither kept nor a problem: they are negotiated (:func:`unknown_options`).
    """
    kept: dict[str, str] = {}
    for name, value in parameters.items():
        if name.startswith(OPTION_PREFIX):
            continue
        rule = _PARAMETERS.get(name.lower())
        if rule is None or (rule["rule"] == "identity" and name != rule["canonical"]):
            advice = _REFUSED.get(name.lower(), "drop it, or SET it in the session, where it is judged")
            return kept, f"startup parameter {_shown(name)} is not accepted: {advice}"
        if rule["canonical"] in kept:
            return kept, f"startup parameter {_shown(name)} is given twice"
        judged = _judge_value(rule, value)
        if judged is None:
            advice = rule.get("hint", "give a value the gateway accepts, or drop it")
            return kept, f"startup parameter {_shown(name)} does not accept the value {_shown(value)}: {advice}"
        kept[rule["canonical"]] = judged
    return kept, None


def unknown_options(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The ``_pq_.`` names, for NegotiateProtocolVersion: none is known here."""
    return tuple(name for name in parameters if name.startswith(OPTION_PREFIX))


def _judge_value(rule: Mapping[str, Any], value: str) -> str | None:
    """Return what goes upstream for ``value``, None when the rule does not accept it."""
    match rule["rule"]:
        case "identity":
            return value
        case "label":
            return "".join(letter if " " <= letter <= "~" else "?" for letter in value)[:63]
        case "encoding":
            spelled = "".join(letter for letter in value.lower() if letter.isascii() and letter.isalnum())
            return str(rule["sent"]) if spelled in rule["values"] else None
        case "one_of":
            return value if value.lower() in rule["values"] else None
        case "words":
            return value if all(word.strip().lower() in rule["values"] for word in value.split(",")) else None
        case "pattern":
            return value if re.fullmatch(rule["pattern"], value) else None
        case "number":
            fits = re.fullmatch(r"-?[0-9]{1,9}", value) and rule["least"] <= int(value) <= rule["most"]
            return value if fits else None
        case "duration":
            match = _DURATION.fullmatch(value)
            fits = match and rule["least"] <= int(match[1]) * _MILLISECONDS[match[2]] <= rule["most"]
            return value if fits else None
    return None  # a rule this file does not know accepts nothing


def _shown(text: str) -> str:
    """Quoted, bounded, printable: the text comes from a client and goes into a message."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f'"{printable[:60]}"'
