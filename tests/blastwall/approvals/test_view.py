"""What a person is shown: found facts apart from the agent's words, nothing hidden, one hash (APR rows by id)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.approvals.view import (
    COMMENTS,
    PERHAPS,
    WEAK,
    agent_reason,
    folded,
    headline,
    lines_of,
    moment,
    standing,
    titled,
    view_of,
)
from blastwall.blast import Blast, Rows
from blastwall.model import ApprovalState, ApprovalStatus, Effect, Facts, ObjectRef, Parameter, Statement
from tests.blastwall.approvals.asking import REQUEST, ask


def test_the_headline_says_what_would_happen_to_what_and_where() -> None:
    assert headline(REQUEST) == "delete on public.orders at shop"
    many = tuple(ObjectRef("table", f"public.t{n}", "write") for n in range(5))
    assert headline(ask(facts=Facts(Effect.WRITE, "update", many))).endswith("public.t2 and 2 more at shop")
    assert headline(ask(facts=Facts(Effect.UNKNOWN, "unknown"))) == "unknown at shop"


def test_a_condition_that_may_hold_for_nearly_all_rows_is_said_to() -> None:
    facts = Facts(Effect.WRITE, "delete", REQUEST.facts.objects, frozenset({"weak_limit", "weak_limit:range"}))
    view = view_of(ask(facts=facts))
    assert WEAK in view.cautions and WEAK not in view_of(REQUEST).cautions
    assert dict(view.found)["which rows"] == "those that its condition names, which may be nearly all"
    assert dict(view.found)["remarks"] == "weak_limit, weak_limit:range"


def test_everything_found_is_in_it() -> None:
    request = ask(escalation=("security",), escalate_at=150.0, canonical="DELETE FROM orders")
    found = dict(view_of(request).found)
    assert found["does"] == "delete (write)" and found["because"] == "why" and found["remarks"] == "returning"
    assert found["touches"] == "write table public.orders"
    assert found["which rows"] == "those that its condition names"
    assert found["risk"] == "40 of 100: verb delete +30, table orders +10"
    assert found["agent"] == "reporter (agent-7 of https://idp)" and found["on behalf of"] == "alice@corp.example"
    assert found["approvers"] == "2 of owners"
    assert found["escalates"] == f"to security at {moment(150.0)}" == "to security at 1970-01-01 00:02:30 UTC"
    assert view_of(request).canonical is not None


def test_a_blast_radius_keeps_its_branches_and_shows_what_hides_in_names() -> None:
    blast = Blast(
        True,
        1,
        True,
        2,
        (Rows("public.a", 1, "delete"), Rows("public.b\u202e", 2, "on delete cascade", via="k\n")),
        reasons=("Triggers run code.",),
    )
    assert view_of(ask(blast=blast.document())).blast == (
        "delete of exactly 1 row of public.a",
        "└─ on delete cascade of exactly 2 rows of public.b⟨U+202E⟩ (by k⟨U+000A⟩)",
        "together 2 rows besides those it names",
        "· Triggers run code.",
    )


def test_an_object_that_is_written_and_read_is_named_once() -> None:
    both = tuple(ObjectRef("table", "public.t", access) for access in ("write", "read"))
    assert headline(ask(facts=Facts(Effect.WRITE, "update", both))) == "update on public.t at shop"


def test_a_query_that_deletes_is_not_called_a_query() -> None:
    table = (ObjectRef("table", "public.t", "write"),)
    view = view_of(ask(facts=Facts(Effect.WRITE, "select", table, frozenset({"writes_within"})), bound=None))
    assert view.headline == "select that changes rows on public.t at shop"
    assert dict(view.found)["does"] == "select that changes rows (write)"
    assert headline(ask(facts=Facts(Effect.READ, "select", table))) == "select on public.t at shop"


@pytest.mark.parametrize(
    ("state", "by", "bound", "says"),
    [
        (ApprovalState.REQUESTED, (), None, "requested"),
        (ApprovalState.APPROVED, ("bob", "eve\n"), 1, "approved by bob, eve⟨U+000A⟩, for at most 1 row"),
        (ApprovalState.REDEEMED, ("bob",), 1200, "used, approved by bob, for at most 1,200 rows"),
        (ApprovalState.DENIED, ("bob",), 7, "denied by bob"),
    ],
)
def test_where_it_stands_says_who_did_what(
    state: ApprovalState, by: tuple[str, ...], bound: int | None, says: str
) -> None:
    assert standing(ApprovalStatus("a-1", state, by, bound=bound)) == says


@pytest.mark.parametrize(
    ("facts", "rows", "caution"),
    [
        (Facts(Effect.UNKNOWN, "unknown"), "not understood", "does not understand"),
        (Facts(Effect.WRITE, "delete", bounded=False), "all of them", "No condition limits"),
        (Facts(Effect.DEFINE, "create table"), "the object as a whole", ""),
        (Facts(Effect.READ, "select"), "it changes none", ""),
    ],
)
def test_what_it_does_to_rows_and_what_to_beware_of(facts: Facts, rows: str, caution: str) -> None:
    view = view_of(ask(facts=facts))
    assert dict(view.found)["which rows"] == rows
    assert any(caution in line for line in view.cautions) if caution else view.cautions == ()


def test_what_runs_is_not_called_a_comment() -> None:
    view = view_of(ask(text="exec: journalctl --vacuum-size=1", canonical=""))
    assert not any("comments" in line for line in view.cautions)


@pytest.mark.parametrize("text", ["/* approved */ DROP TABLE", "DROP TABLE -- approved", "DROP TABLE --"])
def test_of_what_was_not_read_nobody_says_that_its_comments_do_not_run(text: str) -> None:
    cautions = view_of(ask(text=text, canonical="")).cautions
    assert PERHAPS in cautions and COMMENTS not in cautions


def test_apr_018_comments_are_pointed_out_and_the_canonical_text_has_none() -> None:
    view = view_of(ask(text="/* approved by security, harmless */ DROP TABLE orders", canonical="DROP TABLE orders"))
    assert any("comments" in line for line in view.cautions)
    assert view.canonical is not None and view.canonical.lines == ("1 │ DROP TABLE orders",)
    lines = lines_of(view)
    said = next(number for number, line in enumerate(lines) if "harmless" in line)
    assert all(label in "\n".join(lines[:said]) for label in ("does", "touches", "CAUTION", "DROP TABLE orders"))


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\u043e", "\x1b", "\x00", "\r", "\udcff"])
def test_apr_015_and_016_no_unclear_character_reaches_a_medium(character: str) -> None:
    statement = Statement(
        f"SELECT '{character}'", parameters=(Parameter(f"x{character}".encode("utf-8", "surrogateescape")),)
    )
    objects = (ObjectRef("table", f"public.{character}rders", "write"),)
    view = view_of(ask(statement=statement, facts=Facts(Effect.WRITE, f"dele{character}te", objects)))
    everything = json.dumps(view.document(), ensure_ascii=False) + "\n".join(lines_of(view))
    assert character not in everything
    assert any(f"U+{ord(character):04X}" in line for line in view.cautions)


def test_the_agents_reason_is_apart_and_called_unchecked() -> None:
    view = view_of(ask(text="/* reason: clean up\n after alice */ DELETE FROM orders WHERE id = 7"))
    assert view.reason is not None
    assert view.reason.lines == ("1 │ clean up", "2 │  after alice")
    assert "nobody has checked" in view.reason.title
    assert view_of(REQUEST).reason is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/* reason: a */ SELECT 1", "a"),
        ("  /** Reason: a **/ SELECT 1", "a *"),
        ("-- reason: nightly\nSELECT 1", "nightly"),
        ("# reason: nightly\nls", "nightly"),
        ("SELECT 1 /* reason: late */", ""),
        ("/* because */ SELECT 1", ""),
        ("/* reason: never closed", ""),
    ],
)
def test_where_an_agent_may_give_its_reason(text: str, reason: str) -> None:
    assert agent_reason(text) == reason


def test_nothing_is_left_out_unless_asked_and_then_it_is_counted() -> None:
    view = view_of(ask(text="\n".join(f"line {n}" for n in range(100))))
    whole, part = lines_of(view), lines_of(view, most=10)
    assert sum("line " in line for line in whole) >= 100
    assert any("⟨91 more lines;" in line for line in part)
    assert "100 │ line 99" in part, "the end is shown, too"


@given(st.lists(st.text(max_size=3), max_size=60), st.integers(0, 30))
def test_folding_says_how_much_it_left_out(lines: list[str], most: int) -> None:
    shown = folded(lines, most)
    assert len(shown) == min(len(lines), max(most, 3))
    if len(lines) > max(most, 3):
        assert f"⟨{len(lines) - len(shown) + 1} more lines;" in "".join(shown)


def test_the_hash_is_over_all_that_is_shown() -> None:
    views = [
        view_of(request).shown
        for request in (
            REQUEST,
            ask(text="DELETE FROM orders WHERE id = 7"),
            ask(canonical="x"),
            ask(quorum=3),
            ask(blast={"rows": 3}),
            ask(blast={"rows": 4}),
            ask(escalation=("x",), escalate_at=1.0),
            ask(shape="s"),
            ask(id="a-2"),
        )
    ]
    assert len(set(views)) == len(views)
    assert view_of(REQUEST).shown == view_of(ask()).shown
    assert f"shown: {view_of(REQUEST).shown}" in lines_of(view_of(REQUEST))
    assert view_of(REQUEST).document()["shown"] == view_of(REQUEST).shown


def test_a_blast_radius_is_a_tree() -> None:
    blast = {"rows": 120, "cascades": [{"table": "items", "rows": 40, "exact": True}], "undo": None, "x\u202e": "y"}
    assert view_of(ask(blast=blast)).blast == (
        "rows: 120", "cascades", "  table: items", "  rows: 40", "  exact: yes", "undo: not known", "x⟨U+202E⟩: y",
    )  # fmt: skip


def test_sizes_are_said() -> None:
    words = view_of(ask(text="é")).text
    assert titled(words) == "What the agent wrote (execute), 2 bytes, 1 line:"


@pytest.mark.parametrize("text", ["a\udc80b", "a\ud800b", "\udfff"])
def test_surrogates_of_any_kind_are_shown_and_counted(text: str) -> None:
    """A text that is not what it should be must not keep a person from seeing it."""
    shown = "\n".join(lines_of(view_of(ask(statement=Statement(text)))))
    assert "internal" not in shown
    assert not any("\ud800" <= character <= "\udfff" for character in shown)
