"""Whatever permitted statements come in whatever order and form, the client sees what it would see without the gateway.

Programs are drawn from texts that differ in little (their numbers, their names), because that is what memories confuse.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from tests.e2e.stacks import Stack

Connection = psycopg.Connection[Any]
Act = Callable[[Connection], list[object]]

STEPS = 60
QUERIES = (
    "SELECT id, name FROM products WHERE id = {n}",
    "SELECT id FROM orders WHERE customer_id = {n} ORDER BY id LIMIT {n}",
    "SELECT id FROM orders ORDER BY id OFFSET {n} LIMIT 3",
    "SELECT {n}",
    "SELECT {n}, {m}",
    "SELECT {n}::text || 'x', '{m}'",
    "SELECT CASE WHEN {n} > {m} THEN {n} ELSE {m} END AS greater",
    "SELECT count(*), {n} FROM order_items WHERE quantity = {m}",
    "SELECT id FROM products WHERE id IN ({n}, {m}) ORDER BY {one}",
    "WITH few AS (SELECT id FROM products WHERE id <= {n}) SELECT max(id) FROM few",
    "SELECT {n} / {zero}",
    "SELECT * FROM generate_series({n}, {m})",
    "VALUES ({n}), ({m})",
    "SELECT $${n}$$, E'\\\\{m}', -- {n}\n {m}",
    "SELECT nothing FROM products WHERE id = {n}",
)
REFUSED = "42501"
NAMES = ("a", "b", '"A b"')


@dataclass(frozen=True)
class Step:
    """``said`` is for whoever reads a failure."""

    said: str
    act: Act


def outcome(cursor: psycopg.Cursor[Any]) -> list[object]:
    """Everything that came back for one execution, result by result."""
    found: list[object] = []
    while True:
        columns = [(column.name, column.type_code) for column in cursor.description or ()]
        found += [columns, cursor.fetchall() if cursor.description else None, cursor.statusmessage, cursor.rowcount]
        if not cursor.nextset():
            return found


def simple(text: str) -> Step:
    return Step(f"simple: {text}", lambda on: outcome(psycopg.ClientCursor(on).execute(text.encode())))


def unnamed(text: str, *, binary: bool) -> Step:
    return Step(
        f"unnamed{' binary' * binary}: {text}",
        lambda on: outcome(on.cursor(binary=binary).execute(text.encode(), (), prepare=False)),
    )


def named(text: str) -> Step:
    return Step(f"named: {text}", lambda on: outcome(on.cursor().execute(text.encode(), (), prepare=True)))


def bound(number: int) -> Step:
    text = b"SELECT id, name FROM products WHERE id = %s"
    return Step(f"bound: {number}", lambda on: outcome(on.cursor().execute(text, (number,), prepare=True)))


def copied(text: str) -> Step:
    def act(on: Connection) -> list[object]:
        with on.cursor().copy(f"COPY ({text}) TO STDOUT".encode()) as copy:
            return [bytes(block) for block in copy]

    return Step(f"copied: {text}", act)


def piped(texts: list[str]) -> Step:
    def act(on: Connection) -> list[object]:
        with on.pipeline():
            cursors = [on.execute(text.encode(), ()) for text in texts]
        return [outcome(cursor) for cursor in cursors]

    return Step(f"piped: {texts}", act)


def draw(dice: random.Random) -> Step:
    """One step: a query in some form, or something about names and transactions."""

    def query() -> str:
        numbers = {"n": dice.randint(1, 12), "m": dice.randint(1, 12), "one": 1, "zero": dice.choice((0, 1, 2))}
        return dice.choice(QUERIES).format(**numbers)

    name = dice.choice(NAMES)
    forms: tuple[Callable[[], Step], ...] = (
        lambda: simple(query()),
        lambda: simple(query()),
        lambda: unnamed(query(), binary=False),
        lambda: unnamed(query(), binary=True),
        lambda: named(query()),
        lambda: bound(dice.randint(1, 12)),
        lambda: copied(query()),
        lambda: piped([query() for _ in range(dice.randint(1, 4))]),
        lambda: simple("; ".join(query() for _ in range(dice.randint(2, 3)))),
        lambda: simple(f"DECLARE {name} CURSOR FOR {query()}"),
        lambda: simple(f"DECLARE {name} SCROLL CURSOR FOR {query()}"),
        lambda: simple(f"FETCH {dice.choice(('', 'ALL', '1', '2', 'FORWARD 3', 'PRIOR'))} FROM {name}"),
        lambda: simple(f"MOVE {dice.randint(1, 3)} FROM {name}"),
        lambda: simple(f"CLOSE {name}"),
        lambda: simple(f"PREPARE {name} AS {query()}"),
        lambda: simple(f"PREPARE {name}(int) AS SELECT $1 + {dice.randint(1, 12)}"),
        lambda: simple(f"EXECUTE {name}"),
        lambda: simple(f"EXECUTE {name}({dice.randint(1, 12)})"),
        lambda: simple(f"DEALLOCATE {name}"),
        lambda: simple(dice.choice(("BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "ROLLBACK", "ROLLBACK"))),
        lambda: simple(f"SAVEPOINT s{dice.randint(1, 2)}"),
        lambda: simple(f"ROLLBACK TO s{dice.randint(1, 2)}"),
        lambda: simple(dice.choice(("DEALLOCATE ALL", "CLOSE ALL", "DISCARD ALL", "RESET ALL", "SHOW TimeZone"))),
        lambda: simple(f"EXPLAIN (COSTS OFF) {query()}"),
    )
    return dice.choice(forms)()


@dataclass(frozen=True)
class Seen:
    """What a step brought: results, or an error (its SQLSTATE and words, and where); and how the transaction stands."""

    results: list[object]
    standing: str
    code: str | None = None
    words: str | None = None
    place: str | None = None


def seen(on: Connection, step: Step) -> Seen:
    try:
        found = step.act(on)
    except psycopg.Error as fault:
        told = fault.diag
        standing = on.info.transaction_status.name
        return Seen([], standing, fault.sqlstate, f"{told.severity}: {told.message_primary}", told.statement_position)
    return Seen(found, on.info.transaction_status.name)


def same(ours: Seen, theirs: Seen) -> bool:
    """Whether a client sees the same. What fails at the server may fail at the gateway, which has no name for it; and
    no place is told in a text that went there with other names.
    """
    if ours.code == REFUSED and theirs.code is not None:
        return ours.standing == theirs.standing
    return replace(ours, place=ours.place or theirs.place) == theirs


@pytest.mark.parametrize("seed", range(6))
def test_a_program_sees_what_it_would_see_without_the_gateway(shop: Stack, seed: int) -> None:
    dice = random.Random(seed)  # a repeatable draw
    with (
        shop.connect(autocommit=True) as through,
        psycopg.connect(**shop.own(), autocommit=True) as past,
    ):
        done: list[str] = []
        for _ in range(STEPS):
            step = draw(dice)
            done.append(step.said)
            ours, theirs = seen(through, step), seen(past, step)
            assert same(ours, theirs), "\n".join([*done[-12:], f"{ours}", f"{theirs}"])
