"""The small part of the shell's grammar that the gateway vouches for, and the same line written anew.

Filtering a shell string is hopeless: bash and dash evaluate arithmetic in subscripts, expand braces, and give words to
programs that run words. So a line is accepted only in a form in which every character's meaning is settled, taken
apart, judged word by word, and sent on as a text of our own making (:func:`write`), never as the client's bytes::

    line    := command ( '|' command )*
    command := word+ redirection*
    word    := [ ~ | ~/ ] ( bare | '...' | "..." )*   without a space in between they are one word
    bare    := [A-Za-z0-9_@%+=:,./-]+
    redirection := 2>&1 | [2]>/dev/null | [2]>/dev/stdout ... | > word | >> word | < word

Inside double quotes ``$``, backtick, backslash and ``!`` are not accepted; nowhere is a control character, a line break
or anything beyond ASCII. POSIX.1-2024, Shell Command Language, 2.2 Quoting, 2.7 Redirection, 2.9.2 Pipelines.
"""

from __future__ import annotations

import shlex
import string
from dataclasses import dataclass
from typing import Final

from blastwall.errors import ClientFault

LONGEST: Final = 8192  # characters of a line: what a person can still be asked to read
MOST_WORDS: Final = 512
MOST_COMMANDS: Final = 16  # in one pipeline

_BARE: Final = frozenset(string.ascii_letters + string.digits + "_@%+=:,./-")
_LIVE_IN_DOUBLE: Final = frozenset('$`\\!"')
_PRINTABLE: Final = frozenset(chr(code) for code in range(0x20, 0x7F))


class Unreadable(ClientFault):
    """The line is outside the grammar. ``str()`` says where and what to write instead; it is shown to the agent."""


@dataclass(frozen=True, slots=True)
class Word:
    """``text`` is what the program gets as one argument; ``quoted`` tells that any of it stood in quotes.

    ``home``: it began with an unquoted tilde; the program gets the home directory's name in place of the dot with which
    ``text`` begins then. A command runs in that directory, so both name the same file.
    """

    text: str
    quoted: bool = False
    home: bool = False


@dataclass(frozen=True, slots=True)
class Redirection:
    """``descriptor`` is 0 to 2; ``operator`` ``>``, ``>>``, ``<`` or ``>&``; ``target`` a path, after ``>&`` 1 or 2."""

    descriptor: int
    operator: str
    target: str


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its arguments; ``words[0]`` names it."""

    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...] = ()

    @property
    def name(self) -> str:
        return self.words[0].text

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words[1:])


def parse(text: str) -> tuple[Command, ...]:
    """The commands of a pipeline. Raises Unreadable for everything the grammar above does not hold."""
    if len(text) > LONGEST:
        raise Unreadable(f"The line is longer than {LONGEST} characters; send the work as a file, or in steps.")
    for place, character in enumerate(text):
        if character not in _PRINTABLE and character != "\t":
            raise Unreadable(f"Character {place + 1} (U+{ord(character):04X}) is not printable ASCII; leave it out.")
    return _Reader(text).line()


def write(commands: tuple[Command, ...]) -> str:
    """The pipeline as text that every POSIX shell reads back as exactly these words."""
    return " | ".join(_written(command) for command in commands)


def _written(command: Command) -> str:
    words = [_word(word) for word in command.words]
    for redirection in command.redirections:
        number = "" if redirection.descriptor == _usual(redirection.operator) else str(redirection.descriptor)
        target = redirection.target if redirection.operator == ">&" else shlex.quote(redirection.target)
        words.append(f"{number}{redirection.operator}{target}")
    return " ".join(words)


def _word(word: Word) -> str:
    if not word.home:
        return shlex.quote(word.text)
    rest = word.text.removeprefix(".").removeprefix("/")
    return "~" if word.text == "." else f"~/{shlex.quote(rest) if rest else ''}"


def _usual(operator: str) -> int:
    return 0 if operator == "<" else 1


class _Reader:
    """One pass over the text, character by character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._words = 0

    def line(self) -> tuple[Command, ...]:
        commands = [self._command()]
        while self._peek() == "|":
            self._at += 1
            if self._peek(raw=True) in ("|", "&"):
                raise self._stop("only a plain pipe joins commands", "Send one command at a time.")
            commands.append(self._command())
            if len(commands) > MOST_COMMANDS:
                raise Unreadable(f"More than {MOST_COMMANDS} commands in one pipeline; send the work in steps.")
        if self._at < len(self._text):
            raise self._stop("is not part of a word here", "Send one pipeline; put quotes around words with spaces.")
        return tuple(commands)

    def _command(self) -> Command:
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            character = self._peek()
            if character in ("", "|"):
                break
            redirection = self._redirection()
            if redirection is not None:
                redirections.append(redirection)
                continue
            if redirections:
                raise self._stop("follows a redirection", "Write redirections at the end of the command.")
            word = self._word()
            if word is None:
                break
            words.append(word)
            self._words += 1
            if self._words > MOST_WORDS:
                raise Unreadable(f"More than {MOST_WORDS} words; send the work in steps.")
        if not words:
            if self._at < len(self._text) and self._text[self._at] != "|":
                raise self._stop("cannot begin a command", "Begin with the program's name.")
            raise Unreadable("A command is empty: name a program.")
        name = words[0]
        if "=" in name.text:
            raise Unreadable(f"{name.text!r} sets a variable for a program; leave it out.")
        if not name.text:
            raise Unreadable("The program's name is empty.")
        return Command(tuple(words), tuple(redirections))

    def _word(self) -> Word | None:
        parts: list[str] = []
        quoted = False
        start = self._at
        home = self._text[start : start + 1] == "~"
        if home:
            self._at += 1
            if self._text[self._at : self._at + 1] not in ("", "/", *" \t|<>"):
                raise self._stop("follows a tilde", "Name the directory; only your own, ~ or ~/..., is read.")
            parts.append(".")
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in _BARE:
                parts.append(character)
                self._at += 1
            elif character == "'":
                parts.append(self._quoted(character, frozenset()))
                quoted = True
            elif character == '"':
                parts.append(self._quoted(character, _LIVE_IN_DOUBLE - {'"'}))
                quoted = True
            else:
                break
        if self._at == start:
            return None
        if not quoted and self._text[self._at : self._at + 1] in ("<", ">") and "".join(parts).isdigit():
            raise self._stop("redirects a descriptor that is not 0, 1 or 2", "Leave it out.")
        if self._at < len(self._text) and self._text[self._at] not in " \t|<>":
            raise self._stop("has a meaning to the shell", "Put single quotes around the word if it is meant as text.")
        return Word("".join(parts), quoted, home)

    def _quoted(self, quote: str, forbidden: frozenset[str]) -> str:
        end = self._text.find(quote, self._at + 1)
        if end < 0:
            raise Unreadable(f"The quote at character {self._at + 1} is not closed.")
        inside = self._text[self._at + 1 : end]
        for character in inside:
            if character in forbidden:
                raise Unreadable(
                    f"{character!r} inside double quotes means something to the shell; use single quotes for text."
                )
        self._at = end + 1
        return inside

    def _redirection(self) -> Redirection | None:
        at = self._at
        descriptor = -1
        if self._text[at] in "012" and self._text[at + 1 : at + 2] in ("<", ">") and self._text[at + 1 : at + 2]:
            descriptor = int(self._text[at])
            at += 1
        if self._text[at : at + 1] not in ("<", ">") or not self._text[at : at + 1]:
            return None
        operator = self._text[at]
        at += 1
        if operator == ">" and self._text[at : at + 1] == ">":
            operator, at = ">>", at + 1
        elif operator == ">" and self._text[at : at + 1] == "&":
            operator, at = ">&", at + 1
        self._at = at
        if descriptor < 0:
            descriptor = _usual(operator)
        if operator == ">&":
            target = self._text[at : at + 1]
            after = self._text[at + 1 : at + 2]
            if target not in ("1", "2") or (after and after not in " \t|"):
                raise self._stop("is not a descriptor that may be joined", "Only 2>&1 and 1>&2 are read.")
            self._at += 1
            return Redirection(descriptor, operator, target)
        if (operator == "<") != (descriptor == 0):
            raise self._stop("redirects a descriptor the other way round", "Read into 0, write from 1 or 2.")
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._at += 1
        word = self._word()
        if word is None or not word.text:
            raise self._stop("should be a file's name", "Here-documents and process substitution are not read.")
        return Redirection(descriptor, operator, word.text)

    def _peek(self, *, raw: bool = False) -> str:
        """The next character that is not white space (``raw``: the next one), "" at the end."""
        while not raw and self._text[self._at : self._at + 1] in (" ", "\t") and self._at < len(self._text):
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _stop(self, why: str, instead: str) -> Unreadable:
        shown = repr(self._text[self._at]) if self._at < len(self._text) else "the end"
        return Unreadable(f"Character {self._at + 1}, {shown}, {why}. {instead}")
