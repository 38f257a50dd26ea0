"""Builders against the bytes the documentation draws, and against what cannot be said."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.messages import SSL_REQUEST

TABLE = [
    (messages.parameter_status("TimeZone", "UTC"), b"S\0\0\0\x11TimeZone\0UTC\0"),
    (messages.backend_key_data(258, b"abcd"), b"K\0\0\0\x0c\0\0\x01\x02abcd"),
    (messages.backend_key_data(0xFFFFFFFF, b"k" * 32), b"K\0\0\0\x28\xff\xff\xff\xff" + b"k" * 32),
    (messages.ready_for_query(b"T"), b"Z\0\0\0\x05T"),
    (messages.error_response("ERROR", "42501", "no"), b"E\0\0\0\x1eSERROR\0VERROR\0C42501\0Mno\0\0"),
    (
        messages.notice_response("NOTICE", "00000", "m", detail="d", hint="h", position=7, fields={"t": "orders"}),
        b"N\0\0\0\x30SNOTICE\0VNOTICE\0C00000\0Mm\0Dd\0Hh\0P7\0torders\0\0",
    ),
    (messages.negotiate_protocol_version(2, ["_pq_.x"]), b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0"),
    (messages.command_complete("SELECT 1"), b"C\0\0\0\x0dSELECT 1\0"),
    (
        messages.row_description([("id", 16384, 1, 23, 4, -1, 0)]),
        b"T\0\0\0\x1b\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
    ),
    (messages.row_description([]), b"T\0\0\0\x06\0\0"),
    (messages.data_row([b"a", None, b""]), b"D\0\0\0\x13\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0"),
    (messages.parameter_description([23, 25]), b"t\0\0\0\x0e\0\x02\0\0\0\x17\0\0\0\x19"),
    (messages.copy_response(b"G", 0, [0, 0]), b"G\0\0\0\x0b\0\0\x02\0\0\0\0"),
    (messages.startup({"user": "u"}), b"\0\0\0\x10\0\x03\0\0user\0u\0\0"),
    (messages.startup({"user": "u", "database": ""}, 2), b"\0\0\0\x1a\0\x03\0\x02user\0u\0database\0\0\0"),
    (messages.cancel_request(1, b"abcd"), b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01abcd"),
    (SSL_REQUEST, b"\0\0\0\x08\x04\xd2\x16\x2f"),
    (messages.password(b"pw"), b"p\0\0\0\x07pw\0"),
    (messages.sasl_initial("SCRAM-SHA-256", b"n,,x"), b"p\0\0\0\x1aSCRAM-SHA-256\0\0\0\0\x04n,,x"),
    (messages.sasl_response(b"c=x"), b"p\0\0\0\x07c=x"),
    (messages.query(b"SELECT 1"), b"Q\0\0\0\x0dSELECT 1\0"),
    (messages.parse(b"s", b"SELECT $1", [0xFFFFFFFF]), b"P\0\0\0\x16s\0SELECT $1\0\0\x01\xff\xff\xff\xff"),
    (
        messages.bind(b"p", b"s", [1], [b"\0\1", None], [0, 1]),
        b"B\0\0\0\x1ep\0s\0\0\x01\0\x01\0\x02\0\0\0\x02\0\x01\xff\xff\xff\xff\0\x02\0\0\0\x01",
    ),
    (messages.describe(b"S", b"s"), b"D\0\0\0\x07Ss\0"),
    (messages.execute(b"p", 50), b"E\0\0\0\x0ap\0\0\0\0\x32"),
    (messages.execute(b""), b"E\0\0\0\x09\0\0\0\0\0"),
    (messages.close(b"P", b""), b"C\0\0\0\x06P\0"),
    (messages.copy_data(b"1\t2\n"), b"d\0\0\0\x081\t2\n"),
    (messages.copy_fail(b"why"), b"f\0\0\0\x08why\0"),
]


@pytest.mark.parametrize(
    ("built", "drawn"), TABLE, ids=[f"{drawn[:1]!r} {number}" for number, (_, drawn) in enumerate(TABLE)]
)
def test_builders_write_what_the_documentation_draws(built: bytes, drawn: bytes) -> None:
    assert built == drawn


def test_the_constants_are_whole_frames() -> None:
    for name in [
        "AUTHENTICATION_OK",
        "AUTHENTICATION_CLEARTEXT",
        "PARSE_COMPLETE",
        "BIND_COMPLETE",
        "CLOSE_COMPLETE",
        "NO_DATA",
        "EMPTY_QUERY_RESPONSE",
        "PORTAL_SUSPENDED",
        "SYNC",
        "FLUSH",
        "TERMINATE",
        "COPY_DONE",
    ]:
        constant: bytes = getattr(messages, name)
        assert int.from_bytes(constant[1:5], "big") == len(constant) - 1, name


def test_rebind_puts_the_same_values_under_other_names() -> None:
    raw = messages.bind(b"", b"", [0], [b"x"], [1])[5 + 2 :]
    assert messages.rebind(b"p1", b"s1", raw) == messages.bind(b"p1", b"s1", [0], [b"x"], [1])
    whole = messages.bind(b"p1", b"s1", [0], [b"x"], [1]) + messages.END
    assert messages.renamed(b"p1\0s1\0", raw, messages.END) == whole


def test_the_usual_end_of_a_batch_is_its_messages() -> None:
    assert messages.execute(b"") + messages.SYNC == messages.END
    assert messages.describe(b"P", b"") + messages.execute(b"") + messages.SYNC == messages.END_DESCRIBED


class Huge(bytes):
    """Bytes that claim to be as long as a 32-bit length cannot say."""

    claimed = 0

    def __len__(self) -> int:
        return self.claimed


@pytest.mark.parametrize("claimed", [0x7FFFFFFC, 0x80000000, 0xFFFFFFFF, 0x1_0000_0004])
def test_w14_a_length_that_does_not_fit_is_refused_not_wrapped(claimed: int) -> None:
    huge = Huge(b"x")
    huge.claimed = claimed
    with pytest.raises(ValueError, match="does not fit"):
        messages.copy_data(huge)
    if claimed > 0x7FFFFFFF:
        with pytest.raises(ValueError, match="does not fit"):
            messages.data_row([huge])


def test_w14_the_longest_that_fits_is_not_refused() -> None:
    longest = Huge(b"x")
    longest.claimed = 0x7FFFFFFF - 4
    assert messages.copy_data(longest) == b"d\x7f\xff\xff\xffx"
    longest.claimed = 0x7FFFFFFF
    assert b"\x7f\xff\xff\xffx" in messages.data_row([longest])


def test_w14_counts_do_not_wrap_either() -> None:
    many = [0] * 0x10000
    for build in (
        lambda: messages.parse(b"", b"", many),
        lambda: messages.bind(b"", b"", many, [], []),
        lambda: messages.bind(b"", b"", [], [None] * 0x10000, []),
        lambda: messages.bind(b"", b"", [0x10000], [], []),
        lambda: messages.parse(b"", b"", [1 << 32]),
        lambda: messages.parse(b"", b"", [-1]),
        lambda: messages.row_description([("x", 1 << 32, 0, 0, 0, 0, 0)]),
        lambda: messages.execute(b"", 1 << 31),
        lambda: messages.execute(b"", -1),
        lambda: messages.cancel_request(1 << 32, b"abcd"),
        lambda: messages.backend_key_data(-1, b"abcd"),
        lambda: messages.negotiate_protocol_version(1 << 16, []),
        lambda: messages.copy_response(b"G", 256, []),
    ):
        with pytest.raises(ValueError):
            build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: messages.query(b"SELECT 1\0; DROP TABLE t"),
        lambda: messages.parse(b"a\0b", b"", ()),
        lambda: messages.parse(b"", b"x\0", ()),
        lambda: messages.rebind(b"p\0", b"", b""),
        lambda: messages.describe(b"S", b"\0"),
        lambda: messages.close(b"S", b"\0"),
        lambda: messages.execute(b"\0"),
        lambda: messages.copy_fail(b"\0"),
        lambda: messages.password(b"a\0b"),
        lambda: messages.startup({"user": "a\0options\0-c x"}),
        lambda: messages.startup({"user\0": "a"}),
        lambda: messages.parameter_status("a", "\0"),
        lambda: messages.command_complete("\0"),
        lambda: messages.row_description([("\0", 0, 0, 0, 0, 0, 0)]),
        lambda: messages.negotiate_protocol_version(0, ["\0"]),
    ],
)
def test_a_nul_never_becomes_part_of_a_string(build: object) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match="NUL"):
        build()


def test_what_the_protocol_has_no_word_for() -> None:
    for build in (
        lambda: messages.ready_for_query(b"X"),
        lambda: messages.describe(b"T", b""),
        lambda: messages.close(b"", b""),
        lambda: messages.backend_key_data(1, b"abc"),
        lambda: messages.backend_key_data(1, b"x" * 257),
        lambda: messages.startup({"": "x"}),
    ):
        with pytest.raises(ValueError):
            build()


def test_an_error_can_always_be_said() -> None:
    built = messages.error_response("ERROR", "42501", "a\0b \udcff", hint="\0")
    assert built == messages.error_response("ERROR", "42501", "a\ufffdb ?", hint="\ufffd")
    assert b"Ma\xef\xbf\xbdb ?\0" in built
