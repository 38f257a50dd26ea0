"""What the recording's tests share: a sink in memory, a clock that counts, statements that look like real ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blastwall.local.signer import LocalSigner
from blastwall.model import Effect, Facts, ObjectRef, Permit, Principal, Risk, Secret, Session, Statement, Target
from blastwall.recording.reader import Reader
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer

PRINCIPAL = Principal(
    "https://idp.example", "agent-7", "reporting-agent", frozenset({"readers", "agents"}), "ana@example.com", "ab" * 32
)
TARGET = Target("shop", "postgres", "db.example", 5432, labels={"environment": "production"})
FACTS = Facts(
    Effect.READ, "select", (ObjectRef("table", "public.orders", "read"),), frozenset(), True, "It reads.", "f1" * 8
)


class MemorySink:
    """A sink that keeps the file and the manifest, and can be told to fail at a write."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.manifest: bytes | None = None
        self.writes: list[int] = []
        self.fail_at: int | None = None
        self.closed = False

    def write(self, parts: Sequence[bytes], length: int) -> None:
        if self.fail_at is not None and len(self.writes) >= self.fail_at:
            raise OSError(28, "No space left on device")
        self.writes.append(len(self.data))
        self.data += b"".join(parts)
        assert sum(map(len, parts)) == length

    def settle(self) -> None:
        return None

    def room(self) -> None:
        return None

    def check(self) -> None:
        pass

    def seal(self, manifest: bytes) -> None:
        self.manifest = manifest

    def close(self) -> None:
        self.closed = True


class Ticker:
    """Nanoseconds that advance by a microsecond at every look."""

    def __init__(self, start: int = 5_000_000_000) -> None:
        self.at = start

    def __call__(self) -> int:
        self.at += 1000
        return self.at


def make_session(id: str = "session-1") -> Session:
    return Session(id, PRINCIPAL, "shop", 1_800_000_000.0, 1_800_003_600.0)


SIGNER = LocalSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_SIGNER = LocalSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))


@pytest.fixture
def signer() -> LocalSigner:
    return SIGNER


@pytest.fixture
def other_signer() -> LocalSigner:
    return OTHER_SIGNER


@pytest.fixture
def trusted() -> dict[str, bytes]:
    return {SIGNER.key_id: SIGNER.public}


@pytest.fixture
def facts() -> Facts:
    return FACTS


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def begin(sink: MemorySink) -> Callable[..., Writer]:
    """Begin a recording into ``sink`` (or another given)."""

    def make(
        id: str = "0123456789abcdef",
        session: str = "session-1",
        *,
        into: MemorySink | None = None,
        known: Iterable[Secret] = (),
        signed: bool = True,
        **options: Any,
    ) -> Writer:
        return Writer(
            id,
            make_session(session),
            options.pop("target", TARGET),
            "connection-1",
            options.pop("header", {"policy_version": "p1", "masking_version": "m1", "client_address": "10.0.0.7:5123"}),
            into if into is not None else sink,
            ticks=options.pop("ticks", None) or Ticker(),
            now=options.pop("now", lambda: 1_800_000_000.25),
            redactor=Redactor(known),
            signer=options.pop("signer", SIGNER if signed else None),
            **options,
        )

    return make


@pytest.fixture
def ask(facts: Facts) -> Callable[..., None]:
    """Append a permitted statement."""

    def append(writer: Writer, number: int, text: str = "SELECT * FROM orders", **options: Any) -> None:
        permit = Permit(options.pop("upstream", text), ("read-ok",), Risk(10, (("verb select", 10),)))
        statement = Statement(text, number=number, **options)
        writer.intent(statement, facts, permit)

    return append


@pytest.fixture
def records() -> Callable[[bytes], list[Any]]:
    """All records of a whole file, which must read to its end."""

    def read(data: bytes) -> list[Any]:
        reader = Reader(io.BytesIO(bytes(data)))
        found = list(reader.records())
        assert reader.problem is None
        return found

    return read
