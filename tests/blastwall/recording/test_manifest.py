"""The manifest says what was signed, canonically, and a signature covers all of it."""

from __future__ import annotations

import base64
import json

import pytest

from blastwall.recording.codec import FormatFault
from blastwall.recording.manifest import check_signature, key_id, parse_manifest


@pytest.fixture
def manifest(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.close("client closed")
    return parse_manifest(sink.manifest)


def test_it_tells_the_totals_and_where_the_file_ends(manifest):
    assert manifest["recording"] == "0123456789abcdef"
    assert (manifest["agent"], manifest["target"]) == ("reporting-agent", "shop")
    assert manifest["totals"] == {"statements": 1, "denied": 0, "rows": 0, "relayed_bytes": 0}
    assert (manifest["records"], manifest["blocks"]) == (4, 2)
    assert len(bytes.fromhex(manifest["chain"])) == 32


def test_a_trusted_key_signed_it(manifest, trusted):
    assert check_signature(manifest, trusted) is None


@pytest.mark.parametrize("name", ["recording", "agent", "chain", "length", "totals", "key", "algorithm", "reason"])
def test_no_field_can_be_changed(manifest, trusted, name):
    manifest[name] = "changed"
    assert check_signature(manifest, trusted) is not None


def test_no_field_can_be_added_or_removed(manifest, trusted):
    assert check_signature({**manifest, "extra": 1}, trusted) is not None
    assert check_signature({name: value for name, value in manifest.items() if name != "reason"}, trusted) is not None


@pytest.mark.parametrize("signature", ["", "not base64!", base64.b64encode(b"x" * 64).decode(), 5, None])
def test_what_is_no_signature_is_refused(manifest, trusted, signature):
    assert check_signature({**manifest, "signature": signature}, trusted) is not None


def test_keys_are_named_by_their_hash():
    assert key_id(bytes(32)) == "66687aadf862bd77"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"chain": 5}', b"\xff\xfe", b"[" * 100_000, json.dumps({"a": 1}).encode()]
)
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(FormatFault):
        parse_manifest(data)
