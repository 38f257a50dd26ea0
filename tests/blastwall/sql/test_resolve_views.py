"""A rule about a table holds also where a view stands in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.model import Effect
from blastwall.protocols.postgres.classify import Surroundings, classify
from blastwall.sql.catalogue import Catalogue, Relation
from blastwall.sql.catalogue_file import load
from tests.blastwall.sql.judging import INT4, TEXT, column, judged, shop, table

CATALOGUE = load(Path(__file__).parents[2] / "fixtures" / "corpus" / "catalogue.json")
AROUND = Surroundings(catalogue=CATALOGUE, server_version=CATALOGUE.server_version)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM v_customers",
        "CREATE TABLE copied AS SELECT * FROM v_customers",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM v_customers)",
        "COPY (SELECT id FROM v_customers) TO STDOUT",
    ],
)
def test_what_a_view_reads_is_among_the_objects(text: str) -> None:
    objects = {str(each) for each in classify(text, AROUND).facts.objects}
    assert {"read view public.v_customers", "read table public.customers"} <= objects


TABLES = (
    table(20_001, "people", column(1, "id", INT4, "int4"), column(2, "name", TEXT, "text")),
    table(20_002, "teams", column(1, "id", INT4, "int4")),
    table(20_003, "ruled", column(1, "id", INT4, "int4"), has_rules=True),
    table(20_004, "watched", column(1, "id", INT4, "int4"), has_triggers=True),
    table(20_005, "split", column(1, "id", INT4, "int4"), kind="p"),
    table(20_006, "split_1", column(1, "id", INT4, "int4")),
    table(20_007, "split_far", column(1, "id", INT4, "int4"), kind="f"),
)


def view(oid: int, name: str, definition: str, *reads: int, schema: str = "public") -> Relation:
    columns = (column(1, "id", INT4, "int4"),)
    pairs = tuple((each, 1) for each in reads)
    return table(oid, name, *columns, schema=schema, kind="v", reads=pairs, definition=definition)


VIEWS = (
    view(20_101, "known", "SELECT id FROM people WHERE id IN (SELECT teams.id FROM teams)", 20_001, 20_002),
    view(20_102, "on_known", "SELECT id FROM known", 20_101),
    view(20_103, "unclear", "", 20_001, 20_002),
    view(20_104, "on_ruled", "SELECT id FROM ruled", 20_003),
    view(20_105, "on_on_ruled", "SELECT id FROM on_ruled", 20_104),
    view(20_106, "on_watched", "SELECT id FROM watched", 20_004),
    view(20_107, "mine", "SELECT id FROM people", 20_001, schema="pg_temp"),
    view(20_108, "my_secrets", "SELECT oid AS id FROM pg_authid", 1260, schema="pg_temp"),
    view(20_109, "on_split", "SELECT id FROM split", 20_005),
    replace(view(20_110, "kept", "SELECT id FROM known", 20_101), kind="m", calls=(("public", "counted"),)),
    view(20_111, "on_kept", "SELECT id FROM kept", 20_110),
    replace(view(20_112, "kept_secrets", "SELECT oid AS id FROM pg_authid", 1260), kind="m"),
)
AUTHID = Relation(1260, "pg_catalog", "pg_authid", "r")


def around(*parts: int) -> Surroundings:
    """With these as parts of "split", besides its own."""
    found = shop(relations=(*TABLES, *VIEWS, AUTHID))
    assert found.catalogue is not None
    catalogue = Catalogue(
        server_version=170_000,
        database="shop",
        search_path_default=("public",),
        relations=(*TABLES, *VIEWS, AUTHID),
        types=found.catalogue.types,
        inherits=[(20_005, each) for each in (20_006, *parts)],
    )
    return replace(found, catalogue=catalogue, temp=frozenset({"mine", "my_secrets"}))


def objects(text: str) -> set[str]:
    return {str(each) for each in judged(text, around()).objects}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("UPDATE known SET id = 1 WHERE id = 2", {"view public.known", "table public.people"}),
        ("DELETE FROM on_known WHERE id = 2", {"view public.on_known", "view public.known", "table public.people"}),
        ("INSERT INTO on_known VALUES (1)", {"view public.on_known", "view public.known", "table public.people"}),
        (
            "MERGE INTO known k USING (VALUES (1)) v(n) ON k.id = v.n WHEN MATCHED THEN DELETE",
            {"view public.known", "table public.people"},
        ),
        ("DELETE FROM unclear WHERE id = 2", {"view public.unclear", "table public.people", "table public.teams"}),
        ("DELETE FROM mine WHERE id = 2", {"table pg_temp.mine", "table public.people"}),
        ("DELETE FROM split_1 WHERE id = 2", {"table public.split_1", "table public.split"}),
    ],
)
def test_what_is_changed_through_a_view_or_a_partition_is_said_to_be_written(text: str, written: set[str]) -> None:
    assert {each.removeprefix("write ") for each in objects(text) if each.startswith("write ")} == written


def test_rules_triggers_and_foreign_parts_beneath_a_view_are_seen() -> None:
    for name in ("on_ruled", "on_on_ruled"):
        facts = judged(f"UPDATE {name} SET id = 1 WHERE id = 2", around())
        assert facts.effect is Effect.UNKNOWN and "rules" in facts.flags
    assert "triggers" in judged("DELETE FROM on_watched WHERE id = 2", around()).flags
    assert judged("DELETE FROM on_split WHERE id = 2", around()).effect is Effect.WRITE
    assert "foreign" in judged("DELETE FROM on_split WHERE id = 2", around(20_007)).flags


def test_a_temporary_view_hides_nothing_of_what_it_reads() -> None:
    assert objects("SELECT id FROM mine") == {"read table pg_temp.mine", "read table public.people"}
    assert judged("SELECT id FROM my_secrets", around()).effect is Effect.ADMINISTER


def test_a_partition_is_read_as_what_it_is_a_part_of() -> None:
    assert objects("SELECT id FROM split_1") == {"read table public.split_1", "read table public.split"}
    assert objects("SELECT id FROM split") == {"read table public.split"}


def test_a_materialised_view_is_read_as_what_it_was_made_of() -> None:
    within = {f"read {each}" for each in ("view public.known", "table public.people", "table public.teams")}
    assert objects("SELECT id FROM kept") == within | {"read materialized view public.kept"}
    assert within < objects("SELECT id FROM on_kept") and within < objects("REFRESH MATERIALIZED VIEW kept")
    assert judged("SELECT id FROM kept", around()).effect is Effect.READ  # what it calls ran when it was filled
    assert judged("SELECT id FROM kept_secrets", around()).effect is Effect.ADMINISTER
