"""The format, held still: today's writer makes these bytes, and today's reader understands them and version 1."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

from blastwall.model import Parameter
from blastwall.recording.reader import Reader
from blastwall.recording.records import Event, Intent, Relayed
from blastwall.recording.verify import State, verify

HERE = Path(__file__).parent
GOLDEN = (HERE / "golden.bwr").read_bytes()
FIRST = (HERE / "golden-1.bwr").read_bytes()  # as version 1 wrote it


def maker():
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_writer_still_makes_version_2():
    assert maker().make() == GOLDEN


def test_the_golden_recording_is_intact_with_its_key_known():
    signer = maker().SIGNER
    trusted = {signer.key_id: signer.public}
    verdict = verify(io.BytesIO(GOLDEN), trusted=trusted, recording="00112233445566aa")
    assert (verdict.state, verdict.proven) == (State.INTACT, len(GOLDEN))


def test_a_recording_of_version_1_is_still_read_and_verified():
    signer = maker().SIGNER
    verdict = verify(io.BytesIO(FIRST), trusted={signer.key_id: signer.public}, recording="00112233445566aa")
    assert verdict.state is State.INTACT
    intents = [record for record in Reader(io.BytesIO(FIRST)).records() if isinstance(record, Intent)]
    assert [intent.results for intent in intents] == [None, None], "version 1 does not tell formats"


def test_one_version_is_not_passed_off_as_the_other():
    for data, version in ((FIRST, 2), (GOLDEN, 1)):
        forged = data[:8] + version.to_bytes(2, "big") + data[10:]
        assert verify(io.BytesIO(forged), trusted={}).state is State.TAMPERED


def test_offsets_of_the_documentation_hold():
    """The example in docs/recording-format.md names these offsets."""
    assert GOLDEN[:16].hex() == "894257520d0a1a0a0002000000000000"
    assert GOLDEN[16:36].hex() == "0000000000000297000002970000000000000000"
    assert GOLDEN[72:90].hex() == "00000285010000000000000000000016e360"
    assert GOLDEN[90:104] == b'{"break_glass"'


def test_the_golden_recording_means_what_it_meant():
    header, select, relayed, asked, drop, end, seal = Reader(io.BytesIO(GOLDEN)).records()
    assert header.raw["principal"]["on_behalf_of"] == "ana@example.com"
    assert isinstance(select, Intent)
    assert select.text == "SELECT id, ssn FROM orders WHERE id = $1"
    assert select.upstream == "SELECT id, mask(ssn) AS ssn FROM orders WHERE id = $1"
    assert select.parameters == (Parameter(b"7", type_id=23), Parameter(None, binary=True))
    assert select.results == b"\0\1"
    assert (select.name, select.surroundings, select.decision["policies"]) == ("by_id", "shop/public", ["read-ok"])
    assert isinstance(relayed, Relayed)
    assert (relayed.rows, relayed.cells, relayed.tag, relayed.data[:1]) == (1, 1, "SELECT 1", b"D")
    assert isinstance(asked, Event)
    assert (asked.name, asked.fields) == ("approval_requested", {"approvers": ["owners"], "id": "ap-1"})
    assert (drop.decision["verdict"], drop.decision["ticket"], drop.facts["bounded"]) == ("denial", "ap-1", False)
    assert (end.reason, end.ended_at, end.totals["denied"]) == ("client closed", 1_800_000_042.5, 1)
    assert seal.manifest["key"] == "56475aa75463474c"
