"""Whose column a name is decides whether a condition on it limits the target."""

from __future__ import annotations

import pytest

from blastwall.sql.owners import LIMITED, LINK, Owners
from blastwall.sql.scope import Scope, Source
from blastwall.sql.truth import OTHER, TARGET
from tests.blastwall.sql.judging import corpus_catalogue, judged


def source(name: str, alias: str) -> Source:
    relation = corpus_catalogue().relation("public", name, ())
    return Source(alias, tuple(each.name for each in relation.columns), name=f"public.{name}", relation=relation)


ORDERS, CUSTOMERS, PRODUCTS = source("orders", "o"), source("customers", "c"), source("products", "p")
SCOPE = Scope(None, (ORDERS, CUSTOMERS))


def owners() -> Owners:
    return Owners(ORDERS, (CUSTOMERS,), SCOPE, lambda found, of: LINK)


@pytest.mark.parametrize(
    ("path", "of"),
    [
        (["o", "id"], TARGET),
        (["c", "id"], OTHER),
        (["status"], TARGET),
        (["ssn"], OTHER),
        (["id"], None),
        (["o", "tableoid"], None),
        (["nobody", "id"], None),
        (["o", "*"], None),
        (["no_such_column"], None),
    ],
)
def test_a_name_belongs_to_one_or_to_nobody(path: list[str], of: str | None) -> None:
    found = owners().find(path)
    assert (found.of if found is not None else None) == of


def test_a_sub_query_hides_what_stands_around_it() -> None:
    inside = owners().within((PRODUCTS,), SCOPE.of((PRODUCTS,)))
    assert inside.find(["id"]).of == OTHER
    assert inside.find(["status"]).of == TARGET
    assert owners().alike().find(["c", "id"]).of == TARGET


def test_what_the_catalogue_knows_of_a_column_is_handed_on() -> None:
    found = owners().find(["o", "id"])
    assert (found.variable.kind, found.variable.positive, found.variable.most) == ("number", True, 2**31 - 1)
    assert not found.nullable
    assert owners().find(["o", "customer_id"]).nullable
    assert owners().find(["o", "created_at"]).variable.past


def test_links_are_asked_once_and_can_be_raised() -> None:
    asked: list[Source] = []
    found = Owners(ORDERS, (CUSTOMERS,), SCOPE, lambda of, which: asked.append(which) or LINK)
    assert [found.find(["c", "id"]).link, found.find(["c", "ssn"]).link] == [LINK, LINK]
    assert asked == [CUSTOMERS]
    found.limit((CUSTOMERS,))
    assert found.find(["c", "id"]).link == LIMITED


@pytest.mark.parametrize(
    ("text", "bounded"),
    [
        ("DELETE FROM orders o USING customers c WHERE c.id = 5", False),
        ("DELETE FROM orders o USING customers c WHERE o.id = 5", True),
        ("DELETE FROM orders o USING customers c WHERE ssn = '5'", False),
        ("DELETE FROM orders o USING customers c WHERE status = '5'", True),
    ],
)
def test_a_condition_on_what_is_joined_limits_nothing(text: str, bounded: bool) -> None:
    assert judged(text).bounded is bounded
