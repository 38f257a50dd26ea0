"""Remembered: what is asked of a finding at every statement is what the finding itself would say."""

from __future__ import annotations

import asyncio

import pytest

from blastwall.protocols.postgres.classify import Finding, classify, offline
from blastwall.protocols.postgres.remembered import REMEMBERED, Remembered, bounded, keep
from blastwall.sql.facts import unknown
from blastwall.sql.parser import Unparsed


@pytest.mark.parametrize(
    ("text", "naming", "changing", "session_names"),
    [
        ("SELECT 1", False, False, False),
        ("PREPARE p AS SELECT 1", True, False, False),
        ("EXECUTE p", True, False, True),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", True, False, False),
        ("SELECT 1; CREATE TABLE t (a int)", True, True, False),
        ("ROLLBACK", False, True, False),
        ("ROLLBACK TO a", False, True, False),
        ("COMMIT", False, False, False),
        ("this is no SQL", False, False, False),
    ],
)
def test_it_answers_as_the_finding_does(text: str, naming: bool, changing: bool, session_names: bool) -> None:
    finding = classify(text, offline(None))
    known = Remembered(finding)
    assert known.finding is finding
    assert (known.naming, known.changing) == (naming, changing)
    assert known.session_names == (finding.tree is not None and finding.session_names)
    assert known.session_names or not session_names


@pytest.mark.parametrize(
    ("text", "named", "shared"),
    [
        ("SELECT 1", False, True),
        ("DELETE FROM t WHERE id = 1", False, True),
        ("DEALLOCATE ALL", False, True),
        ("DECLARE c CURSOR FOR SELECT 1", True, False),
        ("PREPARE p AS SELECT 1", True, False),
        ("EXECUTE p(1)", True, False),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", True, False),
        ("SELECT * FROM generate_series(1, 2)", False, False),
        ("this is no SQL", False, False),
    ],
)
def test_what_is_written_anew_is_nobody_elses(text: str, named: bool, shared: bool) -> None:
    known = Remembered(classify(text, offline(None)))
    assert (known.named, known.shared) == (named, shared)


def test_a_full_memory_is_emptied_before_it_grows() -> None:
    known = Remembered(classify("SELECT 1", offline(None)))
    memory = {str(number): known for number in range(REMEMBERED)}
    assert bounded({"one": known}) == {"one": known}
    assert bounded(memory) == {}


@pytest.mark.parametrize(("code", "kept"), [("53000", False), ("54001", False), ("42601", True)])
async def test_what_no_worker_could_read_is_not_refused_for_as_long_as_the_connection_lives(
    code: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was killed once made its text unknown to that connection for ever."""
    later: list[tuple[object, ...]] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *given: later.append(given))
    found = Finding(unknown("It cannot be read.", "unparsed"), error=Unparsed("no", code=code))
    memory: dict[str, Remembered] = {}
    keep(memory, "SELECT 1", read := Remembered(found))
    assert memory == {"SELECT 1": read}, "its own message is handled with it"
    for _, work, *given in later:
        work(*given)  # type: ignore[operator]
    assert bool(memory) is kept
