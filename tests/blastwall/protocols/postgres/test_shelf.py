"""Catalogues kept for all sessions of a process."""

from __future__ import annotations

from blastwall.protocols.postgres.shelf import MOST, Shelf
from blastwall.sql.catalogue import Catalogue


def catalogue() -> Catalogue:
    return Catalogue(server_version=170000, database="d")


def test_a_catalogue_is_found_at_its_own_freshness_only() -> None:
    shelf, kept = Shelf(), catalogue()
    shelf.keep("t", "d", "one", kept)
    assert shelf.find("t", "d", "one") is kept
    assert shelf.find("t", "d", "two") is None and shelf.find("t", "other", "one") is None
    shelf.keep("t", "d", "two", newer := catalogue())
    assert shelf.find("t", "d", "two") is newer and shelf.find("t", "d", "one") is None


def test_it_holds_so_many_databases_and_drops_the_oldest() -> None:
    shelf = Shelf()
    for number in range(MOST + 1):
        shelf.keep("t", f"d{number}", "f", catalogue())
    assert shelf.find("t", "d0", "f") is None
    assert shelf.find("t", "d1", "f") is not None and shelf.find("t", f"d{MOST}", "f") is not None
