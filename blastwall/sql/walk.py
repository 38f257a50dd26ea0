"""The walk over a statement's tree: without recursion, every node class on a list, every finding in one ledger.

What a class of node means is not decided here: ``rules`` maps message names to functions, which look at a node in its
scope and push what must be looked at next. A class without a rule must be listed as plain in nodes.toml; anything else
is unknown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from blastwall.model import Effect
from blastwall.sql.facts import Ledger
from blastwall.sql.scope import Scope
from blastwall.sql.surroundings import GRAMMAR_MAJOR, Surroundings
from blastwall.sql.tree import MESSAGES, NODE, Message

_LEAVES = frozenset(
    {"a_const", "string", "integer", "param_ref", "a_star", "set_to_default", "boolean", "float", "bit_string"}
)

Rule: TypeAlias = "Callable[[Walk, Message, Scope], None]"


class Walk:
    """One statement's walk. ``names`` are the temporary relations and ``made`` the others that earlier statements of
    the same text made, by name.
    """

    __slots__ = (
        "_rules",
        "_stack",
        "found",
        "hazards",
        "ledger",
        "made",
        "major",
        "numbers",
        "product",
        "surroundings",
        "temp",
        "type_oids",
    )

    def __init__(
        self,
        surroundings: Surroundings,
        ledger: Ledger,
        rules: Mapping[type, Rule],
        *,
        temp: frozenset[str] = frozenset(),
        made: frozenset[str] = frozenset(),
        numbers: Mapping[int, float] | None = None,
    ) -> None:
        self.surroundings = surroundings
        self.ledger = ledger
        self.major = surroundings.major
        self.temp = surroundings.temp | temp
        self.made = made
        self.numbers = numbers or {}  # values of parameters that are numbers
        self.product = 1.0  # rows of all series together: each may multiply the others
        self.type_oids: set[int] = set()  # of columns, rows and casts the statement touches
        self.hazards: list[tuple[frozenset[int], str, str]] = []  # see callables.py
        self.found: dict[tuple[str, str, str], object] = {}  # resolved relations by name
        self._rules = rules
        self._stack: list[tuple[Message, Scope]] = []

    def push(self, node: Message, scope: Scope) -> None:
        """Look at a node (or nothing, for an empty one) in ``scope`` later."""
        if type(node) is NODE:
            which = node.WhichOneof("node")
            if which is None or which in _LEAVES:
                return
            node = getattr(node, which)
        self._stack.append((node, scope))

    def push_all(self, nodes: Iterable[Message], scope: Scope) -> None:
        """Look at several nodes later, in their order."""
        for node in reversed(list(nodes)):
            self.push(node, scope)

    def push_within(self, message: Message, scope: Scope) -> None:
        """Look at everything directly inside a message later."""
        stack = self._stack
        children: list[tuple[Message, Scope]] = []
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            for node in value if field.is_repeated else (value,):
                if type(node) is NODE:
                    which = node.WhichOneof("node")
                    if which is None or which in _LEAVES:
                        continue
                    node = getattr(node, which)
                children.append((node, scope))
        children.reverse()
        stack.extend(children)

    def run(self) -> None:
        """Look at everything that was pushed, and at what that pushes."""
        stack, rules = self._stack, self._rules
        while stack:
            message, scope = stack.pop()
            rule = rules.get(type(message))
            if rule is None:
                self.unlisted(message)
            else:
                rule(self, message, scope)

    def unlisted(self, message: Message) -> None:
        """A node of a class nobody listed."""
        name = type(message).__name__
        self.ledger.raise_to(Effect.UNKNOWN, f"Uses a construct the gateway does not know ({name}).", "unlisted")

    def unknown(self, reason: str, *flags: str) -> None:
        """The statement cannot be understood, for a reason the agent can act on."""
        self.ledger.raise_to(Effect.UNKNOWN, reason, *flags)


def plain(walk: Walk, message: Message, scope: Scope) -> None:
    """The rule of nodes that only hold others."""
    walk.push_within(message, scope)


@cache
def _table() -> Mapping[str, object]:
    return tomllib.loads(files("blastwall.sql").joinpath("nodes.toml").read_text("utf-8"))


def rule_table(judged: Mapping[str, Rule]) -> Mapping[type, Rule]:
    """Rules by message class: the judged ones and the plain list, each behind its first major where nodes.toml names
    one.

    Raises ValueError when the rules and the list of judged classes differ: the list is what reviewers read.
    """
    table = _table()
    listed, since = set(_names(table["judged"])), table["since"]
    if listed != set(judged):
        raise ValueError(f"nodes.toml and the rules differ in {sorted(listed ^ set(judged))}")
    rules: dict[str, Rule] = {**dict.fromkeys(_names(table["plain"]), plain), **judged}
    if isinstance(since, dict):
        for name, major in since.items():
            rules[name] = _gated(name, int(major), rules[name])
    return {MESSAGES[name]: rule for name, rule in rules.items()}


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def _gated(name: str, major: int, rule: Rule) -> Rule:
    def judge(walk: Walk, message: Message, scope: Scope) -> None:
        _require(walk, name, major)
        rule(walk, message, scope)

    return judge


def _require(walk: Walk, name: str, major: int) -> None:
    if walk.major < major:
        walk.unknown(
            f"Uses syntax of PostgreSQL {major} ({name}), which this server ({walk.major}) reads otherwise.",
            "version_skew",
        )


def require_syntax(walk: Walk, message: Message) -> None:
    """Ask for the major that nodes.toml names for a node which no rule is called for."""
    since = _table()["since"]
    name = type(message).__name__
    if isinstance(since, dict) and name in since:
        _require(walk, name, int(since[name]))


def spelling_is_ambiguous(walk: Walk, what: str) -> bool:
    """Whether a spelling of nodes.toml's ``ambiguous`` list must be refused on this server; then it has been."""
    if walk.major >= GRAMMAR_MAJOR:
        return False
    walk.unknown(
        f"Spells {what} in a way that servers before PostgreSQL {GRAMMAR_MAJOR} may read as a call of another "
        "function; use a cast, or a spelling with RETURNING.",
        "version_skew",
    )
    return True


@cache
def ambiguous_functions() -> frozenset[str]:
    """Names of function calls whose spelling is ambiguous."""
    table = _table()["ambiguous"]
    return frozenset(_names(table["functions"])) if isinstance(table, dict) else frozenset()
