"""One statement's masking: what it becomes, what its columns hold, and what policy should know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from blastwall.masking.plan import UNTOUCHED, Output, Treatment
from blastwall.model import Facts
from blastwall.sql.catalogue import clip
from blastwall.sql.facts import Ledger
from blastwall.sql.masking.binder import Binder
from blastwall.sql.masking.changes import change, check_literal
from blastwall.sql.masking.definitions import define
from blastwall.sql.masking.levels import Level
from blastwall.sql.masking.rewriting import extends_by_masks, rewrite, settle, unfollowed
from blastwall.sql.masking.selects import query
from blastwall.sql.masking.values import Entry, Misnamed, Refused
from blastwall.sql.resolve import Found, look_up
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import Message, constant, kind_of, leftmost_arm, strings, unwrap
from blastwall.sql.walk import Walk

_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_OFF = frozenset({"off", "false", "0", "no"})
_PARTITIONED = "p"
MISNAMED = "misnamed"  # the flag of a refusal that a mistyped name explains


@dataclass(frozen=True, slots=True)
class Outcome:
    """What masking makes of one statement.

    ``treatment`` is that of running it, ``carried`` that of running what it names (PREPARE, DECLARE). ``refusal`` is ""
    unless it may not run. ``changed`` tells that the tree was rewritten. ``literals``: a literal's value decided
    something.
    """

    treatment: Treatment = UNTOUCHED
    carried: Treatment = UNTOUCHED
    refusal: str = ""
    columns: frozenset[str] = frozenset()
    filters: bool = False
    flags: frozenset[str] = frozenset()
    changed: bool = False
    literals: bool = False


NOTHING = Outcome()
_TOUCHED = Treatment(touches=True)


def _walk(surroundings: Surroundings, temp: frozenset[str], made: frozenset[str]) -> Walk:
    return Walk(surroundings, Ledger("masking"), {}, temp=temp, made=made)


def treat(
    message: Message,
    surroundings: Surroundings,
    *,
    temp: frozenset[str] = frozenset(),
    made: frozenset[str] = frozenset(),
) -> Outcome:
    """Mask one statement (of a private copy of its tree, which is rewritten in place). Never raises for its sake:
    what cannot be masked is refused.
    """
    binder = Binder(_walk(surroundings, temp, made), surroundings.plan, query, change)
    statement = _Statement(binder, surroundings)
    try:
        statement.carry(message)
        if not statement.defines:
            _refuse_unfollowed(binder, message)
        return statement.outcome()
    except Refused as refused:
        return Outcome(
            treatment=_TOUCHED,
            refusal=str(refused),
            columns=frozenset(binder.masked),
            filters=binder.filters,
            flags=frozenset({*binder.flags, MISNAMED} if isinstance(refused, Misnamed) else binder.flags),
            literals=binder.literals,
        )


def _refuse_unfollowed(binder: Binder, message: Message) -> None:
    missed = unfollowed(binder, message)
    if missed:
        raise Refused(f"Reads {missed} in a place that the gateway does not follow beside masked columns; move it.")


@dataclass(slots=True)
class _Statement:
    binder: Binder
    surroundings: Surroundings
    columns: list[Entry] | None = None  # what running it returns
    names: bool = False  # it names the query for later
    plan_only: bool = False  # EXPLAIN: the columns are not shown
    known: Treatment | None = None  # of what it runs by name
    defines: bool = False  # it is about the relations it names, and reads none

    def take(self, message: Message) -> None:
        """Bind a statement, and what it carries."""
        kind = type(message).__name__
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, message)
        elif kind == "SelectStmt":
            self._select(message)
        elif kind in _CHANGES:
            self.columns = change(self.binder, message, Level())
            if not message.HasField("returning_clause"):
                self.columns = None
        else:
            self.defines = True
            define(self.binder, message)

    def _select(self, message: Message) -> None:
        self.columns = query(self.binder, message, Level())
        first = leftmost_arm(message)  # of a UNION it is the first arm that says where the rows of all go
        if first.HasField("into_clause"):
            self._refuse_copies(first.into_clause.rel.relname)
            self.columns = None

    def carry(self, node: Message) -> None:
        inner = unwrap(node)
        if inner is None:
            raise Refused("Carries no statement that the gateway could follow.")
        self.take(inner)

    def _refuse_copies(self, into: str) -> None:
        for column in self.columns or ():
            for leaf in column.value.leaves:
                raise Refused(
                    f"Copies the masked column {leaf.mask.column} into {into}; a masked column cannot be copied: leave "
                    "it out."
                )
        if self.known is not None and any(each.sink or each.masks for each in self.known.outputs or ()):
            raise Refused(f"Copies masked columns of a prepared statement into {into}; select the others in a new one.")

    # -- statements that carry others

    def explain(self, message: Message) -> None:
        asked: dict[str, bool] = {}
        for option in message.options:
            name = option.def_elem.defname.lower()
            if name in ("verbose", "analyze"):
                self.binder.literals = True
                asked[name] = not _is_off(option.def_elem)
        self.carry(message.query)
        binder = self.binder
        if self.known is not None:
            if self.known.touches:
                raise Refused("Explains a prepared statement over masked tables; explain the statement itself.")
            return
        if asked.get("verbose") and binder.masked:
            raise Refused("EXPLAIN VERBOSE of a masked table prints the expressions that mask it; leave VERBOSE out.")
        if binder.filters or "compares_masked" in binder.flags:
            raise Refused("EXPLAIN tells how many rows a condition on a masked column would find; explain it without.")
        telling = next((each for scan in binder.scans if (each := binder.plan.telling.get(scan.relation.oid))), None)
        if asked.get("analyze") and telling is not None:
            raise Refused(f"EXPLAIN ANALYZE counts rows by partition, so by the masked {telling}; leave ANALYZE out.")
        if binder.hiding or extends_by_masks(binder):
            raise Refused("EXPLAIN prints expressions that mask a column; explain the query without that column.")
        self.plan_only = True

    def copy(self, message: Message) -> None:
        if kind_of(message.query):
            self.carry(message.query)
            self._refuse_files(message)
            return
        found = look_up(self.binder.walk, message.relation)
        if message.is_from:
            self._copy_in(message, found)
            return
        names = strings(message.attlist)
        relation = found.relation
        if relation is None:
            raise Refused("Copies a table that the gateway does not know.")
        chosen = (
            [relation.column(name) for name in names]
            if names
            else [column for column in relation.columns if not column.computed_from]
        )
        made = type(message)()
        select = made.query.select_stmt
        select.op, select.limit_option = 1, 1
        for column in chosen:
            if column is None:
                raise Refused(f"Copies a column that {found.name} has not.")
            target = select.target_list.add().res_target
            target.val.column_ref.fields.add().string.sval = column.name
        table = select.from_clause.add().range_var
        table.relname, table.schemaname, table.relpersistence = relation.name, relation.schema, "p"
        table.inh = relation.kind == _PARTITIONED  # COPY of a table leaves its children's rows out
        message.ClearField("relation")
        message.ClearField("attlist")
        message.query.CopyFrom(made.query)
        self.binder.changed = True
        self.carry(message.query)
        self._refuse_files(message)

    def _refuse_files(self, message: Message) -> None:
        """What the server writes itself passes no sink, and is there for whoever reads files."""
        if message.filename or message.is_program:
            self._refuse_copies("a file or program of the server")

    def _copy_in(self, message: Message, found: Found) -> None:
        from blastwall.sql.masking.changes import note_written
        from blastwall.sql.masking.sources import relation

        opened = relation(self.binder, message.relation, Level(), role="target")
        names = {clip(name) for name in strings(message.attlist)}
        cells = [cell for cell in opened.scans[0].cells if not names or cell.column.name in names]
        note_written(self.binder, opened.scans[0], cells)

    def prepare(self, message: Message) -> None:
        self.carry(message.query)
        self.names = True

    def execute(self, message: Message) -> None:
        self._run_by_name(
            self.surroundings.prepared_treatments.get(message.name), self.surroundings.prepared.get(message.name)
        )
        for number, mask in self.known.stores if self.known is not None else ():
            if number <= len(message.params):
                check_literal(self.binder, message.params[number - 1], mask)

    def fetch(self, message: Message) -> None:
        self._run_by_name(
            self.surroundings.cursor_treatments.get(message.portalname),
            self.surroundings.cursors.get(message.portalname),
        )
        if message.ismove and self.known is not None:
            self.known = replace(self.known, outputs=None)

    def _run_by_name(self, treatment: Treatment | None, facts: Facts | None) -> None:
        self.known = treatment if treatment is not None else UNTOUCHED
        if facts is not None:
            if facts.refusal:
                raise Refused(facts.refusal)
            self.binder.masked |= facts.masked_columns
            self.binder.filters = self.binder.filters or facts.filters_masked

    def table_as(self, message: Message) -> None:
        self.carry(message.query)
        self._refuse_copies(message.into.rel.relname)
        self.columns, self.known = None, None

    def view(self, message: Message) -> None:
        self.carry(message.query)
        if self.binder.masked:
            column = min(self.binder.masked)
            raise Refused(f"Makes a view over the masked column {column}; leave it out of the view's query.")
        self.columns = None

    # -- the end

    def outcome(self) -> Outcome:
        binder = self.binder
        columns = self.columns if not self.plan_only else None
        for column in columns or ():
            for leaf in column.value.leaves:
                if leaf.raw:  # no reference that the server takes comes here
                    raise Refused(
                        f"Shows {leaf.mask.column} of the table that it changes in a way that is not followed."
                    )
        if self.plan_only:
            for leaf in binder.leaves:
                leaf.hidden = True
        shown = settle([column.value for column in columns or ()], binder)
        changed = rewrite(binder)
        outputs: tuple[Output, ...] | None = None
        if self.plan_only:
            outputs = (Output("QUERY PLAN", origin=(0, 0)),)
        elif columns is not None:
            outputs = tuple(_output(column, sink) for column, sink in zip(columns, shown, strict=True))
        running = Treatment(True, outputs, frozenset(binder.parameters), tuple(binder.stores))
        if self.known is not None and not self.plan_only:
            running = self.known
        return Outcome(
            treatment=_TOUCHED if self.names else running,
            carried=running if self.names else UNTOUCHED,
            columns=frozenset(binder.masked),
            filters=binder.filters,
            flags=frozenset(binder.flags),
            changed=changed,
            literals=binder.literals,
        )


def _output(column: Entry, at_sink: bool) -> Output:
    value = column.value
    if not value.leaves:
        return Output(column.name, origin=value.origin)
    masks = tuple(sorted({leaf.mask for leaf in value.leaves}, key=lambda mask: mask.column))
    if at_sink:
        return Output(column.name, sink=masks[0], origin=value.origin)
    return Output(column.name, masks=masks, origin=(0, 0))


def _is_off(option: Message) -> bool:
    """Whether an option says no; without a value it says yes."""
    which = kind_of(option.arg)
    if which == "string":
        return str(option.arg.string.sval).lower() in _OFF
    if which == "integer":
        return bool(option.arg.integer.ival == 0)
    known, value = constant(option.arg) if which else (False, None)
    return bool(known) and str(value).lower() in _OFF


_HANDLERS: Mapping[str, Callable[[_Statement, Message], None]] = {
    "CopyStmt": _Statement.copy,
    "CreateTableAsStmt": _Statement.table_as,
    "DeclareCursorStmt": _Statement.prepare,
    "ExecuteStmt": _Statement.execute,
    "ExplainStmt": _Statement.explain,
    "FetchStmt": _Statement.fetch,
    "PrepareStmt": _Statement.prepare,
    "ViewStmt": _Statement.view,
}
