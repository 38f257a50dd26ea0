"""Plans, and texts judged under them: what the tests of masking share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.masking.strategies import Options, Unfit, shape_of, source_of
from blastwall.protocols.postgres.classify import Finding, classify
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.masking import with_views
from tests.blastwall.sql.judging import corpus, corpus_catalogue

COLUMNS = {"customers": ("ssn", "email", "profile")}


def plan_of(
    catalogue: Catalogue,
    columns: Mapping[str, tuple[str, ...]],
    strategy: Strategy = Strategy.REDACT,
    predicates: Predicates = Predicates.DENY,
    schema: str = "public",
) -> Plan:
    """Columns of tables masked by one strategy; where it does not fit the type by redact."""
    relations: dict[int, dict[int, Mask]] = {}
    for table, names in columns.items():
        relation = catalogue.relation(schema, table, ())
        assert relation is not None, table
        for name in names:
            column = relation.column(name)
            assert column is not None, name
            shape = shape_of(column, catalogue)
            fitting = strategy
            try:
                source_of(strategy, Options(), column, catalogue)
            except Unfit:
                fitting = Strategy.REDACT
            relations.setdefault(relation.oid, {})[column.number] = Mask(
                f"{schema}.{table}.{name}",
                fitting,
                predicates,
                source_of(fitting, Options(), column, catalogue),
                "masking.yaml:1",
                shape.oid,
                shape.length,
            )
    version = f"{columns} {strategy} {predicates}"
    return with_views(Plan(relations, version=version, marks=frozenset({"***", "hash:"})), catalogue)


@cache
def corpus_plan(strategy: Strategy = Strategy.REDACT, predicates: Predicates = Predicates.DENY) -> Plan:
    """customers.ssn, .email and .profile of the corpus database."""
    return plan_of(corpus_catalogue(), COLUMNS, strategy, predicates)


def found(
    text: str,
    predicates: Predicates = Predicates.DENY,
    strategy: Strategy = Strategy.REDACT,
    **changes: object,
) -> Finding:
    """A text judged in the corpus database."""
    return classify(text, corpus(plan=corpus_plan(strategy, predicates), **changes))


def refusal(text: str, predicates: Predicates = Predicates.DENY, **changes: object) -> str:
    """Why a text does not run; "" when it does."""
    finding = found(text, predicates, **changes)
    assert finding.error is None and "internal_error" not in finding.facts.flags, (text, finding.error)
    return finding.facts.refusal


def masked(text: str, predicates: Predicates = Predicates.DENY, **changes: object) -> str:
    """What goes upstream for a text that must not be refused."""
    finding = found(text, predicates, **changes)
    assert finding.error is None and not finding.facts.refusal, finding.facts
    assert "internal_error" not in finding.facts.flags
    return finding.masked if finding.masked is not None else text
