"""The page as HTML: nothing of an agent's becomes markup, and the ways to answer are those there are."""

from __future__ import annotations

import re

import pytest

from blastwall.approvals import Filed, Vote
from blastwall.approvals.page import STYLE, document, listing, request_page, sign_in
from blastwall.approvals.view import view_of
from blastwall.model import ApprovalState, ApprovalStatus, Effect, Facts, ObjectRef
from tests.blastwall.approvals.asking import ask, person


def filed(state=ApprovalState.REQUESTED, votes=(), about=None, **changes) -> Filed:
    request = ask(**changes)
    return Filed(request, ApprovalStatus(request.id, state, **(about or {})), votes)


def shown(one: Filed, **about) -> str:
    return request_page(one, 150.0, **({"csrf": "c5rf", "refusal": "", "grants": True} | about))


def test_what_an_agent_writes_is_text() -> None:
    hostile = "</pre><script>alert(1)</script><img src=x onerror=y>\"'&"
    facts = Facts(Effect.WRITE, hostile, (ObjectRef("table", hostile, "write"),), reason=hostile)
    one = filed(
        text=hostile,
        facts=facts,
        blast={hostile: hostile},
        canonical=hostile,
        votes=(Vote(person(hostile), True, hostile, 1.0),),
    )
    for html in (shown(one, message=hostile), listing([one], 150.0), sign_in(oidc=True, next=hostile, message=hostile)):
        assert "<script" not in html and "<img" not in html and "onerror=y>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown(one)


def test_marks_are_set_off() -> None:
    assert "<mark>⟨U+202E⟩</mark>" in shown(filed(text="SELECT '\u202e'"))


def test_long_texts_are_folded_and_whole() -> None:
    html = shown(filed(text="\n".join(f"row {n}" for n in range(100))))
    assert "<summary>60 more lines</summary>" in html
    assert all(f"row {n}" in html for n in range(100))


@pytest.mark.parametrize(
    ("state", "about", "buttons"),
    [
        (ApprovalState.REQUESTED, {}, ["deny", "approve"]),
        (ApprovalState.APPROVED, {"by": ("bob",)}, ["deny"]),
        (ApprovalState.DENIED, {}, []),
        (ApprovalState.REDEEMED, {}, []),
        (ApprovalState.EXPIRED, {}, []),
    ],
)
def test_one_can_answer_what_waits_and_take_back_what_was_not_used(state, about, buttons) -> None:
    html = shown(filed(state, about=about))
    assert re.findall(r'name="decision" value="(\w+)"', html) == buttons
    assert ("Take the approval back" in html) is (state is ApprovalState.APPROVED)


def test_the_form_carries_the_hash_of_what_is_above_it_and_its_token() -> None:
    one = filed()
    html = shown(one)
    assert f'name="shown" value="{view_of(one.request).shown}"' in html
    assert 'name="csrf" value="c5rf"' in html
    assert "<form" not in shown(one, refusal="not yours") and "not yours" in shown(one, refusal="not yours")


def test_a_grant_is_offered_only_where_it_is_possible() -> None:
    assert 'name="grant"' in shown(filed(shape="s" * 64))
    assert 'name="grant"' not in shown(filed(shape="s" * 64), grants=False)
    assert 'name="grant"' not in shown(filed())


def test_a_quorum_says_who_is_missing() -> None:
    html = shown(filed(votes=(Vote(person("bob"), True, "fine", 1.0),)))
    assert "1 of 2 have approved" in html and "approved by bob" in html and "fine" in html


def test_the_list_is_grouped_by_agent() -> None:
    html = listing([filed(id="a-1"), filed(id="a-2"), filed(id="a-3", target="other")], 150.0)
    assert html.count("<section>") == 2 and "2 requests" in html and "3 waiting" in html
    assert "Nobody waits" in listing([filed(ApprovalState.DENIED)], 150.0)


def test_a_page_has_no_script_and_one_style_of_its_own() -> None:
    html = document("t<", "<p>b</p>", who="olga<", sign_out="x", refresh="10").decode()
    assert "<script" not in html and "style=" not in html
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["/style.css", "/"]
    assert "olga&lt;" in html and 'content="10"' in html
    assert b"prefers-color-scheme: dark" in STYLE and b"url(" not in STYLE and b"@import" not in STYLE
