"""What a session's texts are judged in, and the fingerprint that approvals and caches rest on."""

from __future__ import annotations

import dataclasses

from blastwall.model import Effect, Facts
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import column, shop, table

READ = Facts(Effect.READ, "select")


def test_versions_come_as_majors_or_numbers() -> None:
    assert Surroundings(server_version=170010).major == 17
    assert Surroundings(server_version=13).major == 13


def test_everything_that_changes_a_texts_meaning_changes_the_fingerprint() -> None:
    base = shop()
    other = shop(relations=(table(20009, "more", column(1, "id", 23, "int4")),))
    changed = [
        dataclasses.replace(base, search_path=("sales", "public")),
        dataclasses.replace(base, server_version=160000),
        dataclasses.replace(base, database_user="somebody"),
        dataclasses.replace(base, temp=frozenset({"t"})),
        dataclasses.replace(base, allowed_functions=frozenset({"public.f"})),
        dataclasses.replace(base, catalogue=None),
        other,
    ]
    prints = {base.fingerprint, *(each.fingerprint for each in changed)}
    assert len(prints) == len(changed) + 1
    assert shop().fingerprint == base.fingerprint, "equal surroundings, equal fingerprint"


def test_an_approval_survives_transactions_and_other_prepared_names() -> None:
    base = shop()
    later = dataclasses.replace(base, in_transaction=True, prepared={"p": READ}, cursors={"c": READ})
    assert later.fingerprint == base.fingerprint


def test_names_of_lists_cannot_run_into_one_another() -> None:
    assert (
        Surroundings(search_path=("a",), temp=frozenset({"b"})).fingerprint
        != Surroundings(search_path=("a", "b"), temp=frozenset()).fingerprint
    )


def test_the_owner_lists_names_or_whole_schemas() -> None:
    found = Surroundings(allowed_functions=frozenset({"public.similarity", "ext.*"}))
    assert found.allows("public", "similarity")
    assert found.allows("ext", "anything")
    assert not found.allows("public", "wipe")
