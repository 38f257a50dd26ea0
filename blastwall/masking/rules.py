"""The rules of one target: which columns are masked, how, for whom. Pure values; masking.yaml makes them.

For each column the first rule that fits it decides, whatever it says: so exceptions stand before what they except.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final
from weakref import WeakKeyDictionary

from blastwall.errors import OurFault, Problem
from blastwall.masking.kinship import Masks, hand_down, opaque, spread, telling
from blastwall.masking.patterns import Names, Remark
from blastwall.masking.plan import AT_SINK, Mask, Plan, Predicates, Strategy
from blastwall.masking.pseudonyms import HASH_MARK, pseudonym
from blastwall.masking.strategies import MARK, Options, Unfit, shape_of, source_of, stand_in
from blastwall.model import Secret
from blastwall.sql.catalogue import FIRST_USER_OID, Catalogue, Column, Relation

KINDS: Final = frozenset("rpvmf")  # relations whose columns rules speak of
DERIVED: Final = frozenset("vm")
FILE: Final = "masking.yaml"
LOOKUPS: Final = 100


class Detectors(StrEnum):
    """What becomes of values that look like personal data or secrets, in columns that no rule names."""

    MASK = "mask"
    FLAG = "flag"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Rule:
    """``strategy`` None: columns that it fits are shown. ``names`` and ``remark``: what is given must fit.

    ``database`` is a pattern of database names. ``exempt`` are groups to whom the column is shown. ``file`` and
    ``line`` tell where the rule stands.
    """

    strategy: Strategy | None
    names: Names | None = None
    remark: Remark | None = None
    database: str = "*"
    predicates: Predicates = Predicates.DENY
    exempt: frozenset[str] = frozenset()
    options: Options = field(default_factory=Options)
    file: str = FILE
    line: int = 0

    def fits(self, relation: Relation, column: Column) -> bool:
        """Whether it speaks of that column; the database is not looked at."""
        if self.names is not None and not self.names.matches(relation.schema, relation.name, column.name):
            return False
        return self.remark is None or self.remark.matches(column.comment, column.labels)

    @property
    def origin(self) -> str:
        """Where it stands, for people: "masking.yaml:12"."""
        return f"{self.file.rpartition('/')[2]}:{self.line}"

    def problem(self, message: str) -> Problem:
        """A finding about it."""
        return Problem(self.file, self.line, message)


@dataclass(frozen=True, slots=True)
class Vouched:
    """Relations whose owner says that they show nothing of masked columns."""

    names: Names
    file: str = FILE
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """``exempt`` are groups for whom nothing is masked or detected. ``key`` is what hash and fake need; None where
    nothing is shown to anybody (a check). ``lookups`` is how many statements of one session may compare columns whose
    predicates are ``equality``.

    Compared by identity, like the plans it makes.
    """

    rules: tuple[Rule, ...] = ()
    vouched: tuple[Vouched, ...] = ()
    detectors: Detectors = Detectors.MASK
    exempt: frozenset[str] = frozenset()
    key: Secret | None = None
    lookups: int = LOOKUPS
    version: str = ""
    _narrowed: dict[frozenset[str], Rules] = field(default_factory=dict, repr=False)
    # A catalogue that no session has any more takes its plan along.
    _plans: WeakKeyDictionary[Catalogue, Plan] = field(default_factory=WeakKeyDictionary, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", self._version())

    @property
    def at_sink(self) -> bool:
        """Whether any rule needs the key."""
        return any(rule.strategy in AT_SINK for rule in self.rules)

    def with_key(self, key: Secret) -> Rules:
        """The same rules, able to hash and fake. Another key is another version."""
        return replace(self, key=key, _narrowed={}, _plans=WeakKeyDictionary())

    def for_groups(self, groups: frozenset[str]) -> Rules:
        """The rules as they are for somebody in these groups; the same object for the same exemptions."""
        mentioned = self.exempt.union(*(rule.exempt for rule in self.rules))
        relevant = groups & mentioned
        if not relevant:
            return self
        found = self._narrowed.get(relevant)
        if found is None:
            if relevant & self.exempt:
                found = replace(self, rules=(), detectors=Detectors.OFF, _narrowed={}, _plans=WeakKeyDictionary())
            else:
                rules = tuple(replace(r, strategy=None) if r.exempt & relevant else r for r in self.rules)
                found = replace(self, rules=rules, _narrowed={}, _plans=WeakKeyDictionary())
            self._narrowed[relevant] = found
        return found

    def counts(self, columns: frozenset[str]) -> bool:
        """Whether comparing these masked columns ("schema.table.column") is a lookup: not where all may be compared
        freely.
        """
        return any(rule.predicates is Predicates.EQUALITY for rule in self.rules) and not all(
            self._free(column) for column in columns
        )

    def _free(self, column: str) -> bool:
        parts = tuple(column.split("."))
        first = next((rule for rule in self.rules if rule.names is None or rule.names.matches(*parts)), None)
        return first is not None and first.remark is None and first.predicates is Predicates.ALLOW

    def pseudonym(self, mask: Mask, text: str) -> str:
        """What is shown for a value of a mask at the sink (``mask.at_sink``), as text that the column's type takes.

        Raises OurFault without a key, ValueError for a text that is no value of the mask's type.
        """
        if self.key is None:
            raise OurFault("there is no key for masking: name one in masking.yaml (key)")
        return pseudonym(mask, text, self.key.reveal().encode())

    def plan(self, catalogue: Catalogue) -> Plan:
        """What the rules come to in that database, without views that only read masked relations.

        A strategy that does not fit a column's type gives way to redact: nothing is shown raw for a rule's mistake.
        """
        plan = self._plans.get(catalogue)
        if plan is None:
            plan = self._plans[catalogue] = self._make(catalogue)
        return plan

    def problems(self, catalogue: Catalogue) -> tuple[Problem, ...]:
        """What in the rules does not fit that database, by file and line: names that mean nothing, strategies that do
        not fit a type, rules that never decide.
        """
        return tuple(self._problems(catalogue))

    def _make(self, catalogue: Catalogue) -> Plan:
        masks: Masks = {}
        shown: set[tuple[int, int]] = set()
        vouched = frozenset(each.oid for each in _relations(catalogue) if self._vouched(each))
        described = set(vouched)
        for relation, column, rule in self.decided(catalogue):
            described.add(relation.oid)
            mask = _mask(rule, relation, column, catalogue)
            if mask is None:
                # A pattern is not about what a view or an expression computes under a name that happens to fit.
                derived = relation.kind in DERIVED or column.computed_from
                if not derived or (rule.names is not None and rule.names.exact):
                    shown.add((relation.oid, column.number))
            else:
                masks.setdefault(relation.oid, {})[column.number] = mask
        spread(masks, shown, catalogue)
        tables, parts = telling(masks, vouched, catalogue)
        hiding = any(rule.strategy is not None for rule in self.rules)
        return Plan(
            relations=masks,
            opaque=opaque(masks, described, vouched, catalogue) | parts if hiding else {},
            telling=tables,
            widest=max(len(each.columns) for each in _relations(catalogue)) if masks else 0,
            version=hashlib.sha256(f"{self.version} {catalogue.version}".encode()).hexdigest()[:32],
            vouched=vouched,
            shown=hand_down(shown, masks, catalogue),
            marks=frozenset({MARK, HASH_MARK, *(rule.options.mark for rule in self.rules if rule.strategy)}),
        )

    def decided(self, catalogue: Catalogue) -> Iterator[tuple[Relation, Column, Rule]]:
        """Each column that a rule fits, with the first that does."""
        exact: dict[tuple[str, ...], list[tuple[int, Rule]]] = {}
        wide: list[tuple[int, Rule]] = []
        for place in enumerate(self.rules):
            names = place[1].names
            if fnmatchcase(catalogue.database, place[1].database):
                (exact.setdefault(names.parts[:2], []) if names is not None and names.exact else wide).append(place)
        for relation in _relations(catalogue):
            own = (relation.schema, relation.name)
            near = [
                *exact.get(own, ()),
                *(each for each in wide if each[1].names is None or each[1].names.matches(*own)),
            ]
            near.sort(key=lambda each: each[0])
            for column in relation.columns if near else ():
                rule = next((rule for _, rule in near if rule.fits(relation, column)), None)
                if rule is not None:
                    yield relation, column, rule

    def _vouched(self, relation: Relation) -> bool:
        return any(each.names.matches(relation.schema, relation.name) for each in self.vouched)

    def _problems(self, catalogue: Catalogue) -> Iterator[Problem]:
        decides: dict[int, int] = {}
        for relation, column, rule in self.decided(catalogue):
            decides[id(rule)] = decides.get(id(rule), 0) + 1
            try:
                if rule.strategy is not None:
                    source_of(rule.strategy, rule.options, column, catalogue)
            except Unfit as misfit:
                where = f"{relation.schema}.{relation.name}.{column.name}"
                yield rule.problem(f"{where}: {misfit}")
        for rule in self.rules:
            if rule.names is None or id(rule) in decides or not fnmatchcase(catalogue.database, rule.database):
                continue
            yield rule.problem(self._idle(rule, rule.names, catalogue))
        for vouched in self.vouched:
            if not any(vouched.names.matches(each.schema, each.name) for each in _relations(catalogue)):
                message = f"{catalogue.database} has no relation {vouched.names.written}"
                yield Problem(vouched.file, vouched.line, message)

    def _idle(self, rule: Rule, names: Names, catalogue: Catalogue) -> str:
        """Why a rule decides nothing."""
        for relation in _relations(catalogue):
            for column in relation.columns:
                if names.matches(relation.schema, relation.name, column.name):
                    if not rule.fits(relation, column):
                        return f"{names.written} exists, but no column of that name has the comment {_said(rule)}"
                    first = next(other for other in self.rules if other.fits(relation, column))
                    return f"{names.written} is decided by an earlier rule (line {first.line}); move this one up"
        known = [
            f"{each.schema}.{each.name}.{column.name}" for each in _relations(catalogue) for column in each.columns
        ]
        close = difflib.get_close_matches(names.written, known, n=1)
        advice = f"; did you mean {close[0]}?" if close else ""
        return f"{catalogue.database} has no column {names.written}{advice}"

    def _version(self) -> str:
        """Of everything that decides what is shown; of the key only whether it is the same one."""
        key = "" if self.key is None else hmac.digest(self.key.reveal().encode(), b"version", "sha256").hex()[:16]
        rules = [
            [
                rule.strategy,
                rule.names.written if rule.names else None,
                rule.remark.written if rule.remark else None,
                rule.database,
                rule.predicates,
                sorted(rule.exempt),
                {name: str(value) for name, value in asdict(rule.options).items()},
            ]
            for rule in self.rules
        ]
        whole = [rules, [each.names.written for each in self.vouched], self.detectors, sorted(self.exempt), key]
        whole.append(self.lookups)
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _mask(rule: Rule, relation: Relation, column: Column, catalogue: Catalogue) -> Mask | None:
    if rule.strategy is None:
        return None
    strategy, origin = rule.strategy, rule.origin
    absence = strategy is Strategy.NULL or rule.options.hide_nulls
    try:
        source = source_of(strategy, rule.options, column, catalogue)
    except Unfit:
        origin += f" ({strategy} does not fit)"
        strategy, source = Strategy.REDACT, stand_in(column, catalogue, absence=absence)
    shape = shape_of(column, catalogue)
    name = f"{relation.schema}.{relation.name}.{column.name}"
    return Mask(name, strategy, rule.predicates, source, origin, shape.oid, shape.length, absence)


def _relations(catalogue: Catalogue) -> Iterator[Relation]:
    return (each for each in catalogue.relations if each.oid >= FIRST_USER_OID and each.kind in KINDS)


def _said(rule: Rule) -> str:
    return repr(rule.remark.written) if rule.remark is not None else ""


Masking = Mapping[str, Rules]  # by target
