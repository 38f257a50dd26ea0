"""What a table promises of the values in its columns: CHECK constraints of one column, a partition's bounds, a domain's
conditions, an enumeration's labels. ``status IN ('a', 'b')`` is no limit where nothing else can be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from blastwall.sql.catalogue import Catalogue, Column, Type
from blastwall.sql.compiler import Compiler
from blastwall.sql.limits import LIMITS
from blastwall.sql.owners import variable_of
from blastwall.sql.parser import Unparsed, parse
from blastwall.sql.scope import Source
from blastwall.sql.tree import Message, column_paths, conjuncts, kind_of, unwrap
from blastwall.sql.truth import ANY, FALSE, TARGET, Owner, Truth, anybody
from blastwall.sql.values import Pool, Sample, Variable

MOST: Final = 40  # promises that are looked at
MOST_LABELS: Final = 100  # of an enumeration that are tried
_DOMAINS: Final = 20  # on domains


def keep_promises(target: Source, clauses: Sequence[Message], pool: Pool, catalogue: Catalogue | None) -> None:
    """From now on samples out of ``pool`` give columns of the target that ``clauses`` name only what may be stored."""
    if target.relation is None or catalogue is None:
        return
    names = {path[-1] for clause in clauses for path in column_paths(clause)}
    promised = {name: truths for name in names if (truths := list(_promised(target, name, catalogue, pool)))}
    for name, truths in promised.items():
        pool.promises[f"target.{name}"] = [_kept(truth) for truth in truths[:MOST]]


def _kept(truth: Truth) -> Callable[[Sample], bool]:
    return lambda sample: truth(sample) != FALSE


def _promised(target: Source, name: str, catalogue: Catalogue, pool: Pool) -> Iterator[Truth]:
    relation, column = target.relation, target.column(name)
    if relation is None or column is None:
        return
    variable = variable_of(target, name, f"target.{name}")
    for text in relation.promises:
        for clause in conditions(text):
            if {path[-1] for path in column_paths(clause)} == {name}:
                yield _compiled(clause, name, variable, pool)
    for type_ in _types(column, catalogue):
        for text in type_.promises:
            for clause in conditions(text):
                yield _compiled(clause, "value", variable, pool)
        if type_.labels:
            pool.texts.update(dict.fromkeys(type_.labels[:MOST_LABELS]))
            yield _labelled(variable, frozenset(type_.labels))


def _labelled(variable: Variable, labels: frozenset[str]) -> Truth:
    return lambda sample: ANY if sample.value(variable).text in labels else FALSE


def _types(column: Column, catalogue: Catalogue) -> Iterator[Type]:
    """A column's type, and what it is a domain on."""
    oid = column.type_oid
    for _ in range(_DOMAINS):
        found = catalogue.type_by_oid(oid)
        if found is None:
            return
        yield found
        oid = found.base_oid


def _compiled(clause: Message, name: str, variable: Variable, pool: Pool) -> Truth:
    def owner(path: list[str]) -> Owner | None:
        return Owner(TARGET, variable) if path[-1] == name else None

    return Compiler(owner, lambda compiler, node, depth: anybody, pool).truth(clause)


@lru_cache(maxsize=512)
def conditions(text: str) -> tuple[Message, ...]:
    """The parts of a stored condition that must all hold; none where it is too long or does not read."""
    written = f"SELECT 1 WHERE {text}"
    if len(written) > LIMITS.parse_inline_bytes:
        return ()
    try:
        statements = parse(written).statements
    except Unparsed:
        return ()
    select = unwrap(statements[0].stmt) if len(statements) == 1 else None
    if select is None or type(select).__name__ != "SelectStmt" or not kind_of(select.where_clause):
        return ()
    return tuple(conjuncts(select.where_clause))
