"""Texts known by the one before: what they are found to mean is what a reader that is told nothing finds."""

from __future__ import annotations

import asyncio
import re
import secrets
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.errors import ClientFault
from blastwall.model import Permit, Statement
from blastwall.protocols.postgres.answers import Answers
from blastwall.protocols.postgres.classify import Classifier, classify
from blastwall.protocols.postgres.conversation import PINNED
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Names, Portal, Prepared
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reading import SessionReader
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.protocols.postgres.upstream import Upstream
from blastwall.sql.catalogue_file import load
from blastwall.wire.wire import Signal
from tests.blastwall.protocols.postgres.playbook import deaf_wire

CATALOGUE = load(Path(__file__).parents[3] / "fixtures" / "corpus" / "catalogue.json")
NUMBER = st.sampled_from(["0", "1", "7", "123456789", "1234567890", "1.5", "1e5"])
FORMS = [
    "SELECT id FROM orders WHERE id = {}",
    "SELECT id FROM orders WHERE id = {};",
    "SELECT id FROM orders WHERE id = {} AND total = {}",
    "SELECT id FROM orders LIMIT {}",
    "SELECT * FROM generate_series(1, {})",
    "DELETE FROM orders WHERE id = {}",
    "DELETE FROM orders WHERE {} = 1",
    "UPDATE orders SET total = {} WHERE id = {}",
    "SELECT id FROM orders WHERE id = {} -- '",
    "EXECUTE p",
    "EXECUTE p({})",
    "PREPARE q AS SELECT {}",
    "DECLARE c CURSOR FOR SELECT id FROM orders WHERE id = {}",
    "UPDATE orders SET total = {} WHERE CURRENT OF d",
    "FETCH {} FROM d",
    "EXPLAIN SELECT {}",
    "COPY orders TO STDOUT (HEADER {})",
    "BEGIN",
    "no SQL {}",
]


def _reader() -> SessionReader:
    loop = asyncio.new_event_loop()
    signal = Signal(loop)
    answers = Answers(Names(), PINNED)
    legs = Legs(Downstream(), deaf_wire(signal), Upstream(), deaf_wire(signal), signal, answers)
    loop.close()
    reader = SessionReader(legs, Shelf(), Classifier(), "t", "d", Options())
    reader._catalogue = CATALOGUE
    reader._search_path, reader._user, reader._server_version = ("public",), "u", CATALOGUE.server_version
    return reader


TEXTS = st.tuples(st.sampled_from(FORMS), NUMBER, NUMBER).map(lambda drawn: drawn[0].format(*drawn[1:]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=12))
def test_meeting_a_text_changes_nothing_of_what_it_means(said: list[tuple[str, bool]]) -> None:
    """``True``: a statement was named meanwhile, so that what a text refers to may be another."""
    told, plain = _reader(), _reader()
    for text, renamed in said:
        if renamed:
            for reader in (told, plain):
                reader._names.prepare(Prepared("p", "blastwall_1", text, reader.find(text).facts))
        words = "".join(text)  # as a text from the wire: another object each time
        told.meet(words, words.encode())
        assert told.find(words).facts == plain.find(text).facts
        with pytest.MonkeyPatch.context() as patch:  # a cursor's row has surroundings that never come again
            patch.setattr(secrets, "token_hex", lambda size: "once")
            assert told.surroundings(words) == plain.surroundings(text)
        read, other = told._read(words), plain._read(text)
        assert (read.naming, read.changing, read.plain) == (other.naming, other.changing, other.plain)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=12))
def test_what_goes_to_the_server_and_is_looked_ahead_for_is_the_text_itself(said: list[str]) -> None:
    """Whatever was said before: facts that texts share are no licence to run one of them for the other."""
    reader = _reader()
    for number, text in enumerate(said):
        fresh = _reader()
        for one in (reader, fresh):
            one._names.open(Portal("d", "blastwall_0", one.find("SELECT id FROM orders").facts, Permit(""), 0, ()))
        assert _sent(reader, text, number) == _sent(fresh, text, number)
        tree = reader.find(text).tree_of(text)
        assert tree is None or tree.text == text
        reader._names.close("d")


def _sent(reader: SessionReader, text: str, number: int) -> str:
    try:
        return re.sub(r"blastwall_[0-9]+", "blastwall", reader.rewrite(Statement(text, number=number)))
    except ClientFault as fault:
        return f"refused: {fault}"


def test_a_text_like_the_last_one_is_known_without_another_look() -> None:
    reader = _reader()
    reader.find("SELECT id FROM orders WHERE id = 1")
    words = "SELECT id FROM orders WHERE id = 22"
    reader.meet(words, words.encode())
    assert reader._last_text is words
    assert words not in reader._exact


def test_another_catalogue_forgets_the_text_that_others_are_known_by() -> None:
    reader = _reader()
    reader.find("SELECT id FROM orders WHERE id = 1")
    before = classify("SELECT id FROM orders WHERE id = 1", reader._settle()).facts
    reader._catalogue, reader._known, reader._known_version = None, None, -1  # as refresh does
    reader._shapes.clear()
    words = "SELECT id FROM orders WHERE id = 22"
    reader.meet(words, words.encode())
    assert reader.find(words).facts != before
