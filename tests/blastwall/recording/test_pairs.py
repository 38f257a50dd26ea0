"""What a driver prepares and runs at once is told to be one, and nothing else is."""

from __future__ import annotations

import io

import pytest

from blastwall.recording.codec import Flag, RecordType
from blastwall.recording.pairs import MAX_RAN
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent, Relayed
from tests.blastwall.audit.recordings import Raw, header, intent, judgement, relayed, written

READ = {"effect": "read", "verb": "select"}
PERMIT = {"verdict": "permit", "policies": ["reads"], "risk": {"score": 5}}
NAMED = judgement(1, READ, {**PERMIT, "prepare_only": True}, "here")
RUN = judgement(2, READ, PERMIT, "here")
PREPARE = intent(7, "SELECT $1", "prepare", 1)
EXECUTE = intent(8, "SELECT $1", "execute", 2, parameters=(b"1",), results=b"\1")


def ran(*blocks):
    """The numbers of the statements that were prepared and run at once."""
    reader = Reader(io.BytesIO(written([[header()], *blocks])))
    found = {record.statement for record in reader.records() if isinstance(record, Intent) and record.ran}
    assert reader.problem is None
    return found


def test_a_preparation_and_its_execution_are_one():
    assert ran([NAMED, RUN, PREPARE, EXECUTE]) == {7}
    assert ran([NAMED, PREPARE, RUN, EXECUTE]) == {7}, "the first time, its judgement stands between"
    assert ran(
        [NAMED, RUN], [PREPARE, EXECUTE], [intent(9, "SELECT $1", "prepare"), intent(10, "SELECT $1", judged=2)]
    ) == {
        7,
        9,
    }
    assert ran(
        [
            NAMED,
            RUN,
            intent(7, "t", "prepare", 1, flags=2, upstream="u"),
            intent(8, "t", judged=2, flags=2, upstream="u"),
        ]
    ) == {7}


OTHERS = {
    "it is in another block": ([NAMED, RUN, PREPARE], [EXECUTE]),
    "it never comes": ([NAMED, RUN, PREPARE],),
    "an answer is between": ([NAMED, RUN, PREPARE, relayed(6), EXECUTE],),
    "an event is between": ([NAMED, RUN, PREPARE, Raw(RecordType.EVENT, b'{"name":"cancel","fields":{}}'), EXECUTE],),
    "the text is another": ([NAMED, RUN, PREPARE, intent(8, "SELECT $2", judged=2)],),
    "the text is longer": ([NAMED, RUN, PREPARE, intent(8, "SELECT $1 ", judged=2)],),
    "what went to the target is another": (
        [NAMED, RUN, PREPARE, intent(8, "SELECT $1", judged=2, flags=2, upstream="u")],
    ),
    "the number is another": ([NAMED, RUN, PREPARE, intent(9, "SELECT $1", judged=2)],),
    "it is prepared again": ([NAMED, RUN, PREPARE, intent(8, "SELECT $1", "prepare")],),
    "it has a name": (
        [NAMED, RUN, intent(7, "SELECT $1", "prepare", 1, "p"), intent(8, "SELECT $1", "execute", 2, "p")],
    ),
    "another one is run": ([NAMED, RUN, PREPARE, intent(8, "SELECT $1", "execute", 2, "p")],),
    "a secret was taken out of the first alone": (
        [NAMED, RUN, intent(7, "t", "prepare", 1, flags=int(Flag.REDACTED)), intent(8, "t", judged=2)],
    ),
    "the facts are others": ([NAMED, judgement(2, {**READ, "bounded": False}, PERMIT, "here"), PREPARE, EXECUTE],),
    "the policies are others": ([NAMED, judgement(2, READ, {**PERMIT, "policies": []}, "here"), PREPARE, EXECUTE],),
    "the risk is another": ([NAMED, judgement(2, READ, {**PERMIT, "risk": {"score": 6}}, "here"), PREPARE, EXECUTE],),
    "it is run elsewhere": ([NAMED, judgement(2, READ, PERMIT, "there"), PREPARE, EXECUTE],),
    "it is approved": ([NAMED, judgement(2, READ, {**PERMIT, "approval": "a"}, "here"), PREPARE, EXECUTE],),
    "it is denied": ([NAMED, judgement(2, READ, {**PERMIT, "verdict": "denial"}, "here"), PREPARE, EXECUTE],),
    "both are denied": (
        [judgement(1, READ, {"verdict": "denial"}), judgement(2, READ, {"verdict": "denial"}), PREPARE, EXECUTE],
    ),
    "both are held": (
        [judgement(1, READ, {"verdict": "pending"}), judgement(2, READ, {"verdict": "pending"}), PREPARE, EXECUTE],
    ),
    "its judgement is another by then": ([NAMED, RUN, PREPARE, judgement(2, READ, {"verdict": "denial"}), EXECUTE],),
}


@pytest.mark.parametrize("blocks", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is(blocks):
    assert ran(*blocks) == set()


def test_a_judgement_that_takes_anothers_number_is_looked_at_anew():
    other = judgement(2, READ, {**PERMIT, "policies": ["others"]}, "here")
    again = [intent(9, "SELECT $1", "prepare"), intent(10, "SELECT $1", judged=2)]
    assert ran([NAMED, RUN, PREPARE, EXECUTE], [other, *again]) == {7}
    assert ran([NAMED, other, PREPARE, EXECUTE], [RUN, *again]) == {9}


def test_what_is_damaged_stops_the_reading_where_it_did():
    for broken in (Raw(RecordType.INTENT, EXECUTE.body[:20], 0, 8), Raw(RecordType.JUDGEMENT, b"{}", 0, 2)):
        reader = Reader(io.BytesIO(written([[header()], [NAMED, RUN, PREPARE, broken, EXECUTE]])))
        *_, last = reader.records()
        assert isinstance(last, Intent)
        assert (last.statement, last.ran) == (7, False)
        assert reader.problem is not None


def test_an_answer_to_the_preparation_belongs_to_what_ran_it():
    """As a target gives it that cannot read the text: then nothing ran, and that is to be told of the execution."""
    blocks = [[NAMED, RUN, PREPARE, EXECUTE], [relayed(7, "", "42601"), relayed(8), relayed(6)]]
    reader = Reader(io.BytesIO(written([[header()], *blocks])))
    answers = [record for record in reader.records() if isinstance(record, Relayed)]
    assert [(answer.statement, answer.run) for answer in answers] == [(7, 8), (8, 0), (6, 0)]


def test_only_the_last_preparations_are_remembered():
    pairs = [
        [intent(number, "t", "prepare", after=1), intent(number + 1, "t", judged=2)]
        for number in range(1, 2 * MAX_RAN + 3, 2)
    ]
    reader = Reader(io.BytesIO(written([[header()], [NAMED, RUN], *pairs, [relayed(1), relayed(MAX_RAN * 2 - 1)]])))
    assert [record.run for record in reader.records() if isinstance(record, Relayed)] == [0, MAX_RAN * 2]
