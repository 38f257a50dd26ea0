"""The rewritten query on the real database gives what the query itself gives on one that really holds the masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blastwall.masking.plan import Output, Plan, Predicates, Strategy
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.classify import Finding, classify, offline
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.surroundings import Surroundings
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.masking.masks import plan_of
from tests.blastwall.sql.masking.queries import CANARY, MASKED, SCHEMA, Maker

Session = psycopg.Connection[Any]


class Pair(NamedTuple):
    real: Session
    twin: Session
    catalogue: Catalogue

    def around(self, predicates: Predicates, strategy: Strategy = Strategy.REDACT) -> Surroundings:
        plan = plan_of(self.catalogue, MASKED, strategy, predicates)
        return replace(offline(self.catalogue), plan=plan)

    def plan(self, predicates: Predicates) -> Plan:
        return plan_of(self.catalogue, MASKED, predicates=predicates)


@pytest.fixture(scope="module")
def pair(postgres17: EmbeddedPostgres) -> Iterator[Pair]:
    for name in ("masking_real", "masking_twin"):
        postgres17.drop_database(name)
        postgres17.create_database(name)
    with (
        psycopg.connect(postgres17.dsn("masking_real"), autocommit=True) as real,
        psycopg.connect(postgres17.dsn("masking_twin"), autocommit=True) as twin,
    ):
        for session in (real, twin):
            session.execute(SCHEMA.encode())
        catalogue = snapshot.take(lambda sql: real.execute(sql.encode()).fetchall()[0][0])
        made = Pair(real, twin, catalogue)
        plan = made.plan(Predicates.DENY)
        for oid, masks in plan.relations.items():
            relation = catalogue.relation_by_oid(oid)
            assert relation is not None
            for column in relation.columns:
                if relation.kind == "r" and column.number in masks:
                    value = masks[column.number].source.replace("{}", column.name)
                    twin.execute(f"UPDATE {relation.name} SET {column.name} = {value}".encode())
        # What the view computes from a masked column is masked as a whole.
        shown = catalogue.relation("public", "shown", ())
        assert shown is not None
        loud = shown.column("loud")
        assert loud is not None
        value = plan.relations[shown.oid][loud.number].source.replace("{}", "p.email")
        twin.execute(
            f"CREATE OR REPLACE VIEW shown AS SELECT p.id, p.ssn AS number, {value} AS loud, o.total "
            "FROM people AS p LEFT JOIN orders AS o ON o.person = p.id".encode()
        )
        yield made
    for name in ("masking_real", "masking_twin"):
        postgres17.drop_database(name)


def rows(session: Session, text: str, outputs: Sequence[Output] | None = None) -> list[str]:
    """Every value as the server writes it: a row of a sub-select is of another type, and written alike."""
    result = session.execute(text.encode()).pgresult
    assert result is not None
    columns = range(result.nfields)
    if outputs is not None:
        told = [(column_name(result, each), (result.ftable(each), result.ftablecol(each))) for each in columns]
        assert len(outputs) == len(told)
        for output, (name, origin) in zip(outputs, told, strict=True):
            assert output.name == name
            assert output.origin in (origin, None), (text, name, origin, output.origin)
    return sorted(repr([result.get_value(row, column) for column in columns]) for row in range(result.ntuples))


def column_name(result: Any, column: int) -> str:
    return bytes(result.fname(column)).decode()


def compare(pair: Pair, text: str, predicates: Predicates) -> Finding:
    finding = classify(text, pair.around(predicates))
    assert not finding.facts.refusal, (text, finding.facts.refusal)
    assert finding.facts.effect.value == "read", (text, finding.facts)
    found = rows(pair.real, finding.masked or text, finding.treatment.outputs)
    assert found == rows(pair.twin, text), (text, finding.masked)
    assert CANARY not in "".join(found), text
    return finding


LIMITS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@given(data=st.data())
@LIMITS
def test_queries_that_show_masked_columns(pair: Pair, data: st.DataObject) -> None:
    compare(pair, Maker(lambda options: data.draw(st.sampled_from(options)), free=False).query(), Predicates.DENY)


@given(data=st.data())
@LIMITS
def test_queries_that_compute_with_them_where_policy_allows_it(pair: Pair, data: st.DataObject) -> None:
    compare(pair, Maker(lambda options: data.draw(st.sampled_from(options)), free=True).query(), Predicates.ALLOW)


@given(data=st.data())
@LIMITS
def test_raw_values_come_up_in_columns_of_the_sink_and_nowhere_else(pair: Pair, data: st.DataObject) -> None:
    """With hash the real values come up where a column is shown as it stands, and the treatment says where that is."""
    free = data.draw(st.booleans())
    text = Maker(lambda options: data.draw(st.sampled_from(options)), free=free).query()
    finding = classify(text, pair.around(Predicates.ALLOW, Strategy.HASH))
    assert not finding.facts.refusal, (text, finding.facts.refusal)
    result = pair.real.execute((finding.masked or text).encode()).pgresult
    assert result is not None
    outputs = finding.treatment.outputs
    for column in range(result.nfields):
        values = {result.get_value(row, column) or b"" for row in range(result.ntuples)}
        raw = {value for value in values if CANARY.encode() in value.lower()}
        if outputs is None or outputs[column].sink is None:
            assert not raw, (text, column)
        else:
            assert values - raw <= {b""}, (text, column)
            assert outputs[column].origin is not None or "JOIN" in text
