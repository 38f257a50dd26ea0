"""Secrets are planted in statements, and their bytes looked for in the finished file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    Parameter,
    Permit,
    Secret,
    Statement,
    StatementKind,
)
from blastwall.recording.records import Event, Intent, Relayed
from blastwall.recording.redact import SHORT, Redactor

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZ2VudC03In0.c2lnbmF0dXJl"
PARSED = Facts(Effect.ADMINISTER, "any", fingerprint="f" * 16)
UNPARSED = Facts(Effect.UNKNOWN, "unknown")

PLANTED = [
    ("CREATE USER u PASSWORD '{}'", "CREATE USER u PASSWORD '***'"),
    ("CREATE ROLE u LOGIN ENCRYPTED PASSWORD '{}' VALID UNTIL '2030-01-01'", None),
    ("alter role u password E'{}'", "alter role u password '***'"),
    ("ALTER USER u PASSWORD /* now */ '{}'", None),
    ("ALTER USER u PASSWORD U&'{}'", "ALTER USER u PASSWORD '***'"),
    ("ALTER USER u PASSWORD $x${}$x$", "ALTER USER u PASSWORD '***'"),
    ("CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'bob', password '{}')", None),
    ("CREATE USER MAPPING FOR u SERVER s OPTIONS (U&\"\\0070assword\" '{}')", None),
    ("ALTER USER MAPPING FOR u SERVER s OPTIONS (SET password '{}')", None),
    ("CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', sslpassword '{}')", None),
    ("CREATE SUBSCRIPTION s CONNECTION 'host=h password={}' PUBLICATION p", None),
    ("ALTER SUBSCRIPTION s CONNECTION 'host=h password={}'", None),
    ("SELECT dblink_connect('password={}')", "SELECT dblink_connect('***')"),
    ("SELECT * FROM dblink('host=h user=u password={}', 'SELECT 1') AS t(a int)", None),
    ("SELECT public . dblink_exec ('name', 'ALTER ROLE x PASSWORD ''{}''')", None),
    ("SELECT dblink_connect(concat('pass', 'word=', '{}'))", None),
    ("SELECT pgp_sym_encrypt('data', '{}')", "SELECT pgp_sym_encrypt('***', '***')"),
    ("SELECT pgp_sym_decrypt(body, '{}') FROM letters", None),
    ("SELECT crypt('{}', gen_salt('bf'))", None),
    ("SELECT hmac(body, '{}', 'sha256') FROM t", None),
    ("SELECT encode(encrypt(convert_to(x, 'UTF8'), '{}', 'aes'), 'hex') FROM t", None),
    ("SELECT * FROM users WHERE password = '{}'", "SELECT * FROM users WHERE password = '***'"),
    ("UPDATE users SET password = '{}' WHERE id = 1", "UPDATE users SET password = '***' WHERE id = 1"),
    ("SET app.password TO '{}'", "SET app.password TO '***'"),
    ("DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''{}'''; END $$", "DO $$ BEGIN EXECUTE '***'; END $$"),
    ("DO $$ BEGIN ALTER ROLE x PASSWORD '{}'; PERFORM 1; END $$", None),
    ("SELECT format('ALTER ROLE %I PASSWORD %L', 'x', 'y'), 'postgres://bob:{}@db/shop'", None),
    ('SELECT \'{{"password": "{}"}}\'::json', "SELECT '***'::json"),
    ("SELECT 1 -- password = {}", "SELECT 1 /* *** */"),
    ("SELECT 1 /* postgres://bob:{}@db/shop */", None),
    ("SELECT 'é ü 漢字', dblink_connect('password={}')", "SELECT 'é ü 漢字', dblink_connect('***')"),
]


@pytest.mark.parametrize(("template", "expected"), PLANTED)
def test_a_planted_secret_is_not_in_the_file(begin, sink, records, template, expected):
    """REC-001, REC-002, REC-004, REC-005."""
    secret = "Hunter2Planted"
    text = template.format(secret)
    writer = begin()
    denial = Denial(DenialCode.POLICY, f"It says {text}.")
    writer.intent(Statement(text, number=1), PARSED, denial)
    writer.relayed(Masked(b"E...DETAIL: near " + secret.encode() + b" in\0", 1))
    writer.close("end")
    assert secret.encode() not in sink.data
    intent = next(record for record in records(sink.data) if isinstance(record, Intent))
    assert intent.redacted
    assert "***" in intent.text
    if expected is not None:
        assert intent.text == expected


def test_a_secret_is_found_through_string_escapes(begin, sink, records):
    writer = begin()
    writer.intent(
        Statement(r"SELECT E'pass\x77ord=Hunter2Planted', E'p\141ssword=Hunter2Other'", number=1), PARSED, Permit("")
    )
    writer.commit()
    assert b"Hunter2" not in sink.data


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM orders WHERE note = 'forgot my password again'",
        "SELECT 'connection lost' FROM log WHERE kind = 'error'",
        "SELECT password_changed_at FROM users WHERE name = 'bob'",
        "SELECT * FROM crypto_prices WHERE pair = 'BTC/EUR'",
        "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'db.example', port '5432')",
        "SELECT 'https://example.com/a?b=c'",
        "DO $$ BEGIN RAISE NOTICE 'the connection is up'; END $$",
        "COMMENT ON TABLE t IS 'options: none'",
    ],
)
def test_what_is_no_secret_is_left_as_it_was(begin, sink, records, text):
    writer = begin()
    writer.intent(Statement(text, number=1), PARSED, Permit(text))
    writer.commit()
    intent = next(record for record in records(sink.data) if isinstance(record, Intent))
    assert (intent.text, intent.redacted) == (text, False)


def test_what_is_withheld_stands_nowhere(begin, sink, records):
    writer = begin()
    text = "SELECT id FROM people WHERE ssn = $1"
    parameters = (Parameter(b"CANARY", True, 25, True), Parameter(b"shown"), Parameter(None, withheld=True))
    writer.intent(Statement(text, number=1, parameters=parameters), PARSED, Permit(text))
    writer.commit()
    assert b"CANARY" not in sink.data
    (intent,) = [record for record in records(sink.data) if isinstance(record, Intent)]
    assert intent.parameters == (Parameter(b"***", False, 25), Parameter(b"shown"), Parameter(None))
    assert intent.redacted


def test_parameters_of_what_takes_secrets_are_hidden(begin, sink, records):
    """REC-008."""
    writer = begin()
    text = "SELECT pgp_sym_decrypt(body, $2) FROM letters WHERE id = $1 AND password = $3"
    bound = (Parameter(b"42"), Parameter(b"Hunter2Planted"), Parameter(b"Hunter2Other", True, 25))
    writer.intent(Statement(text, number=1, parameters=bound), PARSED, Permit(text))
    writer.relayed(Masked(b"key is Hunter2Planted!", 1))
    writer.commit()
    assert b"Hunter2" not in sink.data
    found = records(sink.data)
    intent = next(record for record in found if isinstance(record, Intent))
    assert intent.parameters == (Parameter(b"42"), Parameter(b"***"), Parameter(b"***", True, 25))
    relayed = next(record for record in found if isinstance(record, Relayed))
    assert relayed.data == b"key is **************!", "as many bytes as before: framing stays whole"
    assert relayed.redacted


TOKENS = [
    JWT,
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_0123456789abcdefghijABCDEFGHIJ",
    "xoxb-123456789012-abcdef",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_their_shape(begin, sink, token):
    """REC-006, for literals that show what they are."""
    writer = begin()
    writer.intent(Statement(f"INSERT INTO api_keys VALUES ('{token}')", number=1), PARSED, Permit("rewritten " + token))
    writer.intent(
        Statement("INSERT INTO k VALUES ($1)", number=2, parameters=(Parameter(b"  " + token.encode()),)),
        PARSED,
        Permit(""),
    )
    writer.intent(Statement(f"select from {token} !!", number=3), UNPARSED, Permit(""))
    writer.event("notice", {"text": f"token {token} seen"})
    writer.close(f"closed by {token}")
    assert token.encode() not in sink.data
    assert json.dumps(token).encode() not in sink.data


def test_known_secrets_are_found_by_value_wherever_they_stand(begin, ask, sink, records):
    agent, vended = "ordinary-looking value", 'v"e\nnded päss'
    writer = begin(known=[Secret(agent)], header={"application_name": agent})
    writer.protect(Secret(vended))
    ask(writer, 1, f"SELECT '{agent}'")
    ask(writer, 2, "SELECT $1", parameters=(Parameter(agent.encode()), Parameter(b"fine")))
    ask(writer, 3, f'SELECT "{agent}" FROM t')
    ask(writer, 4, "SELECT 1", upstream=f"SELECT '{vended}'")
    writer.intent(Statement(f"connect with {vended}", StatementKind.CONNECT, number=5), UNPARSED, Permit(""))
    writer.intent(Statement("q", number=6), PARSED, Denial(DenialCode.FAULT, f"{vended} does not work"))
    writer.event("upstream_error", {"message": f"role {vended} rejected", "list": [agent]})
    writer.close(f"because {vended}")
    for secret in (agent, vended):
        assert secret.encode() not in sink.data
        assert json.dumps(secret)[1:-1].encode() not in sink.data
    found = records(sink.data)
    assert [record.parameters for record in found if isinstance(record, Intent)][1] == (
        Parameter(b"***"),
        Parameter(b"fine"),
    )
    event = next(record for record in found if isinstance(record, Event))
    assert event.fields == {"message": "role *** rejected", "list": ["***"]}


WORDS = tomllib.loads((Path(__file__).parents[3] / "blastwall/recording/redact.toml").read_text())["triggers"]["words"]
PIECES = [piece for word in WORDS for piece in (word, word.upper(), word.title(), word[:-1], word[1:], word[:2])]
pieces = st.sampled_from(
    [*PIECES, "SELECT ", " = 7", "\u212a", "\u0130", "\udc80", "\u00e9", "k_li", "s\u212a_live_", "a-secret", "x" * 300]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=6).map("".join), st.sampled_from([(), ("a-secret",), ("\u00e9secret", "known-8")]))
@example("s\u212a_live_", ())
def test_the_first_look_suspects_what_searching_for_every_word_would_find(text: str, known: tuple[str, ...]) -> None:
    redactor = Redactor(map(Secret, known))
    expected = any(word in text.lower() for word in WORDS) or any(secret in text for secret in known)
    assert redactor.suspects(text, ()) is expected
    assert redactor.suspects(text, ()) is expected, "remembered or not"


#: Texts like one another but for digits, put in, taken out or touching half a word that is looked for.
halves = [half for word in WORDS for at in range(len(word) + 1) for half in (word[:at], word[at:])]
near = st.lists(
    st.sampled_from(
        [*halves, "7", "0", "12", "99999999", "SELECT id FROM orders WHERE id = ", ";", "\u00e9", "\u0661"]
    ),
    max_size=6,
)


@settings(max_examples=500, deadline=None)
@given(
    near, st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["", "1", "73", "123456789", "x", "\\"])), max_size=8)
)
@example(["pass", "7", "w"], [(1, "")])
@example(["pass", "w"], [(1, "7"), (1, "")])
@example([], [(0, "1"), (0, ""), (0, "12")])
def test_the_last_text_is_no_excuse_for_the_next(parts: list[str], changes: list[tuple[int, str]]) -> None:
    """One redactor sees all of them, and each is judged as by a new one."""
    redactor = Redactor()
    texts = ["".join(parts)]
    for place, put in changes:
        texts += ["".join([*parts[:place], put, *parts[place + 1 :]]), "".join([*parts[:place], put, *parts[place:]])]
    for text in texts:
        assert redactor.suspects(text, ()) is any(word in text.lower() for word in WORDS), text


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_found_in_any_case_at_both_ends_and_in_long_texts(word: str) -> None:
    for text in (word, word.upper(), f"a{word}", f"{word}a", f"{'SELECT 1, ' * 40}{word}", f"\u00e9 {word}"):
        assert Redactor().suspects(text, ())


def test_texts_seen_before_a_secret_was_known_are_looked_at_again(begin, ask, sink):
    writer = begin()
    text = "SELECT 'later-a-secret'"
    ask(writer, 1, text)
    writer.commit()
    before = len(sink.data)
    writer.protect(Secret("later-a-secret"))
    ask(writer, 2, text)
    writer.commit()
    assert b"later-a-secret" not in sink.data[before:]


@pytest.mark.parametrize(
    "text",
    [
        "ALTER ROLE u PASWORD SET PASSWORD 'Hunter2Planted",
        "ALTER USER u IDENTIFIED BY Hunter2Planted",
        "gibberish dblink Hunter2Planted ((",
        "SELECT 'password\0', 'Hunter2Planted'",
    ],
)
def test_a_text_nobody_understands_is_kept_as_length_and_hash(begin, sink, records, text):
    from hashlib import sha256

    writer = begin()
    bound = (Parameter(b"Hunter2Bound"), Parameter(None))
    writer.intent(Statement(text, number=1, parameters=bound), UNPARSED, Denial(DenialCode.UNKNOWN, "Not understood."))
    writer.commit()
    assert b"Hunter2" not in sink.data
    intent = next(record for record in records(sink.data) if isinstance(record, Intent))
    assert str(len(text)) in intent.text
    assert sha256(text.encode()).hexdigest() in intent.text
    assert intent.parameters == (Parameter(b"***"), Parameter(None))


def test_a_text_nobody_understands_and_that_mentions_nothing_is_kept(begin, sink, records):
    writer = begin()
    writer.intent(Statement("SELEC 'x' FROM t", number=1), UNPARSED, Denial(DenialCode.UNKNOWN, "?"))
    writer.commit()
    assert next(record for record in records(sink.data) if isinstance(record, Intent)).text == "SELEC 'x' FROM t"


@pytest.mark.parametrize("text", ["(" * 5000 + "password", "+-" * 3000 + " password 'x'", "/*" * 2000 + "password"])
def test_hostile_texts_are_not_lexed(text):
    redacted = Redactor().redact(text, (), parsed=True)
    assert redacted.changed
    assert "SHA-256" in redacted.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("UPDATE t SET ssn = '123', pay = 7.5 WHERE id = 3", "UPDATE t SET ssn = '***', pay = '***' WHERE id = '***'"),
        ("INSERT INTO t VALUES (E'a\\'b', $$c$$, U&'d', X'1F', -4)", "INSERT INTO t VALUES ('***', '***', '***', '***', -'***')"),
        ("UPDATE t SET ssn = $1 -- said why", "UPDATE t SET ssn = $1 -- said why"),
    ],
)  # fmt: skip
def test_what_writes_masked_columns_is_kept_without_its_literals(text, left):
    assert Redactor().veiled(text) == left


@pytest.mark.parametrize("text", ["UPDATE t SET ssn = '123", "SELECT \0 '123'", "(" * 5000 + "'123'"])
def test_what_has_no_literals_to_see_is_not_kept_at_all(text):
    veiled = Redactor().veiled(text)
    assert "123" not in veiled
    assert "SHA-256" in veiled


def test_connecting_is_not_sql():
    redactor = Redactor()
    assert (
        redactor.plain("connect to shop as connection_pool password") == "connect to shop as connection_pool password"
    )


def test_the_corpus_rows_about_statements_are_redacted(begin, sink, records):
    rows = [
        ("REC-001", "CREATE USER u PASSWORD 'secret'"),
        ("REC-002", "ALTER ROLE u PASSWORD 'secret'"),
        ("REC-004", "CREATE SUBSCRIPTION s CONNECTION 'password=secret'"),
        ("REC-005", "SELECT dblink_connect('password=secret')"),
    ]
    writer = begin()
    for number, (_, text) in enumerate(rows, start=1):
        facts = UNPARSED if "CONNECTION" in text else PARSED  # without PUBLICATION it does not parse
        writer.intent(Statement(text, number=number), facts, Denial(DenialCode.POLICY, "No."))
    writer.commit()
    assert b"secret" not in sink.data


@pytest.mark.parametrize(
    "value",
    [b"eyJ" * 1_000_000, b"eyJ" * 1_000_000 + b".!", b"eyJaaaaaaaaa.!" * 100_000, b"sk_live_" * 300_000],
)
def test_a_value_that_nearly_has_a_shape_a_million_times_is_looked_at_once(value: bytes) -> None:
    """Tried from each of its characters to its end, the first of these would take hours, and the gateway with it."""
    assert not Redactor().suspects_value(value)


@pytest.mark.parametrize(
    "literal", ["x" * 900_000, "a://" * 200_000, "password " * 100_000, "password" + " " * 900_000, "://a:" * 180_000]
)
def test_a_literal_that_nearly_holds_a_secret_a_million_times_is_looked_at_once(literal: str) -> None:
    text = f"SELECT 'passw', '{literal}'"
    assert Redactor().redact(text, (), parsed=True).text == text


@pytest.mark.parametrize("before", ["", "t=", "token_", "x", "a.b.", '"'])
def test_a_token_is_known_wherever_it_begins(before: str) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
    found = Redactor().redact(f"SELECT '{before}{token}'", (), parsed=True)
    assert "eyJ" not in found.text


@pytest.mark.parametrize("size", [0, SHORT])
def test_values_of_any_length_are_known_by_their_shape(size: int) -> None:
    for token in (
        b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        b"sk_live_0123456789abcdef",
        b"ghp_0123456789abcdefghij",
        b"xoxb-0123456789-abc",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    ):
        assert Redactor().suspects_value(b" " * size + token)
