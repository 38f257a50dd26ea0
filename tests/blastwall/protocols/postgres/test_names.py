"""Names: an upstream name is never used twice, and both maps follow what they are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.model import Effect, Facts, Permit
from blastwall.protocols.postgres import names as module
from blastwall.protocols.postgres.names import Names, Portal, Prepared, TooMany, Unmade

READ = Facts(Effect.READ, "select")
DROP = Facts(Effect.DESTROY, "drop table")


@given(st.lists(st.text(min_size=1, max_size=5), max_size=50))
def test_no_upstream_name_is_ever_used_twice(clients: list[str]) -> None:
    names = Names()
    minted = []
    for client in clients:
        upstream = names.mint(client)
        minted.append(upstream)
        names.prepare(Prepared(client, upstream, "SELECT 1", READ))
        names.unprepare(client)
    assert len(set(minted)) == len(minted)


def test_the_empty_name_stays_empty() -> None:
    assert Names().mint("") == ""


def test_facts_follow_the_name() -> None:
    names = Names()
    names.prepare(Prepared("s", names.mint("s"), "SELECT 1", READ))
    before = names.version
    names.unprepare("s")
    names.prepare(Prepared("s", names.mint("s"), "DROP TABLE t", DROP))
    assert names.prepared_facts["s"] is DROP
    assert names.version > before, "caches keyed by the version must not serve the old facts"


def test_deallocate_all_leaves_the_unnamed_statement_alone() -> None:
    names = Names()
    names.prepare(Prepared("", "", "SELECT 1", READ))
    names.prepare(Prepared("s", names.mint("s"), "SELECT 1", READ))
    names.unprepare_all()
    assert set(names.prepared) == {""}


def test_a_name_is_found_by_its_bytes_until_it_means_something_else() -> None:
    names = Names()
    assert names.named(b"s") is None
    for text in ("SELECT 1", "SELECT 2"):
        prepared = Prepared("s", names.mint("s"), text, READ)
        names.prepare(prepared)
        assert names.named(b"s") is prepared
        assert names.named(b"s") is prepared, "once more, as it was kept"
        names.unprepare("s")
        assert names.named(b"s") is None
    escaped = Prepared("\\xff", names.mint("\\xff"), "SELECT 3", READ)
    names.prepare(escaped)
    assert names.named(b"\xff") is names.named(b"\\xff") is escaped, "what is no text is read as its escaped form"
    unnamed = Prepared("", "", "SELECT 4", READ)
    names.prepare(unnamed)
    assert names.named(b"") is unnamed


def test_what_the_server_failed_was_never_made() -> None:
    names = Names()
    for client in ("", "x"):
        portals = [Portal(client, names.mint(client), READ, Permit("x"), 1) for _ in range(2)]
        names.open(portals[0])
        names.open(portals[1])
        Unmade(names, portals[0])()
        assert names.portal(client) is portals[1], "another has its name by now"
        Unmade(names, portals[1])()
        assert names.portal(client) is None
    prepared = Prepared("s", names.mint("s"), "SELECT 1", READ)
    names.prepare(prepared)
    Unmade(names, prepared)()
    assert not names.prepared


def test_a_kept_portal_is_let_go_of_with_its_statement() -> None:
    names = Names()
    prepared = Prepared("s", names.mint("s"), "SELECT 1", READ)
    names.prepare(prepared)
    portal = Portal("", "", READ, Permit("x"), 1)
    prepared.keep(portal, Unmade(names, portal))
    assert prepared.kept is portal
    names.unprepare("s")
    assert prepared.kept is None and portal.unmade is None


def test_portals_end_together() -> None:
    names = Names()
    names.open(Portal("c", names.mint("c"), READ, Permit("x"), 1))
    names.open(Portal("", "", READ, Permit("x"), 1))
    names.close_all()
    assert not names.portals
    assert names.unnamed is None
    assert not names.cursor_facts


def test_messages_show_the_clients_name_only_where_it_stands_quoted() -> None:
    names = Names()
    upstream = names.mint("mine")
    assert names.client_text(f'cursor "{upstream}" does not exist') == 'cursor "mine" does not exist'
    assert names.client_text(f"{upstream} is text") == f"{upstream} is text"


def test_both_maps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREPARED", 2)
    monkeypatch.setattr(module, "MAX_PORTALS", 2)
    names = Names()
    for client in "ab":
        names.prepare(Prepared(client, client, "SELECT 1", READ))
        names.open(Portal(client, client, READ, Permit("x"), 1))
    with pytest.raises(TooMany, match="close some"):
        names.prepare(Prepared("c", "c", "SELECT 1", READ))
    with pytest.raises(TooMany, match="close some"):
        names.open(Portal("c", "c", READ, Permit("x"), 1))
    names.prepare(Prepared("a", "a2", "SELECT 2", READ))  # replacing one is not one more


def test_the_texts_of_prepared_statements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREPARED_TEXT", 20)
    names = Names()
    names.prepare(Prepared("a", "a", "x" * 20, READ))
    names.prepare(Prepared("", "", "x" * 10, READ))  # the unnamed one is one
    with pytest.raises(TooMany, match="text: close some"):
        names.prepare(Prepared("b", "b", "x", READ))
    names.unprepare("")
    names.prepare(Prepared("a", "a2", "x" * 19, READ))
    names.prepare(Prepared("b", "b", "x", READ))
    names.unprepare_all()
    names.prepare(Prepared("b", "b", "x" * 20, READ))


def test_names_that_stand_for_nothing_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE", 10)
    names = Names()
    kept = names.mint("kept")
    names.prepare(Prepared("kept", kept, "SELECT 1", READ))
    for number in range(100):
        last = names.mint(f"refused{number}")
    assert len(names._clients) <= 2 * (1 + 10) + 1
    assert names.client_text(f'"{kept}" "{last}"') == '"kept" "refused99"'
