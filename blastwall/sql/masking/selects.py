"""SELECT, VALUES, set operations and WITH: the columns of a query, and every use of a masked column on the way."""

from __future__ import annotations

from collections.abc import Sequence, Set

from blastwall.sql.catalogue import clip
from blastwall.sql.columns import column_name
from blastwall.sql.masking.binder import (
    DISTINCT,
    GROUP,
    HAVING,
    LIMIT,
    ORDER,
    RECURSION,
    UNITED,
    Binder,
    Grouping,
    Star,
)
from blastwall.sql.masking.conditions import restrict
from blastwall.sql.masking.expressions import use, use_all, value_of, window
from blastwall.sql.masking.levels import Level, resolve
from blastwall.sql.masking.sources import open_from
from blastwall.sql.masking.values import CLEAN, Cell, Entry, Item, Leaf, Refused, Scan, Value, derived, merged
from blastwall.sql.scope import SYSTEM_COLUMNS
from blastwall.sql.tree import Message, constant, kind_of, strings, unwrap

_UNION = 2
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


def query(binder: Binder, select: Message | None, outer: Level) -> list[Entry]:
    """The columns of a SelectStmt. ``outer`` is what it sees around it."""
    if select is None or type(select).__name__ != "SelectStmt":
        raise Refused("Holds a query beside masked columns that the gateway does not follow.")
    spine = [select]
    while spine[-1].op > 1:
        spine.append(spine[-1].larg)
    levels = []
    for each in spine:
        if each.HasField("with_clause"):
            outer = open_with(binder, each.with_clause, outer)
        levels.append(outer)
    columns = _arm(binder, spine[-1], levels[-1])
    for each, level in zip(reversed(spine[:-1]), reversed(levels[:-1]), strict=True):
        columns = _combined(binder, each, columns, query(binder, each.rarg, level))
        _settle(binder, each, level, columns)
    return columns


def _combined(binder: Binder, node: Message, left: Sequence[Entry], right: Sequence[Entry]) -> list[Entry]:
    if len(left) != len(right):
        raise Refused("Combines queries of different numbers of columns.")
    columns = []
    for one, other in zip(left, right, strict=True):
        value = merged((one.value, other.value))
        if value.leaves and not (node.op == _UNION and node.all):
            binder.compute(value, UNITED)
        columns.append(Entry(one.name, value))
    return columns


def _settle(binder: Binder, node: Message, outer: Level, columns: Sequence[Entry]) -> None:
    """ORDER BY and LIMIT of a set operation or VALUES, which know the result's columns only."""
    item = Item("", columns)
    level = Level(outer, [item], [item])
    for each in node.sort_clause:
        _sort(binder, each.sort_by.node, level, columns)
    use(binder, node.limit_offset, level, LIMIT)
    use(binder, node.limit_count, level, LIMIT)


def _arm(binder: Binder, select: Message, outer: Level) -> list[Entry]:
    if select.values_lists:
        rows = [[value_of(binder, node, outer) for node in row.list.items] for row in select.values_lists]
        if len({len(row) for row in rows}) != 1:
            raise Refused("Lists rows of different lengths.")
        columns = [Entry(f"column{place}", merged(column)) for place, column in enumerate(zip(*rows, strict=True), 1)]
        _settle(binder, select, outer, columns)
        return columns
    level = Level(outer)
    scans = open_from(binder, select.from_clause, level)
    restrict(binder, select, "where_clause", level, scans)
    level.after = True
    columns = targets(binder, select.target_list, level)
    if select.group_clause:
        _group(binder, select, level, columns, scans)
    restrict(binder, select, "having_clause", level, (), HAVING)
    for each in select.window_clause:
        window(binder, each.window_def, level)
    for each in select.sort_clause:
        _sort(binder, each.sort_by.node, level, columns)
    _distinct(binder, select, level, columns)
    use(binder, select.limit_offset, level, LIMIT)
    use(binder, select.limit_count, level, LIMIT)
    return columns


def targets(binder: Binder, nodes: Message, level: Level) -> list[Entry]:
    """The columns of a target list or RETURNING list, stars expanded."""
    columns: list[Entry] = []
    for place, node in enumerate(nodes):
        if kind_of(node) != "res_target":
            raise Refused("Selects something that the gateway does not follow beside masked columns.")
        target = node.res_target
        items = _starred(binder, target.val, level)
        if items is not None:
            binder.stars.append(Star(nodes, place, items))
            columns += _expanded(binder, items, level)
            continue
        name = clip(target.name) if target.name else column_name(target.val)
        cell = _plain(binder, target.val, level)
        if cell is not None and cell.leaf is not None and cell.scan is not None and cell.scan.role == "returned":
            target.name = name  # a mask in the reference's place would have another
        columns.append(Entry(name, value_of(binder, target.val, level), cell))
    return columns


def _starred(binder: Binder, value: Message, level: Level) -> list[Item] | None:
    """The items that a target stands for if it is a star."""
    which = kind_of(value)
    if which == "a_indirection" and any(kind_of(step) == "a_star" for step in value.a_indirection.indirection):
        raise Refused("Takes a composite value apart with a star beside masked columns; name its fields.")
    if which != "column_ref":
        return None
    path = strings(value.column_ref.fields)
    if path[-1] != "*":
        return None
    if path == ["*"]:
        return list(level.visible)
    _, item, _ = resolve(value, level, binder.catalogue.database)
    assert item is not None
    if item.scan is not None and len(path) > 2:
        item.scan.spelled.append(value)
    return [item]


def _expanded(binder: Binder, items: Sequence[Item], level: Level) -> list[Entry]:
    columns = []
    for item in items:
        if item.entries is None:
            raise Refused(
                f"Selects every column of {item.alias or 'a FROM item'}, whose columns the gateway cannot tell, beside "
                "a masked table's; name the columns."
            )
        binder.open(len(item.entries))
        columns += [Entry(entry.name, binder.take(item, entry, level), entry.cell) for entry in item.entries]
    return columns


# -- GROUP BY, ORDER BY, DISTINCT


def _output(node: Message, columns: Sequence[Entry]) -> Entry | None:
    """The result column that an ORDER BY or GROUP BY item names by its position."""
    known, value = constant(node) if kind_of(node) == "a_const" else (False, None)
    if known and isinstance(value, int) and not isinstance(value, bool) and 0 < value <= len(columns):
        return columns[value - 1]
    return None


def _named(node: Message, columns: Sequence[Entry]) -> Entry | None:
    """The result column that it names, if it does."""
    if kind_of(node) != "column_ref":
        return None
    path = strings(node.column_ref.fields)
    return next((each for each in columns if len(path) == 1 and each.name == clip(path[0])), None)


def _sort(binder: Binder, node: Message, level: Level, columns: Sequence[Entry]) -> None:
    found = _output(node, columns) or _named(node, columns)
    if found is None:
        use(binder, node, level, ORDER)
    elif found.value.leaves:
        binder.compute(found.value, ORDER)


def _group(binder: Binder, select: Message, level: Level, columns: Sequence[Entry], scans: list[Scan]) -> None:
    waiting = [(node, True) for node in select.group_clause]
    cells: list[Cell] = []
    while waiting:
        node, alone = waiting.pop()
        if kind_of(node) == "grouping_set":
            waiting.extend((each, False) for each in node.grouping_set.content)
            continue
        if kind_of(node) == "row_expr":
            waiting.extend((each, alone) for each in node.row_expr.args)
            continue
        by_place = _output(node, columns)
        plain = _plain(binder, node, level) if by_place is None else None
        by_name = _named(node, columns) if by_place is None and plain is None else None
        found = by_place or by_name
        if found is not None:
            plain = _plain(binder, _target_of(select, columns, found), level)
            value = found.value
        else:
            value = value_of(binder, node, level, GROUP)
        if value.leaves:
            binder.compare(value, GROUP) if value.bare and not value.row else binder.compute(value, GROUP)
        if plain is not None and alone:
            cells.append(plain)
    binder.groupings.append(Grouping(select, cells, scans))


def _target_of(select: Message, columns: Sequence[Entry], found: Entry) -> Message | None:
    """The target behind a result column, where no star stands before it."""
    if len(select.target_list) != len(columns):
        return None
    place = next(place for place, each in enumerate(columns) if each is found)
    return select.target_list[place].res_target.val


def _plain(binder: Binder, node: Message | None, level: Level) -> Cell | None:
    """The column of a relation that a reference is, None for anything else."""
    if node is None or kind_of(node) != "column_ref":
        return None
    path = strings(node.column_ref.fields)
    if path[-1] == "*" or path[-1] in SYSTEM_COLUMNS:
        return None
    try:
        _, _, entry = resolve(node, level, binder.catalogue.database)
    except Refused:
        return None  # the name of a result column
    return entry.cell if entry is not None else None


def _distinct(binder: Binder, select: Message, level: Level, columns: Sequence[Entry]) -> None:
    if not select.distinct_clause:
        return
    if any(kind_of(each) for each in select.distinct_clause):
        for each in select.distinct_clause:
            found = _output(each, columns) or _named(each, columns)
            value = found.value if found is not None else value_of(binder, each, level, DISTINCT)
            if value.leaves:
                binder.compute(value, DISTINCT)
        return
    cells = {column.cell for column in columns if column.cell is not None}
    for column in columns:
        if column.value.leaves and not _depends(column.cell, cells):
            binder.compare(column.value, DISTINCT)


def _depends(cell: Cell | None, cells: Set[Cell]) -> bool:
    """Whether a column adds nothing to what makes rows distinct: its table's primary key is among the others."""
    if cell is None or cell.scan is None or not cell.scan.relation.primary_key:
        return False
    shown = {each.column.number for each in cells if each.scan is cell.scan and each.leaf is None}
    return shown.issuperset(cell.scan.relation.primary_key)


# -- WITH


class _Query:
    """One query of a WITH list, bound when it is first read (or at the end: also what nobody reads must hold)."""

    def __init__(self, binder: Binder, expression: Message, inside: Level, recursive: bool) -> None:
        self._binder = binder
        self._expression = expression
        self._inside = inside
        self._recursive = recursive
        self._columns: list[Entry] | None = None
        self._seed: list[Entry] | None = None
        self._reads_itself = False
        self._busy = False

    def __call__(self) -> Sequence[Entry]:
        if self._columns is not None:
            return self._columns
        if self._busy:
            if self._seed is None:
                raise Refused("A WITH query reads itself in a way that the gateway does not follow.")
            self._reads_itself = True
            return self._seed
        self._busy = True
        inner = unwrap(self._expression.ctequery)
        kind = type(inner).__name__
        if kind in _CHANGES:
            assert inner is not None
            columns = self._binder.change(self._binder, inner, self._inside)
        elif kind == "SelectStmt" and self._recursive and inner is not None and inner.op == _UNION:
            columns = self._recurse(inner)
        else:
            columns = query(self._binder, inner, self._inside)
        self._columns = self._extended(self._renamed(columns))
        return self._columns

    def _renamed(self, columns: list[Entry]) -> list[Entry]:
        names = strings(self._expression.aliascolnames)
        return [
            Entry(clip(names[place]) if place < len(names) else column.name, column.value)
            for place, column in enumerate(columns)
        ]

    def _recurse(self, union: Message) -> list[Entry]:
        """Columns that rows of its own may feed: each may hold what any of the first arm's does."""
        outer = self._inside
        if union.HasField("with_clause"):
            outer = open_with(self._binder, union.with_clause, outer)
        first = query(self._binder, union.larg, outer)
        leaves = frozenset(leaf for column in first for leaf in column.value.leaves)
        feeding = derived(leaves) if leaves else CLEAN
        self._seed = self._extended(self._renamed([Entry(column.name, feeding) for column in first]))
        second = query(self._binder, union.rarg, outer)
        if not self._reads_itself:
            columns = _combined(self._binder, union, first, second)
        else:
            leaves |= frozenset(leaf for column in second for leaf in column.value.leaves)
            value = derived(leaves) if leaves else CLEAN
            if leaves:
                for column in (*first, *second):
                    self._binder.compute(column.value, RECURSION)
            columns = [Entry(column.name, value) for column in first]
        _settle(self._binder, union, outer, columns)
        return columns

    def _extended(self, columns: list[Entry]) -> list[Entry]:
        """With the columns that SEARCH and CYCLE add."""
        expression = self._expression
        extra: list[str] = []
        if expression.HasField("search_clause"):
            extra.append(expression.search_clause.search_seq_column)
        if expression.HasField("cycle_clause"):
            extra += [expression.cycle_clause.cycle_mark_column, expression.cycle_clause.cycle_path_column]
        if not extra:
            return columns
        leaves: frozenset[Leaf] = frozenset(leaf for column in columns for leaf in column.value.leaves)
        value: Value = derived(leaves)
        if leaves:
            self._binder.compute(value, RECURSION)
        return [*columns, *(Entry(clip(name), value) for name in extra)]


def open_with(binder: Binder, clause: Message, outer: Level) -> Level:
    """The level inside a WITH clause."""
    inside = Level(outer)
    made = []
    for each in clause.ctes:
        expression = each.common_table_expr
        around = inside if clause.recursive else Level(outer, queries=dict(inside.queries))
        found = _Query(binder, expression, around, clause.recursive)
        made.append(found)
        inside.queries[clip(expression.ctename)] = found
    for found in made:
        found()
    return inside


__all__ = ["open_with", "query", "targets", "use_all"]
