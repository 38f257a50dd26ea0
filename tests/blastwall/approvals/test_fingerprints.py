"""What an approval is for: any difference makes another request (the corpus' APR rows by id)."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.approvals import binding, request_id, shape, shape_text
from blastwall.model import Effect, ObjectRef, Parameter, Statement, StatementKind
from tests.blastwall.approvals.asking import AGENT, BOUND, REQUEST, STATEMENT


def test_ok_128_the_same_statement_in_the_same_session_is_the_same_request():
    again = STATEMENT._replace(number=9, name="another")
    later = dataclasses.replace(AGENT, groups=frozenset(["analysts"]))
    assert binding(**{**BOUND, "statement": again, "principal": later}) == REQUEST.binding
    assert len(REQUEST.binding) == 64


def statement(**changes: object) -> dict[str, object]:
    return {"statement": STATEMENT._replace(**changes)}


def principal(**changes: object) -> dict[str, object]:
    return {"principal": dataclasses.replace(AGENT, **changes)}


DIFFERENT = {
    "APR-003 search_path": statement(surroundings="shop|app|evil"),
    "APR-005 session": {"session": "s-2"},
    "APR-005 agent": principal(agent="other"),
    "APR-005 subject": principal(subject="agent-8"),
    "APR-005 issuer": principal(issuer="https://other-idp"),
    "APR-005 person": principal(on_behalf_of="bob"),
    "APR-005 no person": principal(on_behalf_of=None),
    "APR-005 groups": principal(groups=frozenset({"analysts", "owners"})),
    "APR-005 another group": principal(groups=frozenset({"owners"})),
    "APR-007 target": {"target": "shop-replica"},
    "APR-015 bidi": statement(text=STATEMENT.text + " /* \u202e */"),
    "APR-016 homoglyph": statement(text=STATEMENT.text.replace("orders", "\u043erders")),
    "APR-025 edited": statement(text="DELETE FROM orders WHERE id = $1 "),
    "APR-025 case": statement(text=STATEMENT.text.lower()),
    "APR-028 value": statement(parameters=(Parameter(b"8", False, 23),)),
    "APR-028 type": statement(parameters=(Parameter(b"7", False, 25),)),
    "APR-028 format": statement(parameters=(Parameter(b"7", True, 23),)),
    "APR-028 null": statement(parameters=(Parameter(None, False, 23),)),
    "APR-028 empty": statement(parameters=(Parameter(b"", False, 23),)),
    "APR-028 more": statement(parameters=(*STATEMENT.parameters, Parameter(b"x"))),
    "APR-028 none": statement(parameters=()),
    "APR-028 only prepared": statement(kind=StatementKind.PREPARE),
    "policy": {"policy_version": "v2"},
}


def test_anything_else_is_another_request():
    bindings = {name: binding(**{**BOUND, **changes}) for name, changes in DIFFERENT.items()}
    assert len({REQUEST.binding, *bindings.values()}) == len(DIFFERENT) + 1


@given(st.lists(st.text(max_size=6), min_size=2, max_size=2), st.lists(st.text(max_size=6), min_size=2, max_size=2))
def test_text_cannot_move_from_one_field_to_the_next(one, other):
    def bound(pair: list[str]) -> str:
        changed = STATEMENT._replace(text=pair[0], surroundings=pair[1])
        return binding(**{**BOUND, "statement": changed})

    assert (bound(one) == bound(other)) == (one == other)


def test_apr_014_ids_carry_eighty_random_bits():
    assert request_id(bytes(range(10))) == "a-aaaqeayeaudaocaj"
    assert request_id(b"\xff" * 16) != request_id(b"\xfe" * 16)
    with pytest.raises(ValueError, match="10 random bytes"):
        request_id(b"short")


# --- shapes ---------------------------------------------------------------------------------------------------------

FACTS = REQUEST.facts


def shaped(text: str = "DELETE FROM orders WHERE id = 7", **changes: object) -> str:
    about = BOUND | {"statement": Statement(text, surroundings="shop|app"), "facts": FACTS} | changes
    return shape(**about)


def test_literals_are_all_that_a_shape_leaves_out() -> None:
    assert shape_text("UPDATE t SET a = 'x', b = 1.5 WHERE \"id\" = 7 AND c1 = $2") == (
        'UPDATE t SET a = ?, b = ? WHERE "id" = ? AND c1 = $2'
    )
    assert shaped() == shaped("DELETE FROM orders WHERE id = 8")
    assert shaped("DELETE FROM orders WHERE n = 'it''s'") == shaped("DELETE FROM orders WHERE n = ''")


def test_where_quotes_are_no_literals_a_shape_is_one_text() -> None:
    one, other = "exec: systemctl restart 'nginx'", "exec: systemctl restart 'postgresql'"
    assert shaped(one, literals=False) == shaped(one, literals=False) != shaped(other, literals=False)
    assert shaped("-- x", literals=False)


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM orders WHERE id = 7 -- all",
        "/* harmless */ DELETE FROM orders WHERE id = 7",
        "SELECT E'\\' OR 1=1 --'",
        "SELECT e'a'",
        "SELECT U&'a'",
        'SELECT U&"a"',
        "SELECT B'1'",
        "SELECT $$a$$",
        "SELECT $a$'$a$",
        "SELECT 'a\\'",
        "SELECT 'unclosed",
        "SELECT \"it's\", 'x'",
        "SELECT 1e5",
        "SELECT 0x1F",
        "SELECT 1_000",
        "SELECT '\u043e'",
        "SELECT \u0661",
        "",
        "SELECT " + "1," * 3000 + "1",
    ],
)
def test_what_cannot_be_told_safely_has_no_shape(text: str) -> None:
    assert shape_text(text) == ""
    assert shaped(text) == ""


def test_whatever_else_differs_is_another_shape() -> None:
    others = [
        shaped("DELETE FROM orders WHERE id >= 7"),
        shaped("delete FROM orders WHERE id = 7"),
        shaped("DELETE FROM orders WHERE id = 7 OR id = 7"),
        shaped("DELETE FROM orders WHERE id = '7'".replace("'7'", "a7")),
        shaped(session="s-2"),
        shaped(target="other"),
        shaped(policy_version="v2"),
        shaped(principal=dataclasses.replace(AGENT, subject="agent-8")),
        shaped(statement=Statement("DELETE FROM orders WHERE id = 7", surroundings="evil")),
        shaped(statement=Statement("DELETE FROM orders WHERE id = 7", parameters=(Parameter(b"1"),))),
        shaped(facts=dataclasses.replace(FACTS, bounded=False)),
        shaped(facts=dataclasses.replace(FACTS, effect=Effect.DESTROY)),
        shaped(facts=dataclasses.replace(FACTS, objects=(ObjectRef("table", "public.users", "write"),))),
        shaped(facts=dataclasses.replace(FACTS, flags=frozenset({"code"}))),
        shaped(facts=dataclasses.replace(FACTS, masked_columns=frozenset({"public.orders.x"}))),
    ]
    assert len({shaped(), *others}) == len(others) + 1
    assert shaped() != REQUEST.binding


def test_parameters_are_literals_too_but_not_their_types() -> None:
    def of(*parameters: Parameter) -> str:
        return shaped(statement=Statement("DELETE FROM t WHERE id = $1", parameters=parameters))

    assert of(Parameter(b"7", False, 23)) == of(Parameter(b"8", False, 23)) == of(Parameter(None, False, 23))
    assert of(Parameter(b"7", False, 23)) != of(Parameter(b"7", False, 25)) != of(Parameter(b"7", True, 25))


PIECES = st.lists(
    st.sampled_from(["'", '"', "a", "E", "1", " ", "--", "/*", "$", "$1", "\\", "U&", "''", "(", ";", "=", "."]),
    max_size=14,
)


@given(PIECES)
def test_blanking_never_merges_a_quote_with_what_follows_it(pieces: list[str]) -> None:
    """Every quote of a text that has a shape belongs to a whole string or name: none is left over, none moves."""
    text = "".join(pieces)
    blanked = shape_text(text)
    assert "'" not in blanked
    if blanked:
        assert blanked.count('"') == text.count('"') - sum(part.count('"') for part in strings(text))


def strings(text: str) -> list[str]:
    """Plain strings as a lexer finds them that reads from left to right."""
    found, position = [], 0
    while position < len(text):
        quote = text[position]
        if quote not in "'\"":
            position += 1
            continue
        end = position + 1
        while end < len(text) and (text[end] != quote or text[end : end + 2] == quote * 2):
            end += 2 if text[end : end + 2] == quote * 2 else 1
        if quote == "'":
            found.append(text[position : end + 1])
        position = end + 1
    return found
