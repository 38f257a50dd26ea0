"""Consequences: names and catalogue change when the server has completed what changes them, and not before."""

from __future__ import annotations

import pytest

from blastwall.errors import ProtocolViolation
from blastwall.model import Permit
from blastwall.protocols.postgres import names as module
from blastwall.protocols.postgres.classify import classify, offline
from blastwall.protocols.postgres.consequences import consequence
from blastwall.protocols.postgres.names import Names, Portal, Prepared
from blastwall.sql.rename import names as touched_names


def _names(permit: Permit) -> Names:
    names = Names()
    finding = classify("SELECT 1", offline(None))
    names.prepare(Prepared("p", names.mint("p"), "SELECT 1", finding.facts))
    names.open(Portal("c", names.mint("c"), finding.facts, permit, 1))
    return names


@pytest.mark.parametrize(
    ("text", "minted", "prepared", "portals", "soiled"),
    [
        ("SELECT 1", {}, ["p"], ["c"], 0),
        ("PREPARE q AS SELECT 1", {"sq": "blastwall_7"}, ["p", "q"], ["c"], 0),
        ("DECLARE d CURSOR FOR SELECT 1", {"cd": "blastwall_7"}, ["p"], ["c", "d"], 0),
        ("DEALLOCATE p", {}, [], ["c"], 0),
        ("DEALLOCATE ALL", {}, [], ["c"], 0),
        ("CLOSE c", {}, ["p"], [], 0),
        ("CLOSE ALL", {}, ["p"], [], 0),
        ("CREATE TABLE t (a int)", {}, ["p"], ["c"], 1),
    ],
)
def test_it_happens_at_completion(
    text: str, minted: dict[str, str], prepared: list[str], portals: list[str], soiled: int
) -> None:
    permit = Permit(text)
    names = _names(permit)
    finding = classify(text, offline(None))
    assert finding.tree is not None
    (touched,) = touched_names(finding.tree)
    soil: list[None] = []
    act = consequence(names, finding.statements[0], touched, minted, text, None, permit, 2, lambda: soil.append(None))
    assert (sorted(names.prepared), sorted(names.portals), len(soil)) == (["p"], ["c"], 0)
    assert (act is None) == (text == "SELECT 1")
    if act is not None:
        act()
    assert (sorted(names.prepared), sorted(names.portals), len(soil)) == (prepared, portals, soiled)


def test_too_many_prepared_in_sql_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREPARED", 1)
    text = "PREPARE q AS SELECT 1"
    permit = Permit(text)
    names = _names(permit)
    finding = classify(text, offline(None))
    assert finding.tree is not None
    (touched,) = touched_names(finding.tree)
    act = consequence(names, finding.statements[0], touched, {"sq": "b"}, text, None, permit, 2, lambda: None)
    assert act is not None
    with pytest.raises(ProtocolViolation, match="close some") as raised:
        act()
    assert raised.value.code == "53400"
