"""What was found out beside the event loop about a long text, until the message that it came with is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from blastwall.errors import ClientFault
from blastwall.model import Facts, Parameter
from blastwall.protocols.postgres.classify import Classifier, Finding, Surroundings, classify, classify_tree, declared
from blastwall.protocols.postgres.minting import mint
from blastwall.protocols.postgres.names import Names
from blastwall.protocols.postgres.remembered import Remembered
from blastwall.sql.additions import custom
from blastwall.sql.amplification import BY_PARAMETER
from blastwall.sql.parser import Tree
from blastwall.sql.rename import rename

P = ParamSpec("P")
T = TypeVar("T")

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

    def lacks(
        self, read: Remembered, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...], version: int
    ) -> bool:
        """Is there more to find out about a text that was read? ``version`` is that of the session's names."""
        if custom(type_ids) and not self.declares(text, type_ids):
            return True
        if values and BY_PARAMETER in read.finding.facts.flags and not self.measures(text, values):
            return True
        return read.named and not self.renames(text, version)

    async def read(self, text: str, classifier: Classifier, around: Surroundings) -> Remembered:
        """What a session remembers of a text."""
        return await _beside(READERS, _remembered, classifier, text, around)

    async def find_out(
        self,
        read: Remembered,
        text: str,
        around: Surroundings,
        values: tuple[Parameter, ...],
        type_ids: tuple[int, ...],
        names: Names,
    ) -> None:
        """What it lacks."""
        finding, tree = read.finding, read.finding.tree
        if custom(type_ids):
            self.declared = (text, type_ids, await _beside(READERS, declared, text, around, type_ids))
        if values and BY_PARAMETER in finding.facts.flags:
            self.measured = (text, values, await _beside(READERS, measure, tree, text, around, values))
        if not read.named or tree is None:
            return
        version = names.version
        minted: dict[str, str] = {}
        try:
            prepared, cursors = mint(names, read.touched, minted)
        except ClientFault as fault:
            self.renamed = (text, version, minted, fault)
        else:
            said = await _beside(READERS, _renamed, upstream(finding, tree), prepared, cursors)
            self.renamed = (text, version, minted, said)

    def take_renamed(self, text: str, version: int) -> tuple[Mapping[str, str], str | ClientFault] | None:
        """(names that are in it, the text with the gateway's names), if it is at hand: once."""
        ready = self.renamed if self.renames(text, version) else None
        if ready is None:
            return None
        self.renamed = None
        return ready[2], ready[3]

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


async def _beside(pool: Executor, work: Callable[P, T], *given: P.args, **_: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work, *given)


def upstream(finding: Finding, tree: Tree) -> Tree:
    """The tree of what goes upstream but for its names: the text's own, or that of the one with masks in it."""
    return tree if finding.masked is None else Tree(finding.masked, tree.result)


def _remembered(classifier: Classifier, text: str, around: Surroundings) -> Remembered:
    """What a session remembers of a text. Blocks."""
    return Remembered(classifier.classify(text, around))


def measure(tree: Tree | None, text: str, around: Surroundings, values: Sequence[Parameter]) -> Facts:
    """Facts of a text once its parameters are bound. ``tree`` may be that of a text that differs in numbers. Blocks."""
    if tree is not None and tree.text == text:
        return classify_tree(tree, around, values).facts
    return classify(text, around, values).facts


def renamed(read: Remembered, tree: Tree, names: Names) -> tuple[Mapping[str, str], str | ClientFault]:
    """As :meth:`Ahead.take_renamed`, made here and now. Blocks."""
    minted: dict[str, str] = {}
    try:
        prepared, cursors = mint(names, read.touched, minted)
    except ClientFault as fault:
        return minted, fault
    return minted, _renamed(upstream(read.finding, tree), prepared, cursors)


def _renamed(tree: Tree, prepared: Mapping[str, str], cursors: Mapping[str, str]) -> str | ClientFault:
    """As ``rename``, but returns what it raises. Blocks."""
    try:
        return rename(tree, prepared, cursors)
    except ClientFault as fault:
        return fault
