"""Policy texts to a checked policy set: what can be known to be wrong before the first request is found here.

Each policy is parsed on its own first, so that one mistake does not hide the next. Beyond Cedar's strict validation
against ``schema.cedarschema``:

* every policy has a unique ``@id``, and only the annotations of :data:`ANNOTATIONS`: a misspelt ``@approvers`` would
  route to nobody;
* a policy that depends on ``context.approved`` names its ``@approvers``, and one that names them depends on it;
* words compared with a closed vocabulary (flags, effects, kinds, budgets) belong to it: Cedar accepts any text, and a
  forbid with a misspelt flag would never forbid.
"""

from __future__ import annotations

import difflib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import cedarpy

from blastwall.errors import ConfigFault, Problem
from blastwall.policy.vocabulary import BUDGETS, CODES, EFFECTS, FLAGS, KINDS

SCHEMA = files("blastwall.policy").joinpath("schema.cedarschema").read_text("utf-8")
ANNOTATIONS = ("id", "description", "approvers", "quorum", "hint", "code")
HIGHEST_QUORUM = 9
LONGEST = 16 * 1024  # characters of one policy; with the next line it keeps the engine's recursive parser alive
DEEPEST = 50  # brackets; at 1,000 the parser overflows its stack, which nothing can catch

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VOCABULARIES = {"flags": FLAGS, "exhausted": BUDGETS, "effect": EFFECTS, "kind": KINDS}
_CONTEXT = {"Var": "context"}
_COMPARISONS = frozenset({"==", "!=", "contains", "containsAll", "containsAny"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy as people name it. ``line`` is where its text starts, counted from 1."""

    id: str
    file: str
    line: int
    forbids: bool
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    hint: str = ""
    code: str = ""
    targets: tuple[str, ...] = ()  # Target entities its text names
    actions: tuple[str, ...] = ()  # actions its scope names; none: any
    reads_blast: bool = False  # what running a statement would do must be known before it is asked
    group: str = ""  # the one group its scope is about; "": any principal


@dataclass(frozen=True, slots=True)
class Checked:
    """A policy set that passed every check; its rules by id, and by the name the engine gives them."""

    policies: cedarpy.PolicySet
    rules: Mapping[str, Rule]
    numbered: Mapping[str, Rule]


def compile_policies(texts: Mapping[str, str]) -> Checked:
    """``texts``: file name to Cedar text. Raises ConfigFault with every problem at once, by file and line."""
    checking = _Checking()
    for file, text in texts.items():
        for line, source in split_policies(text):
            checking.read(file, line, source)
    if not checking.numbered and not checking.problems:
        message = "no policy found, so nothing would be permitted; add a .cedar file"
        checking.problems.append(Problem("policies", 0, message))
    checking.validate()
    if checking.problems:
        raise ConfigFault(tuple(sorted(checking.problems, key=lambda problem: (problem.file, problem.line))))
    rules = {rule.id: rule for rule in checking.numbered.values()}
    return Checked(cedarpy.PolicySet.from_str(checking.text), rules, checking.numbered)


_PIECE = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;|\s+|[^\s;"/]+|.', re.DOTALL)


def split_policies(text: str) -> Iterator[tuple[int, str]]:
    """Cut a file at the semicolons that end policies; yield each policy's first line (from 1) and its text.

    Comments and quoted text hide semicolons, as in Cedar's own grammar. What follows the last semicolon is yielded
    too, if it is more than blanks and comments, for the parser to complain about.
    """
    line, start, parts = 1, 0, list[str]()
    for piece in _PIECE.findall(text):
        blank = piece.isspace() or piece.startswith("//")
        if not blank and not start:
            start = line
        if start and not piece.startswith("//"):
            parts.append(piece)
        line += piece.count("\n")
        if piece == ";":
            yield start, "".join(parts)
            start, parts = 0, []
    if start:
        yield start, "".join(parts)


class _Checking:
    """Gathers rules and every problem. ``numbered``: the engine names policies by their place in :attr:`text`."""

    def __init__(self) -> None:
        self.numbered: dict[str, Rule] = {}
        self.text = ""
        self.problems: list[Problem] = []
        self._sources: dict[str, str] = {}  # by the names of :attr:`numbered`

    def read(self, file: str, line: int, source: str) -> None:
        """Take one policy in: parse it, check its annotations and its words."""

        def problem(message: str) -> None:
            self.problems.append(Problem(file, line, message))

        if len(source) > LONGEST or _nesting(source) > DEEPEST:
            problem(f"longer than {LONGEST} characters or nested deeper than {DEEPEST} brackets; split the policy")
            return
        try:
            parsed = json.loads(cedarpy.policies_to_json_str(source))
        except ValueError as error:
            place = line + _unreadable(source, str(error))
            self.problems.append(Problem(file, place, f"not a Cedar policy: {error}"))
            return
        except RecursionError:
            problem("the condition is nested too deeply; split the policy")
            return
        if parsed["templates"]:
            problem("templates (?principal, ?resource) permit nothing here; write the group or target out")
            return
        (tree,) = parsed["staticPolicies"].values()
        annotations = {name: value or "" for name, value in tree.get("annotations", {}).items()}
        for name in annotations.keys() - set(ANNOTATIONS):
            problem(f"unknown annotation @{name}; known are {', '.join('@' + known for known in ANNOTATIONS)}")
        nodes = list(_nodes(tree["conditions"]))
        for message in _unknown_words(nodes):
            problem(message)
        if _whole_context(nodes):
            problem("compare attributes of context one by one, not context as a whole")
        rule = _rule(file, line, tree, annotations, problem, _reads(nodes, "blast"))
        depends = any(_attribute(node) == "approved" for node in nodes)
        if depends and not rule.approvers:
            problem(f'{rule.id!r} depends on context.approved but routes to nobody; add @approvers("group")')
        if rule.approvers and not depends:
            problem(f"{rule.id!r} has @approvers but does not ask for context.approved, so nobody would be asked")
        for other in self.numbered.values():
            if other.id == rule.id:
                problem(f"@id {rule.id!r} is already used at {other.file}:{other.line}; ids name rules in every record")
        self._sources[f"policy{len(self.numbered)}"] = source
        self.numbered[f"policy{len(self.numbered)}"] = rule
        self.text += source + "\n"

    def validate(self) -> None:
        """Cedar's strict validation of all that parsed, each finding brought back to its line."""
        result = cedarpy.validate_policies(self.text, cedarpy.Schema.from_str(SCHEMA))
        seen: set[Problem] = set()
        strangers = {error.policy_id for error in result.errors if "unrecognized" in error.error}
        for error in result.errors:
            rule = self.numbered.get(error.policy_id)
            if rule is None:
                self.problems.append(Problem("policies", 0, error.error))
                continue
            if error.policy_id in strangers and "unrecognized" not in error.error:
                continue  # of what there is not, nothing else can be told
            message = re.sub(r"^for policy `policy\d+`, ", "", error.error)
            message = re.sub(r' for Action::"[^"]*"', "", message)
            named = re.search(r'`(?:[A-Za-z]+::)?"?([^"`]+)"?`', message)
            place = rule.line + (_standing(self._sources[error.policy_id], named[1]) or 0 if named else 0)
            problem = Problem(rule.file, place, f"{rule.id}: {message}{_advice(message, named[1] if named else '')}")
            if problem not in seen:
                seen.add(problem)
                self.problems.append(problem)


_END = "unexpected end of input"


def _unreadable(source: str, message: str) -> int:
    """The line of a policy, counted from 0, that the parser complains about; it says itself only what, not where.

    The beginning of a policy is unfinished at most: the first line with which it is more than that is the one.
    """
    lines = source.splitlines(keepends=True)

    def wrong(count: int) -> bool:
        try:
            cedarpy.policies_to_json_str("".join(lines[:count]))
        except ValueError as error:
            return str(error) != _END
        return False

    found = bisect_left(range(1, len(lines)), True, key=wrong)  # once wrong, wrong with every line more
    if found < len(lines) - 1 or message == _END:
        return found
    named = re.search(r": (\S+)$", message) or re.match(r"`([^`]+)` is not", message)
    return (_standing(source, named[1]) or 0) if named else found if message.startswith("unexpected") else 0


def _standing(source: str, word: str) -> int | None:
    """The line, counted from 0, on which a word stands last; None when it is not there."""
    found = [place.start() for place in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", source)]
    return source.count("\n", 0, found[-1]) if found else None


_PLAIN_SCHEMA = re.sub(r"//[^\n]*", "", SCHEMA)
_ACTIONS = tuple(
    name.strip(' "')
    for declared in re.findall(r"^action (.+?)(?: in \[| appliesTo|;)", _PLAIN_SCHEMA, re.MULTILINE)
    for name in declared.split(",")
)
_NAMES = tuple(sorted(set(re.findall(r"\b[A-Za-z_]\w+", _PLAIN_SCHEMA))))


def _advice(message: str, name: str) -> str:
    """What to do about a finding of Cedar's validator, where that can be told."""
    if "optional attribute" in message:
        return f"; ask whether it is there first (... has {name} && ...)"
    if "unrecognized" not in message and "not found" not in message:
        return ""
    if "action" in message:
        close = difflib.get_close_matches(name, _ACTIONS, 1)
        return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(_ACTIONS)}"
    close = difflib.get_close_matches(name, _NAMES, 1)
    return f"; did you mean {close[0]!r}?" if close else "; blastwall/policy/schema.cedarschema says what there is"


def _nesting(source: str) -> int:
    depth = deepest = 0
    for piece in _PIECE.findall(source):
        if not piece.startswith('"'):
            for character in piece:
                depth += (character in "([{") - (character in ")]}")
                deepest = max(deepest, depth)
    return deepest


def _rule(
    file: str,
    line: int,
    tree: dict[str, Any],
    annotations: Mapping[str, str],
    problem: Callable[[str], None],
    reads_blast: bool,
) -> Rule:
    id = annotations.get("id", "")
    if not _ID.fullmatch(id):
        problem('every policy needs an @id of lower-case letters, digits and dashes, such as @id("read-orders")')
        id = f"line-{line}"
    approvers = tuple(name.strip() for name in annotations.get("approvers", "").split(",") if name.strip())
    quorum = annotations.get("quorum", "1")
    if not quorum.isdecimal() or not 1 <= int(quorum) <= HIGHEST_QUORUM:
        problem(f"@quorum must be a number from 1 to {HIGHEST_QUORUM}, not {quorum!r}")
        quorum = "1"
    if "quorum" in annotations and not approvers:
        problem("@quorum without @approvers: nobody would be asked")
    code = annotations.get("code", "")
    forbids = tree["effect"] == "forbid"
    if "code" in annotations and (code not in CODES or not forbids):
        problem(f"@code belongs to a forbid and is one of {', '.join(sorted(CODES))}, not {code!r}")
    return Rule(
        id=id,
        file=file,
        line=line,
        forbids=forbids,
        approvers=approvers,
        quorum=int(quorum),
        hint=annotations.get("hint", ""),
        code=code,
        targets=tuple(sorted(_named(tree, "Target"))),
        actions=tuple(sorted(_named(tree["action"], "Action"))),
        reads_blast=reads_blast,
        group=_group(tree["principal"]),
    )


def _group(scope: Mapping[str, Any]) -> str:
    """The group of ``principal in Group::"name"``, else the empty string."""
    entity = scope.get("entity")
    if scope.get("op") == "in" and isinstance(entity, dict) and entity.get("type") == "Group":
        return str(entity["id"])
    return ""


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a JSON tree, without recursion."""
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _attribute(node: object) -> str:
    """The name when the node reads an attribute of context, else the empty string."""
    access = node.get(".") if isinstance(node, dict) else None
    if isinstance(access, dict) and access.get("left") == _CONTEXT:
        return str(access["attr"])
    return ""


def _reads(nodes: list[dict[str, Any]], name: str) -> bool:
    """Whether an attribute of context is read, or asked for by `has`."""
    if any(_attribute(node) == name for node in nodes):
        return True
    return any(_left(node, "has") == _CONTEXT and node["has"].get("attr") == name for node in nodes)


def _whole_context(nodes: list[dict[str, Any]]) -> bool:
    reads = sum(1 for node in nodes for op in (".", "has") if _left(node, op) == _CONTEXT)
    return sum(1 for node in nodes if node == _CONTEXT) > reads


def _left(node: dict[str, Any], op: str) -> object:
    operands = node.get(op)
    return operands.get("left") if isinstance(operands, dict) else None


def _unknown_words(nodes: list[dict[str, Any]]) -> Iterator[str]:
    """Texts compared with an attribute that has a closed vocabulary, but outside it."""
    for node in nodes:
        for op in _COMPARISONS & node.keys():
            sides = node[op]["left"], node[op]["right"]
            for one, other in (sides, sides[::-1]):
                vocabulary = _VOCABULARIES.get(_attribute(one))
                if vocabulary is None:
                    continue
                for word in sorted(_texts(other) - vocabulary):
                    known = ", ".join(sorted(vocabulary))
                    yield f"context.{_attribute(one)} never holds {word!r}; it knows {known}"


def _texts(node: object) -> set[str]:
    return {found["Value"] for found in _nodes(node) if isinstance(found.get("Value"), str)}


def _named(tree: object, kind: str) -> set[str]:
    """Ids of the entities of a kind that a tree names."""
    return {node["id"] for node in _nodes(tree) if node.keys() == {"type", "id"} and node["type"] == kind}
