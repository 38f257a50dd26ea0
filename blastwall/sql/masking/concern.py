"""Whether masking has a say in a statement at all. Asked of every statement where anything is masked: it is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from blastwall.masking.plan import Mask, Plan
from blastwall.model import Facts
from blastwall.sql.catalogue import TEMP_SCHEMA, Catalogue, Relation, clip
from blastwall.sql.masking.values import table
from blastwall.sql.resolve import Found
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import Message, everything_within, strings, unwrap

# Every relation that these name is among those that judging them resolves.
_RESOLVED = frozenset(
    {
        "CopyStmt",
        "CreateTableAsStmt",
        "DeallocateStmt",
        "DeclareCursorStmt",
        "DeleteStmt",
        "DiscardStmt",
        "ExecuteStmt",
        "ExplainStmt",
        "FetchStmt",
        "InsertStmt",
        "LockStmt",
        "MergeStmt",
        "PrepareStmt",
        "SelectStmt",
        "TransactionStmt",
        "UpdateStmt",
        "VacuumStmt",
        "VariableSetStmt",
        "VariableShowStmt",
        "ViewStmt",
    }
)
_COLUMN, _SCHEMA = 7, 37  # ObjectType


def concerned(
    message: Message | None,
    found: Mapping[tuple[str, str, str], object],
    surroundings: Surroundings,
    *,
    changes: bool = False,
) -> bool:
    """Whether masking has a say in a statement. ``found`` are the relations that judging it resolved, ``changes``
    whether it may change rows.

    Without a plan it costs nothing.
    """
    plan = surroundings.plan
    if not plan or message is None:
        return False
    kind = type(message).__name__
    if kind in ("ExecuteStmt", "FetchStmt", "ExplainStmt", "CreateTableAsStmt") and _named(message) is not None:
        return True
    if any(
        isinstance(each, Found)
        and (
            (each.relation is not None and (each.relation.oid in plan.relations or each.relation.oid in plan.opaque))
            or (not written and hides(each, name, surroundings))
        )
        for (_, written, name), each in found.items()
    ):
        return True
    if kind in _RESOLVED:
        return changes and _answers(found, surroundings)
    return mentions(message, surroundings)


def hides(found: Found, name: str, surroundings: Surroundings) -> bool:
    """Whether a name without a schema means a relation of the session's own, and a masked one once that is gone: by
    DROP, DISCARD, ROLLBACK or another search path, perhaps in this very text, or before a prepared statement is run.
    """
    return found.kind in ("temporary", "made") and clip(name) in _masked_names(surroundings)


_NAMES: WeakKeyDictionary[Catalogue, tuple[str, frozenset[str]]] = WeakKeyDictionary()


def _masked_names(surroundings: Surroundings) -> frozenset[str]:
    """Names of masked and opaque relations, whatever schema they are in; of those that stay when a session ends."""
    plan, catalogue = surroundings.plan, surroundings.catalogue
    if catalogue is None:
        return frozenset()
    version, names = _NAMES.get(catalogue, ("", frozenset()))
    if version != plan.version or not version:
        known = (catalogue.relation_by_oid(oid) for oid in {*plan.relations, *plan.opaque})
        names = frozenset(each.name for each in known if each is not None and each.schema != TEMP_SCHEMA)
        _NAMES[catalogue] = (plan.version, names)
    return names


def reaches(found: Mapping[tuple[str, str, str], object], surroundings: Surroundings, *, changes: bool) -> bool:
    """Whether what the database says of a statement over these relations may quote masked rows that it does not name.

    A change goes on to them through a view, from a table to its children, by a foreign key's action, or by a trigger,
    whatever that does. Reading does where a view's owner vouched for what it computes from masked columns, or a table
    lets through only rows that pass a test.
    """
    plan, catalogue = surroundings.plan, surroundings.catalogue
    if not plan or catalogue is None:
        return False
    if not changes:
        read = (each.relation for each in found.values() if isinstance(each, Found))
        return any(each is not None and _computes(each, plan, catalogue) for each in read)
    behind = _behind(plan, catalogue)
    return any(
        each.oid in plan.relations or each.oid in plan.opaque or each.oid in behind or each.has_triggers
        for each in _changed(found, catalogue)
    )


def _computes(relation: Relation, plan: Plan, catalogue: Catalogue) -> bool:
    """Whether reading a view, which shows nothing masked, may compute from masked columns."""
    waiting, seen, vouched = [relation], {relation.oid}, relation.oid in plan.vouched
    while waiting:
        below = waiting.pop()
        if below.oid in plan.relations and (vouched or below.row_security):
            return True
        vouched = vouched or below.oid in plan.vouched
        for oid, _ in below.reads:
            found = catalogue.relation_by_oid(oid)
            if found is not None and oid not in seen:
                seen.add(oid)
                waiting.append(found)
    return False


def _answers(found: Mapping[tuple[str, str, str], object], surroundings: Surroundings) -> bool:
    """Whether it may depend on masked values if these relations can be changed: their foreign keys refer to masked
    columns, or masked columns refer to them.
    """
    plan, catalogue = surroundings.plan, surroundings.catalogue
    if not plan or catalogue is None:
        return False
    bound = masked_keys(plan, catalogue)
    return any(each.oid in bound or shared_keys(each, plan) for each in _changed(found, catalogue))


def shared_keys(relation: Relation, plan: Plan) -> list[Mask]:
    """Masks of columns that are unique together with others."""
    masks = plan.relations.get(relation.oid)
    if not masks:
        return []
    keys = [key for key in relation.unique if len(key) > 1 or 0 in key]
    return [mask for number, mask in masks.items() if any(number in key or 0 in key for key in keys)]


def _changed(found: Mapping[tuple[str, str, str], object], catalogue: Catalogue) -> Iterator[Relation]:
    """The relations, what they are views of, and their partitions and children."""
    waiting = [each.relation for each in found.values() if isinstance(each, Found)]
    seen: set[int] = set()
    while waiting:
        relation = waiting.pop()
        if relation is None or relation.oid in seen:
            continue
        seen.add(relation.oid)
        yield relation
        waiting += [catalogue.relation_by_oid(oid) for oid, _ in relation.reads]
        waiting += catalogue.children(relation.oid)


@dataclass(frozen=True, slots=True)
class MaskedKey:
    """A foreign key with masked columns on one side or both: which ``columns`` of the relation it is listed under take
    part in it (numbers), whether that relation is the one that is referred to, and the names of the masked columns.
    """

    columns: frozenset[int]
    referred: bool
    masked: frozenset[str]


_KEYS: WeakKeyDictionary[Catalogue, tuple[str, Mapping[int, tuple[MaskedKey, ...]]]] = WeakKeyDictionary()


def masked_keys(plan: Plan, catalogue: Catalogue) -> Mapping[int, tuple[MaskedKey, ...]]:
    """Foreign keys with masked columns, by the oid of each relation that they bind."""
    version, known = _KEYS.get(catalogue, ("", {}))
    if version == plan.version and version:
        return known
    made: dict[int, tuple[MaskedKey, ...]] = {}
    for relation in catalogue.relations:
        for key in relation.foreign_keys:
            own, theirs = plan.relations.get(relation.oid, {}), plan.relations.get(key.relation, {})
            masked = frozenset(
                mask.column
                for masks, numbers in ((own, key.columns), (theirs, key.referenced))
                for number, mask in masks.items()
                if number in numbers
            )
            if masked:
                refers = MaskedKey(frozenset(key.columns), False, masked)
                made[relation.oid] = (*made.get(relation.oid, ()), refers)
                referred = MaskedKey(frozenset(key.referenced), True, masked)
                made[key.relation] = (*made.get(key.relation, ()), referred)
    _KEYS[catalogue] = (plan.version, made)
    return made


_BEHIND: WeakKeyDictionary[Catalogue, tuple[str, frozenset[int]]] = WeakKeyDictionary()


def _behind(plan: Plan, catalogue: Catalogue) -> frozenset[int]:
    """Relations that masked ones refer to, directly or through others: their changes may go on to masked rows."""
    version, found = _BEHIND.get(catalogue, ("", frozenset()))
    if version == plan.version and version:
        return found
    behind: set[int] = set()
    waiting = list(plan.relations)
    while waiting:
        relation = catalogue.relation_by_oid(waiting.pop())
        for key in relation.foreign_keys if relation is not None else ():
            if key.relation not in behind:
                behind.add(key.relation)
                waiting.append(key.relation)
    found = frozenset(behind)
    _BEHIND[catalogue] = (plan.version, found)
    return found


def goes_around(facts: Facts) -> str:
    """Why a statement could show masked values without reading the relations that hold them; "" when it could not.

    Asked only where anything is masked.
    """
    around = table()["around"]
    if facts.verb in around["verbs"] or not facts.flags.isdisjoint(around["flags"]):
        return (
            f"Masked values could come out of this statement by another road than their tables. {facts.reason} Where "
            "columns are masked it does not run."
        )
    return ""


def _named(message: Message) -> Message | None:
    """The EXECUTE or FETCH that a statement is or carries."""
    for _ in range(3):
        kind = type(message).__name__
        if kind in ("ExecuteStmt", "FetchStmt"):
            return message
        if kind not in ("ExplainStmt", "CreateTableAsStmt"):
            return None
        inner = unwrap(message.query)
        if inner is None:
            return None
        message = inner
    return None


def mentions(message: Message, surroundings: Surroundings) -> bool:
    """Whether a statement that defines something names a masked relation anywhere."""
    plan, catalogue = surroundings.plan, surroundings.catalogue
    if catalogue is None:
        return False
    kind = type(message).__name__
    names: list[tuple[str, str]] = []
    for node in everything_within(message):
        if type(node).__name__ == "RangeVar":
            names.append((node.schemaname, node.relname))
    if kind in ("CommentStmt", "SecLabelStmt") and message.objtype == _COLUMN:
        path = strings(message.object.list.items)
        found = _relation(surroundings, path[:-1])
        column = found.column(path[-1]) if found is not None else None
        return found is not None and column is not None and column.number in plan.relations.get(found.oid, {})
    if kind == "RenameStmt" and message.rename_type == _SCHEMA:
        masked = (catalogue.relation_by_oid(oid) for oid in plan.relations)
        return any(each is not None and each.schema == clip(message.subname) for each in masked)
    for schema, name in names:
        found = _relation(surroundings, [schema, name] if schema else [name])
        if found is not None and (found.oid in plan.relations or found.oid in plan.opaque):
            return True
    return False


def _relation(surroundings: Surroundings, path: list[str]) -> Relation | None:
    catalogue = surroundings.catalogue
    if catalogue is None or not path:
        return None
    schema = path[-2] if len(path) > 1 else None
    return catalogue.relation(schema, path[-1], surroundings.search_path, temp=False)
