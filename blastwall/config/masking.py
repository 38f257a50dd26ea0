"""masking.yaml: which columns of which target are masked, for whom, and where the key is kept. Left out: none are."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from blastwall.config.document import Document, read_document
from blastwall.config.loader import translated
from blastwall.config.model import Name, Section, Text
from blastwall.errors import ConfigFault, Problem
from blastwall.masking.patterns import Names, names, remark
from blastwall.masking.plan import Predicates, Strategy
from blastwall.masking.rules import LOOKUPS, Detectors, Rule, Rules, Vouched
from blastwall.masking.strategies import MARK, UNITS, Options
from blastwall.model import Secret
from blastwall.ports import MaskingKey

FILE = "masking.yaml"
SHOW = "show"  # the strategy that is none: an exception from a later rule
SHORTEST_KEY = 32  # characters
LARGEST_BUCKET = Decimal(10) ** 15


def _word(value: object) -> object:
    """YAML reads a bare ``null`` and ``off`` as values of its own; here they are words."""
    if value is None:
        return "null"
    return "off" if value is False else value


# A mark is written into SQL and JSON, and begins what is recognised when it is written back.
Mark = Annotated[str, StringConstraints(min_length=2, max_length=64, pattern=r"^[^\\\"'{}$\x00-\x1f\x7f]+$")]


class Key(Section):
    """Where the key of hash and fake is kept: at least 32 characters, the same on every gateway."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Key:
        if (self.env is None) == (self.file is None):
            raise ValueError("give env or file, and not both")
        return self


class ColumnRule(Section):
    """One rule. ``column`` is schema.table.column, ``comment`` what COMMENT ON COLUMN says; both with * and ?.

    ``keep`` and ``show`` belong to partial, ``to`` and ``bucket`` to truncate, ``nulls`` to redact.
    """

    column: Text | None = None
    comment: Text | None = None
    database: Text = "*"
    strategy: Annotated[
        Literal["redact", "partial", "hash", "null", "fake", "truncate", "show"], BeforeValidator(_word)
    ]
    predicates: Predicates = Predicates.DENY
    exempt: tuple[Text, ...] = ()
    mark: Mark | None = None
    keep: Literal["last", "mail_domain"] | None = None
    show: Annotated[int, Field(strict=True, ge=1, le=32)] | None = None
    to: Literal["year", "quarter", "month", "day"] | None = None
    bucket: int | float | str | None = None
    nulls: Literal["keep", "hide"] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> ColumnRule:
        if self.column is None and self.comment is None:
            raise ValueError("says of no column that it is masked; give column, comment or both")
        belongs = {"mark": ("redact", "partial"), "keep": ("partial",), "show": ("partial",), "to": ("truncate",)}
        belongs |= {"bucket": ("truncate",), "nulls": ("redact",)}
        for name, strategies in belongs.items():
            if getattr(self, name) is not None and self.strategy not in strategies:
                raise ValueError(f"{name} belongs to {' and '.join(strategies)}, not to {self.strategy}; remove it")
        if self.show is not None and self.keep == "mail_domain":
            raise ValueError("show belongs to keep: last; remove one of the two")
        if self.strategy == SHOW and (self.predicates is not Predicates.DENY or self.exempt):
            raise ValueError("what is shown needs neither predicates nor exempt; remove them")
        self.options()
        return self

    def options(self) -> Options:
        """What the strategy needs to know. Raises ValueError for a bucket that is no number to divide by."""
        return Options(
            mark=self.mark if self.mark is not None else MARK,
            keep=self.keep or "last",
            show=self.show if self.show is not None else 4,
            unit=self.to or UNITS[0],
            bucket=_bucket(self.bucket),
            hide_nulls=self.nulls == "hide",
        )


def _bucket(value: float | str | None) -> Decimal:
    if value is None:
        return Options().bucket
    try:
        bucket = Decimal(str(value))
    except InvalidOperation:
        bucket = Decimal(0)
    if not bucket.is_finite() or not Decimal("0.000001") <= bucket <= LARGEST_BUCKET:
        raise ValueError(f"bucket must be a number from 0.000001 to {LARGEST_BUCKET:f}, not {value!r}")
    return bucket


class TargetMasking(Section):
    """The rules of one target: for each column the first that fits decides.

    ``vouched`` are relations (schema.relation) that show nothing of masked columns, as their owner says. For groups in
    ``exempt`` nothing is masked at all. ``lookups``: how many statements of a session may compare columns whose
    predicates are ``equality``.
    """

    columns: tuple[ColumnRule, ...] = ()
    vouched: tuple[Text, ...] = ()
    exempt: tuple[Text, ...] = ()
    detectors: Annotated[Literal["mask", "flag", "off"], BeforeValidator(_word)] = "mask"
    lookups: Annotated[int, Field(strict=True, ge=0)] = LOOKUPS


class MaskingFile(Section):
    """masking.yaml."""

    version: Literal[1]
    key: Key | None = None
    targets: dict[Name, TargetMasking] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Masking:
    """The rules by target, where their key is kept (None: nowhere), and the file's values for the bundle's version."""

    rules: Mapping[str, Rules]
    key: Key | None = None
    value: Any = None
    document: Document | None = None


NONE = Masking(MappingProxyType({}))


def load_masking(text: str, file: Path, targets: Mapping[str, object] | None) -> Masking:
    """Read masking.yaml for these targets (None: nobody knows them). Raises ConfigFault with every problem, by line."""
    document = read_document(text, str(file))
    try:
        found = MaskingFile.model_validate(document.value)
    except ValidationError as error:
        raise ConfigFault(tuple(translated(document, error, lambda location: location, MaskingFile))) from None
    problems: list[Problem] = []
    for name in found.targets:
        if targets is not None and name not in targets:
            known = ", ".join(sorted(targets))
            problems.append(document.problem(("targets", name), f"there is no target {name!r}; known are {known}"))
    rules = {name: _rules(name, section, document, problems) for name, section in found.targets.items()}
    if problems:
        raise ConfigFault(tuple(problems))
    key = found.key
    if key is not None and key.file is not None:
        key = key.model_copy(update={"file": file.parent.absolute() / key.file})
    return Masking(MappingProxyType(rules), key, document.value, document)


def with_key(masking: Masking, environ: Mapping[str, str], own: MaskingKey | None = None) -> Masking:
    """The rules able to hash and fake, where any does. ``own`` is the deployment's key, where the file names none.

    Raises ConfigFault when a key is needed and cannot be had.
    """
    if not any(rules.at_sink for rules in masking.rules.values()):
        return masking
    key = _key(masking, environ, own).encode()
    keyed = {name: rules.with_key(_key_of(key, name)) for name, rules in masking.rules.items()}
    return replace(masking, rules=MappingProxyType(keyed))


def _key_of(key: bytes, target: str) -> Secret:
    """Each target's own, so that what two of them show of one value cannot be joined."""
    return Secret(hmac.digest(key, f"masking {target}".encode(), "sha256").hex())


def _key(masking: Masking, environ: Mapping[str, str], own: MaskingKey | None) -> str:
    place = masking.key
    try:
        if place is None:
            if own is None:
                raise ValueError("hash and fake need a key; name one (key: {env: NAME} or {file: PATH})")
            return own.read().reveal()
        if place.env is not None:
            found = environ.get(place.env, "")
            where = f"the environment variable {place.env}"
        else:
            assert place.file is not None
            found = place.file.read_text("utf-8").strip()
            where = str(place.file)
        if len(found) < SHORTEST_KEY:
            raise ValueError(f"{where} holds no key of at least {SHORTEST_KEY} characters; put a random one there")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        document = masking.document or Document(FILE)
        raise ConfigFault((document.problem(("key",), f"the key cannot be had: {error}"),)) from None
    return found


def _rules(name: str, section: TargetMasking, document: Document, problems: list[Problem]) -> Rules:
    at = ("targets", name)
    rules: list[Rule] = []
    for number, rule in enumerate(section.columns):
        place = document.problem((*at, "columns", number), "")
        try:
            pattern = None if rule.column is None else names(rule.column, 3)
        except ValueError as error:
            problems.append(document.problem((*at, "columns", number, "column"), str(error)))
            continue
        rules.append(
            Rule(
                strategy=None if rule.strategy == SHOW else Strategy(rule.strategy),
                names=pattern,
                remark=None if rule.comment is None else remark(rule.comment),
                database=rule.database,
                predicates=rule.predicates,
                exempt=frozenset(rule.exempt),
                options=rule.options(),
                file=place.file,
                line=place.line,
            )
        )
    vouched = tuple(_vouched(section.vouched, (*at, "vouched"), document, problems))
    return Rules(
        tuple(rules), vouched, Detectors(section.detectors), frozenset(section.exempt), lookups=section.lookups
    )


def _vouched(
    written: tuple[str, ...], at: tuple[str | int, ...], document: Document, problems: list[Problem]
) -> Iterator[Vouched]:
    for number, text in enumerate(written):
        place = document.problem((*at, number), "")
        try:
            pattern: Names = names(text, 2)
        except ValueError as error:
            problems.append(document.problem((*at, number), str(error)))
            continue
        yield Vouched(pattern, place.file, place.line)
