"""Snapshots as files: what goes in comes out, and a bad file says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blastwall.errors import ConfigFault
from blastwall.sql.catalogue import Cast, Catalogue, Column, ForeignKey, Function, Operator, Relation, Type
from blastwall.sql.catalogue_file import load, read, write

FIXTURE = Path(__file__).parents[2] / "fixtures" / "corpus" / "catalogue.json"

WHOLE = Catalogue(
    server_version=180006,
    database="shop",
    search_path_default=("alice", "public"),
    relations=[
        Relation(
            20001,
            "public",
            'we"ird\n',
            "v",
            persistence="u",
            columns=(
                Column(2, "é", 25, "pg_catalog", "text", not_null=True),
                Column(
                    3,
                    "full",
                    1043,
                    "pg_catalog",
                    "varchar",
                    type_modifier=24,
                    modified="character varying(20)",
                    comment="pii:email",
                    labels=("anon:MASKED", "x:"),
                    collation='pg_catalog."C"',
                    computed_from=(2,),
                ),
            ),
            has_rules=True,
            has_triggers=True,
            row_security=True,
            reads=((20002, 0), (20002, 3)),
            calls=(("pg_catalog", "upper"),),
            primary_key=(3, 2),
            unique=((2, 3), (0,)),
            foreign_keys=(ForeignKey((2,), 20002, (1,)),),
            definition=" SELECT 1;",
        ),
        Relation(20002, "public", "plain", "r"),
    ],
    functions=[Function(21001, "public", "f", "p", "s", (25, 23), 1, True, 2278)],
    operators=[Operator(22001, "public", "###", 0, 25, 25)],
    types=[
        Type(25, "pg_catalog", "text", "b"),
        Type(1009, "pg_catalog", "_text", "b", element_oid=25),
        Type(1043, "pg_catalog", "varchar", "b"),
        Type(23001, "public", "cell", "d", base_oid=1043, base_modified="character varying(7)"),
    ],
    casts=[Cast(24001, 25, 23, 21001, "i")],
    inherits=[(20002, 20001)],
    partitions=[(20002, (1, 3))],
)


def contents(catalogue: Catalogue) -> list[object]:
    head = [catalogue.server_version, catalogue.database, catalogue.search_path_default, catalogue.version]
    rows = [catalogue.relations, catalogue.all_functions, catalogue.operators, catalogue.types, catalogue.casts]
    return [*head, *rows, catalogue.inherits, catalogue.partitions]


def test_what_goes_in_comes_out() -> None:
    again = Catalogue.from_json(WHOLE.to_json())
    assert contents(again) == contents(WHOLE)
    assert write(again) == write(WHOLE)


def test_one_row_a_line() -> None:
    assert sum("20001" in line for line in write(WHOLE).splitlines()) == 2  # itself, and as a child


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(WHOLE.to_json())
    assert contents(load(file)) == contents(WHOLE)


def test_the_fixture_loads() -> None:
    catalogue = load(FIXTURE)
    found = catalogue.relation(None, "customers", catalogue.search_path_default)
    assert found and [column.name for column in found.columns][:4] == ["id", "name", "email", "ssn"]


def test_a_missing_or_binary_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"absent\.json: cannot be read"):
        load(tmp_path / "absent.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigFault, match="UTF-8"):
        load(tmp_path / "binary")


def test_a_file_that_is_not_json_names_the_line() -> None:
    with pytest.raises(ConfigFault) as caught:
        read('{\n"format": 1,\n]', "shop.json")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("shop.json", 3)
    assert "new snapshot" in problem.message


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("format", 1, '"format" is 1.*take a new snapshot'),
        ("server_version", "170010", "server_version"),
        ("server_version", True, "server_version"),
        ("database", None, "database"),
        ("search_path", "public", "search_path"),
        ("search_path", [1], "search_path"),
        ("relations", {}, "relations"),
        ("relations", [[1, "public", "a", "r", "p", ""]], "relations"),
        ("relations", [[1, "public", "a", "r", "p", "", [[1, "id", "23", False]], [], []]], "column"),
        ("relations", [[1, "public", "a", "r", "p", "", [[1, "id", 23, False, -1]], [], []]], "column"),
        (
            "relations",
            [[1, "public", "a", "r", "p", "", [[1, "a", 23, False, 9, "", "", [1], "", []]], [], []]],
            "column",
        ),
        ("relations", [[1, "public", "a", "r", "p", "", [], [], [], [1], [1], [], ""]], "numbers"),
        ("relations", [[1, "public", "a", "r", "p", "", [], [], [], [], [], [[1, 2]], ""]], "foreign key"),
        ("relations", [[1, "public", "a", "r", "p", "", [], [[1]], []]], "read"),
        ("relations", [[1, "public", "a", "r", "p", "", [], [], [["f"]]]], "call"),
        ("functions", [[1, "public", "f", "f", "v", ["25"], 0, False, 25]], "arg_types"),
        ("types", [[1, "public", "t", "b", 0, 0, None]], "types"),
        ("operators", [["1", "public", "+", 0, 0, 0]], "operators"),
        ("casts", ["x"], "casts"),
        ("inherits", [[1, 2, 3]], "inherits"),
    ],
)
def test_each_wrong_part_is_named(member: str, value: object, said: str) -> None:
    document = json.loads(WHOLE.to_json()) | {member: value}
    with pytest.raises(ConfigFault, match=said):
        read(json.dumps(document), "shop.json")


@pytest.mark.parametrize("text", ["[]", "1", "null", "{}"])
def test_another_document_altogether(text: str) -> None:
    with pytest.raises(ConfigFault, match="format"):
        read(text, "shop.json")
