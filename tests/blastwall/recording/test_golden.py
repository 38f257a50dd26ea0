"""Version 1 of the format, held still: today's writer makes these bytes, and today's reader understands them."""

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


def maker():
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_writer_still_makes_version_1():
    assert maker().make() == GOLDEN


def test_the_golden_recording_is_intact_with_its_key_known():
    signer = maker().SIGNER
    trusted = {signer.key_id: signer.public}
    assert verify(io.BytesIO(GOLDEN), trusted=trusted, recording="00112233445566aa").state is State.INTACT


def test_offsets_of_the_documentation_hold():
    """The example in docs/recording-format.md names these offsets."""
    assert GOLDEN[:16].hex() == "894257520d0a1a0a0001000000000000"
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
    assert (select.name, select.surroundings, select.decision["policies"]) == ("by_id", "shop/public", ["read-ok"])
    assert isinstance(relayed, Relayed)
    assert (relayed.rows, relayed.cells, relayed.tag, relayed.data[:1]) == (1, 1, "SELECT 1", b"D")
    assert isinstance(asked, Event)
    assert (asked.name, asked.fields) == ("approval_requested", {"approvers": ["owners"], "id": "ap-1"})
    assert (drop.decision["verdict"], drop.decision["ticket"], drop.facts["bounded"]) == ("denial", "ap-1", False)
    assert (end.reason, end.ended_at, end.totals["denied"]) == ("client closed", 1_800_000_042.5, 1)
    assert seal.manifest["key"] == "56475aa75463474c"
