"""The folder's only export, used as a stranger to PostgreSQL would."""

from __future__ import annotations

from pathlib import Path

from blastwall.model import Effect
from blastwall.protocols.postgres import PROTOCOL

CATALOGUE = Path(__file__).parents[3] / "fixtures" / "corpus" / "catalogue.json"


def test_the_manifest_names_what_the_others_need() -> None:
    assert (PROTOCOL.manifest.name, PROTOCOL.manifest.port) == ("postgres", 5432)
    assert PROTOCOL.manifest.raw["client"]["argv"][0] == "psql"


def test_a_statement_is_judged_without_a_connection() -> None:
    catalogue = PROTOCOL.load_catalogue(str(CATALOGUE))
    options = PROTOCOL.options()
    assert PROTOCOL.judge("SELECT id FROM orders", (), catalogue, options, None).effect is Effect.READ
    assert PROTOCOL.judge("SELECT id FROM nowhere", (), catalogue, options, None).effect is Effect.UNKNOWN
    assert "no_catalogue" in PROTOCOL.judge("SELECT id FROM orders", (), None, options, None).flags


def test_the_targets_own_options_count() -> None:
    catalogue = PROTOCOL.load_catalogue(str(CATALOGUE))
    allowed = PROTOCOL.options(search_path=("elsewhere",))
    assert PROTOCOL.judge("SELECT id FROM orders", (), catalogue, allowed, None).effect is Effect.UNKNOWN


def test_what_is_started_can_be_ended() -> None:
    PROTOCOL.start()()
