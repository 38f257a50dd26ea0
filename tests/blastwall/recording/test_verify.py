"""Tampering is found and located; a file that merely stops is not accused."""

from __future__ import annotations

import base64
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.model import Masked
from blastwall.recording import chain
from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import (
    BLOCK,
    BLOCK_HEAD,
    PREAMBLE,
    RECORD,
    VERSION,
    FormatFault,
    RecordType,
    parse_head,
    preamble,
    seal_head,
)
from blastwall.recording.reader import Reader
from blastwall.recording.verify import State, verify


@pytest.fixture
def whole(begin, ask, sink):
    """A closed recording of several blocks: its bytes, and the manifest beside it."""
    return record(begin, ask, sink)


def record(begin, ask, sink, **options):
    writer = begin(into=sink, **options)
    for number in range(1, 8):
        ask(writer, number, f"SELECT {number}")
        writer.commit()
        writer.relayed(Masked(b"answer %d" % number, number, 1, "SELECT 1"))
    writer.close("client closed")
    return bytes(sink.data), sink.manifest


def blocks_of(data):
    """The blocks' bytes, after the preamble."""
    found, position = [], PREAMBLE.size
    while position < len(data):
        head = parse_head(data[position : position + BLOCK_HEAD], position)
        end = position + BLOCK_HEAD + head.stored
        found.append(data[position:end])
        position = end
    return found


def rebuild(blocks):
    return preamble() + b"".join(blocks)


def check(data, trusted, beside=None, recording="0123456789abcdef"):
    return verify(io.BytesIO(data), trusted=trusted, beside=beside, recording=recording)


def test_a_closed_recording_is_intact(whole, trusted):
    data, manifest = whole
    verdict = check(data, trusted, manifest)
    assert verdict.state is State.INTACT
    assert verdict.offset == len(data)
    assert check(data, trusted).state is State.INTACT, "the manifest inside is enough"


def test_without_a_key_or_a_signature_it_is_unsigned(whole, begin, ask, sink, trusted):
    data, manifest = whole
    assert check(data, {}, manifest).state is State.UNSIGNED
    other = type(sink)()
    unsigned, beside = record(begin, ask, other, signed=False)
    assert check(unsigned, trusted, beside).state is State.UNSIGNED


def test_any_flipped_byte_is_tampering_at_its_block(whole, trusted):
    data, manifest = whole
    starts = []
    position = PREAMBLE.size
    for block in blocks_of(data):
        starts.append(position)
        position += len(block)
    for at in range(PREAMBLE.size, len(data), 7):
        forged = bytearray(data)
        forged[at] ^= 0x41
        verdict = check(bytes(forged), trusted, manifest)
        assert verdict.state is State.TAMPERED, at
        hit = max(index for index, start in enumerate(starts) if start <= at)
        assert (verdict.block, verdict.offset) == (hit, starts[hit])


def test_dropped_repeated_and_reordered_blocks_are_tampering(whole, trusted):
    data, manifest = whole
    blocks = blocks_of(data)
    for at in range(1, len(blocks) - 1):
        for forged in (
            blocks[:at] + blocks[at + 1 :],
            [*blocks[:at], blocks[at], *blocks[at:]],
            [*blocks[:at], blocks[at + 1], blocks[at], *blocks[at + 2 :]],
        ):
            assert check(rebuild(forged), trusted, manifest).state is State.TAMPERED
            assert check(rebuild(forged), trusted).state is State.TAMPERED


def test_blocks_of_another_recording_do_not_fit_not_even_of_the_same_session(whole, begin, ask, sink, trusted):
    """REC-014. Same clock, same statements, same session: only the recording's id differs."""
    data, manifest = whole
    other, _ = record(begin, ask, type(sink)(), id="fedcba9876543210")
    mine, theirs = blocks_of(data), blocks_of(other)
    assert len(mine) == len(theirs)
    for at in range(1, len(mine)):
        verdict = check(rebuild(mine[:at] + theirs[at:]), trusted, manifest)
        assert verdict.state is State.TAMPERED
        assert verdict.block == at


def test_a_cut_end_is_truncated_until_the_manifest_beside_it_speaks(whole, trusted):
    """REC-012."""
    data, manifest = whole
    for length in [*range(0, len(data), 13), len(data) - 1]:
        verdict = check(data[:length], trusted)
        assert verdict.state is State.TRUNCATED, length
        assert verdict.offset <= length
        assert check(data[:length], trusted, manifest).state is State.TAMPERED, length


def test_the_prefix_of_a_truncated_recording_still_plays(whole):
    data, _ = whole
    cut = data[: len(data) * 2 // 3]
    reader = Reader(io.BytesIO(cut))
    assert len(list(reader.records())) > 5
    assert reader.position <= len(cut)
    assert reader.problem is not None


@pytest.mark.parametrize("zeros", [1, 20, 52, 5000])
def test_zeros_after_a_loss_of_power_are_truncation(whole, trusted, zeros):
    data, _ = whole
    head = rebuild(blocks_of(data)[:4])
    assert check(head + bytes(zeros), trusted).state is State.TRUNCATED
    assert check(head + bytes(zeros) + b"x" * 60, trusted).state is State.TAMPERED


def test_anything_after_the_end_is_tampering(whole, trusted):
    data, manifest = whole
    assert check(data + b"\1", trusted, manifest).state is State.TAMPERED
    assert check(data + blocks_of(data)[-1], trusted, manifest).state is State.TAMPERED


def test_a_recording_filed_under_another_id_is_tampering(whole, trusted):
    data, manifest = whole
    verdict = check(data, trusted, manifest, recording="aaaaaaaaaaaaaaaa")
    assert verdict.state is State.TAMPERED
    assert "0123456789abcdef" in verdict.reason


def forge(blocks, recording, session, change):
    """Rebuild a file with a correct chain, as someone who knows the format but not the key can. ``change`` edits payloads."""
    value, key = chain.origin(recording), chain.session_key(session)
    forged, sequence, length = [], 0, PREAMBLE.size
    for index, block in enumerate(blocks):
        payload = change(
            index, block[BLOCK_HEAD:], {"chain": value.hex(), "records": sequence, "blocks": index, "length": length}
        )
        if payload is None:
            continue
        count, position = 0, 0
        while position < len(payload):
            position += RECORD.size + RECORD.unpack_from(payload, position)[0]
            count += 1
        sealed = BLOCK.pack(0, len(payload), len(payload), sequence)
        value = chain.link(value, key, sealed, [payload])
        forged.append(seal_head(sealed, value) + payload)
        sequence += count
        length += len(forged[-1])
    return preamble() + b"".join(forged)


def resign(signer, alter=lambda manifest: None):
    """A change that rewrites the manifest's block to fit the forged file."""
    written = []

    def change(index, payload, facts):
        type_ = payload[4]
        if type_ != RecordType.MANIFEST:
            return payload.replace(b"SELECT 3", b"SELECT 4")
        manifest = json.loads(payload[RECORD.size :])
        manifest.update(facts)
        alter(manifest)
        if signer is not None:
            manifest.pop("signature")
            manifest["key"] = signer.key_id
            manifest["signature"] = base64.b64encode(signer.sign(encode_json(manifest))).decode()
        body = encode_json(manifest)
        written.append(body)
        return RECORD.pack(len(body), *RECORD.unpack_from(payload)[1:]) + body

    return change, written


def test_a_rewritten_chain_fails_at_the_signature(whole, trusted):
    change, written = resign(None)
    forged = forge(blocks_of(whole[0]), "0123456789abcdef", "session-1", change)
    verdict = check(forged, trusted, written[0])
    assert verdict.state is State.TAMPERED
    assert "signature" in verdict.reason


def test_a_manifest_signed_with_another_key_is_tampering(whole, trusted, other_signer):
    change, written = resign(other_signer)
    forged = forge(blocks_of(whole[0]), "0123456789abcdef", "session-1", change)
    verdict = check(forged, trusted, written[0])
    assert verdict.state is State.TAMPERED
    assert "not trusted" in verdict.reason
    accomplice = {other_signer.key_id: other_signer.public}
    assert check(forged, accomplice, written[0]).state is State.INTACT, "or else the forgery above proves nothing"


def test_a_key_id_does_not_stand_for_another_key(whole, trusted, signer, other_signer):
    """The forger names the trusted key but signs with another."""

    class Liar:
        key_id = signer.key_id
        sign = other_signer.sign

    change, written = resign(Liar())
    forged = forge(blocks_of(whole[0]), "0123456789abcdef", "session-1", change)
    assert check(forged, trusted, written[0]).state is State.TAMPERED


@pytest.mark.parametrize(
    "name", ["chain", "length", "blocks", "records", "recording", "session", "protocol", "started_at"]
)
def test_a_manifest_that_contradicts_the_file_is_tampering(whole, trusted, signer, name):
    """Even one signed with the right key: that is a manifest of another recording."""
    change, written = resign(signer, lambda manifest: manifest.update({name: "00" * 32}))
    forged = forge(blocks_of(whole[0]), "0123456789abcdef", "session-1", change)
    verdict = check(forged, trusted, written[0])
    assert verdict.state is State.TAMPERED
    assert name in verdict.reason


def test_removing_the_manifest_block_leaves_the_one_beside_to_tell(whole, trusted):
    data, manifest = whole
    cut = rebuild(blocks_of(data)[:-1])
    assert check(cut, trusted, manifest).state is State.TAMPERED
    assert check(cut, trusted, None).state is State.TRUNCATED, (
        "the documented limit: both files gone looks like a crash"
    )


def test_a_replaced_manifest_beside_is_tampering(whole, trusted):
    data, manifest = whole
    assert check(data, trusted, manifest.replace(b"client closed", b"client Closed")).state is State.TAMPERED


def test_records_that_go_back_in_time_are_tampering(begin, ask, sink, trusted):
    ticks = iter([10, 20, 30, 40, 35, *range(50, 100)])
    writer = begin(ticks=lambda: next(ticks))
    ask(writer, 1)
    ask(writer, 2)
    ask(writer, 3)
    writer.commit()
    verdict = check(bytes(sink.data), trusted)
    assert verdict.state is State.TAMPERED
    assert "older" in verdict.reason


def test_another_file_or_version_is_no_recording(whole, trusted):
    data, _ = whole
    with pytest.raises(FormatFault, match="not a Blastwall recording"):
        check(b"GIF89a" + data, trusted)
    with pytest.raises(FormatFault, match=f"version {VERSION + 1}"):
        check(data[:8] + bytes([0, VERSION + 1]) + data[10:], trusted)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.booleans())
def test_hostile_bytes_never_crash_the_verifier(junk, framed):
    """``framed``: the junk stands in a block with a correct head and chain, as its author can make it."""
    data = preamble() + junk
    if framed:
        header = encode_json(
            {"recording": "r", "session": "s", "protocol": "p", "started_at": 1, "principal": {}, "target": {}}
        )
        payload = RECORD.pack(len(header), RecordType.HEADER, 0, 0, 0) + header + junk
        sealed = BLOCK.pack(0, len(payload), len(payload), 0)
        value = chain.link(chain.origin("r"), chain.session_key("s"), sealed, [payload])
        data = preamble() + seal_head(sealed, value) + payload
    verdict = verify(io.BytesIO(data), trusted={}, recording=None)
    assert verdict.state in (State.TAMPERED, State.TRUNCATED)
    reader = Reader(io.BytesIO(data))
    list(reader.records())
