"""Random queries over three tables (people and notes hold masked columns, orders none), legal on PostgreSQL 17.

Each item of FROM is known by its columns: name, type, and whether it shows a masked column. ``free`` queries also
compute with masked columns, which the policy ``allow`` lets; others only show them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

SCHEMA = """
CREATE TABLE people (
    id integer PRIMARY KEY, name text NOT NULL, email varchar(40), ssn text, born date, tier integer NOT NULL);
CREATE TABLE notes (id integer PRIMARY KEY, person integer REFERENCES people (id), body text, kind text NOT NULL);
CREATE TABLE orders (id integer PRIMARY KEY, person integer REFERENCES people (id), total numeric(8,2), status text);
CREATE VIEW shown AS SELECT p.id, p.ssn AS number, upper(p.email) AS loud, o.total
    FROM people AS p LEFT JOIN orders AS o ON o.person = p.id;
INSERT INTO people SELECT i, 'name' || i % 7, CASE WHEN i % 5 > 0 THEN 'canary' || i || '@mail.example' END,
    CASE WHEN i % 6 > 0 THEN 'canary-' || i % 9 END, date '1990-01-01' + i * 37, i % 3 FROM generate_series(1, 24) AS i;
INSERT INTO notes SELECT i, 1 + i * 5 % 24, 'canary note ' || i % 4, 'kind' || i % 2 FROM generate_series(1, 30) AS i;
INSERT INTO orders SELECT i, 1 + i * 7 % 24, i * 1.25, (ARRAY['new', 'paid'])[1 + i % 2] FROM generate_series(1, 40) AS i;
ANALYZE;
"""
MASKED = {"people": ("email", "ssn", "born"), "notes": ("body",)}
CANARY = "canary"

Choose = Callable[[Sequence[object]], object]


class Shown(NamedTuple):
    name: str
    type: str
    masked: bool = False


TABLES = {
    "people": (
        Shown("id", "int"),
        Shown("name", "text"),
        Shown("email", "varchar", True),
        Shown("ssn", "text", True),
        Shown("born", "date", True),
        Shown("tier", "int"),
    ),
    "notes": (Shown("id", "int"), Shown("person", "int"), Shown("body", "text", True), Shown("kind", "text")),
    "orders": (Shown("id", "int"), Shown("person", "int"), Shown("total", "numeric"), Shown("status", "text")),
    "shown": (
        Shown("id", "int"),
        Shown("number", "text", True),
        Shown("loud", "text", True),
        Shown("total", "numeric"),
    ),
}


class Maker:
    """Makes one query by choosing from lists."""

    def __init__(self, choose: Choose, *, free: bool) -> None:
        self._choose = choose
        self._free = free
        self._aliases = 0
        self._with: list[str] = []
        self._named: dict[str, tuple[Shown, ...]] = {}

    def query(self) -> str:
        body, _ = self.select(2)
        return f"WITH {', '.join(self._with)} {body}" if self._with else body

    def _pick(self, *options: object) -> object:
        return self._choose(options)

    def _chance(self) -> bool:
        return bool(self._pick(False, True))

    def _alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def select(self, depth: int) -> tuple[str, tuple[Shown, ...]]:
        kind = self._pick("plain", "plain", "plain", "grouped", "union", "aggregate", "values")
        if kind == "union" and depth:
            return self._union(depth)
        source, items = self._from(depth)
        if kind == "grouped":
            return self._grouped()
        if kind == "aggregate":
            alias, columns = items[0]
            counted = self._pick(*columns)
            assert isinstance(counted, Shown)
            return (
                f"SELECT count(*) AS c, count({alias}.{counted.name}) AS d FROM {source}{self._where(items)}",
                (Shown("c", "int"), Shown("d", "int")),
            )
        return self._plain(source, items, depth)

    def _plain(
        self, source: str, items: list[tuple[str, tuple[Shown, ...]]], depth: int
    ) -> tuple[str, tuple[Shown, ...]]:
        form = self._pick("columns", "columns", "columns", "star", "row", "sub-query")
        if form == "star" and len(items) == 1:
            return f"SELECT * FROM {source}{self._where(items)}", items[0][1]
        if form == "row":
            alias, _ = items[0]
            return f"SELECT {alias} AS whole FROM {source}{self._where(items)}", (Shown("whole", "row", True),)
        names: list[str] = []
        shown: list[Shown] = []
        for number in range(int(str(self._pick(1, 2, 3)))):
            alias, columns = self._pick(*items)  # type: ignore[misc]
            column = self._pick(*columns)
            assert isinstance(column, Shown)
            text = f"{alias}.{column.name}"
            made = Shown(f"c{number}", column.type, column.masked)
            if not column.masked and self._chance():
                text, made = self._computed(text, column, number)
            elif column.masked and self._free and self._chance():
                text, made = self._free_use(text, column, number)
            names.append(f"{text} AS {made.name}")
            shown.append(made)
        if form == "sub-query" and depth:
            names.append("(SELECT z.email FROM people AS z WHERE z.id = 3) AS extra")
            shown.append(Shown("extra", "varchar", True))
        distinct = "DISTINCT " if self._chance() and (self._free or not any(each.masked for each in shown)) else ""
        if any(each.type == "row" for each in shown):
            distinct = ""
        return f"SELECT {distinct}{', '.join(names)} FROM {source}{self._where(items)}", tuple(shown)

    def _computed(self, text: str, column: Shown, number: int) -> tuple[str, Shown]:
        if column.type in ("int", "numeric"):
            return f"{text} + 1", Shown(f"c{number}", column.type)
        if column.type == "text":
            return f"upper({text}) || '!'", Shown(f"c{number}", "text")
        return text, Shown(f"c{number}", column.type, column.masked)

    def _free_use(self, text: str, column: Shown, number: int) -> tuple[str, Shown]:
        if column.type not in ("text", "varchar"):
            return text, Shown(f"c{number}", column.type, True)
        use = self._pick("upper({})", "coalesce({}, 'none')", "length({})", "max({}) OVER ()", "{} || 'x'")
        made = str(use).format(text)
        return made, Shown(f"c{number}", "int" if use == "length({})" else "text", True)

    def _grouped(self) -> tuple[str, tuple[Shown, ...]]:
        """GROUP BY a primary key, on which the others depend; with ``free`` sometimes by a masked column."""
        if self._free and self._chance():
            return "SELECT p.ssn, count(*) AS n FROM people AS p GROUP BY p.ssn", (
                Shown("ssn", "text", True),
                Shown("n", "int"),
            )
        join = self._pick("LEFT JOIN", "JOIN")
        having = " HAVING count(o.id) > 1" if self._chance() else ""
        order = " ORDER BY p.name" if self._chance() else ""
        return (
            f"SELECT p.id, p.email, p.name, count(o.id) AS n, sum(o.total) AS t FROM people AS p {join} orders AS o "
            f"ON o.person = p.id GROUP BY p.id{having}{order}",
            (
                Shown("id", "int"),
                Shown("email", "varchar", True),
                Shown("name", "text"),
                Shown("n", "int"),
                Shown("t", "numeric"),
            ),
        )

    def _union(self, depth: int) -> tuple[str, tuple[Shown, ...]]:
        arms = []
        for _ in range(2):
            table = self._pick("people", "notes")
            text = "ssn" if table == "people" else "body"
            arms.append(f"SELECT id, {text} AS t FROM {table}" if self._chance() else "SELECT 7 AS id, 'given' AS t")
        word = "UNION" if self._free and self._chance() else "UNION ALL"
        return f"({arms[0]}) {word} ({arms[1]})", (Shown("id", "int"), Shown("t", "text", True))

    def _from(self, depth: int) -> tuple[str, list[tuple[str, tuple[Shown, ...]]]]:
        text, first = self._item(depth)
        items = [first]
        if self._chance():
            word = self._pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "USING", "LATERAL")
            if word == "LATERAL" and self._has(first, "id"):
                alias = self._alias()
                columns = (Shown("body", "text", True), Shown("kind", "text"))
                text += (
                    f" CROSS JOIN LATERAL (SELECT n.body, n.kind FROM notes AS n WHERE n.person = {first[0]}.id) "
                    f"AS {alias}"
                )
                return text, [*items, (alias, columns)]
            more, second = self._item(depth)
            if word == "CROSS JOIN" or not (self._has(first, "id") and self._has(second, "id")):
                text += f" CROSS JOIN {more}"
            elif word in ("USING", "LATERAL"):
                text += f" JOIN {more} USING (id)"
            else:
                text += f" {word} {more} ON {first[0]}.id = {second[0]}.id"
            items.append(second)
        return text, items

    @staticmethod
    def _has(item: tuple[str, tuple[Shown, ...]], name: str) -> bool:
        return any(column.name == name and column.type == "int" for column in item[1])

    def _item(self, depth: int) -> tuple[str, tuple[str, tuple[Shown, ...]]]:
        alias = self._alias()
        kind = self._pick("table", "table", "table", "sub-select", "with", "only")
        if depth and kind in ("sub-select", "with"):
            body, columns = self.select(depth - 1)
            columns = tuple(each for each in columns)
            if len({each.name for each in columns}) == len(columns):
                if kind == "sub-select":
                    return f"({body}) AS {alias}", (alias, columns)
                name = f"w{len(self._with)}"
                self._with.append(f"{name} AS ({body})")
                return f"{name} AS {alias}", (alias, columns)
        table = str(self._pick(*TABLES))
        columns = TABLES[table]
        if kind == "only" and table != "shown":
            renamed = (Shown("x", columns[0].type, columns[0].masked), *columns[1:])
            return f"ONLY {table} AS {alias} (x)", (alias, renamed)
        return f"{table} AS {alias}", (alias, columns)

    def _where(self, items: list[tuple[str, tuple[Shown, ...]]]) -> str:
        usable = [(alias, column) for alias, columns in items for column in columns if not column.masked]
        usable = [(alias, column) for alias, column in usable if column.type in ("int", "text")]
        if not usable or self._chance():
            return ""
        alias, column = self._pick(*usable)  # type: ignore[misc]
        if column.type == "int":
            test = self._pick(
                f"{alias}.{column.name} > 4", f"{alias}.{column.name} IN (SELECT o.person FROM orders AS o)"
            )
        else:
            test = f"{alias}.{column.name} LIKE '%1%'"
        exists = " AND EXISTS (SELECT 1 FROM people AS q WHERE q.tier = 1)" if self._chance() else ""
        return f" WHERE {test}{exists}"
