"""Views over masked columns: what each of their columns shows, followed through their queries. Views are never inlined
(their owner's rights matter): a view is masked where it is read, like a table.

A column that is a masked one as it stands has the same mask; one that is computed from masked ones shows a constant.
A view that chooses, joins, groups or sorts its rows by a masked column tells of it with every row: it is opaque, and
so is one whose query cannot be followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.masking.strategies import shape_of, stand_in
from blastwall.sql.catalogue import Catalogue, Column, Relation
from blastwall.sql.facts import Ledger
from blastwall.sql.masking.binder import Binder
from blastwall.sql.masking.changes import change
from blastwall.sql.masking.levels import Level
from blastwall.sql.masking.selects import query
from blastwall.sql.masking.values import Entry, Refused
from blastwall.sql.parser import Unparsed, parse
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import unwrap
from blastwall.sql.walk import Walk

_REMEMBERED = 64
_MADE: dict[int, tuple[Plan, Plan]] = {}  # by the id of a plan, which it keeps alive
_VIEWS = frozenset("vm")
_STRICT = (Predicates.DENY, Predicates.EQUALITY, Predicates.ALLOW)


def with_views(plan: Plan, catalogue: Catalogue) -> Plan:
    """The plan with what views show of masked columns. Its version is the plan's: both follow from the same.

    Made once for each plan: sessions with the same rules share it.
    """
    if not plan:
        return plan
    made = _MADE.get(id(plan))
    if made is None:
        if len(_MADE) >= _REMEMBERED:
            _MADE.clear()
        made = _MADE[id(plan)] = (plan, _with_views(plan, catalogue))
    return made[1]


def _with_views(plan: Plan, catalogue: Catalogue) -> Plan:
    masks = {oid: dict(columns) for oid, columns in plan.relations.items()}
    opaque = dict(plan.opaque)
    for view in _in_reading_order(catalogue):
        known = view.oid in masks or view.oid in opaque or view.oid in plan.vouched
        if known and not (view.kind == "v" and view.oid in masks):
            continue
        if not any(oid in masks or oid in opaque for oid, _ in view.reads):
            continue
        found = _follow(view, replace(plan, relations=masks, opaque=opaque), catalogue)
        if isinstance(found, str):
            opaque[view.oid] = found
        elif found:
            masks[view.oid] = {**found, **masks.get(view.oid, {})}
    return replace(plan, relations=masks, opaque=opaque)


def _in_reading_order(catalogue: Catalogue) -> Iterator[Relation]:
    """Every view after those it reads."""
    done: set[int] = set()
    for start in catalogue.relations:
        if start.kind not in _VIEWS or not start.reads:
            continue
        waiting = [start]
        while waiting:
            view = waiting[-1]
            before = [
                found
                for found in (catalogue.relation_by_oid(oid) for oid in sorted({oid for oid, _ in view.reads}))
                if found is not None and found.kind in _VIEWS and found.oid not in done and found not in waiting
            ]
            if before and view.oid not in done:
                waiting.append(before[0])
                continue
            waiting.pop()
            if view.oid not in done:
                done.add(view.oid)
                yield view


def _follow(view: Relation, plan: Plan, catalogue: Catalogue) -> dict[int, Mask] | str:
    """Masks by column number, or why nobody can tell."""
    name = f"{view.schema}.{view.name}"
    around = Surroundings(
        catalogue=catalogue,
        search_path=catalogue.search_path_default,
        server_version=catalogue.server_version,
        plan=plan,
    )
    binder = Binder(Walk(around, Ledger("view"), {}), _permissive(plan), query, change, as_it_stands=True)
    try:
        tree = parse(view.definition)
        if len(tree.statements) != 1:
            raise Refused("The query of the view is not known.")
        columns = query(binder, unwrap(tree.statements[0].stmt), Level())
    except (Refused, Unparsed):
        return (
            f"{name} is a view that uses masked columns in a way that nobody can follow; query the tables themselves, "
            "or ask whoever keeps the masking rules to vouch for the view."
        )
    if binder.filters or any(leaf.compared for leaf in binder.leaves):
        masked = min(binder.masked)
        return (
            f"{name} is a view that chooses, joins, groups or sorts its rows by the masked column {masked}, which they "
            "tell of; query the tables themselves, or ask whoever keeps the masking rules to vouch for the view."
        )
    if len(columns) != len(view.columns):
        return f"{name} is a view over masked columns whose query has other columns than it; ask for its definition."
    found = {}
    policies = {mask.column: mask.predicates for known in plan.relations.values() for mask in known.values()}
    for column, entry in zip(view.columns, columns, strict=True):
        mask = _mask_of(view, column, entry, catalogue, policies)
        if mask is not None and (view.oid, column.number) not in plan.shown:
            found[column.number] = mask
    return found


def _permissive(plan: Plan) -> Plan:
    """The same masks, any use of which is let: what they are used for is looked at afterwards."""
    return replace(
        plan,
        relations={
            oid: {number: replace(mask, predicates=Predicates.ALLOW) for number, mask in columns.items()}
            for oid, columns in plan.relations.items()
        },
    )


def _mask_of(
    view: Relation, column: Column, entry: Entry, catalogue: Catalogue, policies: Mapping[str, Predicates]
) -> Mask | None:
    value = entry.value
    if not value.leaves:
        return None
    masks = sorted((leaf.mask for leaf in value.leaves), key=lambda mask: mask.column)
    first = masks[0]
    shape = shape_of(column, catalogue)
    origin = first.origin if " through " in first.origin else f"{first.origin} through {first.column}"
    named = f"{view.schema}.{view.name}.{column.name}"
    same = (first.type_oid, first.length) == (shape.oid, shape.length) and len({mask.source for mask in masks}) == 1
    strictest = min((policies[mask.column] for mask in masks), key=_STRICT.index)
    if value.bare and not value.mixed and not value.row and same:
        return replace(first, column=named, origin=origin, predicates=strictest)
    if strictest is Predicates.EQUALITY:  # of the column itself, which this is not
        strictest = Predicates.DENY
    absence = not value.bare or any(mask.absence for mask in masks)  # whether something came of computing tells, too
    source = stand_in(column, catalogue, absence=absence)
    return Mask(named, Strategy.REDACT, strictest, source, origin, shape.oid, shape.length, absence)
