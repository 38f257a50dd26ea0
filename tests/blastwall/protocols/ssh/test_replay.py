from __future__ import annotations

from blastwall.model import Direction
from blastwall.protocols.ssh.frames import Piece, pack
from blastwall.protocols.ssh.replay import LONGEST, decode
from blastwall.recording.records import Relayed
from blastwall.recording.shown import Done, Happened, Opaque, Shown, Streamed


def shown(data: bytes, direction: Direction = Direction.TO_AGENT, tag: str = "") -> list[Shown]:
    record = Relayed(
        sequence=1,
        at=5,
        statement=1,
        data=data,
        rows=0,
        cells=0,
        tag=tag,
        error="",
        direction=direction,
        redacted=False,
    )
    return list(decode([record]))


def relayed(at: int, data: bytes, statement: int = 1, direction: Direction = Direction.TO_AGENT) -> Relayed:
    return Relayed(
        sequence=at, at=at, statement=statement, data=data, rows=0, cells=0, tag="", error="", direction=direction,
        redacted=False,
    )  # fmt: skip


def test_a_line_typed_key_by_key_is_one() -> None:
    """As a terminal sends it: each key, and its echo after it."""
    records = [relayed(1, pack(Piece.OUTPUT, b"$ "))]
    for number, key in enumerate(b"ls \xc3\xa9\r"):
        records.append(relayed(2 + number, pack(Piece.INPUT, bytes((key,))), direction=Direction.TO_TARGET))
        records.append(relayed(2 + number, pack(Piece.OUTPUT, bytes((key,)).replace(b"\r", b"\r\n"))))
    records.append(relayed(20, pack(Piece.OUTPUT, b"a  b\r\n$ ")))
    records.append(relayed(21, pack(Piece.EXIT, b"0")))
    assert list(decode(records)) == [
        Streamed(7, 1, "input", "ls é"),
        Streamed(7, 1, "output", "$ ls é"),
        Streamed(20, 1, "output", "a  b"),
        Streamed(21, 1, "output", "$ "),
        Done(21, 1, "0"),
    ]


def test_a_question_is_shown_before_its_answer_comes() -> None:
    """Whoever looks sees that nothing happened for a while, and after what."""
    records = [
        relayed(1, pack(Piece.OUTPUT, b"Proceed? ")),
        relayed(10_000_000_000, pack(Piece.INPUT, b"y\r"), direction=Direction.TO_TARGET),
    ]
    assert [getattr(value, "text", "") for value in decode(records)] == ["Proceed? ", "y"]


def test_streams_are_told_apart() -> None:
    assert shown(pack(Piece.OUTPUT, b"a\r\nb\n")) == [Streamed(5, 1, "output", "a\nb")]
    assert shown(pack(Piece.ERRORS, b"no")) == [Streamed(5, 1, "errors", "no")]
    assert shown(pack(Piece.INPUT, b"ls\r"), Direction.TO_TARGET) == [Streamed(5, 1, "input", "ls")]


def test_colours_go_and_other_sequences_stay() -> None:
    (value,) = shown(pack(Piece.OUTPUT, b"\x1b[31mred\x1b[0m \x1b[2J\x1b]52;c;AAAA\x07"))
    assert isinstance(value, Streamed)
    assert value.text == "red \x1b[2J\x1b]52;c;AAAA\x07"  # made visible by whoever shows it


def test_the_end_and_what_was_kept_back() -> None:
    assert shown(pack(Piece.EXIT, b"3"), tag="exit 3") == [Done(5, 1, "exit 3")]
    (value,) = shown(pack(Piece.UNRECORDED, b"8"), Direction.TO_TARGET)
    assert isinstance(value, Happened) and "8 bytes" in str(value.fields)
    (value,) = shown(pack(Piece.RESIZE, b"80x24"), Direction.TO_TARGET)
    assert isinstance(value, Happened) and value.name == "resize"
    assert shown(pack(Piece.END_OF_INPUT, b""), Direction.TO_TARGET) == []
    (value,) = shown(pack(Piece.LEFT_OUT, b"4096"))
    assert isinstance(value, Opaque) and value.size == 4096


def test_what_is_no_text_is_counted() -> None:
    assert isinstance(shown(pack(Piece.OUTPUT, bytes(100)))[0], Opaque)
    assert isinstance(shown(b"")[0], Opaque)
    assert isinstance(shown(b"\xee")[0], Opaque)


def test_long_pieces_are_cut() -> None:
    (value,) = shown(pack(Piece.OUTPUT, b"x" * (LONGEST + 10)))
    assert isinstance(value, Streamed)
    assert value.text.endswith("10 more bytes")
