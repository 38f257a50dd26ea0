"""What foreseeing needs of the world: questions to the database, and the situation a statement is judged in.

Foreseeing is a generator of :class:`Question` that is sent an :class:`Answer` for each and returns a
:class:`~blastwall.blast.Blast`; whoever drives it (``protocols/postgres/side.py``) has the connection, the clock and
the limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blastwall.blast import Blast
from blastwall.model import Effect, Parameter
from blastwall.sql import grammar
from blastwall.sql.blast import scans
from blastwall.sql.blast.flow import PREFIX
from blastwall.sql.catalogue import TEMP_SCHEMA, Catalogue, Relation
from blastwall.sql.functions import function_table
from blastwall.sql.grammar import Unparsed
from blastwall.sql.judge import judge
from blastwall.sql.parser import Tree
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import Message, everything_within, strings

#: Categories of PostgreSQL's own functions that give the same answer when they are asked twice in a statement's time.
STEADY: Final = frozenset({"pure", "aggregate_window", "size_info", "guc_read", "type_by_name"})
#: A statement with a longer text (characters), or one that is deeper (messages, two to a level), is not counted:
#: copying and writing its tree recurses, and walking it takes its time.
LONGEST: Final = 16_384
DEEPEST: Final = 240
_CHANGES: Final = frozenset({"DeleteStmt", "UpdateStmt", "InsertStmt", "MergeStmt"})


@dataclass(frozen=True, slots=True)
class Question:
    """A text for the database, to be run in a transaction that only reads. ``own``: it holds nothing of the agent's and
    runs under the search path "pg_catalog, pg_temp", else under the session's. ``share`` of the time that
    all questions about a statement have is what it may take at most.
    """

    text: str
    parameters: tuple[Parameter, ...] = ()
    own: bool = False
    share: float = 0.3


@dataclass(frozen=True, slots=True)
class Failed:
    """The database did not answer: its SQLSTATE, and why in words that hold nothing of any row."""

    code: str
    reason: str


Answer = Sequence[tuple[bytes | None, ...]] | Failed
Foreseeing = Generator[Question, Answer, Blast]


class Unforeseen(Exception):
    """Nothing can be said about the statement; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Named:
    """What the session has prepared under a name: the text as it runs (with the masks in it), as it was ``written``,
    and the types that the protocol gave its parameters.
    """

    tree: Tree
    written: Tree
    types: tuple[int, ...] = ()


def _nothing(name: str) -> Named | None:
    return None


@dataclass(frozen=True, slots=True)
class Situation:
    """The statement as it would run: its tree (with the masks in it, if it has any), the bound values, and what its
    names mean. ``changed``: the session's open transaction has changes that no other connection sees. ``named`` finds
    what was prepared.
    """

    tree: Tree
    surroundings: Surroundings
    parameters: tuple[Parameter, ...] = ()
    changed: bool = False
    named: Callable[[str], Named | None] = _nothing

    @property
    def catalogue(self) -> Catalogue:
        """Raises Unforeseen without one."""
        if self.surroundings.catalogue is None:
            raise Unforeseen("The database's catalogue is not known.")
        return self.surroundings.catalogue

    def relation(self, name: Message) -> Relation:
        """What a RangeVar names. Raises Unforeseen: nothing, or what only this session sees."""
        schema, plain = name.schemaname or None, name.relname
        hidden = schema is None and plain in self.surroundings.temp
        if hidden or schema == TEMP_SCHEMA or (schema or "").startswith(f"{TEMP_SCHEMA}_"):
            raise Unforeseen("It touches a temporary table, which only its own session sees.")
        found = self.catalogue.relation(schema, plain, self.surroundings.search_path, temp=False)
        if found is None or found.persistence == "t":
            raise Unforeseen("It names a table that is not there.")
        return found


def row(answer: Answer) -> str:
    """The one text of a question of the gateway's own. Raises Unforeseen when it was not answered."""
    if isinstance(answer, Failed):
        raise Unforeseen(answer.reason)
    if len(answer) != 1 or answer[0][0] is None:
        raise Unforeseen("The database did not answer as PostgreSQL does.")
    return answer[0][0].decode("utf-8")


def check_statement(message: Message, situation: Situation) -> None:
    """Raises Unforeseen for what cannot be counted by one query: changes inside, names that would be confused."""
    if len(situation.tree.text) > LONGEST:
        raise Unforeseen(f"Its text is longer than {LONGEST:,} characters.")
    if _deeper(message, DEEPEST):
        raise Unforeseen(f"It is nested more than {DEEPEST // 2} levels deep.")
    for each in everything_within(message):
        name = type(each).__name__
        if name in _CHANGES and each is not message:
            raise Unforeseen("It changes rows in a WITH, and goes on with what those changes give.")
        if name == "CurrentOfExpr":
            raise Unforeseen("It speaks of a cursor's row, which only its own session sees.")
        for text in (getattr(each, field, "") for field in ("relname", "ctename", "aliasname")):
            if isinstance(text, str) and text.startswith(PREFIX):
                raise Unforeseen(f"It uses a name that begins with {PREFIX}.")


def _deeper(message: Message, most: int) -> bool:
    """Whether messages stand in each other more than ``most`` deep."""
    layer = [message]
    for _ in range(most):
        layer = [below for each in layer for below in _below(each)]
        if not layer:
            return False
    return True


def _below(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            yield from value if field.is_repeated else (value,)


def check_steady(select: Message, situation: Situation) -> None:
    """Raises Unforeseen unless the query only reads, and reads the same if it is asked again."""
    facts = judge(select, situation.surroundings).facts
    if facts.effect not in (Effect.READ, Effect.SESSION):
        raise Unforeseen(f"Counting it would do more than read: {facts.reason}")
    catalogue, path = situation.catalogue, situation.surroundings.search_path
    for each in everything_within(select):
        kind = type(each).__name__
        if kind == "RangeTableSample":
            raise Unforeseen("It samples rows, so another run finds others.")
        if kind != "FuncCall":
            continue
        names = strings(each.funcname)
        schema = names[-2] if len(names) > 1 else None
        builtin = function_table().find(names[-1], situation.surroundings.major)
        added = catalogue.functions(schema, names[-1], path)
        steady = builtin is not None and builtin.category.name in STEADY and schema in (None, "pg_catalog")
        if any(one.volatility == "v" for one in added) or not (steady or added):
            raise Unforeseen(f"It calls {names[-1]}, which can answer otherwise each time.")


def agents(result: Message, statement: Message, situation: Situation, share: float) -> Question:
    """A question that holds a part of the statement. Raises Unforeseen when its values or its text cannot be had."""
    before, after = Counter(scans.parameters(statement)), Counter(scans.parameters(result))
    numbers = scans.renumber(result)
    values: list[Parameter] = []
    for number in numbers:
        if not 0 < number <= len(situation.parameters):
            raise Unforeseen(f"It has a parameter ${number} that no value is bound to.")
        value = situation.parameters[number - 1]
        if not value.type_id and after[number] < before[number]:  # the server may take its type from the other place
            raise Unforeseen(f"Its parameter ${number} stands in several places and has no type.")
        values.append(value)
    try:
        return Question(grammar.deparse(result.SerializeToString()), tuple(values), share=share)
    except Unparsed as fault:
        raise Unforeseen(f"The question about it cannot be written: {fault.reason}") from None


def oids(relations: Iterable[Relation]) -> tuple[int, ...]:
    """Their numbers, each once."""
    return tuple(dict.fromkeys(relation.oid for relation in relations))
