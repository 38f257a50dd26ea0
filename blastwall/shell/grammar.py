"""The part of the shell's grammar that the gateway vouches for, and a line of it written anew.

Filtering a shell string is hopeless: bash and dash evaluate arithmetic in subscripts, expand braces, and give words to
programs that run words. So a line is accepted only in a form in which every character's meaning is settled
(:mod:`blastwall.shell.reading`), taken apart, judged command by command, and sent on as a text of our own making
(:func:`write`), never as the client's bytes::

    line        := pipeline ( ( ';' | '&&' | '||' | line break ) pipeline )*
    pipeline    := [ '!' ] part ( '|' part )*
    part        := command | ( '(' line ')' | '{' line ';' '}' | if | for ) redirection*
    if          := if line then line ( elif line then line )* [ else line ] fi
    for         := for name in word+ ; do line done             sent as its body, once for each word
    command     := ( NAME=word )* ( word | redirection )+
    word        := [ ~ | ~/ ] ( bare | '...' | "..." | \\c | $name | wildcard )*      without a space they are one word
    redirection := 2>&1 | [2]>/dev/null | [2]>/dev/stdout ... | > word | >> word | < word | &> word

``name=word;`` in the beginning gives a word a name; it is put in wherever ``$name`` stands, and not sent. What only the
host knows stands in a word as a mark: the last status (``$?``), and what a line prints (``"$(line)"``). Nowhere is a
control character, or anything beyond ASCII. POSIX.1-2024, Shell Command Language, 2.2 Quoting, 2.7 Redirection, 2.9.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from blastwall.errors import ClientFault

LONGEST: Final = 8192  # characters of a line: what a person can still be asked to read
MOST_WORDS: Final = 512
MOST_COMMANDS: Final = 16  # in one pipeline
MOST_OF_ALL: Final = 64  # commands in one line, loops counted out

#: Stand in a word's text for what only the host knows, and in an argument for the home directory, wherever the command
#: runs: no line that is read holds these characters.
HOME: Final = "\x01"
STATUS: Final = "\x02"
PRINTED: Final = "\x03"

#: Words with a meaning of their own where a command begins (POSIX 2.4, and those of bash, ksh and zsh).
_CLAUSES: Final = ("case", "coproc", "do", "done", "elif", "else", "end", "esac", "fi", "for", "foreach", "function")
RESERVED: Final = frozenset(
    (
        *_CLAUSES,
        "!",
        "{",
        "}",
        "[[",
        "]]",
        "if",
        "in",
        "nocorrect",
        "repeat",
        "select",
        "then",
        "time",
        "until",
        "while",
    )
)


class Unreadable(ClientFault):
    """The line is outside the grammar. ``str()`` says where and what to write instead; it is shown to the agent."""


@dataclass(frozen=True, slots=True)
class Word:
    """``text`` is what the program gets as one argument; ``quoted`` tells that any of it stood in quotes.

    ``home``: it began with an unquoted tilde; the program gets the home directory's name in place of the dot with which
    ``text`` begins then. ``pattern``: it has wildcards, and is this one; whatever else in it means something in a
    pattern stands behind a backslash. ``printed`` are the lines whose output stands at each mark ``PRINTED``, in order.
    """

    text: str
    quoted: bool = False
    home: bool = False
    pattern: str = ""
    printed: tuple[Line, ...] = ()

    @property
    def live(self) -> bool:
        """Whether only the host knows what the word is."""
        return STATUS in self.text or PRINTED in self.text


@dataclass(frozen=True, slots=True)
class Redirection:
    """``descriptor`` is 0 to 2; ``operator`` ``>``, ``>>``, ``<`` or ``>&``; ``target`` a path, after ``>&`` 1 or 2;
    ``home`` as with words."""

    descriptor: int
    operator: str
    target: str
    home: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments; ``words[0]`` names it. ``environment`` are words NAME=VALUE, for it alone."""

    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...] = ()
    environment: tuple[Word, ...] = ()

    @property
    def name(self) -> str:
        return self.words[0].text

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words[1:])


@dataclass(frozen=True, slots=True)
class Group:
    """A line in parentheses (``apart``: in a shell of its own) or braces."""

    line: Line
    apart: bool
    redirections: tuple[Redirection, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """if, elif, else: conditions with what is run where they hold, and what is run where none does."""

    branches: tuple[tuple[Line, Line], ...]
    otherwise: Line = ()
    redirections: tuple[Redirection, ...] = ()


Part = Command | Group | Choice


@dataclass(frozen=True, slots=True)
class Pipeline:
    parts: tuple[Part, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A pipeline, and how it is joined to the one before it: ``;``, ``&&`` or ``||``."""

    operator: str
    pipeline: Pipeline


Line = tuple[Step, ...]


def commands(line: Line) -> Iterator[Command]:
    """Every command of a line, in the order in which they stand."""
    for step in line:
        for part in step.pipeline.parts:
            if isinstance(part, Command):
                yield part
            elif isinstance(part, Group):
                yield from commands(part.line)
            else:
                for condition, body in part.branches:
                    yield from commands(condition)
                    yield from commands(body)
                yield from commands(part.otherwise)


def write(line: Line) -> str:
    """The line as text that every POSIX shell reads back as exactly these words."""
    written = ""
    for step in line:
        between = "" if not written else "; " if step.operator == ";" else f" {step.operator} "
        written += between + _pipeline(step.pipeline)
    return written


def _pipeline(pipeline: Pipeline) -> str:
    return ("! " if pipeline.negated else "") + " | ".join(map(_part, pipeline.parts))


def _part(part: Part) -> str:
    if isinstance(part, Command):
        return _command(part)
    if isinstance(part, Group):
        inside = write(part.line)
        text = f"( {inside} )" if part.apart else f"{{ {inside}; }}"
    else:
        pieces = [f"if {write(condition)}; then {write(body)}; " for condition, body in part.branches]
        last = f"else {write(part.otherwise)}; " if part.otherwise else ""
        text = "el".join(pieces) + last + "fi"
    return " ".join((text, *map(_redirection, part.redirections)))


def _command(command: Command) -> str:
    words = [_setting(word) for word in command.environment]
    first, *others = command.words
    words.append(f"'{first.text}'" if first.text in RESERVED else written_word(first))
    words += map(written_word, others)
    words += map(_redirection, command.redirections)
    return " ".join(words)


def _setting(word: Word) -> str:
    name, _, value = word.text.partition("=")
    return f"{name}={shlex.quote(value)}"


def _redirection(redirection: Redirection) -> str:
    number = "" if redirection.descriptor == usual(redirection.operator) else str(redirection.descriptor)
    target = redirection.target
    if redirection.operator != ">&":
        target = written_word(Word(target, home=redirection.home))
    return f"{number}{redirection.operator}{target}"


def written_word(word: Word) -> str:
    """The word in quotes where it needs them."""
    if word.home:
        rest = word.text.removeprefix(".").removeprefix("/")
        return "~" if word.text == "." else f"~/{shlex.quote(rest) if rest else ''}"
    if not word.live:
        return shlex.quote(word.text)
    lines = iter(word.printed)
    written = []
    for piece in re.split(f"([{STATUS}{PRINTED}])", word.text):
        if piece == STATUS:
            written.append('"$?"')
        elif piece == PRINTED:
            written.append(f'"$( {write(next(lines))} )"')
        elif piece:
            written.append(shlex.quote(piece))
    return "".join(written)


def usual(operator: str) -> int:
    """The descriptor that an operator without a number means."""
    return 0 if operator == "<" else 1
