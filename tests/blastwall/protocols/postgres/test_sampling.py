"""Looking at a database's rows: everything is seen, nothing is changed, and what cannot be seen is said."""

from __future__ import annotations

import pytest

from blastwall.errors import UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres.sampling import LONGEST, Samples, sample
from rig.postgres import EmbeddedPostgres

SEED = '''
CREATE SCHEMA "Odd one";
CREATE TABLE "Odd one"."T ""x""" ("a b" text, gone int, c int[]);
ALTER TABLE "Odd one"."T ""x""" DROP COLUMN gone;
INSERT INTO "Odd one"."T ""x""" VALUES ('x', '{1,2}'), (NULL, NULL);
CREATE TABLE large AS SELECT n, repeat('x', 2000) AS long FROM generate_series(1, 20000) AS n;
CREATE TABLE parent (id int, word text) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parent FOR VALUES IN (1);
INSERT INTO parent VALUES (1, 'p');
CREATE TABLE empty (a int); CREATE TABLE nothing ();
CREATE VIEW seen AS SELECT * FROM large;
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
CREATE TABLE forbidden (a text); INSERT INTO forbidden VALUES ('x');
DROP ROLE IF EXISTS surveyor; CREATE ROLE surveyor LOGIN PASSWORD 'w';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO surveyor; REVOKE ALL ON forbidden FROM surveyor;
ANALYZE;
'''


@pytest.fixture(scope="module")
def url(postgres18: EmbeddedPostgres, database18: str) -> str:
    postgres18.psql(SEED, database=database18)
    return f"{postgres18.dsn(database18)}?sslmode=disable"


def look(
    url: str, password: Secret | None = None, rows: int = 50, seconds: float = 30.0
) -> tuple[Samples, list[tuple[int, int, str]]]:
    told: list[tuple[int, int, str]] = []
    return sample(url, password, rows, seconds, lambda *step: told.append(step)), told


def values(samples: Samples, schema: str, name: str) -> dict[str, list[str | None]]:
    relation = samples.catalogue.relation(schema, name, ())
    assert relation is not None
    return {column.name: samples.values[relation.oid][column.number] for column in relation.columns}


def test_every_kind_of_table_is_seen_as_text(url: str) -> None:
    samples, told = look(url)
    assert values(samples, "Odd one", 'T "x"') == {"a b": ["x", None], "c": ["{1,2}", None]}
    assert values(samples, "public", "parent") == {"id": ["1"], "word": ["p"]}
    assert values(samples, "public", "kept") == {"one": ["1"]}
    assert values(samples, "public", "empty") == {"a": []}
    assert not samples.skipped
    seen = {relation.name for relation in samples.catalogue.relations if relation.oid in samples.values}
    assert seen == {'T "x"', "large", "parent", "kept", "empty", "forbidden"}
    assert samples.tables == len(seen)
    assert [step[:2] for step in told] == [(number, len(seen)) for number in range(len(seen) + 1)]
    assert ("public.large" in [name for _, _, name in told]) and told[-1][2] == ""


def test_a_large_table_is_looked_at_here_and_there_and_values_are_clipped(url: str) -> None:
    samples, _ = look(url)
    large = values(samples, "public", "large")
    numbers = [int(number or 0) for number in large["n"]]
    assert 1 <= len(numbers) <= 50 and numbers != list(range(1, 51))
    assert {len(text or "") for text in large["long"]} == {LONGEST}


def test_what_may_not_be_read_is_said_and_the_rest_is_seen(url: str, postgres18: EmbeddedPostgres) -> None:
    other = url.replace(f"//postgres:{postgres18.password}@", "//surveyor@")
    samples, _ = look(other, Secret("w"))
    assert set(samples.skipped) == {"public.forbidden", 'Odd one.T "x"'}
    assert "permission denied" in samples.skipped["public.forbidden"]
    assert values(samples, "public", "parent")["word"] == ["p"]


def test_when_the_time_is_up_it_says_what_it_left_out(url: str) -> None:
    samples, _ = look(url, seconds=0.0)
    assert set(samples.skipped.values()) == {"the time was up"} and not samples.values


def test_an_address_that_is_none_and_a_database_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="write postgresql://"):
        look("mysql://x")
    with pytest.raises(UpstreamFault):
        look("postgresql://u@127.0.0.1:1/d?sslmode=disable")
