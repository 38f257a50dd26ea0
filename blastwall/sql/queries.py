"""Rules for SELECT and everything it reads from: FROM items, WITH queries, set operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blastwall.model import Effect
from blastwall.sql.amplification import judge_join, judge_recursion
from blastwall.sql.builtins import builtins
from blastwall.sql.callables import judge_operator
from blastwall.sql.catalogue import clip
from blastwall.sql.columns import column_name, target_columns
from blastwall.sql.resolve import read, source_of
from blastwall.sql.scope import Columns, Scope, Source, WithQuery, renamed
from blastwall.sql.tree import Message, kind_of, leftmost_arm, strings, unwrap
from blastwall.sql.walk import Rule, Walk, require_syntax

_INNER, _LEFT, _FULL, _RIGHT = 1, 2, 3, 4
_KEEPS_LEFT, _KEEPS_RIGHT = frozenset({_LEFT, _FULL}), frozenset({_RIGHT, _FULL})
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


class From:
    """Opens a FROM list: its items in order, and (when ``visit``) everything inside them onto the walk.

    ``conditions`` are those of all its joins, ``links`` the items that USING or NATURAL connects. ``required`` are the
    conditions that every row meets: an outer join keeps the rows that do not.
    """

    def __init__(self, walk: Walk, outer: Scope, *, visit: bool) -> None:
        self._walk = walk
        self._outer = outer
        self._visit = visit
        self.conditions: list[Message] = []
        self.required: list[Message] = []
        self.links: list[tuple[Source, ...]] = []

    def open(self, items: Sequence[Message]) -> tuple[Source, ...]:
        """The items in sight of the query's expressions."""
        sources: tuple[Source, ...] = ()
        for item in items:
            sources += self._item(item, sources)
        return sources

    def relation(self, name: Message) -> Source:
        """A RangeVar that is read."""
        source, found = source_of(self._walk, name, self._outer)
        if self._visit and found is not None:
            read(self._walk, found)
        return source

    def _item(self, node: Message, left: tuple[Source, ...]) -> tuple[Source, ...]:
        which = kind_of(node)
        if which == "range_var":
            return (self.relation(node.range_var),)
        if which == "join_expr":
            return self._join(node.join_expr, left)
        if which == "range_subselect":
            return (self._sub_select(node.range_subselect, left),)
        if which == "range_function":
            return (self._function(node.range_function, left),)
        if which in ("range_table_func", "json_table"):
            return (self._table_function(getattr(node, which), left),)
        if which == "range_table_sample":
            return self._sample(node.range_table_sample, left)
        if self._visit:
            self._walk.push(node, self._outer)
        return (Source("?"),)

    def _lateral(self, left: tuple[Source, ...]) -> Scope:
        return self._outer.of(left) if left else self._outer

    def _join(self, join: Message, left: tuple[Source, ...]) -> tuple[Source, ...]:
        chain = [join]
        while kind_of(chain[-1].larg) == "join_expr" and not chain[-1].larg.join_expr.HasField("alias"):
            chain.append(chain[-1].larg.join_expr)
        before = len(self.required)
        sources = self._item(chain[-1].larg, left)
        for step in reversed(chain):
            middle = len(self.required)
            arm = self._item(step.rarg, (*left, *sources))
            if step.jointype in _KEEPS_LEFT:
                del self.required[middle:]
            if step.jointype in _KEEPS_RIGHT:
                del self.required[before:middle]
            if step.using_clause or step.is_natural:
                self.links.append((*sources, *arm))
                if self._visit:
                    judge_operator(self._walk, ["="])
            sources += arm
            if kind_of(step.quals):
                self.conditions.append(step.quals)
                if step.jointype == _INNER:
                    self.required.append(step.quals)
                if self._visit:
                    self._walk.push(step.quals, self._outer.of(sources))
            if step.HasField("join_using_alias"):
                names = tuple(clip(each) for each in strings(step.using_clause))
                sources += (Source(clip(step.join_using_alias.aliasname), names),)
            if step.HasField("alias"):
                aliases = [clip(each) for each in strings(step.alias.colnames)]
                sources = (Source(clip(step.alias.aliasname), None, also=frozenset(aliases)),)
        return sources

    def _sub_select(self, node: Message, left: tuple[Source, ...]) -> Source:
        scope = self._lateral(left) if node.lateral else self._outer
        query = unwrap(node.subquery)
        if self._visit:
            self._walk.push(node.subquery, Scope(scope))
        aliases = [clip(each) for each in strings(node.alias.colnames)] if node.HasField("alias") else []
        walk = self._walk
        return Source(
            clip(node.alias.aliasname) if node.HasField("alias") else "",
            find=lambda: renamed(query_columns(walk, query, scope), aliases),
            definition=query,
            around=scope,
            also=frozenset(aliases),
        )

    def _function(self, node: Message, left: tuple[Source, ...]) -> Source:
        if self._visit:
            self._walk.push_all(node.functions, self._lateral(left))
            self._walk.push_all(node.coldeflist, self._outer)
        names = [clip(each.column_def.colname) for each in node.coldeflist]
        alias = clip(node.alias.aliasname) if node.HasField("alias") else ""
        aliases = [clip(each) for each in strings(node.alias.colnames)] if node.HasField("alias") else []
        calls = [each.list.items[0] for each in node.functions if kind_of(each) == "list" and each.list.items]
        if not alias and len(calls) == 1:
            alias = column_name(calls[0])
        if names:
            return Source(alias, renamed(tuple(names), aliases), function=node)
        # Without a column list its columns are those of the function's result, which the tables do not hold.
        also = frozenset((alias, "ordinality", *aliases) if node.ordinality else (alias, *aliases))
        return Source(alias, None, scalar=True, also=also, function=node)

    def _table_function(self, node: Message, left: tuple[Source, ...]) -> Source:
        if self._visit:
            require_syntax(self._walk, node)
            self._walk.push_within(node, self._lateral(left))
        names: list[str] = []
        waiting = list(node.columns)
        while waiting:
            column = unwrap(waiting.pop(0))
            if column is None:
                continue
            nested = list(column.columns) if type(column).__name__ == "JsonTableColumn" else []
            name = column.name if type(column).__name__ == "JsonTableColumn" else column.colname
            if not nested and name:
                names.append(clip(name))
            waiting = nested + waiting
        alias = clip(node.alias.aliasname) if node.HasField("alias") else ""
        aliases = [clip(each) for each in strings(node.alias.colnames)] if node.HasField("alias") else []
        return Source(alias, renamed(tuple(names), aliases))

    def _sample(self, node: Message, left: tuple[Source, ...]) -> tuple[Source, ...]:
        if self._visit:
            method = strings(node.method)
            if (
                method[-1] not in builtins().sampling_methods
                or len(method) > 2
                or method[:-1] not in ([], ["pg_catalog"])
            ):
                self._walk.unknown(f"Samples with the method {'.'.join(method)}, which is not listed.", "user_method")
            self._walk.push_all(node.args, self._outer)
            self._walk.push(node.repeatable, self._outer)
        return self._item(node.relation, left)


#: Statements in a WITH clause whose changes no completion tag counts.
_CHANGING = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


def open_with(walk: Walk, clause: Message, outer: Scope, *, visit: bool, select: Message | None = None) -> Scope:
    """The scope inside a WITH clause. ``select`` is the statement it belongs to."""
    queries: dict[str, WithQuery] = {}
    inside = Scope(outer, (), queries)
    for each in clause.ctes:
        expression = each.common_table_expr
        name = clip(expression.ctename)
        query = unwrap(expression.ctequery)
        scope = inside if clause.recursive else Scope(outer, (), dict(queries))
        queries[name] = WithQuery(name, query, scope, clause.recursive, _WithSource(walk, expression, query, scope))
        if visit:
            if type(query).__name__ in _CHANGING:
                walk.ledger.flags.add("writes_within")
            walk.push(expression.ctequery, Scope(scope))
            if expression.HasField("search_clause"):
                require_syntax(walk, expression.search_clause)
            if expression.HasField("cycle_clause"):
                walk.push(expression.cycle_clause, scope)
            if clause.recursive and query is not None:
                judge_recursion(walk, name, query, select)
    return inside


class _WithSource:
    """Makes the FROM item of a WITH query under an alias; the query's columns are found once."""

    __slots__ = ("_aliases", "_base", "_query", "_scope")

    def __init__(self, walk: Walk, expression: Message, query: Message, scope: Scope) -> None:
        self._query = query
        self._scope = scope
        self._aliases = [clip(each) for each in strings(expression.aliascolnames)]
        extra: tuple[str, ...] = ()
        if expression.HasField("search_clause"):
            extra += (clip(expression.search_clause.search_seq_column),)
        if expression.HasField("cycle_clause"):
            extra += (clip(expression.cycle_clause.cycle_mark_column), clip(expression.cycle_clause.cycle_path_column))
        self._base = Source(
            "",
            find=lambda: _extended(renamed(query_columns(walk, query, scope), self._aliases), extra),
            also=frozenset(extra),
        )

    def __call__(self, alias: str) -> Source:
        base = self._base
        return Source(
            clip(alias),
            find=lambda: base.columns,
            definition=self._query,
            around=self._scope,
            also=base.also.union(self._aliases),
        )


def _extended(columns: Columns, extra: tuple[str, ...]) -> Columns:
    return None if columns is None else (*columns, *extra)


def query_columns(walk: Walk, query: Message | None, outer: Scope) -> Columns:
    """Names of the columns of a sub-query or of a changing statement's RETURNING."""
    kind = type(query).__name__
    if query is None or (kind != "SelectStmt" and kind not in _CHANGES):
        return None
    if kind != "SelectStmt":
        return _returned_columns(walk, query, outer)
    if query.HasField("with_clause"):
        outer = open_with(walk, query.with_clause, outer, visit=False)
    select = leftmost_arm(query)
    if select is not query and select.HasField("with_clause"):
        outer = open_with(walk, select.with_clause, outer, visit=False)
    if select.values_lists:
        return tuple(f"column{number + 1}" for number in range(len(select.values_lists[0].list.items)))
    scope = outer
    return target_columns(select.target_list, lambda: From(walk, scope, visit=False).open(select.from_clause))


def _returned_columns(walk: Walk, change: Message, outer: Scope) -> Columns:
    if not change.HasField("returning_clause"):
        return ()

    def sources() -> tuple[Source, ...]:
        target, _ = source_of(walk, change.relation, Scope())
        if type(change).__name__ == "UpdateStmt":
            return (target, *From(walk, outer, visit=False).open(change.from_clause))
        if type(change).__name__ == "DeleteStmt":
            return (target, *From(walk, outer, visit=False).open(change.using_clause))
        if type(change).__name__ == "MergeStmt":
            return (*From(walk, outer, visit=False).open([change.source_relation]), target)
        return (target,)

    return target_columns(change.returning_clause.exprs, sources)


def select(walk: Walk, node: Message, scope: Scope) -> None:
    """A SELECT, VALUES, TABLE or set operation."""
    ledger = walk.ledger
    ledger.raise_to(Effect.READ, "")
    if node.HasField("with_clause"):
        scope = open_with(walk, node.with_clause, scope, visit=True, select=node)
    if node.locking_clause:
        ledger.raise_to(Effect.WRITE, "Locks the rows it reads.", "locks_rows")
    if node.op > 1:
        walk.push(node.limit_count, scope)
        walk.push(node.limit_offset, scope)
        walk.push_all(node.sort_clause, scope)
        walk.push(node.rarg, scope)
        walk.push(node.larg, scope)
        return
    if node.HasField("into_clause"):
        from blastwall.sql.definitions import define_from_query

        define_from_query(walk, node.into_clause, "select into")
    opened = From(walk, scope, visit=True)
    sources = opened.open(node.from_clause)
    inside = Scope(scope, sources)
    if node.locking_clause and any(source.name.startswith("pg_catalog.") for source in sources):
        ledger.raise_to(Effect.ADMINISTER, "Locks rows of the database's own catalogue.")
    if len(sources) > 1:
        judge_join(walk, node, sources, [*opened.conditions, node.where_clause], opened.links)
    for field, value in node.ListFields():
        if field.name in _EXPRESSIONS:
            if field.is_repeated:
                walk.push_all(value, inside)
            else:
                walk.push(value, inside)


_EXPRESSIONS = frozenset(
    {
        "distinct_clause",
        "target_list",
        "where_clause",
        "group_clause",
        "having_clause",
        "window_clause",
        "values_lists",
        "sort_clause",
        "limit_offset",
        "limit_count",
    }
)


def from_item(walk: Walk, node: Message, scope: Scope) -> None:
    """A FROM item outside a FROM list: nothing the grammar allows."""
    walk.unlisted(node)


QUERY_RULES: Mapping[str, Rule] = {
    "SelectStmt": select,
    "JoinExpr": from_item,
    "JsonTable": from_item,
    "RangeFunction": from_item,
    "RangeSubselect": from_item,
    "RangeTableFunc": from_item,
    "RangeTableSample": from_item,
    "WithClause": from_item,
}
