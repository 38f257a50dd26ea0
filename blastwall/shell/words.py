"""A shell line's characters and words: what stands in quotes and behind dollar signs, and what a word means. Pure."""

from __future__ import annotations

import re
import string
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from blastwall.shell.grammar import PRINTED, RESERVED, STATUS, Line, Unreadable, Word

BLANK: Final = " \t"
ENDS_WORD: Final = " \t\n|<>;&)"
NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")

_BARE: Final = frozenset(string.ascii_letters + string.digits + "_@%+=:,./-")
_LITERAL: Final = frozenset("^]~#!")  # inside a word: in its beginning, and ~ after = and :, some shells read them
_ESCAPED: Final = frozenset('$`"\\')  # what a backslash takes its meaning in double quotes
_CLASS: Final = re.compile(r"\[!?[A-Za-z0-9_.-]+\]")
_FIRST: Final = re.compile(r"[^\s|<>;&()'\"\\$]+")


@dataclass(slots=True)
class Scope:
    """What is around: names given, how deep, and whether all that stands here is run, so that names may be given."""

    names: dict[str, Word]
    depth: int = 0
    plain: bool = True


class Words(ABC):
    """Reads words where it stands in a text. What stands in ``"$(...)"`` is a line again, for whoever reads lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._scope = Scope({})

    @abstractmethod
    def _inside(self, ends: frozenset[str]) -> Line:
        """The line that stands here, inside something, up to a closing parenthesis or one of the words ``ends``."""

    def _word(self) -> Word | None:
        """The word that stands here; None: none does. Raises Unreadable."""
        parts: list[str] = []
        shape: list[str] = []  # the same as a pattern
        printed: list[Line] = []
        quoted = magic = False
        start = self._at
        home = self._next() == "~"
        if home:
            self._at += 1
            if self._next() not in ("", "/", *ENDS_WORD):
                raise self._stop("follows a tilde", "Name the directory; only your own, ~ or ~/..., is read.")
            parts.append(".")
            shape.append(".")
        elif self._next() == "#":
            raise self._stop("begins a comment", "Leave it out.")
        while self._at < len(self._text):
            character = self._next()
            if character in _BARE or (
                character in _LITERAL and (self._at > start or character == "]" or character == "!")
            ):
                if character == "~" and parts and parts[-1][-1:] in ("=", ":"):
                    raise self._stop("has a meaning to some shells", "Put single quotes around the word.")
                parts.append(character)
                shape.append(f"\\{character}" if character in "]!^" else character)
                self._at += 1
            elif character in "'\"":
                inside, lines, at_home = self._quoted(character, first=not parts)
                home = home or at_home
                parts.append(inside)
                shape.append(re.sub(r"([\\*?\[\]!^])", r"\\\1", inside))
                printed += lines
                quoted = True
            elif character == "\\":
                escaped = self._text[self._at + 1 : self._at + 2]
                if not escaped:
                    raise self._stop("escapes nothing", "Leave it out.")
                self._at += 2
                if escaped != "\n":
                    parts.append(escaped)
                    shape.append(f"\\{escaped}")
                    quoted = True
            elif character == "$":
                value, at_home, _ = self._expanded(first=not parts, within=False)
                home = home or at_home
                parts.append(value)
                shape.append(value)
            elif self._text[self._at : self._at + 2] == "{}":
                parts.append("{}")
                shape.append("{}")
                self._at += 2
            elif character in "*?":
                magic = True
                parts.append(character)
                shape.append(character)
                self._at += 1
            elif character == "[" and (found := _CLASS.match(self._text, self._at)) is not None:
                magic = True
                parts.append(found[0])
                shape.append(found[0])
                self._at = found.end()
            else:
                break
        if self._at == start:
            return None
        text = "".join(parts)
        if not quoted and self._next() in ("<", ">") and self._next() and text.isdigit():
            raise self._stop("redirects a descriptor that is not 0, 1 or 2", "Leave it out.")
        if self._at < len(self._text) and self._next() not in ENDS_WORD:
            raise self._stop("has a meaning to the shell", "Put single quotes around the word if it is meant as text.")
        word = Word(text, quoted, home, "".join(shape) if magic else "", tuple(printed))
        if home and text != "." and not text.startswith("./"):
            raise Unreadable(f"Something follows the home directory in {text[:40]!r} without a slash; write one.")
        if word.live and (home or magic):
            raise Unreadable(f"What {text[:40]!r} is only the host knows; send it in steps.")
        return word

    def _quoted(self, quote: str, *, first: bool) -> tuple[str, list[Line], bool]:
        """What stands in quotes, the lines whose output it holds, and whether it begins with the home directory."""
        opened = self._at
        self._at += 1
        parts: list[str] = []
        printed: list[Line] = []
        home = False
        while True:
            character = self._next()
            if not character:
                raise Unreadable(f"The quote at character {opened + 1} is not closed.")
            if character == quote:
                self._at += 1
                return "".join(parts), printed, home
            if character == "\n":
                raise self._stop("a line break stands in quotes", "Write the text on one line.")
            if quote == '"' and character == "\\":
                escaped = self._text[self._at + 1 : self._at + 2]
                self._at += 2
                if escaped != "\n":
                    parts.append(escaped if escaped in _ESCAPED else f"\\{escaped}")
                if not escaped:
                    raise Unreadable(f"The quote at character {opened + 1} is not closed.")
            elif quote == '"' and character == "$":
                value, at_home, line = self._expanded(first=first and not parts, within=True)
                home = home or at_home
                parts.append(value)
                printed += line
            elif quote == '"' and character == "`":
                raise self._stop("runs a command inside double quotes", "Write $(...), or single quotes for text.")
            else:
                parts.append(character)
                self._at += 1

    def _expanded(self, *, first: bool, within: bool) -> tuple[str, bool, list[Line]]:
        """What a dollar sign stands for: text, whether it is the home directory, and what line prints it."""
        rest = self._text[self._at + 1 :]
        if rest.startswith("?"):
            self._at += 2
            return STATUS, False, []
        if rest.startswith("(") and not rest.startswith("(("):
            if not within:
                raise self._stop("is split into words by the shell", 'Put double quotes around it: "$(...)".')
            self._at += 2
            line = self._inside(frozenset())
            self._expect(")")
            return PRINTED, False, [line]
        found = re.match(r"\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)", rest)
        if found is None:
            if rest[:1] in ("", " ", "\t", "\n", *(('"', "/", ",", ".", "|", ")") if within else ())):
                self._at += 1
                return "$", False, []  # stands for itself
            raise self._stop("has a meaning to the shell", "Use single quotes for text.")
        name = found[1] or found[2]
        if name == "HOME":
            if not first or self._text[self._at + 1 + found.end() :][:1] not in ("", "/", '"', *ENDS_WORD):
                raise self._stop("the home directory stands inside a word", "Begin the word with it.")
            self._at += 1 + found.end()
            return ".", True, []
        word = self._scope.names.get(name)
        if word is None:
            raise self._stop(f"puts in ${name}, which this line does not set", "Write out the value.")
        if (word.home and not first) or (not within and (not word.text or not _BARE.issuperset(word.text))):
            raise self._stop(f"puts in ${name}, which the shell would take apart here", f'Write "${{{name}}}".')
        self._at += 1 + found.end()
        return word.text, word.home, []

    # -- characters

    def _next(self) -> str:
        """The next character, "" at the end."""
        return self._text[self._at : self._at + 1]

    def _pass_blanks(self) -> None:
        while self._next() and (self._next() in BLANK or self._text[self._at : self._at + 2] == "\\\n"):
            self._at += 1 if self._next() in BLANK else 2
        if self._next() == "#" and (self._at == 0 or self._text[self._at - 1] in ENDS_WORD):
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end

    def _pass_breaks(self) -> None:
        self._pass_blanks()
        while self._next() == "\n":
            self._at += 1
            self._pass_blanks()

    def _keyword(self) -> str:
        """The word that stands here, where a command begins, if it has a meaning of its own; it is not passed."""
        found = _FIRST.match(self._text, self._at)
        return found[0] if found is not None and found[0] in (RESERVED | {"in"}) else ""

    def _expect(self, word: str) -> None:
        self._pass_blanks()
        if (self._next() if word == ")" else self._keyword()) != word:
            raise self._stop(f"stands where {word!r} should", "Write the whole of it.")
        self._at += len(word)

    def _stop(self, why: str, instead: str) -> Unreadable:
        shown = repr(self._text[self._at]) if self._at < len(self._text) else "the end"
        return Unreadable(f"Character {self._at + 1}, {shown}, {why}. {instead}")
