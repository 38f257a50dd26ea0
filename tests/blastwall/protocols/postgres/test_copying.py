"""Copied lines: fields found, replaced and written as COPY writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres.copying import Form, form_of, replace_fields
from blastwall.sql.parser import parse


def form(options: str) -> Form | None:
    return form_of(parse(f"COPY (SELECT 1) TO STDOUT {options}").statements[0].stmt)


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ("", Form()),
        ("(FORMAT text)", Form()),
        ("CSV HEADER", Form(True, True)),
        ("(FORMAT csv, HEADER off, DELIMITER ';', NULL 'none')", Form(True, False, b";", b"none")),
        ("(DELIMITER '|')", Form(False, False, b"|")),
        (r"(NULL '\N')", Form(null=b"\\N")),
        ("(NULL '123-45-6789')", None),
        ("(NULL '')", None),
        ("(NULL 'none', FORMAT text)", None),
        ("(FORMAT binary)", None),
        ("BINARY", None),
        ("(FORMAT csv, QUOTE '$')", None),
        ("(FORMAT csv, FORCE_QUOTE *)", None),
        ("(FORMAT csv, ESCAPE 'x')", None),
        ("(ENCODING 'LATIN1')", None),
        ("(DELIMITER 'ab')", None),
    ],
)
def test_options(options: str, read: Form | None) -> None:
    assert form(options) == read


def test_only_copies_to_the_client_have_a_form() -> None:
    for text in ("COPY t FROM STDIN", "COPY t TO '/f'", "SELECT 1"):
        assert form_of(parse(text).statements[0].stmt) is None


def reverse_second(number: int, field: bytes, value: bool) -> bytes | None:
    if number != 1:
        return field
    return field[::-1] if value else None


@pytest.mark.parametrize(
    ("given_form", "line", "shown"),
    [
        (Form(), b"1\tabc\t\\N\n", b"1\tcba\t\\N\n"),
        (Form(), b"1\t\\N\tx\n", b"1\t\\N\tx\n"),
        (Form(), b"1\ta\\tb\\\\c\\n\tx\n", b"1\t\\nc\\\\b\\ta\tx\n"),
        (Form(delimiter=b"|"), b"1|a\\|b|x\n", b"1|b\\|a|x\n"),
        (Form(csv=True), b'1,abc,"x,y"\n', b'1,"cba","x,y"\n'),
        (Form(csv=True), b'1,"a,""b\nc",x\n', b'1,"c\nb"",a",x\n'),
        (Form(csv=True), b"1,,x\n", b"1,,x\n"),
        (Form(csv=True), b'1,"",x\n', b'1,"",x\n'),
        (Form(csv=True, null=b"none"), b"1,none,x\n", b"1,none,x\n"),
    ],
)
def test_fields_are_replaced(given_form: Form, line: bytes, shown: bytes) -> None:
    assert replace_fields(line, given_form, 3, reverse_second) == shown


@pytest.mark.parametrize(
    ("given_form", "line"),
    [
        (Form(), b"1\t2\n"),
        (Form(), b"1\t2\t3\t4\n"),
        (Form(), b"1\t2\t3"),
        (Form(), b"1\t2\n3\t4\n"),
        (Form(), b"1\t2\t3\\\n"),
        (Form(csv=True), b'1,"2,3\n'),
        (Form(csv=True), b'1,2"x,3\n'),
        (Form(csv=True), b'1,"2"x,3\n'),
    ],
)
def test_a_line_that_does_not_read_is_not_passed(given_form: Form, line: bytes) -> None:
    with pytest.raises(UpstreamFault):
        replace_fields(line, given_form, 3, reverse_second)


def as_text(value: str | None) -> bytes:
    """As the server's CopyAttributeOutText writes it."""
    if value is None:
        return b"\\N"
    for plain, written in (
        ("\\", "\\\\"),
        ("\b", "\\b"),
        ("\f", "\\f"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
        ("\v", "\\v"),
    ):
        value = value.replace(plain, written)
    return value.encode()


WORDS = st.one_of(
    st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
)


@given(st.tuples(WORDS, WORDS, WORDS))
def test_every_value_survives(row: tuple[str | None, ...]) -> None:
    wanted = (row[0], None if row[1] is None else f"<{row[1]}>", row[2])

    def mark(number: int, field: bytes, value: bool) -> bytes | None:
        if number != 1:
            return field
        return b"<" + field + b">" if value else None

    line = b"\t".join(map(as_text, row)) + b"\n"
    assert replace_fields(line, Form(), 3, mark) == b"\t".join(map(as_text, wanted)) + b"\n"

    def quoted(value: str | None) -> str:
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    line = (",".join(map(quoted, row)) + "\n").encode()
    assert replace_fields(line, Form(csv=True), 3, mark) == (",".join(map(quoted, wanted)) + "\n").encode()
