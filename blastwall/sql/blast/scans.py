"""The rows a statement names, as a query: its own FROM, WHERE and WITH, put into a frame of the gateway's.

Frames are texts with places (``$60001`` ...) that are parsed before anything of the agent's goes into them; what goes
in are nodes of its parse tree. So a query means what the statement means, and no text of an agent's is cut or joined.

Every query yields columns ``o`` and ``c`` (where a row is: tableoid and ctid), ``d`` (whether it is deleted), and those
that say whether the columns change that a foreign key refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from blastwall.sql import grammar
from blastwall.sql.blast.flow import PREFIX
from blastwall.sql.catalogue import quoted
from blastwall.sql.tree import NODE, Message, everything_within, kind_of, pb

#: The first number of a place: an agent's own parameters go to 65,535, and are put in after the places were found.
_FIRST: Final = 60_001
_MATCHED, _BY_SOURCE, _BY_TARGET = (
    pb.MergeMatchKind.Value(f"MERGE_WHEN_{name}")
    for name in ("MATCHED", "NOT_MATCHED_BY_SOURCE", "NOT_MATCHED_BY_TARGET")
)
CMD_UPDATE, CMD_INSERT, CMD_DELETE = (pb.CmdType.Value(f"CMD_{name}") for name in ("UPDATE", "INSERT", "DELETE"))
_SKIP = pb.LockWaitPolicy.Value("LockWaitSkip")
_CMD_NOTHING = pb.CmdType.Value("CMD_NOTHING")


@dataclass(frozen=True, slots=True)
class Watched:
    """Columns of the target that keys refer to, and the column of the query that says whether a row's change.
    ``types`` are theirs, as they stand in a cast.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]


@dataclass(slots=True)
class Scan:
    """``select`` is the query as a Node; ``more`` one of the rows a MERGE inserts, None: none. ``certain``: what it
    says of changes is exact.
    """

    select: Message
    more: Message | None = None
    certain: bool = True


def alias_of(relation: Message) -> str:
    """The name under which a statement speaks of its target."""
    return str(relation.alias.aliasname or relation.relname)


def assigned(targets: Iterable[Message]) -> dict[str, Message]:
    """What SET gives each column: the value's Node; an empty one where it cannot be taken out (a list, DEFAULT, parts
    of a column).
    """
    found: dict[str, Message] = {}
    for target in targets:
        name, value = target.res_target.name, target.res_target.val
        plain = not target.res_target.indirection and kind_of(value) not in ("multi_assign_ref", "set_to_default")
        found[str(name)] = value if plain and name not in found else NODE()
    return found


def viewed(statement: Message) -> Scan:
    """Of a DeleteStmt or UpdateStmt on a view, whose rows have no place."""
    delete = type(statement).__name__ == "DeleteStmt"
    sources = [_ranged(statement.relation), *(statement.using_clause if delete else statement.from_clause)]
    made = _framed("", "true" if delete else "false", (), sources, statement)
    return Scan(made, certain=len(sources) == 1)


def deletion(statement: Message) -> Scan:
    """Of a DeleteStmt."""
    sources = [_ranged(statement.relation), *statement.using_clause]
    return Scan(_framed(alias_of(statement.relation), "true", (), sources, statement))


def update(statement: Message, watched: Sequence[Watched], computed: bool) -> Scan:
    """Of an UpdateStmt; ``computed``: a watched column is computed from others, so nobody knows whether it changes."""
    values = assigned(statement.target_list)
    sources = [_ranged(statement.relation), *statement.from_clause]
    alias = alias_of(statement.relation)
    certain = not computed and not statement.from_clause
    given: list[Message] = []
    flags: list[str] = []
    for each in watched:
        tests: list[str] = []
        for column, type_text in zip(each.columns, each.types, strict=True):
            if column not in values and not computed:
                continue
            if computed or not kind_of(values[column]):
                tests, certain = ["true"], False
                break
            tests.append(  # as foreign keys compare: 1.0 and 1.00 are equal, and the change goes on all the same
                f"CAST(ROW({quoted(alias)}.{quoted(column)}) AS pg_catalog.record) OPERATOR(pg_catalog.*<>) "
                f"CAST(ROW(CAST(({_place(len(given))}) AS {type_text})) AS pg_catalog.record)"
            )
            given.append(values[column])
        flags.append(f"({' OR '.join(tests) or 'false'}) AS {each.name}")
    return Scan(_framed(alias, "false", flags, sources, statement, given), certain=certain)


def merging(statement: Message, watched: Sequence[Watched]) -> Scan:
    """Of a MergeStmt: the target's rows that are changed, and as ``more`` the source's rows that are inserted."""
    relation, alias = _ranged(statement.relation), alias_of(statement.relation)
    clauses = [each.merge_when_clause for each in statement.merge_when_clauses]
    updates = any(each.command_type == CMD_UPDATE for each in clauses)
    flags = "".join(f", {'k' if updates else 'false'} AS {each.name}" for each in watched)
    arms: list[str] = []
    given: list[Message] = []

    def place(node: Message) -> str:
        given.append(node)
        return _place(len(given) - 1)

    def chosen(kind: int) -> str:
        """Which action a row gets: d delete, u update, i insert, - none."""
        cases = ""
        for each in clauses:
            if each.match_kind == kind:
                condition = place(each.condition) if each.HasField("condition") else "true"
                cases += f" WHEN {condition} THEN '{_LETTERS[each.command_type]}'"
        return f"CASE{cases} ELSE '-' END" if cases else ""

    columns = f"{quoted(alias)}.tableoid AS o, {quoted(alias)}.ctid AS c"
    outer = [each.match_kind for each in clauses]
    if _MATCHED in outer:
        arms.append(
            f"SELECT {columns}, {chosen(_MATCHED)} AS a FROM {_TARGET}, {_SOURCE} "  # noqa: S608
            f"WHERE {place(statement.join_condition)}"
        )
    if _BY_SOURCE in outer:
        arms.append(
            f"SELECT {columns}, {chosen(_BY_SOURCE)} AS a FROM {_TARGET} "  # noqa: S608
            f"WHERE NOT EXISTS (SELECT FROM {_SOURCE} WHERE {place(statement.join_condition)})"
        )
    text = (
        f"SELECT o, c, a OPERATOR(pg_catalog.=) 'd' AS d{flags} FROM "  # noqa: S608
        f"(SELECT o, c, a, a OPERATOR(pg_catalog.=) 'u' AS k FROM ({' UNION ALL '.join(arms) or _NO_ROWS}) AS w) AS v "
        "WHERE a OPERATOR(pg_catalog.<>) '-'"
    )
    select = _filled(text, given, statement, relation)
    more: Message | None = None
    if any(each.match_kind == _BY_TARGET and each.command_type == CMD_INSERT for each in clauses):
        given = []
        case = chosen(_BY_TARGET)
        text = (
            f"SELECT FROM {_SOURCE} WHERE {case} OPERATOR(pg_catalog.=) 'i' "  # noqa: S608
            f"AND NOT EXISTS (SELECT FROM {_TARGET} WHERE {place(statement.join_condition)})"
        )
        more = _filled(text, given, statement, relation)
    return Scan(select, more, certain=not (updates and watched))


def stored(query: Message, statement: Message | None) -> Message:
    """The rows a query (a SelectStmt's Node) gives, with no columns; ``statement``: whose WITH stands before it."""
    made = _parsed(f"SELECT FROM (SELECT 1) AS {PREFIX}rows")
    made.select_stmt.from_clause[0].range_subselect.subquery.CopyFrom(query)
    if statement is not None:
        _carry_with(made, statement)
    return _unlocked(made)


def graft(text: str, places: Mapping[str, Message]) -> Message:
    """Parse a text of the gateway's own and put nodes into its common table expressions, by their names."""
    result = grammar.decode(grammar.parse(text.encode()))
    for each in everything_within(result.stmts[0].stmt):
        if type(each).__name__ != "CommonTableExpr":
            continue
        node = places.get(each.ctename)
        if node is None:
            continue
        inner = each.ctequery.select_stmt
        subselect = inner.from_clause[0].range_subselect
        subselect.subquery.CopyFrom(node)
    return result


def renumber(result: Message) -> tuple[int, ...]:
    """Number the parameters of a tree anew, from 1; returns their numbers of before, in the new order."""
    numbers: dict[int, int] = {}
    for each in everything_within(result):
        if type(each).__name__ == "ParamRef":
            each.number = numbers.setdefault(each.number, len(numbers) + 1)
    return tuple(numbers)


def parameters(message: Message) -> Iterator[int]:
    """The number of every parameter that stands in a tree, as often as it does."""
    return (each.number for each in everything_within(message) if type(each).__name__ == "ParamRef")


_TARGET, _SOURCE = f"{PREFIX}target", f"{PREFIX}source"
_NO_ROWS: Final = "SELECT CAST(NULL AS pg_catalog.oid) AS o, CAST(NULL AS pg_catalog.tid) AS c, '-' AS a WHERE false"
_LETTERS: Final = {CMD_UPDATE: "u", CMD_DELETE: "d", CMD_INSERT: "i", _CMD_NOTHING: "-"}


def _place(index: int) -> str:
    return f"${_FIRST + index}"


def _ranged(relation: Message) -> Message:
    node = NODE()
    node.range_var.CopyFrom(relation)
    return node


def _framed(
    alias: str,
    deleted: str,
    flags: Sequence[str],
    sources: Sequence[Message],
    statement: Message,
    given: Sequence[Message] = (),
) -> Message:
    """SELECT over the statement's own sources, with its condition and its WITH; ``alias`` "": rows without a place."""
    place = ["NULL::pg_catalog.oid AS o", "NULL::pg_catalog.tid AS c"]
    if alias:
        place = [f"{quoted(alias)}.tableoid AS o", f"{quoted(alias)}.ctid AS c"]
    columns = [*place, f"{deleted} AS d", *flags]
    made = _parsed(f"SELECT {', '.join(columns)} FROM {_TARGET}")  # noqa: S608  # quoted
    _fill(made, given)
    select = made.select_stmt
    del select.from_clause[:]
    select.from_clause.extend(sources)
    if statement.HasField("where_clause"):
        select.where_clause.CopyFrom(statement.where_clause)
    _carry_with(made, statement)
    return _unlocked(made)


def _filled(text: str, given: Sequence[Message], statement: Message, relation: Message) -> Message:
    """A frame over MERGE's target and source, with its places filled."""
    made = _parsed(text)
    named = [node for node in _nodes(made) if kind_of(node) == "range_var"]
    _fill(made, given)
    for node in named:
        name = node.range_var.relname
        if name == _TARGET:
            node.CopyFrom(relation)
        elif name == _SOURCE:
            node.CopyFrom(statement.source_relation)
    _carry_with(made, statement)
    return _unlocked(made)


def _carry_with(made: Message, statement: Message) -> None:
    if statement.HasField("with_clause"):
        made.select_stmt.with_clause.CopyFrom(statement.with_clause)


def _unlocked(made: Message) -> Message:
    """Without FOR UPDATE and the like, which choose no rows, and which a transaction that only reads must not say.

    SKIP LOCKED does choose: it stays, and then nothing is counted.
    """
    for each in everything_within(made):
        if type(each).__name__ == "SelectStmt" and all(
            clause.locking_clause.wait_policy != _SKIP for clause in each.locking_clause
        ):
            del each.locking_clause[:]
    return made


def _fill(made: Message, given: Sequence[Message]) -> None:
    holes = [
        (node, node.param_ref.number - _FIRST)
        for node in _nodes(made)
        if kind_of(node) == "param_ref" and node.param_ref.number >= _FIRST
    ]
    for node, index in holes:
        node.CopyFrom(given[index])


def _parsed(text: str) -> Message:
    made = NODE()
    made.CopyFrom(_tree(text).stmts[0].stmt)
    return made


@lru_cache(maxsize=256)
def _tree(text: str) -> Message:
    return grammar.decode(grammar.parse(text.encode()))


def _nodes(node: Message) -> Iterator[Message]:
    """Every Node of a tree, itself included, without recursion."""
    stack = [node]
    while stack:
        message = stack.pop()
        if type(message) is NODE:
            yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                stack.extend(value if field.is_repeated else (value,))
