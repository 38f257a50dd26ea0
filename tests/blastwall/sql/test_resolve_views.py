"""A rule about a table holds also where a view stands in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from blastwall.protocols.postgres.classify import Surroundings, classify
from blastwall.sql.catalogue_file import load

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
