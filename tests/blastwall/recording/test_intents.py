"""What a writer lays out once is, byte for byte, what it would have written each time."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    Parameter,
    Permit,
    Principal,
    Risk,
    Secret,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.recording import intents
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import Writer

TOKEN = b"ghp_" + b"a" * 24
TEXTS = ("SELECT $1", "SELECT name FROM orders WHERE id = $1", "ALTER ROLE a PASSWORD $1", "SELECT '\udc80'", "")
FACTS = (
    Facts(Effect.READ, "select", fingerprint="aa" * 8),
    Facts(Effect.READ, "select", fingerprint="bb" * 8, masked_columns=frozenset({"a.b.c"}), filters_masked=True),
    Facts(
        Effect.WRITE, "update", fingerprint="cc" * 8, flags=frozenset({"writes_masked"}), masked_columns=frozenset("a")
    ),
)
ONE, RISK = ("one",), Risk(1)
DECISIONS = (
    Permit("SELECT $1", ONE, RISK),
    Permit("SELECT 1", ONE, RISK),
    Permit("SELECT left(name, 1) FROM orders WHERE id = $1", ("one", "two"), Risk(2)),
    Permit("SELECT $1", ONE, RISK, prepare_only=True),
    Permit("SELECT dblink($1)", ONE, RISK),
    Denial(DenialCode.POLICY, "No."),
)
VALUES = (None, b"", b"7", b"nine-bytes", b"orders-secret", TOKEN, bytes(5000))

BOUND = (
    (),
    (Parameter(b"7", False, 23),),
    *((Parameter(value, True, 2**32 - 1),) for value in VALUES),
    (Parameter(b"7", withheld=True),),
    (Parameter(b"7"), Parameter(None)),
)
ROUND = ("here", "there")
NAMES = ("", "p1", "p\udc80")
RESULTS = (b"", b"\1")
POOLS = (TEXTS, FACTS, DECISIONS, tuple(StatementKind), BOUND, ROUND, NAMES, RESULTS)
ASIDE = ("commit", "relayed", "large", "event", "flush", "protect", "name")


def script(base: tuple[Any, ...]) -> list[Any]:
    """A statement again and again, in between each statement that differs in one thing, and whatever else happens."""
    found: list[Any] = [base, base]
    for place, pool in enumerate(POOLS):
        for other in pool:
            changed = (*base[:place], other, *base[place + 1 :])
            found += [changed, base, changed, changed]
    for aside in ASIDE:
        found += [base, aside, base]
    return found


def play(moves: list[Any]) -> bytes:
    class Sink:
        data = b""

        def write(self, parts: Any, length: int) -> None:
            self.data += b"".join(parts)

        def settle(self) -> None:
            return None

        def room(self) -> None:
            return None

        def check(self) -> None:
            return None

        def seal(self, manifest: bytes) -> None:
            return None

        def close(self) -> None:
            return None

    sink = Sink()
    ticks = iter(range(1, 1_000_000))
    writer = Writer(
        "id",
        Session("s", Principal("i", "s", "agent"), "t", 0.0, 1.0),
        Target("t", "postgres", "h", 1),
        "c",
        {},
        sink,
        ticks=lambda: next(ticks),
        now=lambda: 1.0,
        redactor=Redactor(),
    )
    for number, each in enumerate(moves, start=1):
        if each == "commit":
            writer.commit()
        elif each == "relayed":
            writer.relayed(Masked(b"row", number, 1, "SELECT 1" if number % 2 else "", "" if number % 3 else "42P01"))
        elif each == "large":
            writer.relayed(Masked(bytes(300_000 if number % 2 else 5000), number, 5, "SELECT 5"))
        elif each == "event":
            writer.event("notice", {"number": number})
        elif each == "protect":
            writer.protect(Secret("orders-secret"))
        elif each == "name":
            writer.protect(Secret("name FROM orders"))  # what stands in a text that was laid out before
        elif each == "flush":
            writer.flush()
        else:
            text, facts, decision, kind, parameters, around, name, results = each
            writer.intent(Statement(text, kind, parameters, around, number, name, results), facts, decision)
    writer.close("end")
    return sink.data


@pytest.mark.parametrize("name", ["", "p1"])
@pytest.mark.parametrize("bound", BOUND[:2])
def test_what_is_laid_out_once_is_what_would_be_written_each_time(
    name: str, bound: tuple[Parameter, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, facts, decision in product(TEXTS, FACTS, DECISIONS):
        moves = script((text, facts, decision, StatementKind.EXECUTE, bound, "here", name, b""))
        usual = play(moves)
        with monkeypatch.context() as patch:
            patch.setattr(intents, "_lay_out", lambda *given: None)
            assert usual == play(moves), moves[0]
