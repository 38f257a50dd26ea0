"""What a login says of itself is read back exactly, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from blastwall.credentials.marks import Mark, house_of, mark, read_mark
from blastwall.model import Principal, Session

SESSION = Session("s-abc", Principal("iss", "bot", "bot", on_behalf_of="ada@example.test"), "shop", 0.0, 1.0)


def test_a_mark_is_read_back_and_tells_people_whose_it_is() -> None:
    house = house_of("host /srv/state")
    text = mark(house, SESSION, 1_800_000_000.9)
    assert text == f"blastwall:{house}:1800000000 session s-abc: bot for ada@example.test"
    assert read_mark(text) == Mark(house, 1_800_000_000.0, "s-abc")
    assert house_of("host /srv/state") == house != house_of("host /srv/other")


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "blastwall session s-abc: bot",
        " blastwall:0123456789ab:1 session s-a: bot",
        "blastwall:0123456789AB:1 session s-a: bot",
        "blastwall:0123456789ab:x session s-a: bot",
        "blastwall:0123456789ab:1 session s_a: bot",
        "about blastwall:0123456789ab:1 session s-a: bot",
    ],
)
def test_what_is_no_mark_is_none(comment: str) -> None:
    assert read_mark(comment) is None


def test_an_agents_name_cannot_say_more_than_a_name() -> None:
    named = Principal("iss", "x", "blastwall:ffffffffffff:1 session s-other: x")
    found = read_mark(mark("0123456789ab", Session("s-mine", named, "shop", 0.0, 1.0), 5.0))
    assert found == Mark("0123456789ab", 5.0, "s-mine")
