"""Sub-queries inside predicates: whether the rows they select limit anything.

A sub-query on other relations links a row to theirs; one that is limited itself is as good as a value; one that reads
the target unfiltered says nothing (``id IN (SELECT id FROM the_same_table)``), and one that is always there neither
(``EXISTS (SELECT 1)``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from blastwall.sql.amplification import aggregates, few
from blastwall.sql.catalogue import Relation, clip
from blastwall.sql.compiler import Compiler
from blastwall.sql.firmness import narrowing
from blastwall.sql.functions import function_table
from blastwall.sql.origins import variable_within
from blastwall.sql.owners import LIMITED, LINK, NOTHING, Owners
from blastwall.sql.queries import From, open_with
from blastwall.sql.scope import Scope, Source
from blastwall.sql.ties import limited, names_only, tied_to
from blastwall.sql.tree import (
    Message,
    called,
    column_paths,
    conjuncts,
    everything_within,
    kind_of,
    messages_within,
    number,
    strings,
    unwrap,
)
from blastwall.sql.truth import (
    ANY,
    FALSE,
    LINKED,
    NULL,
    TARGET,
    TRUE,
    Term,
    Truth,
    all_of,
    always,
    anybody,
    least,
    linked,
    negated,
    possible,
    shape,
    token,
    wild,
    words,
)
from blastwall.sql.values import Pool, Sample, Variable
from blastwall.sql.walk import Walk

_EXISTS, _ALL, _ANY, _SCALAR, _ARRAY = 1, 2, 3, 5, 7
_UNION, _INTERSECT = 2, 3
_DEPTH = 6
_EXPRESSION_DEPTH = 40
_NOBODY = Source("", ())


class Selections:
    """Judges the sub-queries of one statement's conditions."""

    def __init__(
        self,
        walk: Walk,
        depth: int = 0,
        known: dict[int, tuple[Message, int | None]] | None = None,
        *,
        firmly: bool = False,
    ) -> None:
        self._walk = walk
        self._depth = depth
        self._firmly = firmly  # whether only firm limits count (firmness.py)
        # Strengths of the queries that stand in FROM, by identity; None while one is being looked at.
        self._known = {} if known is None else known

    def compiler(self, owners: Owners, pool: Pool | None = None) -> Compiler:
        """A compiler for conditions on the columns of ``owners``. With ``pool`` its samples are another compiler's."""
        deeper = self._deeper()
        return Compiler(
            owners.find,
            lambda compiler, node, depth: deeper.judge(owners, compiler, node, depth),
            Pool() if pool is None else pool,
            self._firmly,
        )

    def _deeper(self) -> Selections:
        return Selections(self._walk, self._depth + 1, self._known, firmly=self._firmly)

    def judge(self, owners: Owners, compiler: Compiler, node: Message, depth: int) -> Truth | Term:
        """What a SubLink contributes to a condition."""
        select = unwrap(node.subselect)
        if type(select).__name__ != "SelectStmt" or self._depth > _DEPTH or depth > _EXPRESSION_DEPTH:
            return anybody
        kind = node.sub_link_type
        if kind == _EXISTS:
            return self._exists(owners, compiler, select)
        if kind == _ANY and strings(node.oper_name) in ([], ["="]):
            return self._member(owners, compiler, node, select, depth)
        if kind == _ALL and strings(node.oper_name) == ["<>"]:
            return negated(self._member(owners, compiler, node, select, depth))
        if kind == _SCALAR:
            return self._scalar(owners, compiler, node, select, depth)
        return wild(shape(node.subselect)) if kind == _ARRAY else anybody

    def _member(self, owners: Owners, compiler: Compiler, node: Message, select: Message, depth: int) -> Truth:
        """``x IN (SELECT ...)``."""
        tested = compiler.term(node.testexpr, depth + 1)
        if tested.of != {TARGET} or not tested.plain or tested.wild:
            return anybody
        if self._correlates(owners, select):
            return anybody
        strength = self.strength(owners, select, owners.scope)
        found = linked(f"{tested.key} in {shape(node.subselect)}", strength) if strength else anybody
        if self._firmly:
            found = narrowing(found)
        return _unless_empty(found) if self._may_be_empty(owners, select) else found

    def _exists(self, owners: Owners, compiler: Compiler, select: Message) -> Truth:
        """``EXISTS (SELECT ... WHERE ...)``: true where its condition can be."""
        if select.op > 1 or select.group_clause or select.values_lists or select.HasField("having_clause"):
            return anybody
        if aggregates(select):
            return always(TRUE)
        inside, opened = self._inside(owners, select)
        clauses = [clause for each in (select.where_clause, *opened.required) for clause in conjuncts(each)]
        own = inside.inner[len(owners.inner) :]
        inside.limit(self.limited(inside, own, [select.where_clause], opened))
        inner = self.compiler(inside, compiler.pool)
        truths = inner.together(clauses)
        if any(tied_to(inside, each, own) for each in clauses):
            # Rows that match and meet conditions of their own are as good as rows that match, if there can be any.
            for place, each in enumerate(clauses):
                if names_only(inside, each, own, self._outer(inside)) and self._is_possible(inside, each):
                    truths[place] = always(LINKED)
        if not truths:
            return anybody
        condition = all_of(truths)

        def exists(sample: Sample) -> int:
            found = condition(sample)
            return FALSE if found == NULL else found  # EXISTS is never NULL

        return _unless_empty(exists) if self._may_be_empty(owners, select) else exists

    def _scalar(self, owners: Owners, compiler: Compiler, node: Message, select: Message, depth: int) -> Term:
        key = shape(node.subselect)
        if self._reads_target(owners, select, owners.scope):
            return wild(key) if self._correlates(owners, select) else replace(wild(key), single=True)
        if not select.from_clause and select.op <= 1 and not select.values_lists and len(select.target_list) == 1:
            if kind_of(select.where_clause):
                return wild(key)
            return compiler.term(select.target_list[0].res_target.val, depth + 1)
        return wild(key) if self._correlates(owners, select) else token(key)

    def _outer(self, owners: Owners) -> Callable[[Message], Iterable[Source]]:
        return lambda select: self._correlated(owners, select)

    def _correlates(self, owners: Owners, select: Message) -> bool:
        return any(True for _ in self._correlated(owners, select))

    def _correlated(self, owners: Owners, select: Message) -> Iterator[Source]:
        """The FROM items around a sub-query of which it names columns, as the server would find them."""
        around = {id(source) for source in (owners.target, *owners.joined, *owners.inner)}
        waiting: list[tuple[Message, Scope, Scope]] = [(unwrap(select), owners.scope, owners.scope)]
        while waiting:
            message, scope, outside = waiting.pop()
            kind = type(message).__name__
            if message is None:
                continue
            if kind == "ColumnRef":
                yield from (each for each in _meant(strings(message.fields), scope) if id(each) in around)
            elif kind == "SelectStmt":
                outside = scope
                if message.HasField("with_clause"):
                    outside = open_with(self._walk, message.with_clause, scope, visit=False)
                scope = Scope(outside, From(self._walk, outside, visit=False).open(message.from_clause))
            elif kind == "WithClause" or (kind == "RangeSubselect" and not message.lateral):
                scope = outside  # what stands in FROM beside it is not in its sight
            waiting.extend((each, scope, outside) for each in messages_within(message))

    def _inside(self, owners: Owners, select: Message) -> tuple[Owners, From]:
        scope = Scope(owners.scope)
        if select.HasField("with_clause"):
            scope = open_with(self._walk, select.with_clause, scope, visit=False)
        opened = From(self._walk, scope, visit=False)
        sources = opened.open(select.from_clause)
        return owners.within(sources, Scope(scope, sources)), opened

    def link_of(self, owners: Owners, source: Source) -> int:
        """What an equality with a FROM item's column means: NOTHING, a LINK, or a link to rows that are LIMITED."""
        if source.definition is not None:
            return self._defined(owners, source, owners.scope, 0)
        if source.function is not None:
            return LIMITED if _is_spelled(source.function.functions) else NOTHING
        return NOTHING if not source.name or self._is_target(owners, source) else LINK

    def origin(self, source: Source, name: str, key: str) -> Variable | None:
        """The variable behind a FROM item's column (origins.py)."""
        return variable_within(self._walk, source, name, key)

    def limited(
        self, owners: Owners, sources: Sequence[Source], conditions: Sequence[Message], opened: From
    ) -> tuple[Source, ...]:
        """Those of the FROM items that conditions limit (ties.py), or that are limited by themselves."""

        def is_limit(clause: Message) -> bool:
            compiler = self.compiler(owners.alike())
            return least([compiler.truth(clause)], compiler.pool) <= NULL

        def is_limited(source: Source) -> bool:
            return self.link_of(owners, source) == LIMITED

        return limited(owners, sources, conditions, opened, is_limit, is_limited, self._outer(owners))

    def _defined(self, owners: Owners, source: Source, scope: Scope, depth: int) -> int:
        """How the rows of a sub-query or WITH query in FROM limit what is compared with them."""
        query = source.definition
        kind = type(query).__name__
        if kind == "InsertStmt" and query is not None and kind_of(query.select_stmt) == "select_stmt":
            query = query.select_stmt.select_stmt
        elif kind in ("UpdateStmt", "DeleteStmt"):
            return LIMITED  # where it is not, the statement is without a limit for that alone
        elif kind != "SelectStmt":
            return NOTHING
        known = self._known.get(id(query))
        if known is None or known[0] is not query:
            self._known[id(query)] = (query, None)
            found = self.strength(owners, query, source.around or scope, depth + 1)
            known = self._known[id(query)] = (query, found)
        return NOTHING if known[1] is None else known[1]

    def _is_itself(self, source: Source) -> bool:
        """Whether a recursive query reads its own rows here."""
        return source.definition is not None and self._known.get(id(source.definition), (None, 0))[1] is None

    def strength(self, owners: Owners, select: Message, scope: Scope, depth: int = 0) -> int:
        """How the rows of a sub-query limit what is compared with them."""
        if depth > _DEPTH:
            return NOTHING
        if select.HasField("with_clause"):
            scope = open_with(self._walk, select.with_clause, scope, visit=False)
        if select.HasField("limit_count") and few(self._walk, select.limit_count):
            return LIMITED
        if select.op > 1:
            arms = [self.strength(owners, arm, scope, depth + 1) for arm in (select.larg, select.rarg)]
            return min(arms) if select.op == _UNION else max(arms) if select.op == _INTERSECT else arms[0]
        if select.values_lists:
            return LIMITED
        if not select.from_clause:
            return LIMITED if _is_spelled(select.target_list) else NOTHING
        found = self._from_rows(owners, select, scope, depth)
        if found != LINK:
            return found
        reads = any(type(node).__name__ == "RangeVar" for node in everything_within(select))
        return LINK if reads and not self._reads_target(owners, select, scope) else NOTHING

    def _from_rows(self, owners: Owners, select: Message, scope: Scope, depth: int) -> int:
        """LIMITED where conditions limit the FROM items that the sub-query's result is made of, NOTHING where one of
        those is neither a relation nor limited, LINK otherwise.
        """
        opened = From(self._walk, scope, visit=False)
        sources = opened.open(select.from_clause)
        if not sources:
            return NOTHING
        alike = Owners(_NOBODY, sources, Scope(scope, sources), self.link_of, self.origin).alike()
        deeper = self._deeper()

        def is_limit(clause: Message) -> bool:
            compiler = deeper.compiler(alike)
            return least([compiler.truth(clause)], compiler.pool) <= NULL

        def is_limited(source: Source) -> bool:
            if source.definition is not None:
                return source in own or self._defined(owners, source, scope, depth) == LIMITED
            return source.function is not None and _is_spelled(source.function.functions)

        conditions = [select.where_clause, select.having_clause]
        own = [source for source in sources if self._is_itself(source)]
        outer = self._outer(alike)
        tied = limited(alike, sources, conditions, opened, lambda clause: False, lambda source: source in own, outer)
        if own and not any(source.name for source in tied):
            return NOTHING  # a recursion that makes its rows up
        found = limited(alike, sources, conditions, opened, is_limit, is_limited, outer)
        shown = _shown(alike, select, sources)
        if _makes_rows(select) or any(
            not each.name and each.definition is None and each not in found for each in shown
        ):
            return NOTHING
        return LIMITED if found and all(each in found for each in shown) else LINK

    def _is_possible(self, owners: Owners, clause: Message) -> bool:
        alike = self.compiler(owners.alike())
        return possible(alike.loosely(clause, 0), alike.pool)

    def _may_be_empty(self, owners: Owners, select: Message) -> bool:
        """Whether no sample is one that a sub-query selects: NOT IN and NOT EXISTS may then hold for every row."""
        if select.HasField("limit_count") and number(select.limit_count) == 0:
            return True
        if select.op > 1 or not kind_of(select.where_clause):
            return False
        inner = self.compiler(self._inside(owners, select)[0].alike())
        return not possible(inner.loosely(select.where_clause, 0), inner.pool)

    def _reads_target(self, owners: Owners, select: Message, scope: Scope) -> bool:
        """Whether a sub-query reads the target's relation, also through WITH queries and views."""
        waiting, seen = [select], set()
        while waiting:
            for node in everything_within(waiting.pop()):
                if type(node).__name__ != "RangeVar":
                    continue
                query = scope.query(node.relname) if not node.schemaname else None
                if query is not None and query.name not in seen:
                    seen.add(query.name)
                    waiting.append(query.query)
                if clip(node.relname) == owners.target.name.rpartition(".")[2] or self._view_reads(owners, node):
                    return True
        return False

    def _view_reads(self, owners: Owners, name: Message) -> bool:
        catalogue = self._walk.surroundings.catalogue
        if catalogue is None:
            return False
        path = self._walk.surroundings.search_path
        return self._reads(owners, catalogue.relation(name.schemaname or None, name.relname, path))

    def _is_target(self, owners: Owners, source: Source) -> bool:
        return source.name == owners.target.name or self._reads(owners, source.relation)

    def _reads(self, owners: Owners, relation: Relation | None) -> bool:
        """Whether a relation has the target's rows: it is the target, one that it is a part of, or a view on these."""
        catalogue, target = self._walk.surroundings.catalogue, owners.target.relation
        if catalogue is None or target is None:
            return False
        waiting = [relation]
        seen = set()
        while waiting:
            found = waiting.pop()
            if found is None or found.oid in seen:
                continue
            seen.add(found.oid)
            if found.oid == target.oid or any(each.oid == target.oid for each in catalogue.children(found.oid)):
                return True
            waiting.extend(catalogue.relation_by_oid(oid) for oid, _ in found.reads)
        return False


def _unless_empty(truth: Truth) -> Truth:
    """The answer about a sub-query that may select nothing: nobody knows whether it ever holds."""
    return lambda sample: min(truth(sample), ANY)


def _meant(path: list[str], scope: Scope) -> list[Source]:
    """The FROM items that a column may belong to: the nearest that has it, and those before it that may."""
    if len(path) > 1:
        source = scope.find(path[-2], path[-3] if len(path) > 2 else "")
        return [source] if source is not None else []
    found: list[Source] = []
    level: Scope | None = scope
    while level is not None:
        known = [source for source in level.sources if source.has(path[0])]
        if known:
            return found + known
        found += [source for source in level.sources if source.has(path[0]) is None]
        level = level.parent
    row = scope.find(path[0])
    return found if row is None else [*found, row]


def _is_spelled(nodes: Iterable[Message]) -> bool:
    """Whether expressions give no more rows than literals and parameters in them hold."""
    names: set[str] = set()
    for each in nodes:
        if any(type(node).__name__ in ("ColumnRef", "SubLink") for node in everything_within(each)):
            return False
        names.update(called(each))
    if names & words().unfolding:
        return names <= words().unfolding  # anything else may have made what is unfolded: repeat(), array_fill()
    return not any(_gives_rows(name) for name in names)


def _gives_rows(name: str) -> bool:
    """Whether a function may give any number of rows."""
    return name in words().multiplying or name.startswith("pg_") or name not in function_table().builtins


def _makes_rows(select: Message) -> bool:
    """Whether a target list makes rows that no FROM item has: a series, or what a sub-query's array unfolds to."""
    for target in select.target_list:
        names = set(called(target))
        nested = any(type(node).__name__ == "SubLink" for node in everything_within(target))
        if any(_gives_rows(name) for name in names) or (nested and names & words().unfolding):
            return True
    return False


def _shown(owners: Owners, select: Message, sources: Sequence[Source]) -> list[Source]:
    """The FROM items whose columns a target list shows; all of them where it shows none or that cannot be told."""
    found: list[Source] = []
    for target in select.target_list:
        for path in column_paths(target):
            source = owners.source(path) if path[-1] != "*" else None
            if source is None:
                return list(sources)
            found.append(source)
    return found or list(sources)
