"""How a change flows through foreign keys: which rows of which tables it is carried to, as one query that counts them.

The rows a statement names itself are the *start*; every other set of rows is a :class:`Node`, reached over keys. Nodes
that reach each other (a table that refers to itself, tables that refer to each other in a ring) are found by recursion,
the others each by one join. A row is known by its table and place (tableoid, ctid), so that rows that two ways lead to
count once.

Names of the database stand in the text quoted, and nothing of the agent's does: its part is put into the parsed tree in
the place of :data:`START` (``scans.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from blastwall.blast import MOST_COUNTED
from blastwall.sql.blast.terrain import ACTIONS, CASCADE, Key, Terrain
from blastwall.sql.catalogue import quoted

#: The common table expression that the agent's part takes the place of; no statement that uses such names is counted.
PREFIX: Final = "blastwall_"
START: Final = f"{PREFIX}start"
#: More nodes than this are not counted: a change of such a table is nothing to decide by a number.
MOST_NODES: Final = 200

#: Whose count a row of the answer is; nodes count from 0.
ALL_NAMED, ALL_CARRIED = -1, -2
#: A node that blocks has a second count, numbered downward from here: with rows that go, too, but perhaps too late.
MIGHT: Final = -1000


Reaches = Callable[[Key, frozenset[str]], bool]


@dataclass(frozen=True, slots=True)
class Start:
    """What the statement does to the rows it names: which families they are of, whether it deletes some (the start's
    column ``d`` says which), and which columns it sets. ``changing`` are the keys (by number) whose referenced columns
    it sets, with the start's column that says whether a row's changes. ``certain``: those columns are exact.
    ``placeless``: rows of a view, which have no place and are counted as often as they come.
    """

    roots: tuple[int, ...]
    deletes: bool
    sets: frozenset[str] = frozenset()
    changing: Mapping[int, str] = field(default_factory=dict)
    certain: bool = True
    placeless: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """Rows that the same thing happens to: ``kind`` delete, change or block; ``by`` says it in words."""

    number: int
    kind: str
    root: int
    child: int
    by: str
    via: str
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Edge:
    source: int  # a node, or ALL_NAMED for the start
    target: int
    key: Key
    condition: str


@dataclass(slots=True)
class Flow:
    """The nodes, the query that counts them, and what makes a count an upper bound (sentences)."""

    nodes: list[Node] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    unfollowed: list[str] = field(default_factory=list)  # what makes it unknown
    text: str = ""


def refers(key: Key, columns: frozenset[str]) -> bool:
    """Whether a key refers to one of these columns by its name."""
    return bool(columns.intersection(key.referenced))


def flow(start: Start, terrain: Terrain, reaches: Reaches = refers) -> Flow:
    """Follow the keys. The text has the start's place in it: a query of columns o, c, d and those of ``changing``.

    ``reaches``: whether changing these columns can change what a key refers to, also by one that is computed from them.
    """
    return _Flowing(start, terrain, reaches).run()


class _Flowing:
    def __init__(self, start: Start, terrain: Terrain, reaches: Reaches) -> None:
        self._start = start
        self._terrain = terrain
        self._reaches = reaches
        self._flow = Flow()
        self._edges: list[_Edge] = []
        self._known: dict[tuple[object, ...], int] = {}
        self._waiting: list[Node] = []

    def run(self) -> Flow:
        start, terrain = self._start, self._terrain
        for root in start.roots:
            for key in terrain.onto(root):
                if start.deletes:
                    self._follow(ALL_NAMED, key, True, "h.d")
                column = start.changing.get(key.oid)
                if column is not None:
                    self._follow(ALL_NAMED, key, False, f"h.{column}")
        while self._waiting:
            node = self._waiting.pop()
            if len(self._flow.nodes) > MOST_NODES:
                self._flow.unfollowed.append(f"Foreign keys carry it to more than {MOST_NODES} places.")
                break
            for key in terrain.onto(node.root):
                here = f"h.n OPERATOR(pg_catalog.=) {node.number}"
                if node.kind == "delete":
                    self._follow(node.number, key, True, here)
                elif node.kind == "change" and self._reaches(key, node.columns):
                    self._follow(node.number, key, False, here)
                    if len(node.columns) > 1 or "default" in node.by or not refers(key, node.columns):
                        self._loosen(f"Not every change of {node.via} need go on to {key.name}.")
        self._judge_order()
        self._flow.text = "\n".join(self._lines())
        return self._flow

    def _loosen(self, reason: str) -> None:
        if reason not in self._flow.loose:
            self._flow.loose.append(reason)

    def _follow(self, source: int, key: Key, deleting: bool, condition: str) -> None:
        """One key, from rows that are deleted or whose referenced columns change."""
        event = "on delete" if deleting else "on update"
        if not key.enforced:
            self._flow.unfollowed.append(f"The triggers of the foreign key {key.name} are switched off.")
            return
        action = key.on_delete if deleting else key.on_update
        root = self._terrain.root(key.child)
        if action == CASCADE and deleting:
            target = self._node(("delete", root), "delete", root, key, f"{event} cascade", frozenset())
        elif action in ACTIONS:
            columns = frozenset(key.cleared if deleting and key.cleared else key.columns)
            by = f"{event} {ACTIONS[action]}"
            target = self._node(("change", key.oid, by), "change", root, key, by, columns)
            if not deleting and root in self._start.roots and self._start.sets.intersection(key.columns):
                self._loosen(f"It also sets the columns of {key.name} itself.")
        else:
            target = self._node(("block", key.oid, deleting), "block", root, key, event, frozenset())
        self._edges.append(_Edge(source, target, key, condition))

    def _node(
        self,
        identity: tuple[object, ...],
        kind: str,
        root: int,
        key: Key,
        by: str,
        columns: frozenset[str],
    ) -> int:
        number = self._known.get(identity)
        if number is None:
            number = self._known[identity] = len(self._flow.nodes)
            node = Node(number, kind, root, key.child, by, key.name, columns)
            self._flow.nodes.append(node)
            self._waiting.append(node)
        return number

    def _judge_order(self) -> None:
        """Where one key clears columns that another key goes by, the order of the server's triggers decides."""
        clearing = {edge.key.oid: self._flow.nodes[edge.target] for edge in self._edges}
        for edge in self._edges:
            for other in self._edges:
                node = self._flow.nodes[other.target]
                if edge.key.oid == other.key.oid or edge.key.child != other.key.child or node.kind != "change":
                    continue
                if node.columns.intersection(edge.key.columns) and edge.key.oid in clearing:
                    self._loosen(f"{edge.key.name} and {other.key.name} share columns; which comes first is not known.")

    # -- the query

    def _lines(self) -> Iterator[str]:
        nodes = self._flow.nodes
        real = [node.number for node in nodes if node.kind != "block"]
        groups = _groups(real, [(edge.source, edge.target) for edge in self._edges if edge.source >= 0])
        place = {number: f"{PREFIX}{index}" for index, group in enumerate(groups) for number in group}
        place[ALL_NAMED] = START
        columns = ["o", "c", "d", *dict.fromkeys(self._start.changing.values())]
        flags = ", ".join(f"pg_catalog.bool_or({name}) AS {name}" for name in columns[2:])
        grouped = "" if self._start.placeless else " GROUP BY o, c"
        shown = "o, c, d" if self._start.placeless else f"o, c, {flags}"
        yield (
            f"WITH RECURSIVE {START} AS MATERIALIZED (SELECT {shown} FROM (SELECT 1) AS i{grouped} "  # noqa: S608
            f"LIMIT {MOST_COUNTED + 1})"
        )
        for index, group in enumerate(groups):
            yield f", {PREFIX}{index} (n, o, c) AS ({self._group(index, group, place)})"
        yield f"SELECT {ALL_NAMED}, pg_catalog.count(*) FROM {START}"  # noqa: S608  # numbers and names of our own
        for node in nodes:
            yield f"UNION ALL SELECT {node.number}, pg_catalog.count(*) FROM ({self._counted(node, place)}) AS e"  # noqa: S608
            if node.kind == "block":
                might = self._counted(node, place, sparing=False)
                yield f"UNION ALL SELECT {MIGHT - node.number}, pg_catalog.count(*) FROM ({might}) AS e"  # noqa: S608
        if real:
            every = " UNION ".join(f"SELECT o, c FROM {PREFIX}{index}" for index in range(len(groups)))  # noqa: S608
            yield f"UNION ALL SELECT {ALL_CARRIED}, pg_catalog.count(*) FROM ({every}) AS e WHERE {_NOT_NAMED}"  # noqa: S608

    def _group(self, index: int, group: Sequence[int], place: Mapping[int, str]) -> str:
        """Nodes that reach each other, or one: from outside by joins, then round and round."""
        coming = [edge for edge in self._edges if edge.target in group]
        outside = [edge for edge in coming if edge.source not in group]
        inside = [edge for edge in coming if edge.source in group]
        seed = " UNION ".join(self._joined(edge, place[edge.source]) for edge in outside)
        if not inside:
            return seed
        further = " UNION ALL ".join(self._onward(edge) for edge in inside)
        return (
            f"SELECT n, o, c FROM ({seed}) AS seed UNION SELECT e.n, e.o, e.c FROM {PREFIX}{index} AS h "  # noqa: S608
            f"CROSS JOIN LATERAL ({further}) AS e"
        )

    def _joined(self, edge: _Edge, source: str) -> str:
        parent, child = self._sources(edge.key)
        return (
            f"SELECT {edge.target} AS n, x.tableoid AS o, x.ctid AS c FROM {source} AS h JOIN {parent} AS y ON {_HERE} "  # noqa: S608
            f"JOIN {child} AS x ON {_matching(edge.key)} WHERE {edge.condition}"
        )

    def _onward(self, edge: _Edge) -> str:
        parent, child = self._sources(edge.key)
        return (
            f"SELECT {edge.target} AS n, x.tableoid AS o, x.ctid AS c FROM {parent} AS y "  # noqa: S608
            f"JOIN {child} AS x ON {_matching(edge.key)} WHERE {edge.condition} AND {_HERE}"
        )

    def _sources(self, key: Key) -> tuple[str, str]:
        return self._terrain.tables[key.parent].source, self._terrain.tables[key.child].source

    def _counted(self, node: Node, place: Mapping[int, str], sparing: bool = True) -> str:
        """The rows of a node that are nowhere else: named by the statement itself, or deleted anyway."""
        spared = _NOT_NAMED
        deleted = self._known.get(("delete", node.root))
        if node.kind != "delete" and sparing and deleted is not None:
            spared += (
                f" AND NOT EXISTS (SELECT FROM {place[deleted]} AS z WHERE z.n OPERATOR(pg_catalog.=) {deleted} "
                "AND z.o OPERATOR(pg_catalog.=) e.o AND z.c OPERATOR(pg_catalog.=) e.c)"
            )
        if node.kind != "block":
            return f"SELECT FROM {place[node.number]} AS e WHERE e.n OPERATOR(pg_catalog.=) {node.number} AND {spared}"
        coming = [edge for edge in self._edges if edge.target == node.number]
        rows = " UNION ".join(self._joined(edge, place[edge.source]) for edge in coming)
        if not self._start.deletes:
            spared = spared.replace(_NOT_NAMED, "true")
        return f"SELECT FROM ({rows}) AS e (n, o, c) WHERE {spared}"


_HERE: Final = "y.tableoid OPERATOR(pg_catalog.=) h.o AND y.ctid OPERATOR(pg_catalog.=) h.c"
_NOT_NAMED: Final = (
    f"NOT EXISTS (SELECT FROM {START} AS s WHERE s.o OPERATOR(pg_catalog.=) e.o AND s.c OPERATOR(pg_catalog.=) e.c)"
)


def _matching(key: Key) -> str:
    pairs = zip(key.referenced, key.columns, key.operators, strict=True)
    return " AND ".join(
        f"y.{quoted(above)} OPERATOR({quoted(schema)}.{operator}) x.{quoted(below)}"
        for above, below, (schema, operator) in pairs
    )


def _groups(numbers: Iterable[int], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Strongly connected components, those that are reached from others after them (Tarjan, without recursion)."""
    onward: dict[int, list[int]] = {number: [] for number in numbers}
    for source, target in edges:
        if source in onward and target in onward:
            onward[source].append(target)
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    for first in onward:
        if first in order:
            continue
        order[first] = lowest[first] = len(order)
        stack.append(first)
        path = [(first, iter(onward[first]))]
        while path:
            here, ahead = path[-1]
            step = next(ahead, None)
            if step is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[here])
                if lowest[here] == order[here]:
                    cut = stack.index(here)
                    found.append(sorted(stack[cut:]))
                    del stack[cut:]
            elif step not in order:
                order[step] = lowest[step] = len(order)
                stack.append(step)
                path.append((step, iter(onward[step])))
            elif step in stack:
                lowest[here] = min(lowest[here], order[step])
    return found[::-1]
