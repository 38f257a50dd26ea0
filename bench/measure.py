"""What is measured and how: processor time and memory of processes, medians, ratios. Linux only (/proc)."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

DIRECT, PGBOUNCER, BLASTWALL = "direct", "pgbouncer", "blastwall"
PROC = Path("/proc")

Way = TypeVar("Way")


@dataclass(slots=True)
class Measure:
    """One line of the table: samples of each route, one for each round and in the order of the rounds.

    ``id`` is the key into goals.toml; ``decimals`` is how many the report shows.
    """

    id: str
    name: str
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    decimals: int = 0

    def add(self, route: str, value: float) -> None:
        self.samples.setdefault(route, []).append(value)

    def median(self, route: str) -> float | None:
        """None when the route was not measured."""
        values = self.samples.get(route)
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over rounds with the lowest and the highest."""

    middle: float
    low: float
    high: float


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Ours / theirs, pair by pair: a round that was slow for both says nothing about either. None without pairs.

    Raises ValueError when the rounds do not match: then they were not interleaved.
    """
    return _spread([our / their for our, their in zip(ours, theirs, strict=True) if their])


def differences(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Ours - theirs, pair by pair."""
    return _spread([our - their for our, their in zip(ours, theirs, strict=True)])


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def processor_seconds(pid: int, proc: Path = PROC, *, but: str = "") -> float:
    """Time on a processor, user and kernel, of all threads of ``pid`` and of its children, since they began.

    Without those whose command line has ``but`` as one of its words.

    From /proc/PID/task/*/schedstat, whose first number is nanoseconds. A thread that ends between two readings takes
    its time with it; 0.0 for a process that has gone.
    """
    total = 0
    for member in family(pid, proc):
        if but and but in _command(member, proc):
            continue
        for file in (proc / str(member) / "task").glob("*/schedstat"):
            try:
                total += int(file.read_text().split()[0])
            except (OSError, IndexError):
                continue
    return total / 1e9


def _command(pid: int, proc: Path) -> list[str]:
    try:
        return (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def family(pid: int, proc: Path = PROC) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            try:
                # The command's name, in parentheses, may hold anything; the parent is the second word behind it.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found


def reset_peak(pid: int) -> None:
    """Let the peak resident size begin anew at the present one (proc(5), clear_refs). Raises OSError."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def resident(pid: int, proc: Path = PROC) -> tuple[float, float]:
    """(now, peak) resident MiB of one process. Raises OSError when it has gone."""
    sizes = _fields((proc / str(pid) / "status").read_text().splitlines())
    return sizes["VmRSS"] / 1024, sizes["VmHWM"] / 1024


def _fields(lines: Iterable[str]) -> Mapping[str, int]:
    """The fields of /proc/PID/status that are sizes in KiB."""
    found: dict[str, int] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0])
    return found


def machine() -> str:
    """The machine's class: what matters for comparing, nothing that names it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {os.uname().sysname} {os.uname().machine}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long: ``rounds`` rounds of ``seconds`` for each route. ``say`` gets a line of progress."""

    rounds: int
    seconds: float
    say: Callable[[str], None] = lambda line: None

    def interleave(self, ways: Iterable[Way], what: str) -> Iterator[Way]:
        """A B C, A B C, ...: each round is over before the next begins."""
        self.say(what)
        ways = tuple(ways)
        for _ in range(self.rounds):
            yield from ways
