"""What one command does, read from its arguments with the table ``programs.toml``. Pure.

Options are read as getopt_long does (letters in clusters, values attached or next, ``--`` ends them, operands may stand
anywhere), but no abbreviation of a long option is accepted: a word that is not listed makes the command unknown.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from blastwall.model import SEVERITY, Effect
from blastwall.shell import finding, paths, repositories
from blastwall.shell.grammar import HOME, STATUS


@dataclass(frozen=True, slots=True)
class Use:
    """What a command's arguments come to. ``paths`` are (path as written, "read" or "write"); ``contents`` tells that
    what is in the files read comes out; ``reason`` says what is wrong when the effect is administer or unknown;
    ``sent`` are the arguments as they are sent, when they are others: with words by which it passes over secrets among
    what it finds itself. ``taken`` are paths that come along with everything below them, and ``places`` where something
    comes to stand, each with what tells whether it does: ``("d", "")`` where ``d`` is no directory or is merged with,
    ``("d/a", "d/.")`` where it is one."""

    effect: Effect
    reason: str = ""
    flags: frozenset[str] = frozenset()
    paths: tuple[tuple[str, str], ...] = ()
    contents: bool = False
    recursive: bool = False
    sent: tuple[str, ...] | None = None
    taken: tuple[str, ...] = ()
    places: tuple[tuple[str, str], ...] = ()


class _Unlisted(Exception):
    """A word that the table does not hold."""


@dataclass(slots=True)
class _Found:
    """Options (letters and words) with their values, and operands, in order; ``words`` are the options as written."""

    options: list[tuple[str, str]] = field(default_factory=list)
    operands: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def has(self, names: list[str]) -> bool:
        return any(name in names for name, _ in self.options)


def use(name: str, arguments: tuple[str, ...]) -> Use:
    """What the program does with these arguments. Never raises."""
    if name in _table()["harmless"].get(" ".join(arguments), ()):
        return Use(Effect.READ)
    why = _refused().get(name)
    schema = _schemas().get(name)
    if why is not None:
        around = why in _AROUND
        return Use(Effect.ADMINISTER, f"{name} {why}.", frozenset({"around_gateway" if around else "runs_programs"}))
    if schema is None:
        shown = "has a path: name programs without one" if "/" in name else "is not on the list of known programs"
        return Use(Effect.UNKNOWN, f"{name} {shown}.", frozenset({"unlisted_program"}))
    try:
        if schema.get("style") == "expression":
            return _expression(schema, arguments)
        if schema.get("style") == "lines":
            return _whole(schema, arguments)
        if schema.get("style") == "git":
            return _git(schema, arguments)
        if schema.get("style") == "test":
            return _test(schema, arguments)
        return _judged(name, schema, arguments)
    except (_Unlisted, repositories.Unlisted, finding.Unlisted) as unlisted:
        return Use(Effect.UNKNOWN, f"{name}: {unlisted}.", frozenset({"unlisted_option"}))


def takes_live(name: str, arguments: tuple[str, ...]) -> bool:
    """Whether the program may be given words that only the host knows: it prints or compares them, and no more."""
    return bool(_schemas().get(name, {}).get("live"))


def setting(text: str) -> bool:
    """Whether NAME=VALUE may be set for a program: it changes how things are shown."""
    return any(each.fullmatch(text) for each in _patterns(("<setting>",)))


def wrapped(name: str, arguments: tuple[str, ...]) -> int | None:
    """How many arguments are the wrapper's own, before the name of the program that it runs; None if it is no wrapper,
    or none of the listed forms."""
    form = _table()["wrappers"].get(name)
    if form is None:
        return None
    pattern = _patterns((form,))[0]
    for number, argument in enumerate(arguments):
        own = arguments[:number]
        if argument.startswith("-") or "=" in argument or any(" " in word for word in own):
            continue
        if pattern.fullmatch("".join(f"{word} " for word in own)):
            return number
    return None


_AROUND = ("reaches another target around the gateway", "opens connections of its own")


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(files("blastwall.shell").joinpath("programs.toml").read_text("utf-8"))


@cache
def _schemas() -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, schema in _table().items():
        if name not in ("refused", "pieces", "wrappers", "harmless"):
            found.update(dict.fromkeys((name, *schema.get("same", ())), schema))
    return found


@cache
def _refused() -> Mapping[str, str]:
    return {name: why for why, names in _table()["refused"].items() for name in names}


def _judged(name: str, schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Use:
    found = _Found(operands=list(arguments)) if schema.get("loose") else _read(schema, arguments)
    operands = _operands(schema, found)
    suffixes = tuple(schema.get("suffixes", ("",)))
    for operand in operands:
        if not operand.endswith(suffixes):
            raise _Unlisted(
                f"{operand!r} does not end with one of {', '.join(suffixes)}, and it would look for one that does"
            )
    if found.has(schema.get("recursive", [])) and found.has(schema.get("follows", [])):
        raise _Unlisted("it would follow links below a directory to what nobody judged")
    most = schema.get("most", len(operands))
    if len(operands) > most:
        raise _Unlisted(f"more than {most} operand(s)")
    least = schema.get("least", 0)
    if len(operands) < least:
        raise _Unlisted(f"fewer than {least} operands")
    effect = _effect(schema, found, operands)
    guarded = schema.get("guarded", [])
    always = guarded == "always"
    sent = None
    if always or found.has(guarded):
        # Behind every option, as the last word on a file's name counts, and before what can be taken for none.
        sent = (*found.words, *_guards(schema["guards"]), "--", *found.operands)
    recursive = always or found.has(schema.get("recursive", []))
    if "first" in schema and not (operands and _patterns((schema["first"],))[0].fullmatch(operands[0])):
        raise _Unlisted(f"its first word is not of the listed form ({schema['note']})")
    _values(schema, found)
    _scripts(schema, found)
    paths = tuple(_paths(schema, found, operands))
    taken, places = _moved(schema, found, operands, recursive)
    reason = ""
    if effect is Effect.ADMINISTER:
        reason = f"{name} with these arguments changes more than files, or shows what is kept from users."
    elif effect is Effect.DESTROY:
        reason = f"{name} with these arguments removes, empties or stops what it names."
    flags = frozenset({"recursive"}) if recursive else frozenset[str]()
    return Use(effect, reason, flags, paths, bool(schema.get("contents")), recursive, sent, taken, places)


def _moved(
    schema: Mapping[str, Any], found: _Found, operands: list[str], recursive: bool
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """What comes along with all that is below it, and where it comes to stand when the last operand is a directory."""
    if schema.get("moves") is None or not operands:
        return (), ()
    *sources, last = operands
    places = [(last, "")]
    if not found.has(["T", "no-target-directory"]):
        places += [(f"{last}/{posixpath.basename(source.rstrip('/'))}", f"{last}/.") for source in sources]
    trees = schema["moves"] == "trees" or recursive or found.has(schema.get("links", []))
    return tuple(sources) if trees else (), tuple(places)


def _git(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Use:
    """git(1): one of the listed subcommands, with what it would run switched off."""
    asked = repositories.opened(arguments)
    chosen = schema["commands"].get(asked.command)
    if chosen is None:
        raise _Unlisted(f"the subcommand {asked.command!r} is not on the list")
    if "lines" in chosen:
        whole = _whole(chosen | {"effect": "read", "note": f"git {asked.command}"}, asked.rest)
        return replace(whole, sent=repositories.sent(asked, list(asked.rest), [], [], shows=False))
    before = asked.rest[: asked.rest.index("--")] if "--" in asked.rest else asked.rest
    found = _read(chosen, before)
    _values(chosen, found)
    operands = found.operands
    words = list(found.words)
    if chosen.get("pattern"):
        if not operands:
            raise _Unlisted("no pattern is given")
        words += ["-e", operands.pop(0)]
    revisions, files = repositories.bound(chosen, operands, list(asked.rest[len(before) + 1 :]))
    shows = bool(chosen.get("contents")) or found.has(chosen.get("shows", []))
    directory = asked.directory or "."
    named = [(directory, "read")] if asked.directory else []
    named += [(file if file.startswith(("/", HOME)) else posixpath.join(directory, file), "read") for file in files]
    words += chosen.get("guards", [])
    sent = repositories.sent(asked, words, revisions, files, shows=shows)
    return Use(Effect.READ, paths=tuple(named), contents=shows, sent=sent)


def _test(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Use:
    """test(1) of at most four words: a question about a file or a text, or about two of them."""
    words = list(arguments)
    while words and words[0] == "!":
        words.pop(0)
    read = Use(Effect.READ)
    match words:
        case [_]:
            return read
        case [asked, name] if asked in schema["files"]:
            return Use(Effect.READ, paths=((name, "read"),))
        case [asked, _] if asked in schema["texts"]:
            return read
        case [_, asked, _] if asked in schema["equal"]:
            return read
        case [one, asked, other] if asked in schema["numbers"]:
            # Some shells calculate what is no number, and run what stands in it.
            if all(re.fullmatch(f"-?[0-9]{{1,18}}|{STATUS}", each) for each in (one, other)):
                return read
        case [one, asked, other] if asked in schema["both"]:
            return Use(Effect.READ, paths=((one, "read"), (other, "read")))
    raise _Unlisted(f"{' '.join(words)[:60]!r} is not one of the listed questions ({schema['note']})")


def _scripts(schema: Mapping[str, Any], found: _Found) -> None:
    """A program in a small language of its own must be, as a whole, one of those listed."""
    listed = schema.get("scripts")
    if listed is None:
        return
    given = [value for name, value in found.options if name in schema["patterns"]] or found.operands[:1]
    for script in given:
        if not any(each.fullmatch(script) for each in _patterns(tuple(listed))):
            raise _Unlisted(f"the program {script[:60]!r} is not of a listed form ({schema['note']})")


def _whole(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Use:
    """Programs with a grammar of their own: the arguments, joined by spaces, are one of the listed lines."""
    text = " ".join(arguments)
    if any(" " in word for word in arguments) or not any(
        each.fullmatch(text) for each in _patterns(tuple(schema["lines"]))
    ):
        raise _Unlisted(f"{text[:60]!r} is not listed ({schema['note']})")
    return Use(Effect(schema["effect"]), contents=bool(schema.get("contents")))


@cache
def _patterns(listed: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """The listed forms, with the names of [pieces] in place of <name>."""
    pieces: Mapping[str, str] = _table()["pieces"]

    def written(form: str) -> str:
        while (found := re.search("<([a-z]+)>", form)) is not None:
            form = form.replace(found[0], f"(?:{pieces[found[1]]})")
        return form

    return tuple(re.compile(written(form), re.ASCII) for form in listed)


def _guards(words: list[str]) -> Iterator[str]:
    for word in words:
        kind = next((kind for kind in ("secret", "trees") if f"{{{kind}}}" in word), None)
        names = ("",) if kind is None else paths.names(kind)
        yield from (word.replace(f"{{{kind}}}", name) for name in names)


def _values(schema: Mapping[str, Any], found: _Found) -> None:
    never = schema.get("never", {})
    for name, value in found.options:
        for part in never.get(name, ()):
            if part in value.lower():
                raise _Unlisted(f"{part!r} in the value of {name} is not allowed")


def _read(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> _Found:
    found = _Found()
    heads: list[str] = []
    waiting = list(arguments)
    while waiting:
        before = list(waiting)
        word = waiting.pop(0)
        if word == "--" or (schema.get("ordered") and not (word.startswith("-") and len(word) > 1)):
            found.operands += waiting if word == "--" else before
            break
        if word.startswith("--"):
            _long(schema, word, waiting, found)
        elif word in schema.get("words", ()):
            _word(schema, word, waiting, found)
        elif word.startswith("-") and len(word) > 1:
            _letters(schema, word, waiting, found)
        else:
            found.operands.append(word)
            continue
        found.words += before[: len(before) - len(waiting)]
        heads.append(word)
    alone = [head for head in heads if head in schema.get("exclusive", ())]
    others = [head for head in heads if not head.startswith(("--", *schema.get("beside", ())))]
    if alone and others != alone[:1]:
        raise _Unlisted(
            f"{alone[0]} does not stand beside other options, but for {', '.join(schema['beside'])} and long ones"
        )
    return found


def _word(schema: Mapping[str, Any], word: str, waiting: list[str], found: _Found) -> None:
    """A word that is taken as it stands; where its last letter is an option with a value, the next word is it."""
    last = word[-1]
    if len(word) > 1 and last in schema.get("short_value", ""):
        if not waiting:
            raise _Unlisted(f"{word} needs a value")
        found.options.append((last, waiting.pop(0)))


def _long(schema: Mapping[str, Any], word: str, waiting: list[str], found: _Found) -> None:
    name, equals, value = word[2:].partition("=")
    if name in schema.get("long_value", ()):
        if not equals:
            if not waiting:
                raise _Unlisted(f"--{name} needs a value")
            value = waiting.pop(0)
    elif name not in schema.get("long", ()):
        raise _Unlisted(f"the option --{name} is not on the list (write options in full)")
    found.options.append((name, value))


def _letters(schema: Mapping[str, Any], word: str, waiting: list[str], found: _Found) -> None:
    if schema.get("numbers") and re.fullmatch(r"[0-9]+f?", word[1:]):  # tail -50f
        found.options.append(("n", word[1:]))
        return
    rest = word[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        if letter in schema.get("short_value", ""):
            if not rest and not waiting:
                raise _Unlisted(f"-{letter} needs a value")
            found.options.append((letter, rest or waiting.pop(0)))
            return
        if letter in schema.get("short_optional", ""):
            if not rest and letter in schema.get("signed", "") and waiting and re.fullmatch("-[0-9]+", waiting[0]):
                rest = waiting.pop(0)
            found.options.append((letter, rest))
            return
        if letter not in schema.get("short", ""):
            note = schema.get("notes", {}).get(letter)
            raise _Unlisted(f"the option -{letter} is not on the list" + (f" ({note})" if note else ""))
        found.options.append((letter, ""))


def _operands(schema: Mapping[str, Any], found: _Found) -> list[str]:
    """Those operands that are left to be paths or text, after words and patterns."""
    kind = schema.get("operands", "none")
    operands = found.operands
    if kind == "none" and operands:
        raise _Unlisted(f"{operands[0]!r} is an operand, and none is listed")
    if kind == "format" and any(not word.startswith("+") for word in operands):
        raise _Unlisted("only a +FORMAT is listed as an operand")
    if kind == "pattern_paths" and not found.has(schema.get("patterns", [])):
        return operands[1:]
    return operands


def _effect(schema: Mapping[str, Any], found: _Found, operands: list[str]) -> Effect:
    subcommands = schema.get("subcommands")
    if subcommands is not None:
        if not operands:
            return Effect.READ
        chosen = subcommands.get(operands[0])
        if chosen is None:
            raise _Unlisted(f"the subcommand {operands[0]!r} is not on the list")
        return Effect(chosen)
    by_option = schema.get("options", {})
    given = [Effect(by_option[name]) for name, _ in found.options if name in by_option]
    return max(given, key=SEVERITY.__getitem__) if given else Effect(schema["effect"])


def _paths(schema: Mapping[str, Any], found: _Found, operands: list[str]) -> Iterator[tuple[str, str]]:
    for name, value in found.options:
        if name in schema.get("paths_in", ()):
            yield value, "read"
    if schema.get("operands") not in ("paths", "pattern_paths"):
        return
    writes = schema.get("writes", "")
    for number, operand in enumerate(operands):
        if operand == "-" and not writes:
            continue
        written = writes == "all" or (writes == "last" and number == len(operands) - 1)
        yield operand, "write" if written else "read"
    if not operands and schema.get("recursive") and found.has(schema["recursive"]):
        yield ".", "read"


def _expression(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Use:
    """find(1): paths, then tests and actions, each of them listed."""
    found = finding.search(schema, arguments)
    if not found.run:
        return Use(Effect.READ, paths=found.read())
    readers = _Readers()
    finding.bound(found, readers.read)
    return readers.judged(found, found.passing_over())


def searched(arguments: tuple[str, ...], runs: tuple[str, ...]) -> tuple[Use, Use]:
    """find with these arguments, and xargs with those behind it. Never raises."""
    readers = _Readers()
    try:
        found = finding.search(_schemas()["find"], arguments)
        sent, fed = finding.feeding(found), finding.fed(runs, readers.read)
    except (_Unlisted, finding.Unlisted) as unlisted:
        return use("find", arguments), Use(Effect.ADMINISTER, f"xargs: {unlisted}.", frozenset({"runs_programs"}))
    return readers.judged(found, sent), Use(Effect.READ, sent=fed)


class _Readers:
    """What is run for files that are found: programs that only read, whichever files they get."""

    def __init__(self) -> None:
        self._paths: list[tuple[str, str]] = []
        self._contents = False

    def read(self, name: str, arguments: tuple[str, ...], many: bool) -> tuple[str, ...]:
        schema = _schemas().get(name, {"style": ""})
        if name in _refused() or schema.get("style", "test") != "test" or (many and "most" in schema):
            raise _Unlisted(f"{name} is not on the list of programs that may be run for files that are found")
        if any(finding.FOUND in word and word != finding.FOUND for word in arguments):
            raise _Unlisted("{} stands alone in a word")
        found = use(name, arguments)
        if found.effect is not Effect.READ:
            raise _Unlisted(f"{name} does not only read with these arguments")
        self._paths += [each for each in found.paths if each[0] != finding.FOUND]
        self._contents = self._contents or found.contents
        return arguments if found.sent is None else found.sent

    def judged(self, found: finding.Search, sent: tuple[str, ...]) -> Use:
        touched = (*found.read(), *self._paths)
        return Use(Effect.READ, "", frozenset({"recursive"}), touched, self._contents, recursive=True, sent=sent)
