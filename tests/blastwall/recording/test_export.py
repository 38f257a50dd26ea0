"""Exports: spreadsheets run no formula, browsers no script (REC-018)."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import pytest

from blastwall.model import Denial, DenialCode, Masked, Statement
from blastwall.protocols.postgres.replay import decode
from blastwall.recording.export import COLUMNS, cell, page, statements_csv
from blastwall.recording.play import records_to_the_end
from blastwall.recording.reader import Reader, read_header

HOSTILE = "<script>alert(1)</script>\" onmouseover='x' &lt; \u202e"


@pytest.fixture
def opened(begin, ask, sink, facts):
    def run():
        data = bytes(sink.data)
        return read_header(io.BytesIO(data)), decode(records_to_the_end(Reader(io.BytesIO(data))), rows=5)

    writer = begin()
    ask(writer, 1, '=HYPERLINK("http://evil","x")', upstream="@SUM(A1)")
    ask(writer, 2, f"SELECT '{HOSTILE}'\r\n+1")
    body = b"\0\1" + HOSTILE.encode() + b"\0" + bytes(18)
    value = b"\0\1" + len(HOSTILE.encode()).to_bytes(4, "big") + HOSTILE.encode()
    said = b"M" + HOSTILE.encode() + b"\0\0"
    for kind, content in ((b"T", body), (b"D", value), (b"C", HOSTILE.encode() + b"\0"), (b"E", said)):
        writer.relayed(Masked(kind + (len(content) + 4).to_bytes(4, "big") + content, 2))
    writer.intent(Statement("DROP", number=3), facts, Denial(DenialCode.POLICY, f"-{HOSTILE}", policies=("=1+1",)))
    writer.event(HOSTILE, {HOSTILE: HOSTILE})
    writer.close(HOSTILE)
    return run


def test_csv_holds_one_row_for_each_statement_and_no_formula(opened):
    text = "".join(statements_csv(*opened()))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 4
    assert [row[3] for row in rows[1:]] == ["permit", "permit", "denied"]
    for row in rows[1:]:
        assert len(row) == len(COLUMNS)
        assert not [item for item in row if item.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[1][8] == '\'=HYPERLINK("http://evil","x")'
    assert rows[1][9] == "'@SUM(A1)"
    assert rows[3][7] == "'=1+1"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "|cmd", "%1"])
def test_cells_that_could_begin_a_formula_are_quoted(text):
    assert cell(text).startswith("'")


def test_plain_cells_stay_as_they_are():
    assert cell("SELECT a - b") == "SELECT a - b"


class Tags(HTMLParser):
    """Collects what a browser would make elements and attributes of."""

    def __init__(self):
        super().__init__()
        self.tags = set()
        self.attributes = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_a_page_has_our_elements_only(opened):
    text = "".join(page(*opened()))
    found = Tags()
    found.feed(text)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "p",
        "b",
        "span",
        "pre",
        "table",
        "tr",
        "th",
        "td",
    }
    assert found.tags <= allowed
    assert found.attributes <= {"lang", "charset", "http-equiv", "content", "class"}
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\u202e" not in text
