"""From a database's columns and a sample of their values to proposed rules, as YAML for people to review. Pure.

No value is repeated anywhere in what comes out.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Strategy
from blastwall.masking.strategies import Options, Unfit, shape_of, source_of
from blastwall.sql.catalogue import Catalogue, Column, Relation

Values = Mapping[int, Sequence[str | None]]  # by column number

FEWEST = 2  # values that must hold something before content alone speaks
WHOLE = 0.5  # of the values that hold something: so many must be nothing else, or the column is free text
LONGEST_REMARK = 60  # characters of a comment that are quoted
SCANNED = frozenset({"text", "texts", "json", "integer", "bytea", "other"})

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule for one column. ``because`` says on what grounds; ``sure`` False: only worth a thought."""

    column: str
    title: str
    rule: Mapping[str, object]
    because: str
    sure: bool = True


def propose(relation: Relation, values: Values, catalogue: Catalogue) -> Iterator[Proposal]:
    """What should be masked in one relation; ``values`` are samples of its columns as text."""
    for column in relation.columns:
        found = _propose(relation, column, values.get(column.number, ()), catalogue)
        if found is not None:
            yield found


def pattern_of(schema: str, table: str, column: str) -> str:
    """A column's name as a rule names it."""
    return ".".join(
        part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in (schema, table, column)
    )


def document(target: str, proposals: Sequence[Proposal], remarks: Sequence[str]) -> str:
    """A masking.yaml with the proposals for one target; ``remarks`` stand on top."""
    lines = [f"# {_one_line(remark)}" for remark in remarks]
    lines += ["version: 1", "targets:", f"  {target}:"]
    sure = [proposal for proposal in proposals if proposal.sure]
    lines.append("    columns:" if sure else "    columns: []")
    for proposal in sure:
        lines.append(f"      # {proposal.title}: {_one_line(proposal.because)}")
        lines.append(f"      - column: {_scalar(proposal.column)}")
        lines += [f"        {name}: {_scalar(value)}" for name, value in proposal.rule.items()]
    doubtful = [proposal for proposal in proposals if not proposal.sure]
    if doubtful:
        lines += ["", "# Worth a thought:"]
        lines += [f"#   {_one_line(each.column)}: {each.title}? {_one_line(each.because)}" for each in doubtful]
    return "\n".join(lines) + "\n"


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(files("blastwall.masking").joinpath("survey.toml").read_text("utf-8"))


@cache
def _names() -> Mapping[str, re.Pattern[str]]:
    return {name: re.compile("|".join(kind["names"])) for name, kind in _table()["kinds"].items() if kind["names"]}


def _propose(relation: Relation, column: Column, values: Sequence[str | None], catalogue: Catalogue) -> Proposal | None:
    kinds: Mapping[str, Any] = _table()["kinds"]
    shape = shape_of(column, catalogue)
    named = _kind_by_name(column.name, shape.family)
    told = _told(column)
    looked = [value for value in values if value]
    held, whole = _held(looked) if shape.family in SCANNED else (Counter(), Counter())
    content = _kind_by_content(held, len(looked))
    grounds = []
    kind = content or named
    if content is not None:
        grounds.append(f"{held[content]} of {len(looked)} sampled values")
    if named is not None and (content is None or named == content):
        grounds.append("its name" if content is None else "and its name")
    if told:
        grounds.append(f"its comment says {told!r}")
    where = pattern_of(relation.schema, relation.name, column.name)
    if kind is None and not told:
        return _doubtful(where, held, len(looked))
    chosen = kinds[kind] if kind is not None else _table()["remarks"]
    rule = dict(chosen["rule"])
    if content is not None and whole[content] < WHOLE * held[content]:
        rule = {"strategy": "redact"}
        grounds.append("within longer texts")
    return Proposal(where, chosen["title"], _fitting(rule, column, catalogue), ", ".join(grounds))


def _doubtful(where: str, held: Mapping[str, int], looked: int) -> Proposal | None:
    if not held:
        return None
    name = max(held, key=lambda each: held[each])
    kind = _table()["kinds"][name]
    if name in ("random", "phone") and held[name] < looked / 10:
        return None  # these two take other things for theirs now and then
    because = f"{held[name]} of {looked} sampled values"
    return Proposal(where, kind["title"], kind["rule"], because, sure=False)


def _kind_by_name(name: str, family: str) -> str | None:
    words = _CAMEL.sub("_", name).lower().replace("-", "_").replace(" ", "_")
    kinds = _table()["kinds"]
    return next(
        (kind for kind, pattern in _names().items() if family in kinds[kind]["families"] and pattern.search(words)),
        None,
    )


def _kind_by_content(held: Mapping[str, int], looked: int) -> str | None:
    """The kind that most values hold, if enough do."""
    kinds = _table()["kinds"]
    enough = [name for name, count in held.items() if count >= FEWEST and count >= kinds[name]["share"] * looked]
    return max(enough, key=lambda name: held[name], default=None)


def _held(values: Sequence[str]) -> tuple[Counter[str], Counter[str]]:
    """How many values hold something of each kind, and how many are nothing else."""
    by_detector = {kind["detector"]: name for name, kind in _table()["kinds"].items() if "detector" in kind}
    engine = detectors("mask", dict.fromkeys(by_detector, "mask"))
    held: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for value in values if engine is not None else ():
        assert engine is not None
        text = value.encode("utf-8", "replace")
        hits = [hit for hit in engine.scan(text) if hit.kind in by_detector]
        held.update({by_detector[hit.kind] for hit in hits})
        whole.update({by_detector[hit.kind] for hit in hits if hit.end - hit.start >= len(text.strip()) - 2})
    return held, whole


def _told(column: Column) -> str:
    """What people said of the column that sounds like personal data, shortened."""
    for remark in (column.comment, *column.labels):
        if any(re.search(word, remark, re.IGNORECASE) for word in _table()["remarks"]["words"]):
            line = _one_line(remark)
            return line if len(line) <= LONGEST_REMARK else line[: LONGEST_REMARK - 1] + "…"
    return ""


def _fitting(rule: dict[str, object], column: Column, catalogue: Catalogue) -> Mapping[str, object]:
    """The rule, or redact where its strategy does not fit the type."""
    options = Options(keep=str(rule.get("keep", "last")), unit=str(rule.get("to", "year")))
    try:
        source_of(Strategy(str(rule["strategy"])), options, column, catalogue)
    except Unfit:
        return {"strategy": "redact"}
    return rule


def _one_line(text: str) -> str:
    """Printable, on one line: comments are anybody's text, and this is written into a file."""
    return "".join(character if character.isprintable() else " " for character in text)


def _scalar(value: object) -> str:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", value):
        return json.dumps(value, ensure_ascii=False)
    return '"null"' if value == "null" else str(value)
