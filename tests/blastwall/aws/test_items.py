"""The table's own manners: conditions that lose are no faults, everything else is ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blastwall.aws.items import Items, number, real
from blastwall.errors import OurFault
from tests.blastwall.aws import stage


@pytest.fixture
def items(monkeypatch: pytest.MonkeyPatch) -> Iterator[Items]:
    with stage.aws(monkeypatch):
        client = stage.client("dynamodb")
        stage.approvals_table(client)
        yield Items(client, stage.TABLE)


def item(id: str, **more: object) -> dict[str, object]:
    return {"id": {"S": id}, "version": number(1), **more}


def test_of_two_changes_to_one_version_the_first_wins(items: Items) -> None:
    items.put(item("a"))
    seen = items.get("a")
    assert seen is not None
    assert items.change(seen, {"state": {"S": "approved"}}) == {
        "id": {"S": "a"}, "version": {"N": "2"}, "state": {"S": "approved"},
    }  # fmt: skip
    assert items.change(seen, {"state": {"S": "denied"}}) is None
    assert (items.get("a") or {})["state"] == {"S": "approved"}
    assert items.get("b") is None


def test_all_puts_happen_or_none(items: Items) -> None:
    items.put(item("taken"))
    fresh = {"ConditionExpression": "attribute_not_exists(id)"}
    assert not items.put_together({"Item": item("new"), **fresh}, {"Item": item("taken"), **fresh})
    assert items.get("new") is None
    assert items.put_together({"Item": item("new"), **fresh}, {"Item": item("taken")})
    assert items.get("new") is not None


def test_an_attribute_is_set_only_where_it_should_be(items: Items) -> None:
    items.put(item("a", state={"S": "requested"}))
    assert items.set("a", "task_token", {"B": b"x"}, where={"state": {"S": "requested"}})
    assert not items.set("a", "task_token", {"B": b"y"}, where={"state": {"S": "approved"}})
    assert not items.set("none", "task_token", {"B": b"y"})
    assert (items.get("a") or {})["task_token"] == {"B": b"x"}
    items.set("a", "task_token", None)
    assert "task_token" not in (items.get("a") or {})


def test_a_query_is_newest_first_from_a_moment_on_and_bounded(items: Items) -> None:
    for at in range(5):
        items.put(item(f"a-{at}", state={"S": "requested"}, requested_at=number(float(at)), agent={"S": "x"}))
    found = [real(one, "requested_at") for one in items.query("by_state", "state", "requested", 1.0, 3)]
    assert found == [4.0, 3.0, 2.0]
    assert len(list(items.query("by_agent", "agent", "x", 0.0))) == 5


def test_a_table_that_fails_is_our_fault(items: Items) -> None:
    broken = Items(items.client, "gone")
    for call in (lambda: broken.get("a"), lambda: broken.put(item("a")), lambda: broken.set("a", "b", {"S": "c"})):
        with pytest.raises(OurFault, match="gone"):
            call()
