"""FROM items: relations of the catalogue, WITH queries, sub-queries, functions and joins, and the columns they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from blastwall.sql.catalogue import clip
from blastwall.sql.columns import column_name
from blastwall.sql.masking.binder import JOIN, Binder
from blastwall.sql.masking.concern import hides
from blastwall.sql.masking.conditions import restrict
from blastwall.sql.masking.expressions import use_all, value_of
from blastwall.sql.masking.levels import Level
from blastwall.sql.masking.values import (
    CLEAN,
    Cell,
    Entry,
    Item,
    Leaf,
    Refused,
    Scan,
    Value,
    merged,
    renamed,
    table,
)
from blastwall.sql.resolve import look_up
from blastwall.sql.tree import NODE, Message, kind_of, strings, unwrap

_INNER, _LEFT, _FULL, _RIGHT = 1, 2, 3, 4
_PARTS = frozenset(
    {"res_target", "json_table_path_spec", "json_argument", "json_value_expr", "json_output", "json_behavior"}
)


@dataclass(slots=True)
class Opened:
    """What FROM items put in sight, and the scans that a condition beside them may move into."""

    visible: list[Item] = field(default_factory=list)
    named: list[Item] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)


def open_from(binder: Binder, items: Sequence[Message], level: Level) -> list[Scan]:
    """Put a FROM list's items into ``level``; its scans."""
    scans: list[Scan] = []
    for node in items:
        opened = _item(binder, node, level, level)
        level.visible.extend(opened.visible)
        level.named.extend(opened.named)
        scans += opened.scans
    return scans


def _item(binder: Binder, node: Message, level: Level, left: Level) -> Opened:
    """One item. ``left`` is what LATERAL sees; what is not lateral sees the levels around ``level`` only."""
    which = kind_of(node)
    if which == "range_var":
        return relation(binder, node.range_var, level, node=node)
    if which == "range_table_sample":
        sample = node.range_table_sample
        if kind_of(sample.relation) != "range_var":
            raise Refused("Samples something that is not a table.")
        use_all(binder, (*sample.args, sample.repeatable), Level(level.parent), JOIN)
        return relation(binder, sample.relation.range_var, level, node=node, sample=sample)
    if which == "join_expr":
        return _join(binder, node.join_expr, level, left)
    if which == "range_subselect":
        inner = node.range_subselect
        entries = binder.query(binder, unwrap(inner.subquery), _lateral(left) if inner.lateral else _around(level))
        binder.open(len(entries))
        return _computed_item(inner, entries, CLEAN)
    if which == "range_function":
        return _function(binder, node.range_function, left)
    if which in ("range_table_func", "json_table"):
        return _table_function(binder, getattr(node, which), left)
    raise Refused(f"Reads from something beside masked columns that the gateway does not follow ({which}).")


def _around(level: Level) -> Level:
    """What an item that is not lateral sees: the WITH queries of this level, and the levels around it."""
    return Level(level.parent, queries=level.queries)


def _lateral(left: Level) -> Level:
    """What a lateral item sees: the items so far, and references to them count where GROUP BY does not."""
    return Level(left.parent, list(left.visible), list(left.named), left.queries)


def _names(node: Message) -> tuple[str, list[str]]:
    if not node.HasField("alias"):
        return "", []
    return clip(node.alias.aliasname), strings(node.alias.colnames)


def _computed_item(node: Message, entries: Sequence[Entry] | None, taint: Value) -> Opened:
    alias, names = _names(node)
    plain = None if entries is None else [entry._replace(cell=None) for entry in entries]
    item = Item(alias, renamed(plain, names), taint=taint)
    return Opened([item], [item])


def relation(
    binder: Binder,
    name: Message,
    level: Level,
    *,
    node: Message | None = None,
    sample: Message | None = None,
    role: str = "read",
) -> Opened:
    """A RangeVar: a WITH query, or a relation of the catalogue, masked or not. Raises Refused for any other."""
    binder.bound[id(name)] = name
    alias, aliases = _names(name)
    if role == "read" and not name.schemaname and not name.catalogname:
        query = level.query(clip(name.relname))
        if query is not None:
            columns = query()
            binder.open(len(columns))
            entries = [entry._replace(cell=None) for entry in columns]
            item = Item(alias or clip(name.relname), renamed(entries, aliases))
            return Opened([item], [item])
    found = look_up(binder.walk, name)
    if not name.schemaname and hides(found, name.relname, binder.walk.surroundings):
        raise Refused(
            f"Means a relation of this session's own by {name.relname}, which is also the name of a masked one; write "
            f"pg_temp.{name.relname}, or choose another name."
        )
    if found.relation is None or found.problem:
        what = f"{found.name}, which {found.problem}" if found.problem else found.name
        raise Refused(f"Uses {what} together with masked columns, and the gateway cannot tell what that is.")
    reason = binder.plan.opaque.get(found.relation.oid)
    if reason is not None:
        raise Refused(reason)
    masks = binder.plan.relations.get(found.relation.oid, {})
    binder.open(len(found.relation.columns))
    cells: list[Cell] = []
    entries = []
    for column in found.relation.columns:
        mask = masks.get(column.number)
        leaf = Leaf(mask, raw=role == "target") if mask is not None else None
        if leaf is not None:
            binder.leaves.append(leaf)
        cell = Cell(column, column.name, leaf)
        cells.append(cell)
        value = Value(
            frozenset((leaf,)) if leaf is not None else frozenset(), origin=(found.relation.oid, column.number)
        )
        entries.append(Entry(column.name, value, cell))
    scan = Scan(found.relation, name, node, sample, cells, alias or clip(name.relname), role)
    for cell in cells:
        cell.scan = scan
    binder.scans.append(scan)
    item = Item(scan.alias, renamed(entries, aliases), "" if alias else found.schema, scan)
    return Opened([item], [item], [scan])


# -- joins


def _join(binder: Binder, join: Message, level: Level, left: Level) -> Opened:
    chain = [join]
    while kind_of(chain[-1].larg) == "join_expr" and not chain[-1].larg.join_expr.HasField("alias"):
        chain.append(chain[-1].larg.join_expr)
    opened = _item(binder, chain[-1].larg, level, left)
    for step in reversed(chain):
        sight = Level(left.parent, [*left.visible, *opened.visible], [*left.named, *opened.named], left.queries)
        arm = _item(binder, step.rarg, level, sight)
        opened = _joined(binder, step, level, opened, arm)
    return opened


def _joined(binder: Binder, step: Message, level: Level, left: Opened, right: Opened) -> Opened:
    kind = step.jointype
    if kind not in (_INNER, _LEFT, _FULL, _RIGHT):
        raise Refused("Joins in a way that the gateway does not follow beside masked columns.")
    shared = _shared(step, left, right)
    rest = [entry for side in (left, right) for entry in _entries(side) or () if entry.name not in shared]
    unknown = [item for side in (left, right) for item in side.visible if item.entries is None]
    if unknown and (shared or step.is_natural):
        raise Refused("Joins by columns whose names the gateway cannot tell; write the condition with ON.")
    binder.open(len(rest) // 16)  # each join lists those of all before it, and does no more with them
    both = [_common(binder, name, kind, left, right) for name in shared]
    sight = Level(level.parent, [*left.visible, *right.visible], [*left.named, *right.named], level.queries)
    within = [*left.scans] if kind == _RIGHT else [*right.scans] if kind == _LEFT else [*left.scans, *right.scans]
    restrict(binder, step, "quals", sight, () if kind == _FULL else within, JOIN)
    for side, empty in ((left, kind in (_RIGHT, _FULL)), (right, kind in (_LEFT, _FULL))):
        for scan in side.scans:
            scan.outer = scan.outer or empty
    named = [*left.named, *right.named]
    visible = [Item("", [*both, *rest]), *unknown]
    if step.HasField("join_using_alias"):
        alias = Item(clip(step.join_using_alias.aliasname), both)
        named.append(alias)
    if step.HasField("alias"):
        if unknown:
            raise Refused("Names a join whose columns the gateway cannot tell; name the columns in a sub-select.")
        name, names = _names(step)
        plain = [entry._replace(cell=None) for entry in visible[0].entries or ()]
        for entry in visible[0].entries or ():
            if entry.cell is not None:
                entry.cell.needed = True
        item = Item(name, renamed(plain, names))
        return Opened([item], [item], [*left.scans, *right.scans])
    return Opened(visible, named, [*left.scans, *right.scans])


def _entries(side: Opened) -> list[Entry]:
    return [entry for item in side.visible for entry in item.entries or ()]


def _shared(step: Message, left: Opened, right: Opened) -> list[str]:
    if step.is_natural:
        others = {entry.name for entry in _entries(right)}
        return [entry.name for entry in _entries(left) if entry.name in others]
    return [clip(name) for name in strings(step.using_clause)]


def _common(binder: Binder, name: str, kind: int, left: Opened, right: Opened) -> Entry:
    """A column that USING or NATURAL makes of two."""
    pair = []
    for side in (left, right):
        found = [entry for entry in _entries(side) if entry.name == name]
        if len(found) != 1:
            raise Refused(f"Joins by {name}, which is not one column of each side.")
        if found[0].cell is not None:
            found[0].cell.needed = True
        pair.append(binder.met(found[0].value))
    binder.pair(pair[0], pair[1], JOIN)
    if kind == _FULL:
        value = merged(pair)
        if value.leaves:
            binder.compute(value, JOIN)
    else:
        value = pair[1] if kind == _RIGHT else pair[0]
    return Entry(name, value._replace(origin=None))


# -- functions


def _function(binder: Binder, node: Message, left: Level) -> Opened:
    sight = _lateral(left)
    calls = []
    for each in node.functions:
        call = each.list.items[0] if kind_of(each) == "list" and each.list.items else each
        calls.append(call)
        value = value_of(binder, call, sight)
        if value.leaves:
            raise Refused("Calls a function in FROM with a masked column; read the column itself.")
    alias, names = _names(node)
    listed = [clip(each.column_def.colname) for each in node.coldeflist]
    if listed:
        entries: list[Entry] | None = [Entry(name, CLEAN) for name in listed]
    elif len(calls) == 1 and _gives_one_column(calls[0]):
        entries = [Entry(alias or column_name(calls[0]), CLEAN)]
    else:
        entries = None
    if entries is not None and node.ordinality:
        entries.append(Entry("ordinality", CLEAN))
    if not alias and len(calls) == 1:
        alias = column_name(calls[0])
    item = Item(alias, renamed(entries, names))
    return Opened([item], [item])


def _gives_one_column(call: Message) -> bool:
    if kind_of(call) != "func_call":
        return False
    path = strings(call.func_call.funcname)
    return path[-1] in table()["one_column"]["functions"] and (path[-1] != "unnest" or len(call.func_call.args) == 1)


def _table_function(binder: Binder, node: Message, left: Level) -> Opened:
    """XMLTABLE and JSON_TABLE, over values that are not masked."""
    sight = _lateral(left)
    names: list[str] = []
    waiting: list[Message] = []
    for spec, value in node.ListFields():
        if spec.name not in ("alias", "columns") and spec.message_type is not None:
            waiting.extend(value if spec.is_repeated else (value,))
    columns = list(node.columns)
    while columns:
        column = unwrap(columns.pop(0))
        if column is None:
            continue
        nested = list(column.columns) if type(column).__name__ == "JsonTableColumn" else []
        name = column.name if type(column).__name__ == "JsonTableColumn" else column.colname
        if name and not nested:
            names.append(clip(name))
        for spec, value in column.ListFields():
            if spec.name not in ("columns", "type_name") and spec.message_type is not None:
                waiting.extend(value if spec.is_repeated else (value,))
        columns = nested + columns
    for each in waiting:
        _plain(binder, each, sight)
    return _computed_item(node, [Entry(name, CLEAN) for name in names], CLEAN)


def _plain(binder: Binder, root: Message, sight: Level) -> None:
    """A part of XMLTABLE or JSON_TABLE: no value in it may be masked."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if type(node) is NODE and kind_of(node) not in _PARTS:
            if value_of(binder, node, sight).leaves:
                raise Refused("Reads a masked column as a document in FROM; read the column itself.")
            continue
        message = unwrap(node)
        if message is None:
            continue
        for spec, value in message.ListFields():
            if spec.message_type is not None:
                waiting.extend(value if spec.is_repeated else (value,))
