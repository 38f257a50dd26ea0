"""What servers say, reduced to what cannot carry a value."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.speech import HINT, plain_tag, reduced, silent_notification, tells_nothing

CANARY = "078-05-1120"


def spoken(**fields: str) -> dict[str, str]:
    return replies.error_fields(reduced({"S": "ERREUR", "V": "ERROR", **fields}))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("23505", "a value that must be unique is there already"),
        ("22P02", "a text is not a value of the type that it is converted to"),
        ("22019", "a value does not fit its type or an operation on it is not possible"),
        ("P0001", "a procedure of the database raised an error"),
    ],
)
def test_the_code_and_a_sentence_for_it_are_all_that_is_left(code: str, sentence: str) -> None:
    everywhere = dict.fromkeys("MDHWqstcndpPFLR", CANARY)
    assert spoken(C=code, **everywhere) == {"S": "ERROR", "V": "ERROR", "C": code, "M": sentence, "H": HINT}


@pytest.mark.parametrize(("code", "told"), [("22078", "22000"), ("07805", "XX000"), ("", "XX000"), ("ZZZZZ", "XX000")])
def test_a_code_of_somebodys_own_is_room_for_a_value(code: str, told: str) -> None:
    assert spoken(C=code)["C"] == told


def test_a_severity_is_one_of_the_servers() -> None:
    assert spoken(V=CANARY, C="22012")["S"] == "ERROR"
    frame = reduced({"V": "NOTICE", "C": "00000", "M": CANARY, "W": CANARY})
    assert frame[:1] == b"N"
    assert CANARY.encode() not in frame
    assert reduced({"V": "FATAL", "C": "57P01"})[:1] == b"E"


def test_an_error_about_the_text_itself_is_told_while_nothing_has_been_read() -> None:
    fields = {"V": "ERROR", "C": "42703", "M": 'column "nmae" does not exist', "H": CANARY, "P": "8"}
    named = replies.error_fields(reduced(fields, naming=True))
    assert named["M"] == 'column "nmae" does not exist'
    assert set(named) == set("SVCMH")
    assert named["H"] == HINT
    assert "nmae" not in str(replies.error_fields(reduced(fields)))
    assert CANARY not in str(replies.error_fields(reduced({"V": "ERROR", "C": "22P02", "M": CANARY}, naming=True)))


def test_settings_with_a_few_values_and_tags_with_words_and_counts() -> None:
    assert tells_nothing("DateStyle")
    assert not tells_nothing("application_name")
    assert not tells_nothing("TimeZone")
    for tag in ("SELECT 1000000", "INSERT 0 5", "CREATE TABLE AS", "COPY 3", "MERGE 1"):
        assert plain_tag(tag)
    for tag in ("", CANARY, "SELECT alice", "select 1", "SELECT 1 2 3"):
        assert not plain_tag(tag)


def test_a_notification_keeps_its_channel_only() -> None:
    frame = messages.frame(b"A", (7).to_bytes(4, "big") + b"jobs\0" + CANARY.encode() + b"\0")
    assert replies.notification(silent_notification(frame)) == (7, "jobs", "")
