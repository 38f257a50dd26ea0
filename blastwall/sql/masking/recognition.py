"""Values that are masks: an agent that reads a row and writes it back would put them where real values are."""

from __future__ import annotations

import re
from functools import lru_cache

from blastwall.masking.plan import Mask, Plan, Strategy
from blastwall.sql import grammar
from blastwall.sql.tree import everything_within

# Signs that stand for hidden characters: three in a row, two before a separator, or two or more at the beginning.
_HIDDEN = re.compile(r"[*•●█]{3}|[*•●]{2}[.@-]|^[xX#*•●]{2,}[ .@/-]")


def is_mask(value: str, mask: Mask, plan: Plan) -> bool:
    """Whether a value that is written to a masked column is recognisably what the gateway showed in its place."""
    text = value.strip()
    if not text:
        return False
    if plan.recognises(text) or _HIDDEN.search(text) is not None:
        return True
    return mask.strategy is Strategy.REDACT and text in _constants(mask.source)


@lru_cache(maxsize=1024)
def _constants(source: str) -> frozenset[str]:
    """The literals that a redacting mask's expression shows."""
    try:
        tree = grammar.decode(grammar.parse(f"SELECT {source.replace('{}', 'c')}".encode()))
    except grammar.Unparsed:
        return frozenset()
    nodes = list(everything_within(tree))
    if any(type(node).__name__ == "FuncCall" for node in nodes):
        return frozenset()
    return frozenset(node.sval.sval for node in nodes if type(node).__name__ == "A_Const" and node.sval.sval)
