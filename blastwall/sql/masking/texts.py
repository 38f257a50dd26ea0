"""The text that goes upstream when masks were put into a tree: accepted only if it parses back to the same tree."""

from __future__ import annotations

from blastwall.sql import parser
from blastwall.sql.parser import Tree, Unparsed
from blastwall.sql.rename import same


def masked_text(tree: Tree) -> str | None:
    """The text of a rewritten tree; None when there is none that certainly says the same. Blocks for large texts."""
    try:
        text = parser.deparse(tree)
        again = parser.parse(text)
    except Unparsed:
        return None
    return text if same(tree.result, again.result) else None
