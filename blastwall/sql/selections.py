"""Sub-queries inside predicates: whether the rows they select limit anything.

A sub-query on other relations links a row to theirs; one that is limited itself is as good as a value; one that reads
the target unfiltered says nothing (``id IN (SELECT id FROM the_same_table)``), and one that is always there neither
(``EXISTS (SELECT 1)``).
"""

from __future__ import annotations

from blastwall.sql.amplification import aggregates, few
from blastwall.sql.catalogue import clip
from blastwall.sql.compiler import Compiler
from blastwall.sql.owners import LIMITED, LINK, NOTHING, Owners
from blastwall.sql.queries import From, open_with
from blastwall.sql.scope import Scope, Source
from blastwall.sql.tree import Message, called, conjuncts, everything_within, kind_of, number, strings, unwrap
from blastwall.sql.truth import (
    FALSE,
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
)
from blastwall.sql.values import Pool, Sample
from blastwall.sql.walk import Walk

_EXISTS, _ALL, _ANY, _SCALAR, _ARRAY = 1, 2, 3, 5, 7
_UNION, _INTERSECT = 2, 3
_DEPTH = 6
_EXPRESSION_DEPTH = 40


class Selections:
    """Judges the sub-queries of one statement's conditions."""

    def __init__(self, walk: Walk, depth: int = 0) -> None:
        self._walk = walk
        self._depth = depth

    def compiler(self, owners: Owners, pool: Pool | None = None) -> Compiler:
        """A compiler for conditions on the columns of ``owners``. With ``pool`` its samples are another compiler's."""
        deeper = Selections(self._walk, self._depth + 1)
        return Compiler(
            owners.find,
            lambda compiler, node, depth: deeper.judge(owners, compiler, node, depth),
            Pool() if pool is None else pool,
        )

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
        if self._is_empty(owners, select):
            return always(FALSE)
        if self._inside(owners, select)[0].mentions_target(select):
            return anybody
        strength = self.strength(owners, select, owners.scope)
        return linked(f"{tested.key} in {shape(node.subselect)}", strength) if strength else anybody

    def _exists(self, owners: Owners, compiler: Compiler, select: Message) -> Truth:
        """``EXISTS (SELECT ... WHERE ...)``: true where its condition can be."""
        if select.op > 1 or select.group_clause or select.values_lists or select.HasField("having_clause"):
            return anybody
        if aggregates(select):
            return always(TRUE)
        if self._is_empty(owners, select):
            return always(FALSE)
        inside, opened = self._inside(owners, select)
        clauses = [clause for each in (select.where_clause, *opened.conditions) for clause in conjuncts(each)]
        alike = self.compiler(inside.alike())
        if any(least([alike.truth(each)], alike.pool) <= NULL for each in clauses if inside.only_inner(each)):
            inside.limit_inner(inside.inner[len(owners.inner) :])
        inner = self.compiler(inside, compiler.pool)
        truths = [inner.truth(each) for each in clauses]
        if not truths:
            return anybody
        condition = all_of(truths)

        def exists(sample: Sample) -> int:
            found = condition(sample)
            return FALSE if found == NULL else found  # EXISTS is never NULL

        return exists

    def _scalar(self, owners: Owners, compiler: Compiler, node: Message, select: Message, depth: int) -> Term:
        key = shape(node.subselect)
        if self._reads_target(owners, select, owners.scope):
            return wild(key)
        if not select.from_clause and select.op <= 1 and not select.values_lists and len(select.target_list) == 1:
            if kind_of(select.where_clause):
                return wild(key)
            return compiler.term(select.target_list[0].res_target.val, depth + 1)
        return wild(key) if self._inside(owners, select)[0].mentions_target(select) else token(key)

    def _inside(self, owners: Owners, select: Message) -> tuple[Owners, From]:
        scope = Scope(owners.scope)
        if select.HasField("with_clause"):
            scope = open_with(self._walk, select.with_clause, scope, visit=False)
        opened = From(self._walk, scope, visit=False)
        sources = opened.open(select.from_clause)
        return owners.within(sources, Scope(scope, sources)), opened

    def link_of(self, owners: Owners, source: Source) -> int:
        """What an equality with a FROM item's column means: NOTHING, a LINK, or a link to rows that are LIMITED."""
        definition = source.definition
        if definition is not None and type(definition).__name__ == "SelectStmt":
            return self.strength(owners, definition, owners.scope)
        if definition is not None or not source.name or self._is_target(owners, source):
            return NOTHING
        return LINK

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
            return NOTHING if any(True for _ in called(select)) else LIMITED
        if self._is_filtered(owners, select, scope, depth):
            return LIMITED
        reads = any(type(node).__name__ == "RangeVar" for node in everything_within(select))
        return LINK if reads and not self._reads_target(owners, select, scope) else NOTHING

    def _is_filtered(self, owners: Owners, select: Message, scope: Scope, depth: int) -> bool:
        """Whether a sub-query's own condition limits it, or that of the sub-query it reads from."""
        opened = From(self._walk, scope, visit=False)
        sources = opened.open(select.from_clause)
        if not sources:
            return False
        alike = Owners(sources[0], sources[1:], Scope(scope, sources), self.link_of, all_alike=True)
        for condition in (select.where_clause, select.having_clause):
            if kind_of(condition):
                inner = Selections(self._walk, self._depth + 1).compiler(alike)
                if least([inner.truth(condition)], inner.pool) <= NULL:
                    return True
        first = sources[0].definition
        return (
            first is not None
            and type(first).__name__ == "SelectStmt"
            and (len(sources) == 1 or bool(opened.conditions))
            and self.strength(owners, first, scope, depth + 1) == LIMITED
        )

    def _is_empty(self, owners: Owners, select: Message) -> bool:
        """Whether a sub-query certainly selects nothing."""
        if select.HasField("limit_count") and number(select.limit_count) == 0:
            return True
        if select.op > 1 or not kind_of(select.where_clause):
            return False
        inner = self.compiler(self._inside(owners, select)[0].alike())
        return not possible(inner.truth(select.where_clause), inner.pool)

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
        """Whether a relation is a view that reads the target."""
        catalogue = self._walk.surroundings.catalogue
        target = owners.target.relation
        if catalogue is None or target is None:
            return False
        waiting = [catalogue.relation(name.schemaname or None, name.relname, self._walk.surroundings.search_path)]
        seen = set()
        while waiting:
            found = waiting.pop()
            if found is None or found.oid in seen:
                continue
            seen.add(found.oid)
            if found.oid == target.oid:
                return True
            waiting.extend(catalogue.relation_by_oid(oid) for oid, _ in found.reads)
        return False

    def _is_target(self, owners: Owners, source: Source) -> bool:
        if source.name == owners.target.name:
            return True
        relation, target = source.relation, owners.target.relation
        return relation is not None and target is not None and any(oid == target.oid for oid, _ in relation.reads)
