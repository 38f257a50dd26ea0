"""A line from command to command: where each runs, what it does, and what is sent in its place. Pure.

A command that is joined to others may run where ``cd`` has led: in one of several directories, as nobody knows before
whether a ``cd`` will succeed. Each is judged in all of them. What runs after an ``exit``, or where a condition never
holds, is judged as if it ran.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeVar

from blastwall.model import SEVERITY, Effect
from blastwall.shell.grammar import (
    HOME,
    MOST_WORDS,
    PRINTED,
    STATUS,
    Choice,
    Command,
    Group,
    Line,
    Part,
    Pipeline,
    Redirection,
    Step,
    Unreadable,
    Word,
    write,
)
from blastwall.shell.programs import Use, searched, setting, takes_live, use, wrapped
from blastwall.shell.reading import parse
from blastwall.shell.wildcards import fitting

MOST_PLACES: Final = 4  # directories in which a command may run
MOST_ASKED: Final = 64  # directories whose names a line may need
MOST_COMPARED: Final = 200_000  # names that are held against patterns
MOST_VISITS: Final = 512
DEEPEST: Final = 3  # shells and wrappers, one in another

_STANDARD: Final = re.compile("/(?:usr/)?s?bin/")  # nobody writes there unless a policy lets them administer
_SHELLS: Final = frozenset({"sh", "bash", "dash"})
_SHELL_OPTIONS: Final = frozenset({("-c",), ("-lc",), ("-l", "-c"), ("-ec",), ("-e", "-c")})

_T = TypeVar("_T")
Places = frozenset[str]
HERE: Final[Places] = frozenset({"."})


@dataclass(frozen=True, slots=True)
class Visit:
    """One command where it may run: its name ("" for the redirections of a group), its arguments, its use, and the
    directories, as the line writes them. ``step`` counts the pipelines of the whole line: what one holds
    may run at once."""

    name: str
    arguments: tuple[str, ...]
    use: Use
    places: Places
    step: int


class Walk:
    """``listed`` has the names in directories, as the line writes those, as far as the host was asked. Afterwards
    ``visits`` are the commands, and ``wanted`` the directories whose names are still to be told."""

    def __init__(self, listed: Mapping[str, tuple[str, ...]]) -> None:
        self._listed = listed
        self._asked: set[str] = set()
        self._compared = 0
        self._deep = 0
        self._level = 0
        self._step = 0
        self.visits: list[Visit] = []
        self.wanted: dict[str, None] = {}

    def line(self, line: Line, places: Places = HERE) -> tuple[Places, Places, Line]:
        """Where the shell stands after the line has succeeded and failed, and the line as it is sent.

        Raises Unreadable for what cannot be followed.
        """
        held = failed = places
        steps: list[Step] = []
        self._level += 1
        for step in line:
            if self._level == 1:
                self._step += 1
            start = {";": held | failed, "&&": held, "||": failed}[step.operator] or places
            if len(start) > MOST_PLACES:
                raise Unreadable("The line may stand in too many directories by now; send it in steps.")
            then, otherwise, pipeline = self._pipeline(step.pipeline, start)
            if step.operator == ";":
                held, failed = then, otherwise
            elif step.operator == "&&":
                held, failed = then, failed | otherwise
            else:
                held, failed = held | then, otherwise
            steps.append(Step(step.operator, pipeline))
        self._level -= 1
        return held, failed, tuple(steps)

    def _pipeline(self, pipeline: Pipeline, places: Places) -> tuple[Places, Places, Pipeline]:
        parts: list[Part] = []
        after: Places = frozenset()
        forced = _fed(pipeline.parts)
        for number, part in enumerate(pipeline.parts):
            held, failed, sent = self._part(part, places, forced.get(number))
            parts.append(sent)
            after |= held | failed
        if len(pipeline.parts) > 1:  # some shells run the last one themselves
            held = failed = places | after
        sent_pipeline = Pipeline(tuple(parts), pipeline.negated)
        return (failed, held, sent_pipeline) if pipeline.negated else (held, failed, sent_pipeline)

    def _part(self, part: Part, places: Places, forced: Use | None = None) -> tuple[Places, Places, Part]:
        if isinstance(part, Command):
            return self._command(part, places, forced)
        if part.redirections:
            opened = _opened(Use(Effect.READ), part.redirections)
            self._visit("", (), opened, places)
        if isinstance(part, Group):
            held, failed, line = self.line(part.line, places)
            sent = replace(part, line=line)
            return (places, places, sent) if part.apart else (held, failed, sent)
        return self._choice(part, places)

    def _choice(self, choice: Choice, places: Places) -> tuple[Places, Places, Choice]:
        held: Places = frozenset()
        failed: Places = frozenset()
        branches: list[tuple[Line, Line]] = []
        here = places
        for condition, body in choice.branches:
            then, here, sent_condition = self.line(condition, here or places)
            good, bad, sent_body = self.line(body, then or places)
            held, failed = held | good, failed | bad
            branches.append((sent_condition, sent_body))
        good, bad, otherwise = self.line(choice.otherwise, here or places)
        return held | good, failed | bad, replace(choice, branches=tuple(branches), otherwise=otherwise)

    def _command(self, command: Command, places: Places, forced: Use | None = None) -> tuple[Places, Places, Command]:
        """``forced``: what it does is known, as it depends on what it is joined to."""
        words = tuple(new for word in command.words for new in self._word(word, places))
        if len(words) > MOST_WORDS:
            raise Unreadable(f"Wildcards fit more than {MOST_WORDS} names; send the work in steps.")
        command = replace(command, words=words)
        held = failed = places
        match command.name:
            case "cd":
                target = _target(command)
                found = Use(Effect.READ, paths=((_marked(target), "read"),))
                held = frozenset(joined(place, _marked(target)) for place in places)
                command = replace(command, words=_cd(target))
            case "exit":
                if any(re.fullmatch(f"[0-9]{{1,3}}|{STATUS}", word.text) is None for word in words[1:]) or words[2:]:
                    raise Unreadable("exit takes a number, or nothing.")
                found = Use(Effect.READ)
                held = failed = frozenset()
            case _ if forced is not None:
                found = replace(forced, reason=_shown(forced.reason), sent=None)
                words = words if forced.sent is None else (words[0], *map(_unmarked, forced.sent))
                command = replace(command, words=words)
            case _:
                found, words = self._run(words, places)
                command = replace(command, words=words)
        missing = next((word.text for word in words if word.pattern), None)
        if missing is not None:
            reason = f"Only the host knows what {missing} fits, and it has not said."
            found = replace(found, effect=Effect.UNKNOWN, reason=reason, flags=found.flags | {"unplaced_paths"})
        for each in command.environment:
            if not setting(each.text):
                reason = f"{each.text.partition('=')[0]} is not one of the variables that may be set for a program."
                found = replace(found, effect=Effect.UNKNOWN, reason=reason, flags=found.flags | {"unlisted_option"})
        found = _opened(found, command.redirections)
        arguments = tuple(word.text for word in command.words[1:])
        self._visit(command.name, arguments, found, places)
        return held, failed, command

    def _run(self, words: tuple[Word, ...], places: Places) -> tuple[Use, tuple[Word, ...]]:
        """What a program does with its words, and the words as they are sent; what it runs in turn is visited first."""
        name, arguments = program(words[0].text), tuple(map(_marked, words[1:]))
        if name in _SHELLS and tuple(arguments[:-1]) in _SHELL_OPTIONS and not words[-1].live:
            with_line = self._deeper(lambda: self.line(parse(words[-1].text), places)[2])
            return Use(Effect.READ), (*words[:-1], Word(write(with_line), quoted=True))
        before = wrapped(name, arguments)
        if before is not None:
            inner = words[1 + before :]
            if inner[0].home or inner[0].live or program(inner[0].text) in ("cd", "exit", "export", "set"):
                raise Unreadable(f"{name} runs a program, and {inner[0].text!r} is none; leave {name} out.")
            found, sent = self._deeper(lambda: self._run(inner, places))
            self._visit(sent[0].text, tuple(word.text for word in sent[1:]), found, places)
            return Use(Effect.READ), (*words[: 1 + before], *sent)
        if any(word.live for word in words) and not takes_live(name, arguments):
            reason = f"{name} is given what only the host knows; send the work in steps."
            return Use(Effect.UNKNOWN, reason, frozenset({"unlisted_option"})), words
        found = use(name, arguments)
        found = replace(found, reason=_shown(found.reason))
        if found.sent is not None:
            words = (words[0], *map(_unmarked, found.sent))
        return replace(found, sent=None), words

    def _visit(self, name: str, arguments: tuple[str, ...], found: Use, places: Places) -> None:
        if len(self.visits) >= MOST_VISITS:
            raise Unreadable("The line runs too many commands; send the work in steps.")
        self.visits.append(Visit(program(name), arguments, found, places, self._step))

    def _deeper(self, run: Callable[[], _T]) -> _T:
        self._deep += 1
        if self._deep > DEEPEST:
            raise Unreadable(f"More than {DEEPEST} programs run one another; send the work in steps.")
        try:
            return run()
        finally:
            self._deep -= 1

    def _word(self, word: Word, places: Places) -> tuple[Word, ...]:
        """The word as it is sent: what its wildcards fit, and the lines that it puts in as those are sent."""
        if word.printed:
            lines = tuple(self.line(line, places)[2] for line in word.printed)
            return (replace(word, printed=lines),)
        if not word.pattern:
            return (word,)
        pattern = HOME + word.pattern[1:] if word.home else word.pattern
        place = next(iter(places))
        if len(places) > 1 and not pattern.startswith(("/", HOME)):
            raise Unreadable(
                f"{word.text} may be looked for in several directories: join cd with &&, or write the directory."
            )
        found = fitting(pattern, lambda path: self._names(joined(place, path)))
        if found is None:
            return (word,)
        return tuple(map(_unmarked, found)) or (replace(word, pattern=""),)

    def _names(self, place: str) -> tuple[str, ...] | None:
        place = place.rstrip("/") or "/"
        self._asked.add(place)
        if len(self._asked) > MOST_ASKED:
            raise Unreadable("Wildcards stand for too many directories; name one further down.")
        # Nobody looks into a directory that may not be read, to say what a pattern fits: it is judged as a path is.
        self._visit("", (), Use(Effect.READ, paths=((place, "read"),)), HERE)
        if place not in self._listed:
            self.wanted[place] = None
            return None
        self._compared += len(self._listed[place])
        if self._compared > MOST_COMPARED:
            raise Unreadable("Wildcards stand for too many names; name a directory with fewer.")
        return self._listed[place]


def program(name: str) -> str:
    """The name by which a program is listed: where the system's own lie, it is the same with its path."""
    found = _STANDARD.match(name)
    return name if found is None or "/" in name[found.end() :] else name[found.end() :]


def joined(place: str, path: str) -> str:
    """A path as a command names it that runs in ``place``, from the login's directory on."""
    if path.startswith(HOME):
        return "." + path[1:]
    path = path.replace(HOME, ".")
    return path if place == "." or path.startswith("/") else f"{place.rstrip('/')}/{path}"


def located(found: Use, place: str) -> Use:
    """The use with its paths as they are from the login's directory on."""
    return replace(
        found,
        paths=tuple((joined(place, path), access) for path, access in found.paths),
        taken=tuple(joined(place, path) for path in found.taken),
        places=tuple((joined(place, path), joined(place, probe) if probe else "") for path, probe in found.places),
    )


def _fed(parts: tuple[Part, ...]) -> Mapping[int, Use]:
    """What find and xargs behind it do, by their numbers in a pipeline."""
    found: dict[int, Use] = {}
    for number, (one, other) in enumerate(pairwise(parts)):
        if not isinstance(one, Command) or not isinstance(other, Command):
            continue
        if (program(one.name), program(other.name)) != ("find", "xargs"):
            continue
        plain = not any(word.live or word.pattern for word in (*one.words, *other.words))
        elsewhere = any(each.descriptor != 2 for each in one.redirections)
        if plain and not elsewhere and not any(each.descriptor == 0 for each in other.redirections):
            found[number], found[number + 1] = searched(
                tuple(map(_marked, one.words[1:])), tuple(map(_marked, other.words[1:]))
            )
    return found


def _target(command: Command) -> Word:
    words = command.words[1:]
    for option in ("-P", "--"):
        if words and words[0].text == option:
            words = words[1:]
    if not words:
        return Word(".", home=True)
    target = words[0]
    if len(words) > 1 or target.text.startswith(("-", "+")) or not target.text or target.live or target.pattern:
        raise Unreadable("cd takes one directory, written out.")
    return target


def _cd(target: Word) -> tuple[Word, ...]:
    """cd as it goes: not by CDPATH, and through links as files are opened."""
    options = (Word("-P"),) if ".." in target.text.split("/") else ()
    if not target.home and target.text.split("/")[0] not in ("", ".", ".."):
        target = replace(target, text=f"./{target.text}")
    return (Word("cd"), *options, target)


def _opened(found: Use, redirections: tuple[Redirection, ...]) -> Use:
    """Files that the shell opens for the command count as the command's own."""
    opened = [
        (_marked(Word(each.target, home=each.home)), "read" if each.operator == "<" else "write", each.operator)
        for each in redirections
        if each.operator != ">&" and not (each.target == "/dev/null" and each.operator != "<")
    ]
    if not opened:
        return found
    effect = found.effect
    if any(access == "write" for _, access, _ in opened):
        effect = max(effect, Effect.WRITE, key=SEVERITY.__getitem__)
    if any(operator == ">" for _, _, operator in opened):
        effect = max(effect, Effect.DESTROY, key=SEVERITY.__getitem__)
    reason = found.reason or (
        "Empties a file before it writes to it; use >> to append." if effect is Effect.DESTROY else ""
    )
    kept = tuple((path, access) for path, access, _ in opened)
    return replace(found, effect=effect, reason=reason, flags=found.flags | {"redirects"}, paths=(*found.paths, *kept))


def _marked(word: Word) -> str:
    return HOME + word.text[1:] if word.home else word.text


def _unmarked(text: str) -> Word:
    return Word("." + text[1:], home=True) if text.startswith(HOME) else Word(text)


def _shown(text: str) -> str:
    """A reason without the marks that arguments may have."""
    return re.sub(f"[{HOME}{STATUS}{PRINTED}]", lambda found: "~" if found[0] == HOME else "$(...)", text)
