"""A statement's text, in its surroundings, to facts. Never raises: what is not understood is UNKNOWN, with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from blastwall.masking.plan import UNTOUCHED, Plan, Treatment
from blastwall.model import Effect, Facts, Parameter, Statement
from blastwall.protocols.postgres.amounts import numbers
from blastwall.sql.additions import custom
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.facts import unknown, worst
from blastwall.sql.judge import Judgement, judge
from blastwall.sql.masking import goes_around, is_mask, masked_text, treat, written_back
from blastwall.sql.parser import Tree, Unparsed, parse
from blastwall.sql.surroundings import Surroundings

__all__ = [
    "Classifier",
    "Finding",
    "Judgement",
    "StatementFinding",
    "Surroundings",
    "classify",
    "classify_tree",
    "declared",
    "offline",
    "passing",
    "undoes",
    "undoing",
    "written",
]

StatementFinding = Judgement  # one statement of a text
_NUMBERS_SINCE: Final = 16  # before, 0x1F and 1_000 were a number and an alias
_HINT: Final = "/*+"  # pg_hint_plan runs SET from such comments
_PASSING: Final = frozenset({"53000", "54001"})  # no worker free, killed while parsing: another time it may be well
_REACHING: Final = Treatment(touches=True)  # no column of it is masked, but what the database says of it may quote rows
_UNDOING: Final = frozenset({"rollback", "rollback to", "prepare transaction"})
_UNDONE: Final = (
    "Comes in one text or batch behind the end of a transaction that changed definitions, and nothing tells yet which "
    "columns are masked now; send it by itself."
)
_EMPTY: Final = Facts(Effect.SESSION, "empty", reason="", fingerprint="")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a text was found to do. ``facts`` are those of all its statements together; ``tree`` is None when it does
    not parse. Where the finding holds for other texts as well (``literal_independent``), ``tree`` is still that of the
    one it was made of: whoever needs the statement itself asks for :meth:`tree_of` its text.

    ``error`` is set for a text that does not parse: the server's own message, position and SQLSTATE for the client.
    ``masked`` is the text with the masks in it, None where nothing had to be put in.
    """

    facts: Facts
    tree: Tree | None = None
    statements: tuple[StatementFinding, ...] = ()
    error: Unparsed | None = None
    masked: str | None = None

    def tree_of(self, text: str) -> Tree | None:
        """The tree of ``text``, of which this is the finding; None when it does not parse. Raises Unparsed.

        Blocks while a large text that is not the finding's own is parsed by the worker.
        """
        tree = self.tree
        return tree if tree is None or tree.text == text else parse(text)

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """What masking makes of each of its statements."""
        return tuple(each.treatment for each in self.statements)

    @property
    def treatment(self) -> Treatment:
        """What masking makes of its only statement."""
        return self.statements[0].treatment if len(self.statements) == 1 else UNTOUCHED

    @property
    def literal_independent(self) -> bool:
        """Whether the same text with other literals has the same facts. Compare normalised texts, not fingerprints: a
        fingerprint does not see aliases. A masked text holds this text's own literals."""
        return (
            self.tree is not None and self.masked is None and all(each.literal_independent for each in self.statements)
        )

    @property
    def reads_only(self) -> bool:
        """Whether running it leaves everything as it was."""
        return all(each.facts.effect in (Effect.SESSION, Effect.READ) for each in self.statements) and bool(
            self.statements
        )

    @property
    def changes_catalogue(self) -> bool:
        """Whether the catalogue may be another one afterwards."""
        return any(each.changes_catalogue for each in self.statements)

    @property
    def session_names(self) -> bool:
        """Whether the facts depend on what the session prepared or declared."""
        return any(each.session_names for each in self.statements)


def offline(catalogue: Catalogue | None) -> Surroundings:
    """Surroundings for judging a text without a session: the catalogue's own version and default search path."""
    if catalogue is None:
        return Surroundings()
    return Surroundings(
        catalogue=catalogue, search_path=catalogue.search_path_default, server_version=catalogue.server_version
    )


def classify(
    text: str, surroundings: Surroundings, parameters: Sequence[Parameter | str | bytes | None] = ()
) -> Finding:
    """Judge a text of any number of statements. Blocks while a large text is parsed by the worker.

    ``parameters`` are bound values in order (Parameter, text, or None); they matter where a number says how much is
    asked for, and where a Parameter's type is one that PostgreSQL did not ship.
    """
    try:
        tree = parse(text)
    except Unparsed as error:
        return Finding(unknown(f"The gateway cannot read this statement. {error.reason}", "unparsed"), error=error)
    except Exception:  # noqa: BLE001  # whatever fails, the answer is no
        return Finding(_failed("could not be parsed"))
    return classify_tree(tree, surroundings, parameters)


def classify_tree(
    tree: Tree, surroundings: Surroundings, parameters: Sequence[Parameter | str | bytes | None] = ()
) -> Finding:
    """As :func:`classify`, for a text that has been parsed (with ``parse_async``, say)."""
    try:
        return _classify(tree, surroundings, parameters)
    except Exception:  # noqa: BLE001  # whatever fails, the answer is no
        return Finding(_failed("could not be judged"), tree)


def _failed(what: str) -> Facts:
    return unknown(f"This statement {what}; write it in a simpler way.", "internal_error")


def _classify(tree: Tree, surroundings: Surroundings, parameters: Sequence[Parameter | str | bytes | None]) -> Finding:
    if not tree.statements:
        return Finding(replace(_EMPTY, fingerprint=""), tree)
    bound, types = numbers(parameters), _types(parameters)
    temp: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    found: list[StatementFinding] = []
    masking = _Masking(tree)
    for place, raw in enumerate(tree.statements):
        one = judge(raw.stmt, surroundings, temp=temp, made=made, numbers=bound, types=types)
        if surroundings.plan:
            one = masking.treat(place, one, surroundings, temp, made)
        found.append(one)
        surroundings = _after(one, surroundings)
        if one.makes is not None:
            if one.makes[1]:
                temp |= {one.makes[0]}
            else:
                made |= {one.makes[0]}
    masked = masking.text()
    facts = worst([each.facts for each in found], tree.fingerprint)
    if masking.changed and masked is None and not facts.refusal:
        facts = replace(
            facts, refusal="This statement cannot be written with its masks in it; write it in a simpler way."
        )
    if surroundings.major < _NUMBERS_SINCE and tree.modern_numbers:
        reason = "Holds a number such as 0x1F or 1_000, which this server reads as a number and a name."
        facts = _made_unknown(facts, reason, "version_skew")
    if _HINT in tree.text:
        reason = "Holds a comment that begins with /*+, which an extension may take for settings; leave it out."
        facts = _made_unknown(facts, reason, "unlisted")
    return Finding(facts, tree, tuple(found), masked=masked)


class _Masking:
    """Masks the statements of one text, in a copy of its tree that is made for the first that needs it."""

    __slots__ = ("_copy", "_tree", "changed")

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._copy: Tree | None = None
        self.changed = False

    def treat(
        self,
        place: int,
        one: Judgement,
        surroundings: Surroundings,
        temp: frozenset[str],
        made: frozenset[str],
    ) -> Judgement:
        """The judgement with what masking adds to it."""
        around = goes_around(one.facts)
        if surroundings.undone and one.facts.effect is not Effect.SESSION:
            around = _UNDONE
        if around:
            return replace(one, facts=replace(one.facts, refusal=around))
        if one.reaches_masks:
            return replace(one, treatment=_REACHING, carried=_REACHING if one.kind == "prepare" else UNTOUCHED)
        if not one.concerns_masks:
            return one
        if self._copy is None:
            self._copy = parse(self._tree.text)
        outcome = treat(self._copy.statements[place].stmt, surroundings, temp=temp, made=made)
        self.changed = self.changed or outcome.changed
        facts = replace(
            one.facts,
            flags=one.facts.flags | outcome.flags,
            masked_columns=one.facts.masked_columns | outcome.columns,
            filters_masked=one.facts.filters_masked or outcome.filters,
            refusal=outcome.refusal,
        )
        return replace(
            one,
            facts=facts,
            literal_independent=one.literal_independent and not outcome.literals,
            treatment=outcome.treatment,
            carried=outcome.carried,
        )

    def text(self) -> str | None:
        """The text with the masks in it; None when there is none, or none that certainly says the same."""
        return masked_text(self._copy) if self.changed and self._copy is not None else None


def _made_unknown(facts: Facts, reason: str, flag: str) -> Facts:
    return replace(facts, effect=Effect.UNKNOWN, flags=facts.flags | {flag}, reason=reason)


def passing(finding: Finding) -> bool:
    """Whether another time the text may well be understood: no worker was free, or it was killed meanwhile."""
    error = finding.error
    return "internal_error" in finding.facts.flags or (error is not None and error.code in _PASSING)


def undoing(finding: Finding) -> bool:
    """Whether a catalogue that holds what its transaction made may be gone once the text has run."""
    return any(undoes(one) for one in finding.statements)


def undoes(one: StatementFinding) -> bool:
    return one.kind == "transaction" and one.facts.verb in _UNDOING


def _after(one: StatementFinding, surroundings: Surroundings) -> Surroundings:
    """The surroundings of the next statement of the same text."""
    if surroundings.uncommitted and undoes(one):
        return replace(surroundings, undone=True)
    if one.kind == "prepare":
        return replace(
            surroundings,
            prepared={**surroundings.prepared, one.name: one.facts},
            prepared_treatments={**surroundings.prepared_treatments, one.name: one.carried},
        )
    if one.kind == "declare":
        return replace(
            surroundings,
            cursors={**surroundings.cursors, one.name: one.facts},
            cursor_treatments={**surroundings.cursor_treatments, one.name: one.carried},
        )
    if one.kind == "deallocate":
        return replace(surroundings, prepared=_without(surroundings.prepared, one.name))
    if one.kind == "close":
        return replace(surroundings, cursors=_without(surroundings.cursors, one.name))
    if one.kind == "discard" and one.facts.verb == "discard all":
        return replace(surroundings, prepared={}, cursors={})
    return surroundings


def _without(known: Mapping[str, Facts], name: str) -> Mapping[str, Facts]:
    return {each: facts for each, facts in known.items() if name and each != name}


def _types(parameters: Sequence[Parameter | str | bytes | None]) -> frozenset[int]:
    """The types that the client declares for parameters, as oids; 0, which leaves it to the server, is not one."""
    return frozenset(each.type_id for each in parameters if isinstance(each, Parameter) and each.type_id)


def declared(text: str, surroundings: Surroundings, type_ids: Sequence[int]) -> str:
    """Why a text may not be prepared with parameters of these types (Parse's oids); "" when they change nothing.

    PostgreSQL's own types, which is all that most drivers name, cost nothing; otherwise the text is judged anew.
    """
    if not custom(type_ids):
        return ""
    facts = classify(text, surroundings, [Parameter(None, type_id=each) for each in type_ids]).facts
    return facts.reason if facts.effect is Effect.UNKNOWN else ""


def written(finding: Finding, facts: Facts, statement: Statement, plan: Plan) -> Facts:
    """Facts of a write to masked columns whose bound values are known now: none may be a mask that goes back."""
    for part in finding.statements:
        for number, mask in part.treatment.stores:
            given = statement.parameters[number - 1].value if number <= len(statement.parameters) else None
            if given is not None and is_mask(given.decode("utf-8", "replace"), mask, plan):
                return replace(facts, refusal=written_back(mask.column))
    return facts


class Classifier:
    """Remembers findings: first by text and the very surroundings (their number: nothing here keeps a catalogue that
    no session has any more), then, across sessions, by their fingerprint.

    Bounded by entries and by an estimate of bytes; what was not asked for lately is dropped first. Safe to use from
    several threads.
    """

    __slots__ = ("_lock", "_most_bytes", "_most_entries", "_old", "_old_bytes", "_young", "_young_bytes")

    def __init__(self, most_entries: int = 10_000, most_bytes: int = 64 * 1024 * 1024) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._young: dict[tuple[str, int | str], Finding] = {}
        self._old: dict[tuple[str, int | str], Finding] = {}
        self._young_bytes = self._old_bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    @property
    def bytes(self) -> int:
        """What the remembered findings are believed to take."""
        return self._young_bytes + self._old_bytes

    def classify(self, text: str, surroundings: Surroundings) -> Finding:
        """The finding, from memory (one look-up when it is known here) or judged now. Never raises."""
        found = self._young.get((text, surroundings.serial))
        return found if found is not None else self._look_further(text, surroundings)

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._young, self._old = {}, {}
            self._young_bytes = self._old_bytes = 0

    def _look_further(self, text: str, surroundings: Surroundings) -> Finding:
        here = (text, surroundings.serial)
        found = self._old.get(here)
        if found is None:
            shared = (text, surroundings.fingerprint)
            found = self._young.get(shared) or self._old.get(shared)
            if found is None:
                found = classify(text, surroundings)
                if passing(found):
                    return found
            if not found.session_names:
                self._remember(shared, found)
        self._remember(here, found)
        return found

    def _remember(self, key: tuple[str, int | str], found: Finding) -> None:
        size = _FINDING_BYTES + _BYTES_PER_CHARACTER * len(key[0])
        if size > self._most_bytes // 8:
            return
        with self._lock:
            if key in self._young:
                return
            if len(self._young) >= self._most_entries // 2 or self._young_bytes + size > self._most_bytes // 2:
                self._old, self._old_bytes = self._young, self._young_bytes
                self._young, self._young_bytes = {}, 0
            self._young[key] = found
            self._young_bytes += size


_FINDING_BYTES: Final = 1024
_BYTES_PER_CHARACTER: Final = 30  # a tree is 10 to 30 times its text
