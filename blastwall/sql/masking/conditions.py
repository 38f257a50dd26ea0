"""Conditions on raw values: which of a WHERE's may be tested inside the sub-select that masks their table.

With ``equality`` a condition is ``column = literal`` (or a bound parameter). With ``allow`` it is anything made of the
nodes and functions that masking.toml lists, over columns of the one table. It must be a member of an AND at the top of
WHERE, or of the ON of a join that loses no row it keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from blastwall.masking.plan import Predicates
from blastwall.sql.masking.binder import WHERE, Binder, Place
from blastwall.sql.masking.expressions import use
from blastwall.sql.masking.levels import Level, resolve
from blastwall.sql.masking.values import Cell, Refused, Scan, table
from blastwall.sql.tree import NODE, Message, conjuncts, everything_within, kind_of, strings, unwrap

_OP = 1
_EQUAL = (["="], ["pg_catalog", "="])


def restrict(
    binder: Binder, owner: Message, field: str, level: Level, scans: Collection[Scan], place: Place = WHERE
) -> None:
    """The condition in a field of a message: what tests raw values moves into its scan, the rest is a use.

    ``scans`` are those that a condition may move into (of a target it stays where it is).
    """
    whole = getattr(owner, field)
    if not kind_of(whole):
        return
    for part in conjuncts(whole):
        scan = raw_condition(binder, part, level, scans)
        if scan is None:
            if not _pairs(binder, part, level, place):
                use(binder, part, level, place)
        elif scan.role != "target":
            moved = NODE()
            moved.CopyFrom(part)
            scan.conditions.append(moved)
            part.a_const.boolval.boolval = True  # in place: what stands beside it is known by its messages


def raw_condition(binder: Binder, part: Message, level: Level, scans: Collection[Scan]) -> Scan | None:
    """The scan inside which a condition may be tested on raw values, None when it is not about masked columns.

    Raises Refused when it is, and may not be tested.
    """
    names = _references(part)
    cells: list[tuple[Scan, Cell]] = []
    alone = True
    for node in names:
        try:
            _, _, entry = resolve(node, level, binder.catalogue.database)
        except Refused:
            return None  # a name of a sub-query's own; a use of it says what is wrong
        if entry is None or entry.cell is None or entry.cell.scan is None:
            alone = False
        else:
            cells.append((entry.cell.scan, entry.cell))
    masked = [cell for _, cell in cells if cell.leaf is not None]
    if not masked or not alone or len({scan for scan, _ in cells}) != 1:
        return None
    scan = cells[0][0]
    if scan not in scans or scan.outer or scan.role == "returned":
        return None
    policies = {cell.leaf.mask.predicates for cell in masked if cell.leaf is not None}
    if Predicates.DENY in policies:
        return None
    if not (_is_equality(part) if Predicates.EQUALITY in policies else _is_listed(part)):
        return None
    _note(binder, part, masked)
    if Predicates.EQUALITY in policies:
        _count(binder, masked)
    if scan.role != "target":
        for node, (_, cell) in zip(names, cells, strict=True):
            _respell(node, scan, cell)
    return scan


def _note(binder: Binder, part: Message, masked: list[Cell]) -> None:
    binder.filters = True
    binder.flags.add("compares_masked")
    for cell in masked:
        assert cell.leaf is not None
        binder.masked.add(cell.leaf.mask.column)
    for node in everything_within(part):
        if type(node).__name__ == "ParamRef":
            binder.parameters.add(node.number)


def _count(binder: Binder, masked: list[Cell]) -> None:
    """One guess at a column for each statement: a budget of statements is then one of guesses."""
    for cell in masked:
        assert cell.leaf is not None
        column = cell.leaf.mask.column
        if column in binder.guesses:
            raise Refused(f"Compares the masked column {column} more than once; one comparison a statement is allowed.")
        binder.guesses.add(column)


def _respell(node: Message, scan: Scan, cell: Cell) -> None:
    """The reference as it is called inside the sub-select, where the relation has no alias."""
    fields = node.column_ref.fields
    del fields[:]
    fields.add().string.sval = scan.relation.name
    fields.add().string.sval = cell.column.name


def _references(part: Message) -> list[Message]:
    """The Nodes in a condition that hold a ColumnRef."""
    found, waiting = [], [part]
    while waiting:
        node = waiting.pop()
        if type(node) is NODE and kind_of(node) == "column_ref":
            found.append(node)
            continue
        message = unwrap(node)
        if message is None:
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else (value,))
    return found


def _is_equality(part: Message) -> bool:
    if kind_of(part) != "a_expr" or part.a_expr.kind != _OP or strings(part.a_expr.name) not in _EQUAL:
        return False
    sides = (part.a_expr.lexpr, part.a_expr.rexpr)
    return any(kind_of(one) == "column_ref" and _is_given(other) for one, other in (sides, tuple(reversed(sides))))


def _is_given(node: Message) -> bool:
    """A literal or a bound parameter, with or without casts."""
    for _ in range(4):
        if kind_of(node) in ("a_const", "param_ref"):
            return True
        if kind_of(node) != "type_cast":
            return False
        node = node.type_cast.arg
    return False


@cache
def _listed() -> tuple[frozenset[str], frozenset[str], int]:
    found = table()["conditions"]
    return frozenset(found["nodes"]), frozenset(found["functions"]), int(found["most_nodes"])


def _is_listed(part: Message) -> bool:
    nodes, functions, most = _listed()
    for count, message in enumerate(everything_within(part)):
        kind = type(message).__name__
        if count > most or kind not in nodes:
            return False
        if kind == "FuncCall":
            path = strings(message.funcname)
            extras = {field.name for field, _ in message.ListFields()} - {"funcname", "args", "funcformat", "location"}
            if extras or path[-1] not in functions or path[:-1] not in ([], ["pg_catalog"]):
                return False
    return True


def _pairs(binder: Binder, part: Message, level: Level, place: Place) -> bool:
    """``a.x = b.y``, of which at least one is masked: a comparison of two columns."""
    if kind_of(part) != "a_expr" or part.a_expr.kind != _OP or strings(part.a_expr.name) not in _EQUAL:
        return False
    one, other = part.a_expr.lexpr, part.a_expr.rexpr
    if kind_of(one) != "column_ref" or kind_of(other) != "column_ref":
        return False
    binder.pair(binder.refer(one, level), binder.refer(other, level), place)
    return True
