"""What completes a recording: wherever its writer stopped, the file verifies afterwards, and says who ended it."""

from __future__ import annotations

import io

import pytest

from blastwall.errors import RecordingFault
from blastwall.model import Masked
from blastwall.recording.codec import FormatFault
from blastwall.recording.finish import STOPPED, completion, survey
from blastwall.recording.verify import State, verify
from tests.blastwall.recording.conftest import SIGNER


def finished(data, signer=SIGNER):
    """The file, its torn end cut off, with what completes it; and the manifest."""
    found = survey(io.BytesIO(data))
    more, manifest = completion(found, signer=signer, by="finisher", now=1.9e9, torn=len(data) - found.length)
    return data[: found.length] + more, manifest


@pytest.fixture
def abandoned(begin, ask, sink):
    writer = begin(checkpoint_seconds=0.0)
    for number in range(1, 6):
        ask(writer, number)
        writer.commit()
        writer.relayed(Masked(b"r" * number * 100, number, number))
        writer.flush()
    return bytes(sink.data)


def test_at_whatever_byte_it_stops_it_can_be_completed(abandoned, trusted):
    first = survey(io.BytesIO(abandoned[:2000])).length
    seen = set()
    for cut in range(0, len(abandoned) + 1, 7):
        data = abandoned[:cut]
        found = survey(io.BytesIO(data))
        if found is None:
            assert cut < first, "a header that is there was not found"
            continue
        whole, manifest = finished(data)
        verdict = verify(io.BytesIO(whole), trusted=trusted, beside=manifest)
        assert verdict.state is State.INTACT, verdict
        assert verdict.completed_by == "finisher"
        seen.add(found.length)
    assert len(seen) > 10


def test_its_end_tells_what_is_there(abandoned, records):
    whole, _ = finished(abandoned + b"torn")
    *_, end, seal = records(whole)
    assert (end.reason, end.completed_by) == (STOPPED, "finisher")
    assert end.totals == {"statements": 5, "denied": 0, "rows": 15, "relayed_bytes": 1500}
    assert 1_800_000_000 < end.ended_at < 1_800_000_001, "when the last thing was recorded, not when it was completed"
    assert seal.manifest["completed_by"] == "finisher"


def test_an_end_that_was_written_stays_and_only_the_manifest_comes(begin, ask, sink, trusted, records):
    class Gone:
        key_id, algorithm = SIGNER.key_id, SIGNER.algorithm

        def sign(self, message):
            raise RecordingFault("the key is not to be had")

    writer = begin(signer=Gone())
    ask(writer, 1)
    with pytest.raises(RecordingFault, match="not to be had"):
        writer.close("the client left")
    whole, manifest = finished(bytes(sink.data))
    assert verify(io.BytesIO(whole), trusted=trusted, beside=manifest).state is State.INTACT
    ends = [record for record in records(whole) if type(record).__name__ == "End"]
    assert [(end.reason, end.completed_by) for end in ends] == [("the client left", "")]


def test_what_is_whole_is_not_completed_again(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.close("end")
    with pytest.raises(ValueError, match="has its manifest"):
        finished(bytes(sink.data))


def test_what_is_damaged_is_never_signed(abandoned):
    for place in range(20, len(abandoned) - 200, 97):
        data = bytearray(abandoned)
        data[place] ^= 1
        with pytest.raises(FormatFault):
            survey(io.BytesIO(bytes(data)))


def test_completing_twice_gives_the_same(abandoned):
    """Ed25519 is deterministic, and so is everything else."""
    assert finished(abandoned) == finished(abandoned)


def test_without_a_key_it_is_unsigned(abandoned):
    whole, manifest = finished(abandoned, signer=None)
    assert verify(io.BytesIO(whole), trusted={}, beside=manifest).state is State.UNSIGNED
