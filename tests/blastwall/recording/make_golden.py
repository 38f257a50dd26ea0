"""Writes ``golden.bwr``: a recording made of fixed values, so that a change of format cannot pass unseen.

Run it only together with a new format version: ``python tests/blastwall/recording/make_golden.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blastwall.local.signer import LocalSigner
from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    ObjectRef,
    Parameter,
    Permit,
    Principal,
    Risk,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer

GOLDEN = Path(__file__).with_name("golden.bwr")
SIGNER = LocalSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


class Bytes:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, parts: Sequence[bytes], length: int) -> None:
        self.data += b"".join(parts)

    def settle(self) -> None:
        return None

    def room(self) -> None:
        return None

    def check(self) -> None:
        pass

    def seal(self, manifest: bytes) -> None:
        self.manifest = manifest

    def close(self) -> None:
        pass


def make() -> bytes:
    """Return the golden recording's bytes."""
    sink = Bytes()
    ticks = iter(range(7_000_000_000, 8_000_000_000, 1_500_000))
    wall = iter((1_800_000_000.0, 1_800_000_021.5, 1_800_000_042.5))
    principal = Principal("https://idp.example", "a-1", "reporter", frozenset({"b", "a"}), "ana@example.com", "0f" * 32)
    writer = Writer(
        "00112233445566aa",
        Session("session-golden", principal, "shop", 1_800_000_000.0, 1_800_003_600.0),
        Target("shop", "postgres", "db.example", 5432, {"environment": "production"}),
        "connection-golden",
        {"policy_version": "policy-1", "masking_version": "masking-1"},
        sink,
        ticks=lambda: next(ticks),
        now=lambda: next(wall),
        redactor=Redactor(),
        signer=SIGNER,
        checkpoint_seconds=0.0,
    )
    facts = Facts(Effect.READ, "select", (ObjectRef("table", "public.orders", "read"),), fingerprint="0123456789abcdef")
    statement = Statement(
        "SELECT id, ssn FROM orders WHERE id = $1",
        parameters=(Parameter(b"7", type_id=23), Parameter(None, binary=True)),
        surroundings="shop/public",
        number=1,
        name="by_id",
        results=b"\0\1",
    )
    permit = Permit("SELECT id, mask(ssn) AS ssn FROM orders WHERE id = $1", ("read-ok",), Risk(10, (("select", 10),)))
    writer.intent(statement, facts, permit)
    writer.commit()
    writer.relayed(Masked(b"D\0\0\0\x14\0\2\0\0\0\x017\0\0\0\x05***-1C\0\0\0\rSELECT 1\0", 1, 1, "SELECT 1", cells=1))
    writer.flush()
    writer.event("approval_requested", {"id": "ap-1", "approvers": ["owners"]})
    drop = Statement("DROP TABLE orders", StatementKind.EXECUTE, number=2, surroundings="shop/public")
    destroy = Facts(Effect.DESTROY, "drop table", (ObjectRef("table", "public.orders", "destroy"),), bounded=False)
    writer.intent(drop, destroy, Denial(DenialCode.POLICY, "Not allowed.", "Ask.", ("no-drop",), Risk(90), "ap-1"))
    writer.close("client closed")
    return sink.data


if __name__ == "__main__":
    GOLDEN.write_bytes(make())
