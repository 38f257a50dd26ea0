"""Rules for statements about the session itself, and for those that carry or name another statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from blastwall.model import Effect
from blastwall.sql.amplification import BY_PARAMETER
from blastwall.sql.definitions import options_are_listed, statement_table
from blastwall.sql.resolve import look_up, read, write
from blastwall.sql.scope import Scope, Source
from blastwall.sql.settings import flag_of, may_reset, may_show, objection
from blastwall.sql.tree import Message, constant, kind_of
from blastwall.sql.walk import Rule, Walk

_TRANSACTION_VERBS = {
    1: "begin",
    2: "begin",
    3: "commit",
    4: "rollback",
    5: "savepoint",
    6: "release",
    7: "rollback to",
    8: "prepare transaction",
    9: "commit prepared",
    10: "rollback prepared",
}
_TWO_PHASE = frozenset({8, 9, 10})
_SET_VALUE, _SET_DEFAULT, _SET_CURRENT, _SET_MULTI, _RESET, _RESET_ALL = range(1, 7)
_TRANSACTION_OPTIONS = frozenset({"transaction_isolation", "transaction_deferrable", "transaction_read_only"})
_DISCARD_VERBS = {1: "discard all", 2: "discard plans", 3: "discard sequences", 4: "discard temp"}
_HOLD, _EXECUTION = 0x20, frozenset({"analyze", "analyse"})
_OFF = frozenset({"off", "false", "0", "no"})


def transaction(walk: Walk, node: Message, scope: Scope) -> None:
    """BEGIN, COMMIT, ROLLBACK, savepoints; two-phase commit is administration."""
    ledger = walk.ledger
    ledger.verb = _TRANSACTION_VERBS.get(node.kind, "transaction")
    ledger.flags.add("transaction")
    if node.kind in _TWO_PHASE:
        ledger.raise_to(Effect.ADMINISTER, "Takes part in a two-phase commit, whose transaction outlives the session.")
    elif node.kind not in _TRANSACTION_VERBS:
        walk.unlisted(node)
    _transaction_options(walk, node.options)


def _transaction_options(walk: Walk, options: Iterable[Message]) -> None:
    for option in options:
        name = option.def_elem.defname
        known, value = constant(option.def_elem.arg)
        if name not in _TRANSACTION_OPTIONS or not known:
            walk.unknown(f"Uses the transaction option {name}, which is not listed.", "unlisted")
        elif name == "transaction_read_only" and str(value).lower() in _OFF:
            # What SQLAlchemy and psycopg send when a connection that was read-only is so no more.
            walk.ledger.raise_to(
                Effect.SESSION, "Asks for a transaction that may write; leave READ WRITE out.", "read_write"
            )


def set_variable(walk: Walk, node: Message, scope: Scope) -> None:
    """SET, RESET and their kin, by settings.toml."""
    ledger = walk.ledger
    ledger.literals = True
    name = node.name.lower()
    if node.kind in (_RESET, _RESET_ALL, _SET_DEFAULT):
        ledger.verb = "reset"
        if node.kind == _RESET_ALL or may_reset(name):
            ledger.flags.update(("setting", "reset"))
        else:
            ledger.raise_to(
                Effect.ADMINISTER, f"Resets {name}, which is not on the list of settings an agent may reset.", "setting"
            )
        return
    ledger.flags.add("setting")
    if node.kind == _SET_MULTI:
        if name not in ("transaction", "session characteristics"):
            ledger.raise_to(Effect.ADMINISTER, f"Sets {name}, which the gateway does not follow.")
            return
        ledger.verb = f"set {name}"
        ledger.flags.add("transaction")
        _transaction_options(walk, node.args)
        return
    if node.kind != _SET_VALUE:
        walk.unknown(f"Sets {name} from something that is not a value.", "unlisted")
        return
    values = []
    for argument in node.args:
        known, value = constant(argument)
        if not known or value is None:
            walk.unknown(f"Sets {name} to something that is not a literal.", "unlisted")
            return
        values.append(value)
    problem = objection(name, values, walk.surroundings.search_path)
    if problem:
        ledger.raise_to(Effect.ADMINISTER, f"Sets {name}{problem}.")
    elif flag := flag_of(name, values):
        ledger.flags.add(flag)


def show(walk: Walk, node: Message, scope: Scope) -> None:
    """SHOW of a listed setting."""
    walk.ledger.literals = True
    walk.ledger.raise_to(Effect.READ, "")
    if not may_show(node.name):
        walk.ledger.raise_to(
            Effect.ADMINISTER, f"Shows {node.name}, which is not on the list of settings that may be shown."
        )


def discard(walk: Walk, node: Message, scope: Scope) -> None:
    """DISCARD ALL and PLANS put the session back; temporary tables and sequences are kept."""
    walk.ledger.verb = _DISCARD_VERBS.get(node.target, "discard")
    walk.ledger.flags.add("reset")
    if node.target == 4:
        walk.ledger.raise_to(Effect.DESTROY, "Drops the session's temporary tables.", "temporary")
    elif node.target not in _DISCARD_VERBS:
        walk.unlisted(node)


def deallocate(walk: Walk, node: Message, scope: Scope) -> None:
    """DEALLOCATE of one name or of all."""
    if node.isall or not node.name:
        walk.ledger.verb = "deallocate all"
    walk.ledger.flags.add("reset")


def close(walk: Walk, node: Message, scope: Scope) -> None:
    """CLOSE of a cursor or of all."""
    if not node.portalname:
        walk.ledger.verb = "close all"
        walk.ledger.flags.add("reset")
        return
    _known_cursor(walk, node.portalname)


def fetch(walk: Walk, node: Message, scope: Scope) -> None:
    """FETCH and MOVE: the query was judged when its cursor was opened."""
    if node.ismove:
        walk.ledger.verb = "move"
    walk.ledger.flags.add("cursor")
    _known_cursor(walk, node.portalname)


def _known_cursor(walk: Walk, name: str) -> None:
    walk.ledger.names = True
    facts = walk.surroundings.cursors.get(name)
    if facts is None:
        walk.unknown(f"Names the cursor {name}, which this session did not open; declare it first.", "unresolved")
        return
    walk.ledger.flags.update(facts.flags)
    for each in facts.objects:
        walk.ledger.touch(each.kind, each.name, each.access)


def unlisten(walk: Walk, node: Message, scope: Scope) -> None:
    """UNLISTEN of one channel or of all."""
    walk.ledger.flags.add("reset")
    if not node.conditionname:
        walk.ledger.verb = "unlisten all"


def listen(walk: Walk, node: Message, scope: Scope) -> None:
    """LISTEN."""
    walk.ledger.touch("channel", node.conditionname, "read")
    walk.ledger.raise_to(Effect.WRITE, f"Listens for what other sessions send on {node.conditionname}.", "listen")


def notify(walk: Walk, node: Message, scope: Scope) -> None:
    """NOTIFY."""
    walk.ledger.touch("channel", node.conditionname, "write")
    walk.ledger.raise_to(Effect.WRITE, f"Sends a notification to other sessions on {node.conditionname}.", "notify")


def set_constraints(walk: Walk, node: Message, scope: Scope) -> None:
    """SET CONSTRAINTS: may run deferred checks and triggers at once."""
    walk.ledger.raise_to(Effect.WRITE, "Changes when constraints are checked, and may check them now.")


def prepare(walk: Walk, node: Message, scope: Scope) -> None:
    """PREPARE: as bad as what it will run."""
    walk.ledger.flags.add("prepare")
    walk.push_all(node.argtypes, scope)
    carried(walk, node.query, scope)


def execute(walk: Walk, node: Message, scope: Scope) -> None:
    """EXECUTE of a name the session knows: what was prepared, and the arguments."""
    walk.ledger.flags.add("execute")
    walk.ledger.names = True
    facts = walk.surroundings.prepared.get(node.name)
    if facts is None:
        walk.unknown(
            f"Executes {node.name}, which this session did not prepare; send the statement itself.", "unresolved"
        )
    else:
        walk.ledger.take(facts)
        if BY_PARAMETER in facts.flags:
            walk.unknown(
                f"Executes {node.name}, whose parameters say how much it asks for; "
                "send its text with bound parameters, or with the numbers in it.",
                "amplification",
            )
    walk.push_all(node.params, scope)


def declare(walk: Walk, node: Message, scope: Scope) -> None:
    """DECLARE CURSOR."""
    walk.ledger.flags.add("cursor")
    if node.options & _HOLD:
        walk.ledger.raise_to(
            Effect.ADMINISTER,
            f"Opens the cursor {node.portalname} WITH HOLD, whose query runs when the transaction ends, where no time "
            "limit counts. Leave it out, inside a transaction (Django: atomic() around iterator(), or the "
            "database setting DISABLE_SERVER_SIDE_CURSORS).",
            "with_hold",
        )
    carried(walk, node.query, scope)


def explain(walk: Walk, node: Message, scope: Scope) -> None:
    """EXPLAIN: judged as what it explains, because planning runs functions too and ANALYZE runs everything."""
    walk.ledger.flags.add("explain")
    options_are_listed(walk, node.options, "explain")
    for option in node.options:
        if option.def_elem.defname.lower() in _EXECUTION:
            walk.ledger.literals = True
            known, value = constant(option.def_elem.arg) if option.def_elem.HasField("arg") else (True, True)
            if not known or str(value).lower() not in _OFF:
                walk.ledger.flags.add("explain_analyze")
    carried(walk, node.query, scope)


_CARRIED = frozenset(
    {
        "select_stmt",
        "insert_stmt",
        "update_stmt",
        "delete_stmt",
        "merge_stmt",
        "execute_stmt",
        "declare_cursor_stmt",
        "create_table_as_stmt",
        "refresh_mat_view_stmt",
    }
)


def carried(walk: Walk, node: Message, scope: Scope) -> None:
    """A statement inside another one."""
    if kind_of(node) in _CARRIED:
        walk.push(node, Scope(scope))
    else:
        walk.unknown("Carries a statement that the gateway does not judge inside another.", "unlisted")


def copy(walk: Walk, node: Message, scope: Scope) -> None:
    """COPY between a table or query and the client; files and programs of the server are administration."""
    ledger = walk.ledger
    options_are_listed(walk, node.options, "copy")
    if node.is_program or node.filename:
        what = "runs a program on" if node.is_program else "uses a file of"
        ledger.raise_to(Effect.ADMINISTER, f"COPY {what} the database server; use STDIN or STDOUT.", "copy_server")
    for option in node.options:
        if option.def_elem.defname.lower() == "encoding":
            walk.unknown("COPY in another encoding than the session's.", "unlisted")
    if node.HasField("relation"):
        found = look_up(walk, node.relation)
        if node.is_from:
            ledger.verb = "copy from"
            ledger.raise_to(Effect.WRITE, f"Loads rows into {found.name}.", "copy_in")
            write(walk, found)
            target = Source(node.relation.relname, found.columns, relation=found.relation)
            walk.push(node.where_clause, scope.of((target,)))
        else:
            ledger.verb = "copy to"
            ledger.raise_to(Effect.READ, "")
            ledger.flags.update(("copy_out", "whole_table"))
            read(walk, found)
        return
    ledger.verb = "copy to"
    ledger.flags.add("copy_out")
    carried(walk, node.query, scope)


def lock(walk: Walk, node: Message, scope: Scope) -> None:
    """LOCK TABLE: weak modes are a write, strong ones keep others out."""
    weak = node.mode in statement_table()["lock"]["weak"]
    for each in node.relations:
        found = look_up(walk, each.range_var)
        walk.ledger.touch("table", found.name, "write")
        if found.problem or found.kind == "system":
            walk.unknown(f"Locks {found.name}, which the gateway cannot judge.", found.flag or "unresolved")
    if weak:
        walk.ledger.raise_to(Effect.WRITE, "Locks a table against changes of its schema.", "locks_table")
    else:
        walk.ledger.raise_to(Effect.ADMINISTER, "Locks a table against other sessions.", "locks_table")


def vacuum(walk: Walk, node: Message, scope: Scope) -> None:
    """VACUUM and ANALYZE; VACUUM FULL rewrites tables and keeps others out."""
    ledger = walk.ledger
    if not node.is_vacuumcmd:
        ledger.verb = "analyze"
    options = [option.def_elem.defname.lower() for option in node.options]
    if "full" in options:
        ledger.verb = "vacuum full"
        ledger.raise_to(Effect.ADMINISTER, "Rewrites tables and keeps others from reading meanwhile.", "locks_table")
    options_are_listed(walk, [each for each in node.options if each.def_elem.defname.lower() != "full"], "vacuum")
    if not node.rels:
        ledger.raise_to(Effect.ADMINISTER, "Goes through every table of the database; name one.")
    for each in node.rels:
        found = look_up(walk, each.vacuum_relation.relation)
        ledger.touch("table", found.name, "write")
        ledger.raise_to(Effect.WRITE, f"Goes through {found.name} and refreshes what is known of it.")
        if found.problem:
            walk.unknown(f"The statement {found.problem}.", found.flag)


SESSION_STATEMENTS: Mapping[str, Rule] = {
    "ClosePortalStmt": close,
    "ConstraintsSetStmt": set_constraints,
    "CopyStmt": copy,
    "DeallocateStmt": deallocate,
    "DeclareCursorStmt": declare,
    "DiscardStmt": discard,
    "ExecuteStmt": execute,
    "ExplainStmt": explain,
    "FetchStmt": fetch,
    "ListenStmt": listen,
    "LockStmt": lock,
    "NotifyStmt": notify,
    "PrepareStmt": prepare,
    "TransactionStmt": transaction,
    "UnlistenStmt": unlisten,
    "VacuumStmt": vacuum,
    "VariableSetStmt": set_variable,
    "VariableShowStmt": show,
}
