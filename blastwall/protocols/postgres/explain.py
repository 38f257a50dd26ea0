"""Plans of statements over masked columns: their shape and their numbers, without the expressions in them.

The rewrite's constants would stand in filters and conditions, and the planner folds what it knows of values into them.
``EXPLAIN (FORMAT TEXT)`` writes a line for each node and, below it, lines of the form ``Label: value``; only labels
whose values are numbers or names of the server's own keep them (``explain.toml``).
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Final

_SHOWN: Final[frozenset[str]] = frozenset(
    tomllib.loads((files(__package__) / "explain.toml").read_text("utf-8"))["labels"]
)
_LABELLED: Final = re.compile(r"(\s*)([A-Z][A-Za-z0-9 /-]*?):(?: .*)?\Z", re.S)
_NODE: Final = re.compile(
    r"\s*(?:->  )?[A-Z][A-Za-z0-9 _.\"$/-]*"
    r"(?:  \((?:cost|rows|width|actual|time|loops|never executed)[a-z0-9=. ]*\)(?: \([a-z0-9=. ]*\))?)?\Z"
)
HIDDEN: Final = "(not shown: masked columns)"


def conceal(line: bytes) -> bytes:
    """One line of a plan without what it computes with. The same object when it holds nothing of the kind."""
    text = line.decode("utf-8", "replace")
    labelled = _LABELLED.match(text)
    if labelled is not None:
        if labelled[2] in _SHOWN or re.fullmatch(r"Worker \d+", labelled[2]):
            return line
        return f"{labelled[1]}{labelled[2]}: {HIDDEN}".encode()
    return line if _NODE.match(text) else HIDDEN.encode()
