"""What was found out beside the event loop about a long text, until the message that it came with is handled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from blastwall.errors import ClientFault
from blastwall.model import Facts, Parameter
from blastwall.protocols.postgres.classify import Classifier, Surroundings, classify, classify_tree
from blastwall.protocols.postgres.remembered import Remembered
from blastwall.sql.parser import Tree
from blastwall.sql.rename import rename

#: Long texts are read by so many threads at a time. They are apart from the threads that connections are opened with:
#: whoever sends long texts all the time keeps nobody from connecting. More would only fight for the interpreter.
READERS: Final = ThreadPoolExecutor(2, thread_name_prefix="read")


class Ahead:
    """One of each kind, for one message at a time. ``declared`` is why a text may not be prepared with such types,
    ``measured`` its facts with such values, ``renamed`` the text with the gateway's names (or why there is none), which
    holds for one version of the session's names and is used once, for the names in it are.
    """

    __slots__ = ("declared", "measured", "renamed")

    def __init__(self) -> None:
        self.declared: tuple[str, tuple[int, ...], str] | None = None
        self.measured: tuple[str, tuple[Parameter, ...], Facts] | None = None
        self.renamed: tuple[str, int, Mapping[str, str], str | ClientFault] | None = None

    def declares(self, text: str, type_ids: tuple[int, ...]) -> bool:
        """Is it known whether the text may be prepared with these types?"""
        return self.declared is not None and self.declared[:2] == (text, type_ids)

    def measures(self, text: str, values: tuple[Parameter, ...]) -> bool:
        """Is it known what the text does with these values?"""
        return self.measured is not None and self.measured[:2] == (text, values)

    def renames(self, text: str, version: int) -> bool:
        """Is the text with the gateway's names at hand, for this version of the session's names?"""
        return self.renamed is not None and self.renamed[:2] == (text, version)

    def forget(self) -> None:
        """The surroundings are others."""
        self.declared = self.measured = self.renamed = None


def remembered(classifier: Classifier, text: str, around: Surroundings) -> Remembered:
    """What a session remembers of a text. Blocks."""
    return Remembered(classifier.classify(text, around))


def measure(tree: Tree | None, text: str, around: Surroundings, values: Sequence[Parameter]) -> Facts:
    """Facts of a text once its parameters are bound. ``tree`` may be that of a text that differs in numbers. Blocks."""
    if tree is not None and tree.text == text:
        return classify_tree(tree, around, values).facts
    return classify(text, around, values).facts


def renamed(tree: Tree, prepared: Mapping[str, str], cursors: Mapping[str, str]) -> str | ClientFault:
    """As ``rename``, but returns what it raises. Blocks."""
    try:
        return rename(tree, prepared, cursors)
    except ClientFault as fault:
        return fault
