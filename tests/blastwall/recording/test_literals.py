"""Secrets are found where PostgreSQL's lexer sees a literal, and only there."""

from __future__ import annotations

import pytest

from blastwall.recording.literals import MAX_DEPTH, Unreadable, find, literal_value, plain_name


def no(value: bytes) -> bool:
    return False


def removed(text: str, secret=no) -> str:
    """The text after the finds were put in, from the last to the first."""
    raw = text.encode()
    for low, high, put in sorted(find(raw, secret).spans, reverse=True):
        raw = raw[:low] + put + raw[high:]
    return raw.decode()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ALTER ROLE a PASSWORD 'hunter2'", "ALTER ROLE a PASSWORD '***'"),
        ("ALTER ROLE a ENCRYPTED PASSWORD E'hunter\\x32'", "ALTER ROLE a ENCRYPTED PASSWORD '***'"),
        ("ALTER ROLE a PASSWORD $$hunter2$$", "ALTER ROLE a PASSWORD '***'"),
        ("ALTER ROLE a PASSWORD /* x */ 'hunter2'", "ALTER ROLE a PASSWORD /* x */ '***'"),
        ("SET x.secret TO 'hunter2'", "SET x.secret TO '***'"),
        ("SET \"x.secret\" TO 'hunter2'", "SET \"x.secret\" TO '***'"),
        (
            "SELECT set_config('x.Password', 'hunter2', false), 'b'",
            "SELECT set_config('x.Password', '***', false), 'b'",
        ),
        (
            "SELECT pg_catalog.set_config(E'secret', 'a' || 'b', true)",
            "SELECT pg_catalog.set_config(E'secret', '***' || '***', true)",
        ),
        ("SELECT 1 WHERE \"PassWord\" = 'hunter2'", "SELECT 1 WHERE \"PassWord\" = '***'"),
        ("SELECT 1 WHERE U&\"p\\0061ssword\" = 'hunter2'", "SELECT 1 WHERE U&\"p\\0061ssword\" = '***'"),
        ("SELECT crypt('a', gen_salt('bf'))", "SELECT crypt('***', gen_salt('***'))"),
        ("SELECT crypt('a'), 'b'", "SELECT crypt('***'), 'b'"),
        ("SELECT 'host=x password=hunter2'", "SELECT '***'"),
        ("SELECT 'https://u:hunter2@h/'", "SELECT '***'"),
        ("SELECT 1 -- password=hunter2", "SELECT 1 /* *** */"),
        ("DO $x$ALTER ROLE a PASSWORD 'hunter2'$x$", "DO $x$ALTER ROLE a PASSWORD '***'$x$"),
    ],
)
def test_secrets_are_found_where_they_stand(text, left):
    assert removed(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "SELECT password, 'plain' FROM users",
        "SELECT 'plain'",
        "SELECT password FROM users WHERE name = 'ada'",
        "SELECT lower('a')",
        "SELECT set_config('x.tenant', 'password', false), 'b'",
        "SELECT set_config(lower('password'), 'b', false)",
        "SELECT set_config, ('password'), ('b')",
        "SELECT 1 -- a remark",
        "SELECT 'https://host/path'",
        "SELECT (SELECT 1 FROM crypt) || 'plain'",
    ],
)
def test_other_literals_stay(text):
    assert removed(text) == text


def test_a_literal_is_judged_by_its_value_too():
    found = find(b"SELECT E'to\\x70secret', 'other'", lambda value: value == b"topsecret")
    assert [found.spans[0][2], *found.values] == [b"'***'", b"topsecret"]
    assert len(found.spans) == 1


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("ALTER ROLE a PASSWORD $1", {1}),
        ("SELECT pgp_sym_decrypt(data, $2) FROM t WHERE id = $1", {2}),
        ("SELECT dblink($1, $2), $3", {1, 2}),
        ("SELECT $1", set()),
    ],
)
def test_secret_parameters_are_named_by_number(text, parameters):
    assert find(text.encode(), no).parameters == parameters


def test_the_secret_itself_is_told_so_that_echoes_can_be_cleared():
    assert b"hunter22" in find(b"SELECT 'host=x password=hunter22'", no).values


@pytest.mark.parametrize("raw", [b"SELECT 'open", b"SELECT \0", b"SELECT '\xff'", b"(" * 50_000])
def test_what_has_no_tokens_is_unreadable(raw):
    with pytest.raises(Unreadable):
        find(raw, no)


def test_nesting_ends_and_the_rest_is_removed_whole():
    text = "ALTER ROLE a PASSWORD 'hunter2'"
    for depth in range(MAX_DEPTH + 2):
        text = f"DO $d{depth}${text}$d{depth}$"
    assert "hunter2" not in removed(text)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (b"'it''s'", b"it's"),
        (b"E'a\\n\\x41\\101\\u0041\\''", b"a\nAAA'"),
        (b"U&'\\0041\\+000042\\\\'", b"AB\\"),
        (b"$t$ 'raw' $t$", b" 'raw' "),
        (b"'a'\n  'b'", b"ab"),
    ],
)
def test_literals_are_read_as_the_server_reads_them(token, value):
    assert literal_value(token) == value


@pytest.mark.parametrize(("token", "name"), [(b"PassWord", "password"), (b'"A""b"', 'a"b'), (b'U&"p\\0061ss"', "pass")])
def test_names_are_compared_unquoted_and_in_lower_case(token, name):
    assert plain_name(token) == name
