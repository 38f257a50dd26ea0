"""How masks spread in a database: to partitions, children, parents and generated columns; and what becomes opaque.

A query of a parent returns its children's rows, and a child can be queried by its own name: so a column is masked in a
whole family or not at all. Views are not followed here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import replace

from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.masking.strategies import shape_of, stand_in
from blastwall.sql.catalogue import Catalogue, Column, Relation

FOREIGN, MATERIALISED, VIEW = "f", "m", "v"

Masks = dict[int, dict[int, Mask]]


def spread(masks: Masks, shown: Container[tuple[int, int]], catalogue: Catalogue) -> None:
    """Add to ``masks`` (by relation oid and column number) what follows from it.

    ``shown`` are columns whose owner says that they show nothing: that holds for generated ones, which would be masked
    by what they are computed from.
    """
    computed = [
        (relation, column) for relation in catalogue.relations for column in relation.columns if column.computed_from
    ]
    families = [
        (parent, child)
        for parent, child in (
            (catalogue.relation_by_oid(above), catalogue.relation_by_oid(below)) for above, below in catalogue.inherits
        )
        if parent is not None and child is not None and parent.columns and child.columns
    ]
    changed = True
    while changed:
        changed = False
        for parent, child in families:
            changed |= _hand_on(masks, parent, child)
            changed |= _hand_on(masks, child, parent)
        for relation, column in computed:
            if (relation.oid, column.number) in shown or column.number in masks.get(relation.oid, {}):
                continue
            source = _computed_from_mask(masks, relation, column)
            if source is not None:
                masks.setdefault(relation.oid, {})[column.number] = _derived(source, relation, column, catalogue)
                changed = True


def hand_down(shown: Set[tuple[int, int]], masks: Masks, catalogue: Catalogue) -> frozenset[tuple[int, int]]:
    """``shown`` with the same columns of partitions and children, without what is masked after all."""
    whole = set(shown)
    for oid, number in shown:
        relation = catalogue.relation_by_oid(oid)
        column = next((each for each in relation.columns if each.number == number), None) if relation else None
        for child in catalogue.children(oid) if column is not None else ():
            same = child.column(column.name) if column is not None else None
            if same is not None:
                whole.add((child.oid, same.number))
    return frozenset((oid, number) for oid, number in whole if number not in masks.get(oid, {}))


def _hand_on(masks: Masks, giver: Relation, taker: Relation) -> bool:
    """Mask in ``taker`` what is masked in ``giver``; a mask of its own stays."""
    given = masks.get(giver.oid)
    changed = False
    for column in giver.columns if given else ():
        mask = masks[giver.oid].get(column.number)
        same = taker.column(column.name)
        if mask is None or same is None or same.number in masks.get(taker.oid, {}):
            continue
        name = f"{taker.schema}.{taker.name}.{same.name}"
        origin = mask.origin if " through " in mask.origin else f"{mask.origin} through {mask.column}"
        masks.setdefault(taker.oid, {})[same.number] = replace(mask, column=name, origin=origin)
        changed = True
    return changed


def _computed_from_mask(masks: Masks, relation: Relation, column: Column) -> Mask | None:
    known = masks.get(relation.oid, {})
    numbers = known if 0 in column.computed_from else column.computed_from
    return next((known[number] for number in numbers if number in known), None)


def _derived(source: Mask, relation: Relation, column: Column, catalogue: Catalogue) -> Mask:
    """Whether anything came of computing is a function of the value: it is hidden too."""
    shape = shape_of(column, catalogue)
    return Mask(
        column=f"{relation.schema}.{relation.name}.{column.name}",
        strategy=Strategy.REDACT,
        predicates=Predicates.DENY,
        source=stand_in(column, catalogue, absence=True),
        origin=f"{source.origin} through {source.column}",
        type_oid=shape.oid,
        length=shape.length,
        absence=True,
    )


def opaque(
    masks: Mapping[int, Mapping[int, Mask]], described: Set[int], vouched: Set[int], catalogue: Catalogue
) -> dict[int, str]:
    """Foreign tables, and materialised views over masked columns, with the reason for the agent.

    ``described`` are relations that rules speak of: they show what the rules say. ``vouched`` are those whose owner
    says that they show nothing.
    """
    found: dict[int, str] = {}
    hazy: set[int] = set()  # what may show masked values in columns that have no mask
    for relation in _in_reading_order(catalogue):
        name = f"{relation.schema}.{relation.name}"
        known = relation.oid in described or relation.oid in masks
        if relation.oid in vouched or (known and relation.kind != VIEW):
            continue
        if relation.kind == FOREIGN:
            hazy.add(relation.oid)
            found[relation.oid] = (
                f"{name} is a foreign table: nothing tells whether what it shows is masked. Ask whoever keeps the "
                "masking rules to describe its columns"
            )
        elif relation.kind in (MATERIALISED, VIEW):
            through = next((oid for oid, number in relation.reads if _tells(masks, hazy, oid, number)), None)
            if through is None:
                continue
            hazy.add(relation.oid)
            if relation.kind == MATERIALISED:
                below = catalogue.relation_by_oid(through)
                over = f"{below.schema}.{below.name}" if below is not None else "another relation"
                found[relation.oid] = (
                    f"{name} is a materialised view that keeps values computed from masked columns of {over}. Query "
                    f"{over} itself, or ask whoever keeps the masking rules to describe its columns"
                )
    return found


def telling(masks: Masks, vouched: Container[int], catalogue: Catalogue) -> tuple[dict[int, str], dict[int, str]]:
    """Tables of whose rows the partition that each is in tells what a masked column holds, with that column; and their
    partitions, which are opaque, with the reason for the agent.
    """
    tables: dict[int, str] = {}
    parts: dict[int, str] = {}
    for oid, key in catalogue.partitions:
        table = catalogue.relation_by_oid(oid)
        mask = next((masks[oid][number] for number in key if number in masks.get(oid, {})), None)
        if table is None or mask is None:
            continue
        family = (table, *catalogue.parents(oid), *catalogue.children(oid))
        tables.update({each.oid: mask.column for each in family if each.oid not in vouched})
        whole = f"{table.schema}.{table.name}"
        for each in catalogue.children(oid):
            if each.oid not in vouched:
                parts[each.oid] = (
                    f"{each.schema}.{each.name} holds the rows of {whole} that have certain values of the masked "
                    f"column {mask.column}. Query {whole} itself"
                )
    return tables, parts


def _tells(masks: Mapping[int, Mapping[int, Mask]], hazy: Set[int], oid: int, number: int) -> bool:
    """Does a query that depends on that column (0: on the whole relation) perhaps return what is masked?"""
    return oid in hazy or (oid in masks and (number == 0 or number in masks[oid]))


def _in_reading_order(catalogue: Catalogue) -> Iterator[Relation]:
    """Every relation after those it reads."""
    done: set[int] = set()
    for start in catalogue.relations:
        waiting = [start]
        while waiting:
            relation = waiting[-1]
            before = [
                found
                for found in (catalogue.relation_by_oid(oid) for oid in {oid for oid, _ in relation.reads})
                if found is not None and found.oid not in done and found not in waiting
            ]
            if before and relation.oid not in done:
                waiting.extend(before[:1])
                continue
            waiting.pop()
            if relation.oid not in done:
                done.add(relation.oid)
                yield relation
