"""A shell line to facts, and the text that goes to the target in its place. Pure.

The effect of a line is the worst of its commands'. A line outside the grammar is UNKNOWN; if a person lets it run,
it runs as the exact bytes that the person saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from blastwall.model import SEVERITY, Effect, Facts, ObjectRef
from blastwall.shell import paths
from blastwall.shell.grammar import Command, Unreadable, commands, write
from blastwall.shell.grammar import Line as Parsed
from blastwall.shell.programs import Use
from blastwall.shell.reading import parse
from blastwall.shell.walk import Visit, Walk, located, program

_JOINED = 2
_MOVED = "unplaced_paths"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the target's owner allows: directories that may be read and written, each with everything below."""

    readable: tuple[str, ...] = ("/", paths.HOME)
    writable: tuple[str, ...] = (paths.HOME, "/tmp")  # noqa: S108 - a name on the target, not a file of ours


@dataclass(frozen=True, slots=True)
class Line:
    """A judged line. ``text`` is what goes upstream if it is permitted; ``named`` are the paths as written, whose real
    places the target may be asked for; ``wanted`` are directories whose names must be told before it can be judged."""

    facts: Facts
    text: str
    named: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


def judge(
    text: str,
    bounds: Bounds,
    resolved: Mapping[str, str] | None = None,
    listed: Mapping[str, tuple[str, ...]] | None = None,
) -> Line:
    """Judge one line. ``resolved`` maps paths as written to what the target says they are, ``listed`` directories to
    the names in them. Never raises."""
    walk = Walk(listed or {})
    try:
        read = parse(text)
        sent = walk.line(read)[2]
    except Unreadable as unreadable:
        facts = Facts(Effect.UNKNOWN, "exec", flags=frozenset({"outside_grammar"}), reason=str(unreadable))
        return Line(facts, text)
    uses = [located(visit.use, place) for visit in walk.visits for place in sorted(visit.places)]
    visits = [visit for visit in walk.visits for _ in visit.places]
    moved = _renamed(visits, uses, resolved)
    judged = [
        _placed(each, bounds, resolved) if number not in moved else _raised(each, Effect.UNKNOWN, moved[number], _MOVED)
        for number, each in enumerate(uses)
    ]
    worst = max(range(len(judged)), key=lambda number: (SEVERITY[judged[number].effect], -number))
    flags = frozenset[str]().union(*(each.flags for each in judged))
    if any(len(step.pipeline.parts) >= _JOINED for step in read):
        flags |= {"pipeline"}
    if len(read) >= _JOINED or any(not isinstance(part, Command) for step in read for part in step.pipeline.parts):
        flags |= {"list"}
    facts = Facts(
        effect=judged[worst].effect,
        verb=_verb(visits, judged, worst) or program(next(commands(read)).name),
        objects=tuple(dict.fromkeys(_objects(visits, judged, resolved))),
        flags=flags,
        bounded=not any(each.recursive and each.effect is not Effect.READ for each in judged),
        reason=judged[worst].reason,
        fingerprint=_fingerprint(read, walk.visits),
    )
    named = asked(touched for each in uses for touched in (*each.paths, *_probes(each)))
    return Line(facts, text if walk.wanted else write(sent), named, tuple(walk.wanted))


def _verb(visits: Sequence[Visit], judged: Sequence[Use], worst: int) -> str:
    """The program that does the worst; where others change something as well, what allows one allows no other."""
    changing = {
        visit.name
        for visit, found in zip(visits, judged, strict=True)
        if SEVERITY[found.effect] > SEVERITY[Effect.READ]
    }
    return "several" if len(changing) >= _JOINED else visits[worst].name


def _renamed(visits: Sequence[Visit], uses: Sequence[Use], resolved: Mapping[str, str] | None) -> Mapping[int, str]:
    """What cannot be judged since another command of the line gives names to links or trees: by number, the reason.

    The host is asked where paths lead before the line runs; what ``mv`` brings there may be a link to anywhere.
    """
    brought: list[tuple[int, str]] = []
    for number, found in enumerate(uses):
        if found.taken:
            for written, _ in found.places:
                brought += ((number, place) for place in {paths.plain(written, resolved), paths.plain(written)})
    moved: dict[int, str] = {}
    for number, found in enumerate(uses):
        for mover, place in brought:
            if mover == number or visits[mover] is visits[number] or visits[mover].step > visits[number].step:
                continue
            for written, access in found.paths:
                shown = found.contents or access == "write"
                spelled = {paths.plain(written, resolved), paths.plain(written)}
                climbs = ".." in written.split("/")  # out of where a link leads that is there only then
                if shown and (climbs or any(paths.within(path, (place,)) for path in spelled)):
                    moved[number] = (
                        f"What {written} is depends on what {visits[mover].name} puts there; send it on its own."
                    )
    return moved


def _probes(found: Use) -> Iterator[tuple[str, str]]:
    """What the target must be asked besides the paths, to know where things come to stand."""
    for place, probe in found.places:
        if probe:
            yield place, "write"
            yield probe, "read"


def asked(touched: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What the target is asked for about (path, access) pairs: the paths, and of what is written their directories."""
    found: dict[str, None] = {}
    for path, access in touched:
        found[path] = None
        if access == "write":
            found[paths.directory(path)] = None
    return tuple(found)


def judge_paths(
    verb: str,
    effect: Effect,
    touched: tuple[tuple[str, str], ...],
    bounds: Bounds,
    resolved: Mapping[str, str] | None = None,
    *,
    contents: bool,
    flag: str,
    moves: bool = False,
) -> Facts:
    """Facts of one operation on files that is no shell line: (path, "read" or "write") pairs in ``touched``.

    ``moves``: it gives the first path, with what is below it, the name of the second.
    """
    named = tuple(path for path, _ in touched)
    taken, places = (named[:1], ((named[1], ""),)) if moves else ((), ())
    use = Use(effect, flags=frozenset({flag}), paths=touched, contents=contents, taken=taken, places=places)
    found = _placed(use, bounds, resolved)
    return Facts(
        effect=found.effect,
        verb=verb,
        objects=tuple(_path_objects(found, resolved)),
        flags=found.flags,
        reason=found.reason,
        fingerprint=hashlib.sha256(verb.encode()).hexdigest()[:32],
    )


def _placed(found: Use, bounds: Bounds, resolved: Mapping[str, str] | None) -> Use:
    """The use, raised by where its paths are."""
    for written, access in found.paths:
        path = paths.plain(written, resolved)
        if paths.secret(path) or paths.secret(paths.plain(written)):
            return _raised(found, Effect.ADMINISTER, f"Secrets are kept at {written}.", "secret_path")
        if (
            found.recursive
            and found.contents
            and access == "read"
            and (paths.above_secrets(path) or paths.above_secrets(paths.plain(written)))
        ):
            reason = f"Descends from {written} into places where secrets are kept; name a directory further down."
            return _raised(found, Effect.ADMINISTER, reason, "secret_path")
        if access == "write" and (paths.runs_later(path) or paths.runs_later(paths.plain(written))):
            reason = f"What is written to {written} runs later, and nobody judges it then."
            return _raised(found, Effect.ADMINISTER, reason, "startup_path")
        allowed = bounds.readable if access == "read" else bounds.writable
        # What removes or renames takes the link itself, what writes goes to where it leads: both must be allowed.
        places = {path, paths.itself(written, resolved)} if access == "write" else {path}
        if any(paths.escapes(place) or not paths.within(place, allowed) for place in places):
            reason = f"{written} is outside the paths that may be {'read' if access == 'read' else 'written'} here."
            return _raised(found, Effect.ADMINISTER, reason, "outside_paths")
    return _moved(found, bounds, resolved)


def _moved(found: Use, bounds: Bounds, resolved: Mapping[str, str] | None) -> Use:
    """The use, raised by what it brings along and where that comes to stand: ``cp -r bin ~`` makes ``~/bin``."""
    for written in found.taken:
        if paths.strips_secrets(paths.plain(written, resolved)) or paths.strips_secrets(paths.plain(written)):
            reason = f"{written} holds secrets that are known by where they are; name what is below it."
            return _raised(found, Effect.ADMINISTER, reason, "secret_path")
    for written, probe in found.places:
        if resolved is not None and bool(probe) != any(probe in resolved for _, probe in found.places if probe):
            continue  # the last operand is a directory, or it is none
        spelled = {paths.plain(written, resolved), paths.plain(written)}
        if any(map(paths.secret, spelled)):
            return _raised(found, Effect.ADMINISTER, f"Secrets are kept at {written}.", "secret_path")
        above = found.taken and any(map(paths.above_startup, spelled - ({paths.HOME} if resolved is None else set())))
        if above or any(map(paths.runs_later, spelled)):
            reason = f"What is written to {written}, or below it, runs later, and nobody judges it then."
            return _raised(found, Effect.ADMINISTER, reason, "startup_path")
        if probe and (
            paths.escapes(places := paths.plain(written, resolved)) or not paths.within(places, bounds.writable)
        ):
            reason = f"{written} is outside the paths that may be written here."
            return _raised(found, Effect.ADMINISTER, reason, "outside_paths")
    return found


def _raised(found: Use, effect: Effect, reason: str, flag: str) -> Use:
    worst = max(found.effect, effect, key=SEVERITY.__getitem__)
    return replace(found, effect=worst, reason=found.reason or reason, flags=found.flags | {flag})


def _objects(visits: Sequence[Visit], judged: Sequence[Use], resolved: Mapping[str, str] | None) -> Iterator[ObjectRef]:
    for visit, found in zip(visits, judged, strict=True):
        if visit.name:
            yield ObjectRef("program", visit.name, "call")
        yield from _path_objects(found, resolved)


def _path_objects(found: Use, resolved: Mapping[str, str] | None) -> Iterator[ObjectRef]:
    for path, access in found.paths:
        destroys = access == "write" and found.effect is Effect.DESTROY
        places = dict.fromkeys((paths.plain(path, resolved), paths.itself(path, resolved)))
        for place in places if access == "write" else [*places][:1]:
            yield ObjectRef("path", place, "destroy" if destroys else access)


def _fingerprint(line: Parsed, visits: Sequence[Visit]) -> str:
    """Equal for lines that differ only in operands: programs and their options, in order, and how they are joined."""
    shape = [[visit.name, *(word for word in visit.arguments if word.startswith("-"))] for visit in visits]
    joints = [(step.operator, step.pipeline.negated, len(step.pipeline.parts)) for step in line]
    return hashlib.sha256(repr((shape, joints)).encode()).hexdigest()[:32]
