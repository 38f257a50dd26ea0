"""Checkpoints: a recording without an end proves itself up to the last one, and no false one passes."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from blastwall.errors import RecordingFault
from blastwall.model import Masked
from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import RecordType, split_records
from blastwall.recording.manifest import P256, key_id, public_bytes
from blastwall.recording.reader import Reader
from blastwall.recording.verify import State, verify
from tests.blastwall.recording.conftest import SIGNER, MemorySink


class Far:
    """A signer that is far away: P-256, and it may refuse."""

    algorithm = P256

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.public = public_bytes(self.key.public_key())
        self.key_id = key_id(self.public)
        self.refuses = False

    def sign(self, message):
        if self.refuses:
            raise RecordingFault("the key is not to be had")
        return self.key.sign(message, ec.ECDSA(SHA256()))


def found(data, type_):
    reader = Reader(io.BytesIO(bytes(data)))
    return [raw for block in reader.blocks() for raw in split_records(block.payload) if raw.type == type_]


def checked(data, trusted):
    return verify(io.BytesIO(bytes(data)), trusted=trusted)


def test_a_truncated_recording_is_proven_up_to_its_last_checkpoint(begin, ask, sink, trusted):
    writer = begin(checkpoint_seconds=0.0)
    for number in range(1, 4):
        ask(writer, number)
        writer.commit()
        before = len(sink.data)
        writer.flush()
    ask(writer, 4)
    writer.commit()
    verdict = checked(sink.data, trusted)
    assert (verdict.state, verdict.proven) == (State.TRUNCATED, before)
    assert len(found(sink.data, RecordType.CHECKPOINT)) == 3
    assert checked(sink.data[:before], trusted).proven < before, "a block is proven by what stands behind it"
    assert checked(sink.data, {}).proven == 0, "without a key nothing is proven"
    writer.close("end")
    assert checked(sink.data, trusted).state is State.INTACT


def test_nothing_new_nothing_signed(begin, ask, sink):
    writer = begin(checkpoint_seconds=0.0)
    ask(writer, 1)
    for _ in range(5):
        writer.flush()
    size = len(sink.data)
    writer.flush()
    assert len(sink.data) == size
    assert len(found(sink.data, RecordType.CHECKPOINT)) == 1


def test_they_come_at_their_time_only(begin, ask, sink):
    now = [0]
    writer = begin(checkpoint_seconds=60.0, ticks=lambda: now[0])
    for second in range(0, 200, 10):
        now[0] = second * 1_000_000_000
        ask(writer, second)
        writer.flush()
    assert len(found(sink.data, RecordType.CHECKPOINT)) == 3


def test_a_clock_that_jumps_moves_no_checkpoint(begin, ask, sink, trusted):
    wall = iter([2e9, 5.0, 1e9, 7e8, 3.0, 1e9, 4e9])
    writer = begin(checkpoint_seconds=0.0, now=lambda: next(wall))
    for number in range(1, 4):
        ask(writer, number)
        writer.flush()
    writer.close("end")
    assert checked(sink.data, trusted).state is State.INTACT


def test_a_signature_that_takes_its_time_does_not_stop_the_recording(begin, ask, sink):
    signer = Far()
    with ThreadPoolExecutor(1) as aside:
        writer = begin(checkpoint_seconds=0.0, signer=signer, signing=aside)
        ask(writer, 1)
        writer.flush()
        ask(writer, 2)
        writer.relayed(Masked(b"rows", 2, 1))
        writer.commit()
        aside.submit(lambda: None).result()  # the signature before it is there
        writer.flush()
        trusted = {signer.key_id: signer.public}
        verdict = checked(sink.data, trusted)
        assert verdict.state is State.TRUNCATED
        (mark,), (checkpoint,) = found(sink.data, RecordType.MARK), found(sink.data, RecordType.CHECKPOINT)
        assert mark.at < checkpoint.at
        assert verdict.proven == json.loads(checkpoint.body)["length"] > 0
        writer.close("end")
        assert checked(sink.data, trusted).state is State.INTACT


@pytest.mark.parametrize("aside", [True, False])
def test_a_key_that_is_not_to_be_had_costs_only_the_checkpoint(begin, ask, sink, aside):
    signer = Far()
    signer.refuses = True
    with ThreadPoolExecutor(1) as pool:
        writer = begin(checkpoint_seconds=0.0, signer=signer, signing=pool if aside else None)
        ask(writer, 1)
        for _ in range(3):
            writer.flush()
            pool.submit(lambda: None).result()
        assert found(sink.data, RecordType.MARK)
        assert not found(sink.data, RecordType.CHECKPOINT)
        signer.refuses = False
        ask(writer, 2)
        for _ in range(3):
            writer.flush()
            pool.submit(lambda: None).result()
        assert checked(sink.data, {signer.key_id: signer.public}).proven > 0
        writer.close("end")


def forge(writer, body):
    writer._pending.append(int(RecordType.MARK), 0, 0, b"")
    writer._pending.append(int(RecordType.CHECKPOINT), 0, 0, body)
    writer.commit()


@pytest.mark.parametrize("field", ["chain", "length", "records", "blocks", "recording", "session"])
def test_a_checkpoint_that_does_not_fit_is_located(begin, ask, sink, field, trusted):
    """Signed or not: what contradicts the file was not written by its writer."""
    writer = begin(checkpoint_seconds=0.0)
    ask(writer, 1)
    writer.commit()
    whole = len(sink.data)
    writer.flush()
    (honest,) = found(sink.data, RecordType.CHECKPOINT)
    value = json.loads(honest.body)
    other = value[field]
    value[field] = other + 1 if isinstance(other, int) else "00" * 32
    del value["signature"]
    value["signature"] = base64.b64encode(SIGNER.sign(encode_json(value))).decode()
    second = MemorySink()
    writer = begin(into=second, checkpoint_seconds=1e9)
    ask(writer, 1)
    writer.commit()
    forge(writer, encode_json(value))
    verdict = checked(second.data, trusted)
    assert (verdict.state, verdict.offset) == (State.TAMPERED, whole)
    assert field in verdict.reason


def test_a_checkpoint_of_another_key_is_tampering_where_keys_are_given(begin, ask, sink, other_signer, trusted):
    writer = begin(checkpoint_seconds=0.0, signer=other_signer)
    ask(writer, 1)
    writer.flush()
    assert checked(sink.data, trusted).state is State.TAMPERED
    assert checked(sink.data, {}).state is State.TRUNCATED


def test_a_checkpoint_without_a_mark_is_tampering(begin, ask, sink, trusted):
    writer = begin(checkpoint_seconds=0.0)
    ask(writer, 1)
    writer.flush()
    (honest,) = found(sink.data, RecordType.CHECKPOINT)
    writer._pending.append(int(RecordType.CHECKPOINT), 0, 0, honest.body)
    writer.commit()
    assert "no mark" in checked(sink.data, trusted).reason


def test_the_algorithm_is_the_keys_not_the_manifests(begin, ask, sink):
    """A manifest that names another algorithm than its key is for is refused, whatever its signature is."""
    signer = Far()
    writer = begin(signer=signer)
    ask(writer, 1)
    writer.close("end")
    assert checked(sink.data, {signer.key_id: signer.public}).state is State.INTACT
    assert checked(sink.data, {signer.key_id: SIGNER.public}).state is State.TAMPERED
    (manifest,) = found(sink.data, RecordType.MANIFEST)
    assert json.loads(manifest.body)["algorithm"] == "ECDSA-P256-SHA256"
