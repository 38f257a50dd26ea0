"""The tree with its masks in it: each scan of a masked relation becomes a sub-select that yields masks.

The sub-select reads the relation by its qualified name and has the same columns under the same names, in the same
order and of the same types: those that are referred to. ONLY, TABLESAMPLE and raw conditions are inside; the alias
stays outside. System columns come along where they are referred to. Where GROUP BY held only a primary key, the other
columns that depend on it are added: the server does not see the key through a sub-select.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from blastwall.sql import grammar
from blastwall.sql.masking.binder import Binder, Grouping, Star
from blastwall.sql.masking.changes import spelled
from blastwall.sql.masking.concern import hides
from blastwall.sql.masking.values import Cell, Refused, Scan, Value, table
from blastwall.sql.resolve import look_up
from blastwall.sql.tree import NODE, Message, unwrap

#: Where a RangeVar is the name of a new relation, or of an item of FROM.
_NAMES = frozenset({"into", "into_clause", "view", "locking_clause"})


def settle(outputs: Sequence[Value], binder: Binder) -> list[bool]:
    """Decide which raw values may come up: for each output whether the sink replaces it.

    A raw value comes up only where every row of an output shows it as it stands, under one and the same mask.
    """
    changed = True
    shown: list[bool] = []
    while changed:
        changed = False
        shown = [_for_the_sink(value) for value in outputs]
        for value, at_sink in zip(outputs, shown, strict=True):
            for leaf in () if at_sink else value.leaves:
                changed = changed or not leaf.hidden
                leaf.hidden = True
    for leaf in binder.leaves:
        if leaf.hidden and leaf.compared:
            raise Refused(
                f"Compares the masked column {leaf.mask.column} with another {leaf.compared} and uses it in a way that "
                "needs its mask; do one of both."
            )
    return shown


def _for_the_sink(value: Value) -> bool:
    if not value.leaves or not value.bare or value.mixed or value.row or any(leaf.hidden for leaf in value.leaves):
        return False
    return len({(leaf.mask.strategy, leaf.mask.type_oid, leaf.mask.length) for leaf in value.leaves}) == 1


def rewrite(binder: Binder) -> bool:
    """Put every mask into the tree; whether anything changed. Raises Refused for what cannot be rewritten."""
    scans = [scan for scan in binder.scans if scan.rewritten]
    returned = [
        scan for scan in binder.scans if any(cell.leaf is not None and cell.leaf.hidden for _, cell in scan.returned)
    ]
    if not scans and not returned and not binder.changed:
        return False
    for scan in returned:
        for node, cell in scan.returned:
            if cell.leaf is not None and cell.leaf.hidden:
                node.CopyFrom(_expression(cell.leaf.mask.source, scan.alias, cell.shown))
    for star in reversed(binder.stars):  # the last of a list first: the places of the others stay
        _spell(star)
    for grouping in binder.groupings:
        _extend(grouping)
    for scan in binder.scans:
        if scan.rewritten:
            _replace(scan)
        else:
            scan.name.schemaname = scan.relation.schema
    return True


def _replace(scan: Scan) -> None:
    assert scan.node is not None
    if scan.whole and scan.system:
        raise Refused("Uses a whole row together with system columns of a masked table; name the columns.")
    inner = type(scan.name)()
    inner.relname, inner.schemaname = scan.relation.name, scan.relation.schema
    inner.inh, inner.relpersistence = scan.name.inh, scan.name.relpersistence
    made = NODE()
    outer = made.range_subselect
    outer.alias.aliasname = scan.alias
    select = outer.subquery.select_stmt
    select.op, select.limit_option = 1, 1
    for cell in scan.cells:
        if cell.needed:
            select.target_list.add().CopyFrom(_column(scan, cell))
    for name in sorted(scan.system):
        select.target_list.add().CopyFrom(_named(_reference(scan.relation.name, name), name))
    if scan.sample is not None:
        sample = select.from_clause.add().range_table_sample
        sample.CopyFrom(scan.sample)
        sample.relation.range_var.CopyFrom(inner)
    else:
        select.from_clause.add().range_var.CopyFrom(inner)
    if len(scan.conditions) == 1:
        select.where_clause.CopyFrom(scan.conditions[0])
    elif scan.conditions:
        select.where_clause.bool_expr.boolop = 1
        select.where_clause.bool_expr.args.extend(scan.conditions)
    for reference in scan.spelled:
        fields = reference.column_ref.fields
        kept = [type(each)() for each in fields[-2:]]
        for copy, each in zip(kept, fields[-2:], strict=True):
            copy.CopyFrom(each)
        del fields[:]
        fields.extend(kept)
    scan.node.CopyFrom(made)


def _column(scan: Scan, cell: Cell) -> Message:
    name = scan.relation.name
    if cell.leaf is None or not cell.leaf.hidden:
        return _named(_reference(name, cell.column.name), cell.shown)
    return _named(_expression(cell.leaf.mask.source, name, cell.column.name), cell.shown)


def _named(value: Message, name: str) -> Message:
    made = NODE()
    made.res_target.name = name
    made.res_target.val.CopyFrom(value)
    return made


def _reference(*path: str) -> Message:
    made = NODE()
    for name in path:
        made.column_ref.fields.add().string.sval = name
    return made


def _expression(source: str, qualifier: str, column: str) -> Message:
    """A mask's expression over a column."""
    made = NODE()
    made.CopyFrom(_parsed(source.replace("{}", f"{_quoted(qualifier)}.{_quoted(column)}")))
    return made


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> Message:
    tree = grammar.decode(grammar.parse(f"SELECT {expression}".encode()))
    select = tree.stmts[0].stmt.select_stmt
    if len(tree.stmts) != 1 or len(select.target_list) != 1 or select.from_clause:
        raise Refused("A mask's expression is not one expression; tell whoever keeps the masking rules.")
    return select.target_list[0].res_target.val


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _spell(star: Star) -> None:
    """A star in sight of a system column that came along is written out: it would show that column too."""
    scans = {entry.cell.scan for item in star.items for entry in item.entries or () if entry.cell is not None}
    if not any(scan is not None and scan.rewritten and scan.system for scan in scans):
        return
    names: list[Message] = []
    for item in star.items:
        for entry in item.entries or ():
            scan = entry.cell.scan if entry.cell is not None else None
            alias = item.alias or (scan.alias if scan is not None else "")
            names.append(spelled(NODE, alias, entry.name))
    del star.targets[star.place]
    for offset, name in enumerate(names):
        star.targets.insert(star.place + offset, name)


def _extend(grouping: Grouping) -> None:
    """Columns that depend on a primary key that is grouped by."""
    grouped = {id(cell) for cell in grouping.cells}
    for scan in grouping.scans:
        if not scan.rewritten or not scan.relation.primary_key:
            continue
        by_number = {cell.column.number: cell for cell in scan.cells}
        key = [by_number.get(number) for number in scan.relation.primary_key]
        if any(cell is None or id(cell) not in grouped for cell in key):
            continue
        if any(cell.leaf is not None and cell.leaf.hidden for cell in key if cell is not None):
            continue  # its masks are not unique
        for cell in scan.cells:
            if not cell.after or id(cell) in grouped:
                continue
            if cell.column.type_oid in table()["ungroupable"]["types"]:
                raise Refused(
                    f"Groups by the key of a masked table and shows {cell.shown}, whose type cannot be grouped by; "
                    "leave that column out, or join the table to the grouped rows."
                )
            grouping.select.group_clause.add().CopyFrom(_reference(scan.alias, cell.shown))
        for name, after in sorted(scan.system.items()):
            if after:
                grouping.select.group_clause.add().CopyFrom(_reference(scan.alias, name))


def extends_by_masks(binder: Binder) -> bool:
    """Whether a mask would show among the keys of a plan's groups."""
    for grouping in binder.groupings:
        for scan in grouping.scans:
            if scan.rewritten and any(cell.leaf is not None and cell.after for cell in scan.cells):
                return True
    return False


def unfollowed(binder: Binder, message: Message) -> str:
    """The name of a masked relation that stands in the tree where nothing followed it, so that its values would come
    unmasked; "" when there is none.
    """
    waiting = [message]
    while waiting:
        node = unwrap(waiting.pop())
        if node is None:
            continue
        if type(node).__name__ == "RangeVar":
            found = look_up(binder.walk, node) if id(node) not in binder.bound else None
            if found is not None and not node.schemaname and hides(found, node.relname, binder.walk.surroundings):
                return str(node.relname)
            relation = found.relation if found is not None else None
            if relation is not None and (relation.oid in binder.plan.relations or relation.oid in binder.plan.opaque):
                return f"{relation.schema}.{relation.name}"
            continue
        for field, value in node.ListFields():
            if field.message_type is not None and field.name not in _NAMES:
                waiting.extend(value if field.is_repeated else (value,))
    return ""
