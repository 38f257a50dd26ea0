"""The shape of cases.yaml, a policy set's regression suite: who asks what of which target, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
)

from blastwall.blast import Blast, Lock, Rows
from blastwall.config.bundle import Bundle
from blastwall.config.document import Document, read_document
from blastwall.config.loader import translated
from blastwall.config.model import Text
from blastwall.errors import ConfigFault, Problem
from blastwall.model import Effect, StatementKind
from blastwall.policy.vocabulary import FLAGS

CASES = "policies/cases.yaml"
NOBODY = "https://cases.invalid"  # the issuer of people who name none


def _known(flags: frozenset[str]) -> frozenset[str]:
    if unknown := flags - FLAGS:
        raise ValueError(f"{', '.join(sorted(unknown))}: not in the vocabulary of flags")
    return flags


Flags = Annotated[frozenset[str], AfterValidator(_known)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Person(_Section):
    """Somebody who asks. ``subject`` left out: the same as ``agent``."""

    agent: Text
    groups: tuple[Text, ...] = ()
    on_behalf_of: Text | None = None
    issuer: Text = NOBODY
    subject: Text | None = None


class GivenFacts(_Section):
    """Facts as a protocol would find them. ``objects`` are written "read table public.orders"."""

    effect: Effect
    verb: Text
    objects: tuple[Annotated[str, Field(pattern=r"^\S+ (\S+ )+\S+$")], ...] = ()
    flags: Flags = frozenset()
    bounded: StrictBool = True
    statements: StrictInt = 1
    reason: str = ""
    masked_columns: frozenset[Text] = frozenset()
    filters_masked: StrictBool = False
    refusal: str = ""


class GivenBlast(_Section):
    """What running a statement would do, as a protocol would find it out. ``known: false``: it could not."""

    known: StrictBool = True
    rows: Annotated[StrictInt, Field(ge=0)] = 0
    rows_exact: StrictBool = True
    cascaded_rows: Annotated[StrictInt, Field(ge=0)] = 0
    tables: tuple[Text, ...] = ()
    triggers: tuple[Text, ...] = ()
    locks: tuple[Annotated[str, Field(pattern=r"^(\S+ )+\S+$")], ...] = ()
    dependents: tuple[Text, ...] = ()
    blocked: StrictBool = False
    irreversible: StrictBool = False

    def blast(self) -> Blast:
        """The same as the house's value. Locks are written "access exclusive public.orders"."""
        places = (written.rpartition(" ") for written in self.locks)
        return Blast(
            known=self.known,
            rows=self.rows,
            rows_exact=self.rows_exact,
            cascaded_rows=self.cascaded_rows,
            tables=tuple(Rows(table, 0, "given") for table in self.tables),
            triggers=self.triggers,
            locks=tuple(Lock(table, mode) for mode, _, table in places),
            dependents=self.dependents,
            blocked=("given",) if self.blocked else (),
            irreversible=self.irreversible,
        )


class Approve(_Section):
    """``as`` decides a request of ``requester`` that was routed to ``approvers``.

    ``grant_seconds`` above 0: not once, but for all statements of its shape for so long. ``unbounded``: it changes
    rows, and nobody says how many at most. ``flags`` are those of what is asked for.
    """

    requester: Text
    approvers: tuple[Text, ...]
    grant_seconds: Annotated[StrictFloat, Field(ge=0, le=3600)] = 0.0
    unbounded: StrictBool = False
    flags: Flags = frozenset()


class Case(_Section):
    """One expectation. Exactly one of statement, facts, connect, approve and recording_of says what is asked.

    ``by`` names all rules that decide it, in any order ([]: no rule speaks for it); left out, any will do. ``labels``
    are laid over the target's own. ``blast`` is what running it would do; left out, rules that read it find it unknown.
    """

    name: Text
    by_whom: Text = Field(alias="as")
    target: Text
    statement: str | None = None
    facts: GivenFacts | None = None
    blast: GivenBlast | None = None
    connect: Literal[True] | None = None
    approve: Approve | None = None
    recording_of: Text | None = None
    kind: StatementKind = StatementKind.EXECUTE
    hour: Annotated[StrictInt, Field(ge=0, le=23)] = 12
    exhausted: frozenset[Literal["rows", "bytes", "statements"]] = frozenset()
    break_glass: StrictBool = False
    labels: dict[Text, Text] = Field(default_factory=dict)
    expect: Literal["permit", "pending", "denial"]
    by: tuple[Text, ...] | None = None
    code: Text | None = None
    approvers: tuple[Text, ...] | None = None
    quorum: StrictInt | None = None

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class _File(_Section):
    """cases.yaml."""

    version: Literal[1]
    people: dict[Text, Person]
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that fits its bundle, and the document that knows its lines."""

    people: Mapping[str, Person]
    cases: tuple[Case, ...]
    document: Document


def load_cases(directory: Path, bundle: Bundle | None) -> Suite:
    """Read ``policies/cases.yaml``. Raises ConfigFault with every problem, names unknown to the bundle included.

    Without a bundle, because it could not be loaded, only what can be known without one is found.
    """
    file = directory / CASES
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigFault((Problem(str(file), line, "not UTF-8; save it as UTF-8"),)) from None
    except OSError as error:
        message = f"cannot be read ({error}); write one, or name the directory that holds it"
        raise ConfigFault((Problem(str(file), 0, message),)) from None
    document = read_document(text, str(file))
    try:
        found = _File.model_validate(document.value)
    except ValidationError as error:
        raise ConfigFault(tuple(translated(document, error, lambda location: location, _File))) from None
    problems = tuple(_references(found, document, bundle))
    if problems:
        raise ConfigFault(problems)
    return Suite(found.people, found.cases, document)


def _references(suite: _File, document: Document, bundle: Bundle | None) -> Iterator[Problem]:
    names: set[str] = set()
    for number, case in enumerate(suite.cases):
        at = ("cases", number)
        asked = [case.statement, case.facts, case.connect, case.approve, case.recording_of]
        if sum(question is not None for question in asked) != 1:
            message = f"{case.name!r} needs exactly one of statement, facts, connect, approve and recording_of"
            yield document.problem(at, message)
        if case.name in names:
            yield document.problem((*at, "name"), f"two cases are called {case.name!r}")
        names.add(case.name)
        people = [("as", case.by_whom), ("recording_of", case.recording_of)]
        people.append(("approve", case.approve.requester if case.approve else None))
        for key, person in people:
            if person is not None and person not in suite.people:
                known = ", ".join(sorted(suite.people))
                yield document.problem((*at, key), f"there is no person {person!r}; people has {known}")
        if bundle is None:
            continue
        if case.target not in bundle.targets:
            known = ", ".join(sorted(bundle.targets))
            yield document.problem((*at, "target"), f"there is no target {case.target!r}; known are {known}")
        for rule in case.by or ():
            if rule not in bundle.policies.rules:
                yield document.problem((*at, "by"), f"there is no rule {rule!r}")
