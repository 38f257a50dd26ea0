"""What people are told elsewhere: a line, a link that acts on nothing, and how much was left out."""

from __future__ import annotations

import json

import pytest

from blastwall.approvals import Filed, Vote
from blastwall.approvals.notices import Kind, grouped, link, mail, slack_message, summary, webhook_body
from blastwall.approvals.view import view_of
from blastwall.blast import Blast, Rows
from blastwall.model import ApprovalState, ApprovalStatus, Effect, Facts, ObjectRef, Parameter, Statement
from tests.blastwall.approvals.asking import REQUEST, ask, person

PAGE = "https://page.example"


def filed(request=REQUEST, state=ApprovalState.REQUESTED, **about) -> Filed:
    return Filed(request, ApprovalStatus(request.id, state, **about))


def actions(message) -> list[str]:
    return [element["action_id"] for element in message["blocks"][-1]["elements"]]


def test_one_notice_a_minute_for_one_agent_target_and_verb() -> None:
    first, second = filed(ask(id="a-1", requested_at=120.0)), filed(ask(id="a-2", requested_at=121.0))
    assert not grouped(first, [first, second])
    assert grouped(second, [first, second])
    assert not grouped(filed(ask(id="a-3", requested_at=181.0)), [first, second]), "the next minute"
    assert not grouped(second, [filed(ask(id="a-1", requested_at=120.0, target="other"))])


def test_the_link_only_shows() -> None:
    assert link(PAGE + "/", "a-1") == "https://page.example/requests/a-1"


def test_a_webhook_gets_everything_but_nothing_that_decides() -> None:
    body = webhook_body(Filed(REQUEST, filed().status, (Vote(person("bob"), True, "", 1.0),)), Kind.ASKED, PAGE, 100.0)
    assert (body["event"], body["id"], body["approvers"], body["quorum"]) == ("asked", "a-1", ["owners"], 2)
    assert body["approved_by"] == ["bob"]
    assert body["view"] == view_of(REQUEST).document()
    assert "token" not in json.dumps(body)


def test_lines_for_what_happens() -> None:
    assert summary(filed(), Kind.ASKED, 1.0) == "reporter waits for owners: delete on public.orders at shop"
    later = ask(escalation=("security",), escalate_at=5.0)
    assert summary(filed(later), Kind.ESCALATED, 6.0).startswith(
        "nobody has answered yet: reporter waits for owners or"
    )
    over = filed(state=ApprovalState.DENIED, by=("olga\u202e",), note="no")
    assert summary(over, Kind.DECIDED, 1.0) == (
        "denied by olga⟨U+202E⟩: delete on public.orders at shop, asked by reporter"
    )


def test_mail_has_a_subject_that_sns_takes() -> None:
    subject, text = mail(filed(ask(target="ö" * 200)), Kind.ASKED, PAGE, 1.0)
    assert len(subject) < 100 and subject.isascii()
    assert text.rstrip().endswith("https://page.example/requests/a-1")
    assert "1 │ DELETE FROM orders WHERE id = $1" in text
    assert "ask Ben" in mail(filed(state=ApprovalState.DENIED, note="ask Ben"), Kind.DECIDED, PAGE, 1.0)[1]


def test_slack_offers_approval_only_with_everything_in_view() -> None:
    whole = filed(ask(text="DELETE FROM orders WHERE id = 7"))
    assert actions(slack_message(whole, Kind.ASKED, PAGE, 1.0, buttons=True)) == ["open", "deny", "approve"]
    assert actions(slack_message(whole, Kind.ASKED, PAGE, 1.0, buttons=False)) == ["open"]
    for request in (
        REQUEST,  # it has a parameter
        ask(statement=Statement("SELECT 1", parameters=(Parameter(None),))),
        ask(text="DELETE FROM orders\n" * 30),
        ask(text="DELETE FROM orders WHERE id IN (" + "1, " * 2000 + "1)"),
        ask(text="/* reason: trust me */ DELETE FROM orders WHERE id = 7"),
    ):
        assert actions(slack_message(filed(request), Kind.ASKED, PAGE, 1.0, buttons=True)) == ["open", "deny"]


RADIUS = Blast(
    True, 3, True, 900, (Rows("public.orders", 3, "delete"), Rows("public.items", 900, "on delete cascade", via="fk"))
)


def test_who_decides_elsewhere_sees_what_it_would_do() -> None:
    request = ask(text="DELETE FROM orders WHERE id = 7", blast=RADIUS.document())
    message = slack_message(filed(request), Kind.ASKED, PAGE, 1.0, buttons=True)
    shown = json.dumps(message, ensure_ascii=False)
    assert "└─ on delete cascade of exactly 900 rows of public.items (by fk)" in shown
    assert actions(message) == ["open", "deny", "approve"]
    assert "on delete cascade of exactly 900 rows" in mail(filed(request), Kind.ASKED, PAGE, 1.0)[1]


@pytest.mark.parametrize(
    "request_",
    [
        ask(text=f"DELETE FROM orders WHERE '{'<' * 900}' = '' OR id = 7"),  # four characters each in Slack
        ask(text="DELETE FROM t", canonical="DELETE FROM t WHERE " + " OR ".join(["x = 1"] * 400)),
        ask(text="DELETE FROM t", blast=Blast(True, reasons=tuple(f"{n} {'x' * 100}" for n in range(40))).document()),
        ask(
            text="DELETE FROM t",
            facts=Facts(Effect.WRITE, "delete", tuple(ObjectRef("table", f"t{n}" * 40, "write") for n in range(40))),
        ),
    ],
)
def test_what_slack_has_no_room_for_is_not_approved_there(request_) -> None:
    message = slack_message(filed(request_), Kind.ASKED, PAGE, 1.0, buttons=True)
    assert actions(message) == ["open", "deny"]
    assert "cut here" in json.dumps(message, ensure_ascii=False)
    assert all(len(block.get("text", {}).get("text", "")) <= 3000 for block in message["blocks"])


@pytest.mark.parametrize("facts", [{"flags": frozenset({"writes_masked"})}, {"filters_masked": True}])
def test_values_of_masked_columns_do_not_leave_for_other_places(facts) -> None:
    """A text that sets or compares them holds them; what undoes a change holds those that nobody may see."""
    statement = Statement("UPDATE p SET ssn = '078-05-1120' WHERE x = $1", parameters=(Parameter(b"078-05-1121"),))
    request = ask(
        statement=statement,
        canonical=statement.text,
        facts=Facts(Effect.WRITE, "update", masked_columns=frozenset({"public.p.ssn"}), **facts),
    )
    told = webhook_body(filed(request), Kind.ASKED, PAGE, 1.0)
    slack = slack_message(filed(request), Kind.ASKED, PAGE, 1.0, buttons=True)
    outside = json.dumps([told, slack, mail(filed(request), Kind.ASKED, PAGE, 1.0)])
    assert "078-05" not in outside and "public.p.ssn" in outside
    assert told["view"]["shown"] == view_of(request).shown, "what a decision must name is what the page shows"
    assert actions(slack) == ["open", "deny"] and view_of(request).shown in json.dumps(slack)


def test_a_decided_message_has_no_buttons_left() -> None:
    over = filed(state=ApprovalState.APPROVED, by=("olga",), note="fine")
    message = slack_message(over, Kind.DECIDED, PAGE, 1.0, buttons=True)
    assert actions(message) == ["open"] and "approved by olga" in message["text"]


def test_an_agents_text_cannot_format_or_mention_in_slack() -> None:
    message = slack_message(filed(ask(text="SELECT '<!channel> ``` *x*' & 1")), Kind.ASKED, PAGE, 1.0, buttons=False)
    text = json.dumps(message)
    assert "<!channel>" not in text and "&lt;!channel&gt;" in text
    assert text.count("```") == 2
    assert all(len(block.get("text", {}).get("text", "")) <= 3000 for block in message["blocks"])
