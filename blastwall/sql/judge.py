"""One parsed statement to facts: the rules put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Effect, Facts
from blastwall.sql.callables import judge_parameter_types, settle_hazards
from blastwall.sql.changes import CHANGE_RULES
from blastwall.sql.definitions import DEFINITION_RULES, DEFINITION_STATEMENTS, statement_table
from blastwall.sql.expressions import EXPRESSION_RULES
from blastwall.sql.facts import Ledger
from blastwall.sql.masking.concern import concerned, reaches
from blastwall.sql.queries import QUERY_RULES
from blastwall.sql.scope import Scope
from blastwall.sql.sessions import SESSION_STATEMENTS
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import MESSAGES, Message, constant, kind_of, leftmost_arm, strings, unwrap
from blastwall.sql.walk import Rule, Walk, rule_table

_UNLOCK_ALL = (["pg_advisory_unlock_all"], ["pg_catalog", "pg_advisory_unlock_all"])


@dataclass(frozen=True, slots=True)
class Judgement:
    """One statement's facts. ``kind`` is what it is to a session (statements.toml), ``name`` the prepared statement,
    cursor, channel or setting it names, ``value`` the literal a SET gives.

    ``literal_independent``: no literal's value was looked at, so that the same text with other literals has the same
    facts. ``session_names``: the facts depend on what the session prepared or declared. ``changes_catalogue``:
    afterwards the catalogue may be another one. ``makes`` is the name of the relation it makes, and whether that is
    temporary. ``concerns_masks``: it reads, writes or names what masking has a say in; ``treatment`` is then what
    masking makes of running it, ``carried`` of running what it names for later. ``reaches_masks``: it does not, but
    what it changes may change masked rows in turn.
    """

    facts: Facts
    kind: str
    name: str = ""
    value: str = ""
    literal_independent: bool = True
    session_names: bool = False
    changes_catalogue: bool = False
    makes: tuple[str, bool] | None = None
    concerns_masks: bool = False
    reaches_masks: bool = False
    treatment: Treatment = UNTOUCHED
    carried: Treatment = UNTOUCHED

    @property
    def reads_only(self) -> bool:
        """Whether running it leaves every row and object as it was."""
        return self.facts.effect in (Effect.SESSION, Effect.READ)


@cache
def _rules() -> Mapping[type, Rule]:
    statements = {**DEFINITION_STATEMENTS, **SESSION_STATEMENTS, **CHANGE_RULES, **QUERY_RULES}
    judged = {name: statements[name] for name in statement_table()["judged"]}
    within: dict[str, Rule] = {**EXPRESSION_RULES, **QUERY_RULES, **CHANGE_RULES, **DEFINITION_RULES}
    return {**{MESSAGES[name]: rule for name, rule in judged.items()}, **rule_table(within)}


def judge(
    node: Message,
    surroundings: Surroundings,
    *,
    temp: frozenset[str] = frozenset(),
    made: frozenset[str] = frozenset(),
    numbers: Mapping[int, float] | None = None,
    types: frozenset[int] = frozenset(),
) -> Judgement:
    """Judge one statement (RawStmt.stmt). ``temp`` and ``made`` are relations that earlier statements of the text
    made, ``types`` the oids of the types that the client declares for its parameters.
    """
    message = unwrap(node)
    name = type(message).__name__
    table = statement_table()
    fixed = table["fixed"].get(name)
    if fixed is not None:
        ledger = Ledger(fixed["verb"], Effect(fixed["effect"]), fixed["reason"])
        ledger.flags.update(fixed.get("flags", ()))
        masks = concerned(message, {}, surroundings)
        return Judgement(ledger.close(), "define", changes_catalogue=True, concerns_masks=masks)
    listed = table["judged"].get(name)
    if listed is None or message is None:
        ledger = Ledger("unknown")
        ledger.raise_to(Effect.UNKNOWN, f"Is a statement the gateway does not know ({name}).", "unlisted")
        return Judgement(ledger.close(), "utility", changes_catalogue=True)
    ledger = Ledger(listed["verb"])
    kind = listed["kind"]
    if name == "SelectStmt" and _only_unlocks(message):
        ledger.flags.add("reset")
        return Judgement(ledger.close(), "discard", name="advisory locks")
    walk = Walk(surroundings, ledger, _rules(), temp=temp, made=made, numbers=numbers)
    walk.push(node, Scope())
    walk.run()
    judge_parameter_types(walk, types)
    if ledger.effect is not Effect.SESSION:
        settle_hazards(walk)
    changes = ledger.effect not in (Effect.SESSION, Effect.READ)
    concerns = bool(surroundings.plan) and concerned(message, walk.found, surroundings, changes=changes)
    return Judgement(
        facts=ledger.close(),
        kind=_kind_of(name, message, kind, ledger),
        name=_name_of(name, message),
        value=_value_of(name, message),
        literal_independent=not ledger.literals,
        session_names=ledger.names,
        changes_catalogue=kind == "define" or any(each.access in ("define", "destroy") for each in ledger.objects()),
        makes=_made_by(name, message),
        concerns_masks=concerns,
        reaches_masks=not concerns and reaches(walk.found, surroundings, changes=changes),
    )


def _kind_of(name: str, message: Message, kind: str, ledger: Ledger) -> str:
    """What a statement is to its session; one that names a cursor or prepared statement deep inside says so."""
    if name == "CopyStmt" and message.is_from:
        return "copy_in"
    if name == "VariableSetStmt" and "reset" in ledger.flags:
        return "reset"
    if ledger.cursor and kind == "query":
        return "cursor_write"
    if name in ("ExplainStmt", "CreateTableAsStmt"):
        return {"execute_stmt": "execute", "declare_cursor_stmt": "cursor_write"}.get(
            kind_of(message.query), "cursor_write" if ledger.cursor else kind
        )
    return "define" if ledger.verb == "select into" else kind


def _only_unlocks(select: Message) -> bool:
    """Whether this is ``SELECT pg_advisory_unlock_all()`` and nothing else, as pools send it."""
    if select.op > 1 or len(select.target_list) != 1:
        return False
    if {spec.name for spec, _ in select.ListFields()} - {"target_list", "op", "limit_option"}:
        return False
    value = select.target_list[0].res_target.val
    if kind_of(value) != "func_call":
        return False
    plain = {spec.name for spec, _ in value.func_call.ListFields()} <= {"funcname", "funcformat", "location"}
    return plain and strings(value.func_call.funcname) in _UNLOCK_ALL


_NAMES = {
    "PrepareStmt": "name",
    "ExecuteStmt": "name",
    "DeallocateStmt": "name",
    "DeclareCursorStmt": "portalname",
    "FetchStmt": "portalname",
    "ClosePortalStmt": "portalname",
    "VariableSetStmt": "name",
    "VariableShowStmt": "name",
    "ListenStmt": "conditionname",
    "UnlistenStmt": "conditionname",
    "NotifyStmt": "conditionname",
    "TransactionStmt": "savepoint_name",
}


def _name_of(kind: str, message: Message) -> str:
    return str(getattr(message, _NAMES[kind])) if kind in _NAMES else ""


def _value_of(kind: str, message: Message) -> str:
    if kind != "VariableSetStmt" or message.kind != 1:
        return ""
    values = [constant(each)[1] for each in message.args]
    return ", ".join("on" if each is True else "off" if each is False else str(each) for each in values)


def _made_by(kind: str, message: Message) -> tuple[str, bool] | None:
    if kind == "CreateStmt":
        relation = message.relation
    elif kind == "CreateTableAsStmt":
        relation = message.into.rel
    elif kind == "SelectStmt" and leftmost_arm(message).HasField("into_clause"):
        relation = leftmost_arm(message).into_clause.rel
    else:
        return None
    return relation.relname, relation.relpersistence == "t" or relation.schemaname == "pg_temp"
