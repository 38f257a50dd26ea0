"""Permitted changes do what they would do without the gateway: the same answers, and the same rows in the end.

Once where policy permits them outright, so that they come in transactions, batches and pipelines; once where a person
lets each pass, so that it runs under a bound and what it touches is kept to be undone.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import Start
from tests.e2e.people import approving
from tests.e2e.stacks import ROOT, Stack
from tests.e2e.test_same_answers import Connection, Step, named, outcome, piped, same, seen, simple, unnamed

TABLES = """
CREATE TABLE folk (id int PRIMARY KEY, name text NOT NULL, tier text DEFAULT 'basic', age int CHECK (age >= 0));
CREATE TABLE cats (id int PRIMARY KEY, owner int REFERENCES folk ON DELETE CASCADE, name text UNIQUE);
ALTER TABLE folk OWNER TO shop_agent;
ALTER TABLE cats OWNER TO shop_agent;
"""
ROWS = """
TRUNCATE folk, cats;
INSERT INTO folk SELECT i, 'folk ' || i, 'basic', 20 + i FROM generate_series(1, 30) i;
INSERT INTO cats SELECT i, 1 + i % 7, 'cat ' || i FROM generate_series(1, 12) i
"""
READS = ("SELECT count(*), sum(age) FROM folk", "SELECT * FROM folk WHERE id = {n}", "SELECT * FROM cats ORDER BY id")
WRITES = (
    "INSERT INTO folk VALUES ({n}, 'x{m}')",
    "INSERT INTO folk (id, name, age) VALUES ({n} + 30, 'n', {m} - 3) RETURNING id, tier",
    "INSERT INTO folk VALUES ({n}, 'y') ON CONFLICT (id) DO UPDATE SET name = excluded.name || folk.name RETURNING *",
    "INSERT INTO folk VALUES ({n}, 'y') ON CONFLICT DO NOTHING",
    "UPDATE folk SET age = age + {m} WHERE id = {n}",
    "UPDATE folk SET age = age - 40 WHERE id = {n} RETURNING age",
    "UPDATE folk SET name = NULL WHERE id = {n}",
    "UPDATE folk SET tier = 'gold' WHERE id IN ({n}, {m})",
    "UPDATE folk SET id = {m} WHERE id = {n}",
    "UPDATE folk f SET name = c.name FROM cats c WHERE c.owner = f.id AND c.id = {n}",
    "DELETE FROM folk WHERE id = {n}",
    "DELETE FROM folk WHERE id = {n} RETURNING id, name",
    "DELETE FROM cats WHERE id = {n}",
    "INSERT INTO cats VALUES ({n}, {m}, 'cat {m}')",
    "UPDATE cats SET owner = {m} WHERE id = {n}",
    "MERGE INTO folk f USING (VALUES ({n}, 'm')) v(id, name) ON f.id = v.id "
    "WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name)",
)
WORDS = (
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "DECLARE rows CURSOR FOR SELECT * FROM folk ORDER BY id FOR UPDATE",
    "FETCH 1 FROM rows",
    "UPDATE folk SET age = {n} WHERE CURRENT OF rows",
    "CLOSE rows",
    "PREPARE older AS UPDATE folk SET age = $1 WHERE id = {n}",
    "EXECUTE older({m})",
    "DEALLOCATE older",
)
#: What a batch makes and uses before its Sync; what is judged by what is there at that moment.
MAKING = (
    "CREATE TEMP TABLE made{k} (id int PRIMARY KEY, name text)",
    "CREATE TEMP TABLE made{k} AS SELECT id, name FROM folk WHERE id <= {n}",
    "CREATE TEMP TABLE made{k} ON COMMIT DROP AS SELECT {n} AS id, 'a' AS name",
    "DROP TABLE made{k}",
    "ALTER TABLE made{k} ADD COLUMN more int DEFAULT {n}",
    "CREATE INDEX ON made{k} (id)",
    "TRUNCATE made{k}",
)
USING = (
    "INSERT INTO made{k} VALUES ({n}, 'a')",
    "SELECT * FROM made{k} ORDER BY id",
    "SELECT more FROM made{k} WHERE id <> {n}",
    "UPDATE made{k} SET name = 'b' WHERE id = {n} RETURNING *",
    "INSERT INTO folk SELECT id + 40, name FROM made{k} WHERE id < 4",
    "PREPARE older AS SELECT count(*) FROM made{k} WHERE id > $1",
    "EXECUTE older({n})",
    "DECLARE rows CURSOR FOR SELECT * FROM made{k} ORDER BY id",
)
OUTRIGHT = """
@id("outright")
permit (principal, action in [Action::"write", Action::"define", Action::"destroy"], resource);
"""


def bound(text: str, *values: object) -> Step:
    return Step(f"bound: {text} {values}", lambda on: outcome(on.cursor().execute(text.encode(), values, prepare=True)))


def many(text: str, rows: list[tuple[object, ...]]) -> Step:
    def act(on: Connection) -> list[object]:
        cursor = on.cursor()
        cursor.executemany(text.encode(), rows, returning=True)
        return outcome(cursor)

    return Step(f"many: {text} {rows}", act)


def one(dice: random.Random) -> Step:
    """A read or a write by itself."""
    n, m = dice.randint(1, 33), dice.randint(1, 33)
    write, read = dice.choice(WRITES).format(n=n, m=m), dice.choice(READS).format(n=n)
    forms: tuple[Callable[[], Step], ...] = (
        lambda: simple(write),
        lambda: unnamed(write, binary=False),
        lambda: unnamed(write, binary=True),
        lambda: named(write),
        lambda: simple(read),
        lambda: named(read),
        lambda: bound("UPDATE folk SET age = %s WHERE id = %s RETURNING id, age", m, n),
        lambda: bound("DELETE FROM cats WHERE id = %s", n),
        lambda: bound("INSERT INTO folk VALUES (%s, %s, 'b', %s)", n, f"q{m}", m),
    )
    return dice.choice(forms)()


def any_of(dice: random.Random) -> Step:
    """Also several together, and what makes transactions and names of them."""
    n, m = dice.randint(1, 33), dice.randint(1, 33)
    texts = [dice.choice((*WRITES, *READS)).format(n=n + i, m=m) for i in range(dice.randint(2, 4))]
    forms: tuple[Callable[[], Step], ...] = (
        *[lambda: one(dice)] * 6,
        *[lambda: simple(dice.choice(WORDS).format(n=n, m=m))] * 6,
        lambda: piped(texts),
        lambda: simple("; ".join(texts)),
        lambda: many("INSERT INTO folk VALUES (%s, %s) RETURNING id", [(n + i, f"m{i}") for i in range(3)]),
        lambda: many("UPDATE folk SET age = %s WHERE id = %s RETURNING id", [(i, n + i) for i in range(3)]),
    )
    return dice.choice(forms)()


def making(dice: random.Random) -> Step:
    """Mostly batches that make things and use them before they are over."""
    n, k = dice.randint(1, 9), dice.randint(1, 2)
    words = (
        *MAKING,
        *USING,
        *USING,
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "FETCH 2 FROM rows",
    )
    made = [MAKING[dice.randint(0, 2)], *[dice.choice(USING[:4]) for _ in range(dice.randint(1, 3))]]
    drawn = [dice.choice(words) for _ in range(dice.randint(1, 4))]
    texts = [text.format(n=n, k=k) for text in dice.choice((made, made + drawn, drawn, ["BEGIN", *made, "ROLLBACK"]))]
    forms: tuple[Callable[[], Step], ...] = (
        *[lambda: piped(texts)] * 4,
        lambda: simple("; ".join(texts)),
        lambda: named(texts[0]),
        lambda: simple(dice.choice(("ROLLBACK", "COMMIT", "DISCARD TEMP", "DEALLOCATE ALL"))),
        lambda: simple(dice.choice(("DROP TABLE IF EXISTS made1, made2", "DEALLOCATE ALL"))),
    )
    return dice.choice(forms)()


def ready(stack: Stack) -> Stack:
    stack.direct(TABLES)
    return stack


@pytest.fixture(scope="module")
def outright(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The shipped configuration, with a rule that permits changes without asking anybody."""
    config = Path(shutil.copytree(ROOT / "config", tmp_path_factory.mktemp("outright") / "config"))
    for forbidding in ("30-writes.cedar", "40-schema.cedar", "50-limits.cedar"):
        (config / "policies" / forbidding).unlink()
    (config / "policies" / "outright.cedar").write_text(OUTRIGHT)
    return ready(start("outright", config, "shop", masked=False))


@pytest.fixture(scope="module")
def asking(start: Start) -> Stack:
    """The shipped configuration: people let changes pass, which are counted and kept."""

    def keep(document: dict[str, Any]) -> None:
        document["approvals"]["undo"] = {"rows": 20}

    return ready(start("asking", ROOT / "config", "shop", keep, masked=False))


def compare(stack: Stack, through: Connection, steps: list[Step]) -> None:
    """Run the steps there, and on the same rows past the gateway."""

    def rows() -> list[object]:
        return [stack.direct(f"SELECT * FROM {table} ORDER BY id") for table in ("folk", "cats")]

    stack.direct(ROWS)
    ours = [seen(through, step) for step in steps]
    through.rollback()
    left = rows()
    stack.direct(ROWS)
    with psycopg.connect(**stack.own(), autocommit=True) as past:
        past.prepare_threshold = through.prepare_threshold
        theirs = [seen(past, step) for step in steps]
        past.rollback()
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        said = [step.said for step in steps[max(0, number - 8) : number + 1]]
        assert same(mine, other), "\n".join([*said, f"{mine}", f"{other}"])
    assert left == rows()


@pytest.mark.parametrize("seed", range(4))
def test_permitted_changes_in_whatever_order_and_form(outright: Stack, seed: int) -> None:
    dice = random.Random(seed)  # a repeatable draw
    with outright.connect(autocommit=True) as through:
        compare(outright, through, [any_of(dice) for _ in range(60)])


def test_approved_changes_one_by_one(asking: Stack) -> None:
    dice = random.Random(7)
    agent = "asks-often"
    with approving(asking, agent, 50), asking.connect(asking.token(agent), autocommit=True) as through:
        compare(asking, through, [one(dice) for _ in range(30)])


@pytest.mark.parametrize("seed", range(2))
def test_what_a_batch_makes_it_may_use_before_it_is_over(outright: Stack, seed: int) -> None:
    dice = random.Random(seed)  # a repeatable draw
    with outright.connect(autocommit=True) as through:
        through.prepare_threshold = None  # by when psycopg hears of an error it counts differently
        compare(outright, through, [making(dice) for _ in range(40)])


def test_cancel_requests_that_come_too_late_end_no_session(outright: Stack) -> None:
    """The gateway's own questions stand between statements, and a cancel request says of none that it means it."""
    over = threading.Event()
    with outright.connect(autocommit=True) as agent:

        def cancel() -> None:
            while not over.wait(0.003):
                with contextlib.suppress(psycopg.OperationalError):
                    agent.cancel()

        person = threading.Thread(target=cancel)
        person.start()
        try:
            for number in range(40):
                with contextlib.suppress(psycopg.errors.QueryCanceled):
                    agent.execute(f"CREATE TEMP TABLE late{number} (id int)".encode())
        finally:
            over.set()
            person.join()
        assert agent.execute("SELECT 1").fetchone() == (1,)
