"""What a scan takes a column for, and the file it writes: sound, reviewable, and without a single value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from blastwall.config.masking import load_masking
from blastwall.masking.survey import Proposal, document, pattern_of, propose
from blastwall.sql.catalogue import Catalogue, Column, Relation, Type

TYPES = {
    "text": 25,
    "int4": 23,
    "date": 1082,
    "bool": 16,
    "numeric": 1700,
    "jsonb": 3802,
    "uuid": 2950,
    "timestamptz": 1184,
}
CATALOGUE = Catalogue(
    server_version=170000, database="shop", types=[Type(oid, "pg_catalog", name, "b") for name, oid in TYPES.items()]
)


def one(
    name: str, type_: str = "text", values: Sequence[str | None] = (), comment: str = "", *labels: str
) -> Proposal | None:
    column = Column(1, name, TYPES[type_], "pg_catalog", type_, comment=comment, labels=labels)
    relation = Relation(20001, "public", "t", "r", columns=(column,))
    found = list(propose(relation, {1: values}, CATALOGUE))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("name", "type_", "rule"),
    [
        ("email", "text", {"strategy": "partial", "keep": "mail_domain"}),
        ("workEmail", "text", {"strategy": "partial", "keep": "mail_domain"}),
        ("email_verified", "bool", None),
        ("emailed_at", "timestamptz", None),
        ("ssn", "text", {"strategy": "redact"}),
        ("Passport Number", "text", {"strategy": "redact"}),
        ("phone", "text", {"strategy": "partial"}),
        ("phone_number", "int4", {"strategy": "redact"}),
        ("telemetry", "text", None),
        ("card_number", "text", {"strategy": "partial"}),
        ("company", "text", None),
        ("dob", "date", {"strategy": "truncate", "to": "year"}),
        ("date_of_birth", "text", {"strategy": "redact"}),
        ("first_name", "text", {"strategy": "redact"}),
        ("table_name", "text", None),
        ("password_hash", "text", {"strategy": "null"}),
        ("api_key", "text", {"strategy": "null"}),
        ("secretary", "text", None),
        ("salary", "numeric", {"strategy": "truncate", "bucket": 10000}),
        ("billing_address", "jsonb", {"strategy": "redact"}),
        ("diagnosis", "text", {"strategy": "null"}),
        ("status", "text", None),
        ("total", "numeric", None),
        ("id", "uuid", None),
    ],
)
def test_names_and_types_speak(name: str, type_: str, rule: object) -> None:
    found = one(name, type_)
    assert (found.rule if found else None) == rule
    assert found is None or (found.sure and "its name" in found.because)


MAILS = [f"person{number}@mail.example" for number in range(20)]


def test_content_speaks_for_itself_and_with_the_name() -> None:
    found = one("contact", values=[*MAILS, None, ""])
    assert found and found.rule == {"strategy": "partial", "keep": "mail_domain"}
    assert found.because == "20 of 20 sampled values"
    both = one("email", values=MAILS)
    assert both and both.because == "20 of 20 sampled values, and its name"


def test_free_text_that_holds_something_is_hidden_whole() -> None:
    found = one("note", values=[f"please write to {mail} today" for mail in MAILS])
    assert found and found.rule == {"strategy": "redact"} and "within longer texts" in found.because
    documents = one("data", "jsonb", values=[f'{{"to": "{mail}", "n": 1}}' for mail in MAILS])
    assert documents and documents.rule == {"strategy": "redact"}


def test_a_few_finds_are_only_worth_a_thought() -> None:
    found = one("note", values=["nothing here"] * 40 + MAILS[:2])
    assert found and not found.sure and found.because == "2 of 42 sampled values"
    assert one("note", values=["nothing here"] * 40) is None
    single = one("note", values=MAILS[:1])
    assert single and not single.sure


def test_content_decides_over_the_name() -> None:
    found = one("phone", values=MAILS)
    assert found and found.title == "e-mail address" and "name" not in found.because


def test_what_people_say_counts() -> None:
    found = one("c", comment="PII: home\naddress " + "x" * 200)
    assert found and found.rule == {"strategy": "redact"}
    assert "its comment says 'PII: home address" in found.because and len(found.because) < 100
    assert one("c", "text", (), "", "anon:MASKED WITH VALUE NULL")
    assert one("c", comment="the compiler's output") is None


def test_what_is_written_loads_as_rules_and_repeats_no_value() -> None:
    odd = Column(2, 'Odd "e-mail"\n# x', 25, "pg_catalog", "text")
    wild = Column(3, "e*mail", 25, "pg_catalog", "text")
    plain = Column(1, "email", 25, "pg_catalog", "text", comment="pii\n  - column: a.b.c")
    few = Column(4, "few\nx: y", 25, "pg_catalog", "text")
    relation = Relation(20001, "Öffentlich", "t", "r", columns=(plain, odd, wild, few))
    values = {1: MAILS, 2: MAILS, 3: MAILS, 4: [*MAILS[:1], *["-"] * 30]}
    text = document("shop", list(propose(relation, values, CATALOGUE)), ["looked\nat it"])
    rules = load_masking(text, Path("masking.yaml"), {"shop": None}).rules["shop"]
    assert [rule.fits(relation, column) for rule, column in zip(rules.rules, relation.columns, strict=False)] == [
        True
    ] * 3
    assert not rules.rules[2].fits(relation, Column(9, "e-mail", 25, "pg_catalog", "text"))
    assert not [mail for mail in MAILS if mail in text]
    assert "Worth a thought" in text and text.startswith("# looked at it\n")
    assert load_masking(document("shop", [], []), Path("m"), {"shop": None}).rules["shop"].rules == ()


def test_names_are_written_so_that_they_mean_themselves() -> None:
    assert pattern_of("public", "T", "a_1") == "public.T.a_1"
    assert pattern_of("a.b", 'x"y', "*") == '"a.b"."x""y"."*"'
