"""INSERT, UPDATE, DELETE and MERGE: their targets show real values to the executor, so nothing may be computed from
them but what the predicate policy lets, nothing masked may be stored anywhere, and RETURNING shows masks.
"""

from __future__ import annotations

from collections.abc import Sequence

from blastwall.masking.plan import Mask
from blastwall.sql.catalogue import Relation, clip
from blastwall.sql.columns import column_name
from blastwall.sql.masking.binder import SUBSCRIPT, WHERE, Binder
from blastwall.sql.masking.concern import masked_keys, shared_keys
from blastwall.sql.masking.conditions import restrict
from blastwall.sql.masking.expressions import use, value_of
from blastwall.sql.masking.levels import Level
from blastwall.sql.masking.recognition import is_mask
from blastwall.sql.masking.selects import open_with, query, targets
from blastwall.sql.masking.sources import open_from, relation
from blastwall.sql.masking.values import Cell, Entry, Item, Refused, Scan, Value
from blastwall.sql.tree import Message, constant, kind_of, strings, unwrap

_OLD, _NEW = 1, 2
_INSERT, _DELETE = 4, 5


def change(binder: Binder, node: Message, outer: Level) -> list[Entry]:
    """The columns that a changing statement returns."""
    kind = type(node).__name__
    if node.HasField("with_clause"):
        outer = open_with(binder, node.with_clause, outer)
    opened = relation(binder, node.relation, Level(), role="target")
    target, scan = opened.named[0], opened.scans[0]
    if kind == "InsertStmt":
        return _insert(binder, node, outer, target, scan)
    if kind == "MergeStmt":
        return _merge(binder, node, outer, target, scan)
    level = Level(outer, [target], [target])
    scans = [scan]
    if kind == "UpdateStmt":
        scans += open_from(binder, node.from_clause, level)
        _assign(binder, node.target_list, level, scan)
    elif kind == "DeleteStmt":
        note_removed(binder, scan)
        scans += open_from(binder, node.using_clause, level)
    else:
        raise Refused("Changes rows in a way that the gateway does not follow beside masked columns.")
    restrict(binder, node, "where_clause", level, scans)
    return _returning(binder, node, outer, scan, level.visible[1:], level.named[1:])


def _insert(binder: Binder, node: Message, outer: Level, target: Item, scan: Scan) -> list[Entry]:
    cells = _listed(binder, scan, node.cols, outer)
    select = unwrap(node.select_stmt)
    if select is not None:
        columns = query(binder, select, outer)
        for place, column in enumerate(columns):
            _store(column.value, cells[place] if place < len(cells) else None, scan)
        note_written(binder, scan, cells[: len(columns)])
        _literals(binder, select, cells)
    if node.HasField("on_conflict_clause"):
        clause = node.on_conflict_clause
        level = Level(outer, [target], [target])
        _infer(binder, clause, level, scan)
        plain = [entry._replace(value=Value(), cell=None) for entry in target.entries or ()]
        both = Level(outer, [target], [target, Item("excluded", plain)])
        _assign(binder, clause.target_list, both, scan)
        restrict(binder, clause, "where_clause", both, [scan])
    return _returning(binder, node, outer, scan, [], [])


def _listed(binder: Binder, scan: Scan, names: Sequence[Message], level: Level) -> list[Cell]:
    """The columns that an INSERT's or MERGE's values go to. What is computed for a subscript is stored: as a key."""
    if not names:
        return list(scan.cells)
    for each in names:
        _subscripts(binder, each.res_target, level)
    return [_cell(scan, each.res_target.name) for each in names]


def _subscripts(binder: Binder, target: Message, level: Level) -> None:
    for step in target.indirection:
        if kind_of(step) == "a_indices":
            use(binder, step.a_indices.lidx, level, SUBSCRIPT)
            use(binder, step.a_indices.uidx, level, SUBSCRIPT)


def _cell(scan: Scan, name: str) -> Cell:
    found = next((cell for cell in scan.cells if cell.column.name == clip(name)), None)
    if found is None:
        raise Refused(f"{scan.relation.schema}.{scan.relation.name} has no column {name}.")
    return found


def _infer(binder: Binder, clause: Message, level: Level, scan: Scan) -> None:
    """ON CONFLICT (columns): what it does tells whether such values exist."""
    for each in clause.infer.index_elems:
        element = each.index_elem
        if element.name:
            note_written(binder, scan, [_cell(scan, element.name)])
        else:
            use(binder, element.expr, level, WHERE)
    use(binder, clause.infer.where_clause, level, WHERE)


def _store(value: Value, cell: Cell | None, scan: Scan) -> None:
    """A value that is stored: it may not come from a masked column."""
    for leaf in value.leaves:
        into = f"{scan.relation.schema}.{scan.relation.name}" + (f".{cell.column.name}" if cell is not None else "")
        raise Refused(
            f"Stores values of the masked column {leaf.mask.column} in {into}; a masked column cannot be copied: leave "
            "it out, or give the new value as a literal or a parameter."
        )


def note_written(binder: Binder, scan: Scan, cells: Sequence[Cell], *, new: bool = True) -> None:
    """The statement writes these columns: masked ones, or keys that are unique or refer together with masked ones.

    ``new``: of rows that it makes, to which nothing refers. Through a view nothing tells which columns of its tables
    are written.
    """
    written = {cell.column.number for cell in cells}
    masked = {cell.column.number for cell in scan.cells if cell.leaf is not None}
    for cell in cells:
        if cell.leaf is not None:
            binder.masked.add(cell.leaf.mask.column)
            binder.flags.add("writes_masked")
    for key in scan.relation.unique:
        if masked.intersection(key) and (written.intersection(key) or 0 in key):
            binder.flags.add("writes_masked")
            binder.masked.update(_names(scan, masked.intersection(key)))
    for stored in _stored(binder, scan):
        whole = stored.oid != scan.relation.oid
        for bound in masked_keys(binder.plan, binder.catalogue).get(stored.oid, ()):
            if (whole or written.intersection(bound.columns)) and not (new and bound.referred):
                binder.flags.add("writes_masked")
                binder.masked.update(bound.masked)
        if whole and (shared := shared_keys(stored, binder.plan)):
            binder.flags.add("writes_masked")
            binder.masked.update(mask.column for mask in shared)


def note_removed(binder: Binder, scan: Scan) -> None:
    """The statement deletes rows of it: it fails where masked columns refer to them, or changes those."""
    for stored in _stored(binder, scan):
        for bound in masked_keys(binder.plan, binder.catalogue).get(stored.oid, ()):
            if bound.referred:
                binder.flags.add("writes_masked")
                binder.masked.update(bound.masked)


def _stored(binder: Binder, scan: Scan) -> list[Relation]:
    """Where the rows of a target are: itself, or what the view is made of."""
    found: list[Relation] = []
    waiting, seen = [scan.relation], {scan.relation.oid}
    while waiting:
        relation = waiting.pop()
        found.append(relation)
        for oid, _ in relation.reads:
            below = binder.catalogue.relation_by_oid(oid)
            if below is not None and oid not in seen:
                seen.add(oid)
                waiting.append(below)
    return found


def _names(scan: Scan, numbers: set[int]) -> set[str]:
    return {cell.leaf.mask.column for cell in scan.cells if cell.leaf is not None and cell.column.number in numbers}


def _literals(binder: Binder, select: Message, cells: Sequence[Cell]) -> None:
    """Literals and parameters among the values of an INSERT: none may be a mask that goes back."""
    waiting = [select]
    while waiting:
        arm = waiting.pop()
        if arm.op > 1:
            waiting += [arm.larg, arm.rarg]
            continue
        rows = [row.list.items for row in arm.values_lists]
        if arm.target_list and not any(_is_star(each.res_target.val) for each in arm.target_list):
            rows.append([each.res_target.val for each in arm.target_list])
        for row in rows:
            for place, value in enumerate(row):
                if place < len(cells):
                    _literal(binder, value, cells[place])


def _literal(binder: Binder, value: Message, cell: Cell) -> None:
    if cell.leaf is not None:
        check_literal(binder, value, cell.leaf.mask)


def check_literal(binder: Binder, value: Message, mask: Mask) -> None:
    """A value for a masked column: a literal may be no mask, and of a parameter is remembered where it goes."""
    while kind_of(value) == "type_cast":
        value = value.type_cast.arg
    if kind_of(value) == "param_ref":
        binder.parameters.add(value.param_ref.number)
        binder.stores.append((value.param_ref.number, mask))
        return
    known, given = constant(value)
    binder.literals = True
    if known and given is not None and is_mask(str(given), mask, binder.plan):
        raise Refused(written_back(mask.column))


def written_back(column: str) -> str:
    """Why a mask is not stored."""
    return (
        f"Writes to {column} what looks like the mask that the gateway shows in its place: the real value would be "
        "lost. Leave the column out, or give the real new value."
    )


def _assign(binder: Binder, assignments: Sequence[Message], level: Level, scan: Scan) -> None:
    """SET: whatever is stored, and where."""
    cells = []
    for each in assignments:
        target = each.res_target
        cell = _cell(scan, target.name)
        cells.append(cell)
        _subscripts(binder, target, level)
        value = target.val
        if kind_of(value) == "multi_assign_ref":
            reference = value.multi_assign_ref
            if kind_of(reference.source) == "row_expr":
                _assign_one(binder, reference.source.row_expr.args[reference.colno - 1], level, cell, scan)
            elif reference.colno == 1:  # a sub-query: its columns are looked at once
                link = reference.source.sub_link
                inner = unwrap(link.subselect)
                for column in query(binder, inner, level):
                    _store(column.value, cell, scan)
            if kind_of(reference.source) == "row_expr" or reference.colno > 1:
                binder.pass_over(reference.source)  # each column's reference holds the whole source
            continue
        _assign_one(binder, value, level, cell, scan)
    note_written(binder, scan, cells, new=False)


def _assign_one(binder: Binder, value: Message, level: Level, cell: Cell, scan: Scan) -> None:
    _store(value_of(binder, value, level), cell, scan)
    _literal(binder, value, cell)


def _merge(binder: Binder, node: Message, outer: Level, target: Item, scan: Scan) -> list[Entry]:
    level = Level(outer)
    open_from(binder, [node.source_relation], level)
    others, named = list(level.visible), list(level.named)
    level.visible.append(target)
    level.named.append(target)
    use(binder, node.join_condition, level, WHERE)
    for each in node.merge_when_clauses:
        clause = each.merge_when_clause
        use(binder, clause.condition, level, WHERE)
        if clause.command_type == _INSERT:
            cells = _listed(binder, scan, clause.target_list, level)
            for place, value in enumerate(clause.values):
                if place < len(cells):
                    _assign_one(binder, value, level, cells[place], scan)
            note_written(binder, scan, cells[: len(clause.values)])
        elif clause.command_type == _DELETE:
            note_removed(binder, scan)
        else:
            _assign(binder, clause.target_list, level, scan)
    return _returning(binder, node, outer, scan, others, named, merge=True)


def _returning(
    binder: Binder,
    node: Message,
    outer: Level,
    scan: Scan,
    visible: Sequence[Item],
    named: Sequence[Item],
    *,
    merge: bool = False,
) -> list[Entry]:
    """The RETURNING list, in which each masked column of the target becomes its mask."""
    if not node.HasField("returning_clause"):
        return []
    clause = node.returning_clause
    rows = {_OLD: "old", _NEW: "new"}
    for option in clause.options:
        rows[option.returning_option.option] = clip(option.returning_option.value)
    opened = relation(binder, node.relation, Level(), role="returned")
    target = opened.named[0]
    level = Level(outer, [target, *visible], [target, *named])
    if binder.walk.major >= 18:
        taken = {item.alias for item in level.named}
        for alias in rows.values():
            if alias in taken:
                continue
            row = relation(binder, node.relation, Level(), role="returned")
            assert row.named[0].scan is not None
            row.named[0].scan.alias = row.named[0].alias = alias
            level.named.append(row.named[0])
    masked = any(cell.leaf is not None for cell in opened.scans[0].cells)
    for each in clause.exprs:
        chosen = each.res_target
        if masked and not chosen.name and not _is_star(chosen.val):
            chosen.name = column_name(chosen.val)  # a mask in the value's place would have another
    if masked and merge and any(_is_star(each.res_target.val) for each in clause.exprs):
        raise Refused("Returns every column of a MERGE into a table with masked columns; name the columns.")
    if masked:
        _spell_stars(binder, clause.exprs, level)
    return targets(binder, clause.exprs, level)


def _is_star(value: Message) -> bool:
    return kind_of(value) == "column_ref" and strings(value.column_ref.fields)[-1] == "*"


def _spell_stars(binder: Binder, exprs: Message, level: Level) -> None:
    """Each star as the columns it stands for, so that each can become its mask."""
    if not any(_is_star(each.res_target.val) for each in exprs):
        return
    made = []
    for each in exprs:
        if not _is_star(each.res_target.val):
            copy = type(each)()
            copy.CopyFrom(each)
            made.append(copy)
            continue
        path = strings(each.res_target.val.column_ref.fields)
        items = level.visible if len(path) == 1 else [item for item in level.named if item.alias == clip(path[-2])][:1]
        for item in items:
            if item.entries is None or not item.alias:
                raise Refused("Returns every column of a FROM item whose names the gateway cannot tell; name them.")
            for entry in item.entries:
                made.append(spelled(type(each), item.alias, entry.name))
    del exprs[:]
    exprs.extend(made)
    binder.changed = True


def spelled(node: type, alias: str, name: str) -> Message:
    """A target ``alias.name AS name``; without an alias ``name``."""
    made = node()
    fields = made.res_target.val.column_ref.fields
    if alias:
        fields.add().string.sval = alias
    fields.add().string.sval = name
    made.res_target.name = name
    return made
