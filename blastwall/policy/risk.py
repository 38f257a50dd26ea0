"""Risk: a score from 0 to 100 with its reasons, from a table of weights that operators own (``risk.toml``). Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import translate
from importlib.resources import files
from typing import Any

from blastwall.errors import ConfigFault, Problem
from blastwall.model import Effect, Facts, Risk
from blastwall.policy.vocabulary import FLAGS

HIGHEST = 100
UNLABELLED = "unknown"  # the environment of a target without that label
HOURS = 24

_HOURS_KEYS = {"from": range(HOURS), "to": range(HOURS + 1), "weight": range(-HIGHEST, HIGHEST + 1)}
_SECTIONS = ("effects", "verbs", "unbounded", "objects", "environments", "hours", "flags")


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of the day, ``first`` inclusive to ``last`` exclusive, passing midnight when ``first`` is the greater."""

    first: int
    last: int
    weight: int

    def cover(self, hour: int) -> bool:
        """Whether ``hour`` (0 to 23) lies inside."""
        if self.first <= self.last:
            return self.first <= hour < self.last
        return hour >= self.first or hour < self.last


@dataclass(frozen=True, slots=True)
class RiskTable:
    """The weights, as ``risk.toml`` gives them. ``objects`` are (glob, compiled glob, weight), heaviest first."""

    effects: Mapping[str, int]
    verbs: Mapping[str, int]
    unbounded: int
    objects: tuple[tuple[str, re.Pattern[str], int], ...]
    environments: Mapping[str, int]
    hours: tuple[Hours, ...]
    flags: Mapping[str, int]
    text: str  # what it was read from: part of the policy version

    @classmethod
    def load(cls, text: str, file: str) -> RiskTable:
        """Read a table. Weights are integers from -100 to 100. Raises ConfigFault with every problem in ``text``."""
        reading = _Reading(text, file)
        table = cls(
            effects=reading.weights("effects", frozenset(Effect)),
            verbs=reading.weights("verbs"),
            unbounded=reading.weights("unbounded", {"weight"}).get("weight", 0),
            objects=_globs(reading.weights("objects")),
            environments=reading.weights("environments"),
            hours=reading.hours(),
            flags=reading.weights("flags", FLAGS),
            text=text,
        )
        if reading.problems:
            raise ConfigFault(tuple(reading.problems))
        return table

    @classmethod
    def shipped(cls) -> RiskTable:
        """The table that comes with Blastwall, used when the configuration has none of its own."""
        return cls.load(files("blastwall.policy").joinpath("risk.toml").read_text("utf-8"), "risk.toml")

    def score(self, facts: Facts, *, environment: str, hour: int) -> Risk:
        """Add up every weight that applies, clamped to 0..100; reasons are in the table's order, without zeros."""
        reasons: list[tuple[str, int]] = []

        def count(reason: str, weight: int) -> None:
            if weight:
                reasons.append((reason, weight))

        count(f"effect {facts.effect.value}", self.effects.get(facts.effect.value, HIGHEST))
        count(f"verb {facts.verb}", self.verbs.get(facts.verb, 0))
        if not facts.bounded:
            count("unbounded", self.unbounded)
        count(*self._heaviest_object(facts))
        count(f"environment {environment}", self.environments.get(environment, self.environments.get(UNLABELLED, 0)))
        for hours in self.hours:
            if hours.cover(hour):
                count(f"hour {hour}", hours.weight)
        for flag in sorted(facts.flags):
            count(f"flag {flag}", self.flags.get(flag, 0))
        return Risk(max(0, min(HIGHEST, sum(weight for _, weight in reasons))), tuple(reasons))

    def _heaviest_object(self, facts: Facts) -> tuple[str, int]:
        names = {ref.name for ref in facts.objects}
        for _, pattern, weight in self.objects:
            for name in sorted(names):
                if pattern.match(name):
                    return f"object {name}", weight
        return "", 0


def _globs(weights: Mapping[str, int]) -> tuple[tuple[str, re.Pattern[str], int], ...]:
    heaviest_first = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return tuple((glob, re.compile(translate(glob), re.IGNORECASE), weight) for glob, weight in heaviest_first)


class _Reading:
    """One pass over a table's text that gathers problems instead of stopping at the first."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._lines = text.splitlines()
        self._tables: dict[str, Any] = {}
        try:
            self._tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            self.problems.append(
                Problem(file, int(found[1]) if found else len(self._lines), f"not valid TOML: {error}")
            )
        for unknown in self._tables.keys() - set(_SECTIONS):
            self._problem(unknown, unknown, f"unknown section [{unknown}]; the sections are {', '.join(_SECTIONS)}")

    def weights(self, section: str, known: Collection[str] | None = None) -> Mapping[str, int]:
        """A section of name = weight; names outside ``known`` (None: any) are problems."""
        table = self._tables.get(section, {})
        if not isinstance(table, dict):
            self._problem(section, section, f"[{section}] must be a table of name = weight")
            return {}
        for name, weight in table.items():
            if known is not None and name not in known:
                names = ", ".join(sorted(known))
                self._problem(section, name, f"unknown name {name!r} in [{section}]; known are {names}")
            self._check(section, name, weight, range(-HIGHEST, HIGHEST + 1))
        return {name: weight for name, weight in table.items() if isinstance(weight, int)}

    def hours(self) -> tuple[Hours, ...]:
        """The [[hours]] ranges."""
        entries = self._tables.get("hours", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._problem("hours", "hours", "hours must be written as [[hours]] tables with from, to and weight")
            return ()
        ranges: list[Hours] = []
        for entry in entries:
            if entry.keys() != _HOURS_KEYS.keys():
                self._problem("hours", "hours", "[[hours]] has exactly the keys from, to and weight")
                continue
            unsound = [
                name for name, allowed in _HOURS_KEYS.items() if not self._check("hours", name, entry[name], allowed)
            ]
            if not unsound:
                ranges.append(Hours(entry["from"], entry["to"], entry["weight"]))
        return tuple(ranges)

    def _check(self, section: str, name: str, value: object, allowed: range) -> bool:
        if isinstance(value, int) and not isinstance(value, bool) and value in allowed:
            return True
        bounds = f"{allowed.start} to {allowed.stop - 1}"
        self._problem(section, name, f"{name!r} in [{section}] must be a whole number from {bounds}, not {value!r}")
        return False

    def _problem(self, section: str, name: str, message: str) -> None:
        header = re.compile(rf"^\s*\[+\s*{re.escape(section)}\s*\]")
        mention = re.compile(rf"""^\s*["']?{re.escape(name)}["']?\s*=""")
        starts = [number for number, line in enumerate(self._lines, 1) if header.match(line)]
        first = starts[0] if starts else 0
        inside = (number for number, line in enumerate(self._lines[first:], first + 1) if mention.match(line))
        self.problems.append(Problem(self.file, next(inside, first), message))
