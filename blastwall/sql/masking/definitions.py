"""Statements about schema objects over masked relations: those that leave the masks where they are, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from blastwall.masking.plan import Mask
from blastwall.sql.catalogue import clip
from blastwall.sql.masking.binder import Binder
from blastwall.sql.masking.values import Refused, table
from blastwall.sql.resolve import look_up
from blastwall.sql.tree import Message, column_paths, everything_within, strings


def define(binder: Binder, message: Message) -> None:
    """Pass a statement that neither computes with masked values nor takes their masks away. Raises Refused."""
    rule = _RULES.get(type(message).__name__)
    if rule is None:
        raise Refused(
            "Is a statement over a masked table whose effect on its masks the gateway does not follow; ask somebody "
            "who is exempt from them."
        )
    rule(binder, message)


def _masks(binder: Binder, name: Message) -> Mapping[int, Mask]:
    found = look_up(binder.walk, name)
    if found.relation is None:
        return {}
    return binder.plan.relations.get(found.relation.oid, {})


def _columns(binder: Binder, name: Message) -> dict[str, Mask]:
    """Masks of a relation by column name."""
    found = look_up(binder.walk, name)
    masks = _masks(binder, name)
    if found.relation is None:
        return {}
    return {column.name: masks[column.number] for column in found.relation.columns if column.number in masks}


def _nothing(binder: Binder, message: Message) -> None:
    """DROP, TRUNCATE, LOCK, VACUUM, REFRESH: policy's affair; no value is shown and no mask is lost."""


def _cluster(binder: Binder, message: Message) -> None:
    """Rows then lie, and come, in the order of the index, which may be that of masked values."""
    raise Refused(
        "Puts the rows of a masked table into the order of an index, which may tell of masked values; VACUUM FULL "
        "packs a table without ordering it."
    )


def _refuse(mask: Mask, what: str) -> None:
    raise Refused(f"{what} the masked column {mask.column}; ask somebody who is exempt from its mask.")


def _index(binder: Binder, message: Message) -> None:
    masks = _columns(binder, message.relation)
    named = {clip(each.index_elem.name) for each in (*message.index_params, *message.index_including_params)}
    for name in named & set(masks):
        if message.unique:
            _refuse(masks[name], "Makes a unique index, whose conflicts tell which values there are, on")
    _no_expressions(message, masks, "Computes an index from", _row(binder, message.relation))


def _no_expressions(message: Message, masks: Mapping[str, Mask], what: str, row: str) -> None:
    """No masked column, and no whole row (``row`` is its name), from which ``ssn(people)`` takes a column too."""
    for path in column_paths(message):
        name = clip(path[-1])
        if name in masks:
            _refuse(masks[name], what)
        if masks and name in ("*", row):
            _refuse(masks[min(masks)], what)


def _row(binder: Binder, name: Message) -> str:
    """What means a whole row in an expression over the table; "*" where a column is called like it."""
    relation = look_up(binder.walk, name).relation
    shown = clip(name.relname)
    return "*" if relation is not None and relation.column(shown) is not None else shown


def _alter(binder: Binder, message: Message) -> None:
    masks = _columns(binder, message.relation)
    harmless = table()["alter_table"]["harmless"]
    for each in message.cmds:
        command = each.alter_table_cmd
        spec = command.DESCRIPTOR.fields_by_name["subtype"]
        subtype = spec.enum_type.values_by_number[command.subtype].name
        if subtype not in harmless:
            raise Refused(
                f"Changes a masked table in a way that may take its masks away ({subtype.removeprefix('AT_')}); ask "
                "somebody who is exempt from them."
            )
        if subtype in ("AT_AddConstraint", "AT_AddColumn"):
            for node in everything_within(command):
                if type(node).__name__ == "Constraint":
                    _constraint(binder, node, masks)
        _no_expressions(command, masks, "Computes from", _row(binder, message.relation))


def _constraint(binder: Binder, node: Message, masks: Mapping[str, Mask]) -> None:
    excluded = [each.name for each in everything_within(node) if type(each).__name__ == "IndexElem"]
    for name in (*strings(node.keys), *strings(node.fk_attrs), *excluded):
        if clip(name) in masks:
            _refuse(masks[clip(name)], "Makes a constraint, whose violations tell which values there are, on")
    if node.HasField("pktable"):
        referred = _columns(binder, node.pktable)
        names = {clip(name) for name in strings(node.pk_attrs)} or set(_key(binder, node.pktable))
        for name in names & set(referred):
            _refuse(referred[name], "Refers by a foreign key, whose violations tell which values there are, to")


def _key(binder: Binder, name: Message) -> list[str]:
    relation = look_up(binder.walk, name).relation
    if relation is None:
        return []
    return [column.name for column in relation.columns if column.number in relation.primary_key]


def _create(binder: Binder, message: Message) -> None:
    """CREATE TABLE that is LIKE, inherits from or refers to a masked table: copies no rows; partitions are masked."""
    for node in everything_within(message):
        if type(node).__name__ == "Constraint":
            _constraint(binder, node, {})
    for parent in message.inh_relations:
        relation = look_up(binder.walk, parent.range_var).relation
        if relation is not None and relation.oid in binder.plan.telling:
            raise Refused(
                f"Makes a partition by the masked column {binder.plan.telling[relation.oid]}: whether that fails tells "
                "of its values. Ask somebody who is exempt from its mask."
            )
        if _masks(binder, parent.range_var) and not message.HasField("partbound"):
            raise Refused("Makes a table that inherits from a masked one; ask somebody who is exempt from its masks.")


def _comment(binder: Binder, message: Message) -> None:
    """A comment or label may be what marks a column as masked."""
    raise Refused("Changes what is said of a masked column, by which it may be masked; ask whoever keeps its mask.")


_RULES: Mapping[str, Callable[[Binder, Message], None]] = {
    "AlterTableStmt": _alter,
    "ClusterStmt": _cluster,
    "CommentStmt": _comment,
    "CreateStmt": _create,
    "DropStmt": _nothing,
    "IndexStmt": _index,
    "LockStmt": _nothing,
    "RefreshMatViewStmt": _nothing,
    "ReindexStmt": _nothing,
    "SecLabelStmt": _comment,
    "TruncateStmt": _nothing,
    "VacuumStmt": _nothing,
}
