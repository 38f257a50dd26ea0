"""Masks in a session: what goes upstream, what follows its names, and what a changed catalogue does to both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from blastwall.errors import ClientFault
from blastwall.masking.patterns import names
from blastwall.masking.plan import Predicates, Strategy
from blastwall.masking.rules import Rule, Rules
from blastwall.model import Parameter, Statement, StatementKind
from blastwall.protocols.postgres.names import Prepared
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reading import SessionReader
from blastwall.protocols.postgres.shelf import Shelf
from rig.postgres import EmbeddedPostgres
from tests.blastwall.protocols.postgres.test_reading import Desk, desk

SCHEMA = """
CREATE TABLE people (id integer PRIMARY KEY, name text, ssn text, mail text);
CREATE VIEW shown AS SELECT id, ssn AS number FROM people;
INSERT INTO people VALUES (1, 'Ada', '123-45-6789', 'ada@mail.example');
"""


def rules(*columns: str, predicates: Predicates = Predicates.DENY) -> Rules:
    return Rules(tuple(Rule(Strategy.REDACT, names(column, 3), predicates=predicates) for column in columns))


@pytest.fixture
async def people(postgres17: EmbeddedPostgres, database17: str) -> AsyncIterator[Desk]:
    postgres17.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + SCHEMA, database=database17)
    made = await masked_desk(postgres17, database17, rules("public.people.ssn", "public.people.mail"))
    yield made
    made.legs.up_wire.close()


async def masked_desk(server: EmbeddedPostgres, database: str, masks: Rules) -> Desk:
    made = await desk(server, database, Shelf())
    made.reader = SessionReader(made.legs, Shelf(), made.reader._classifier, "t", "d", Options(), masks)
    await made.reader.refresh()
    return made


def upstream(made: Desk, text: str, number: int = 1) -> str:
    return made.reader.rewrite(Statement(text, number=number))


def refusal(made: Desk, text: str, parameters: Sequence[bytes] = ()) -> str:
    bound = tuple(Parameter(value) for value in parameters)
    return made.reader.classify(Statement(text, StatementKind.EXECUTE, bound, number=1)).refusal


async def test_what_goes_upstream_has_the_masks(people: Desk) -> None:
    assert "'***'" in upstream(people, "SELECT ssn FROM people")
    assert "'***'" in upstream(people, "SELECT number FROM shown")
    assert upstream(people, "SELECT id, name  FROM people") == "SELECT id, name  FROM people"
    assert refusal(people, "SELECT upper(ssn) FROM people")
    assert people.reader.find("SELECT ssn FROM people").treatment.touches


async def test_a_text_with_other_literals_has_its_own(people: Desk) -> None:
    one, two = (upstream(people, f"SELECT ssn FROM people WHERE id = {number}") for number in (1, 2))
    assert one.endswith("id = 1") and two.endswith("id = 2")


async def test_masks_and_upstream_names_go_together(people: Desk) -> None:
    text = upstream(people, "PREPARE mine AS SELECT ssn FROM people")
    assert text.startswith("PREPARE blastwall_1 AS SELECT ssn FROM (SELECT CASE")
    await people.run("PREPARE other AS SELECT ssn, id FROM people")
    finding = people.reader.find("EXECUTE other")
    assert [bool(each.masks) for each in finding.treatment.outputs or ()] == [True, False]
    await people.run("BEGIN")
    await people.run("DECLARE rows CURSOR FOR SELECT id, mail FROM people")
    finding = people.reader.find("FETCH rows")
    assert [bool(each.masks) for each in finding.treatment.outputs or ()] == [False, True]
    await people.run("ROLLBACK")


async def test_a_mask_that_is_bound_to_a_parameter_is_not_stored(people: Desk) -> None:
    text = "UPDATE people SET ssn = $1 WHERE id = $2"
    assert not refusal(people, text)
    assert not refusal(people, text, [b"987-65-4321", b"1"])
    assert "real value would be lost" in refusal(people, text, [b"***", b"1"])
    assert "real value would be lost" in refusal(people, text, [b"xx-xx-6789", b"1"])


async def test_a_new_column_is_masked_from_its_first_statement_on(people: Desk) -> None:
    wide = rules("public.*.*phone")
    made = Desk(people.legs, Shelf(), Options())
    made.reader = SessionReader(people.legs, Shelf(), people.reader._classifier, "t", "d", Options(), wide)
    await made.reader.refresh()
    assert upstream(made, "SELECT * FROM people") == "SELECT * FROM people"
    await made.run("ALTER TABLE people ADD COLUMN phone text")
    assert "'***'" in upstream(made, "SELECT * FROM people")


async def test_what_was_prepared_before_the_masks_changed_does_not_run(people: Desk) -> None:
    text = "SELECT * FROM shown"
    bound = Prepared("p", "blastwall_9", text, people.reader.find(text).facts, upstream_text=upstream(people, text))
    bound.masked = people.reader.find(text).masked
    people.reader.bound(7, bound)
    assert upstream(people, text, 7) == bound.upstream_text
    await people.run("PREPARE sql AS SELECT * FROM shown")
    assert not refusal(people, "EXECUTE sql")
    await people.run("CREATE OR REPLACE VIEW shown AS SELECT id, ssn AS number, mail FROM people")
    people.reader.bound(8, bound)
    with pytest.raises(ClientFault, match="prepare"):
        upstream(people, text, 8)
    assert "prepare" in refusal(people, "EXECUTE sql")
    await people.run("DEALLOCATE ALL")
    assert "'***'" in upstream(people, text)


async def test_other_changes_of_the_schema_leave_what_was_prepared(people: Desk) -> None:
    await people.run("PREPARE sql AS SELECT * FROM shown")
    await people.run("CREATE TABLE other (id integer)")
    assert not refusal(people, "EXECUTE sql")


async def test_sessions_with_the_same_rules_share_a_plan(people: Desk) -> None:
    plan = people.reader._plan
    people.reader._soil()
    await people.reader.refresh()
    assert people.reader._plan is plan
