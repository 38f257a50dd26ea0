"""The text that goes upstream when masks were put into a tree: accepted only if it parses back to the same tree."""

from __future__ import annotations

from blastwall.sql import grammar, worker
from blastwall.sql.grammar import Unparsed
from blastwall.sql.limits import LIMITS
from blastwall.sql.parser import Tree
from blastwall.sql.rename import same


def masked_text(tree: Tree) -> str | None:
    """The text of a rewritten tree; None when there is none that certainly says the same.

    Blocks. Trees of large texts are spelled in the worker: masks add no depth to speak of.
    """
    try:
        if len(tree.text.encode("utf-8")) <= LIMITS.deparse_inline_bytes:
            text = grammar.deparse(tree.result.SerializeToString())
            again = grammar.parse(text.encode("utf-8"))
        else:
            text, again = worker.shared().spell(grammar.deep(tree.result.SerializeToString))
        if len(text) > LIMITS.text_bytes:
            return None
    except Unparsed:
        return None
    return text if same(tree.result, grammar.decode(again)) else None
