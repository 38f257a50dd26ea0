"""A shell line, read: text to the tree of :mod:`blastwall.shell.grammar`, or the reason why not. Pure."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Final

from blastwall.shell.grammar import (
    LONGEST,
    MOST_COMMANDS,
    MOST_OF_ALL,
    MOST_WORDS,
    PRINTED,
    RESERVED,
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
    usual,
)

DEEPEST: Final = 8  # groups, loops and lines put in, one in another
BLANK: Final = " \t"
ENDS_WORD: Final = " \t\n|<>;&)"

_BARE: Final = frozenset(string.ascii_letters + string.digits + "_@%+=:,./-")
_LITERAL: Final = frozenset("^]~#!")  # inside a word: in its beginning, and ~ after = and :, some shells read them
_PRINTABLE: Final = frozenset(chr(code) for code in range(0x20, 0x7F)) | {"\t", "\n"}
_ESCAPED: Final = frozenset('$`"\\')  # what a backslash takes its meaning in double quotes
_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_CLASS: Final = re.compile(r"\[!?[A-Za-z0-9_.-]+\]")
_FIRST: Final = re.compile(r"[^\s|<>;&()'\"\\$]+")
#: Names that shells or programs give a meaning: what is put in by our hand would be missed there, or not mean the same.
_TAKEN: Final = re.compile(
    r"PATH|HOME|IFS|ENV|CDPATH|OLDPWD|PWD|SHELL|TERM|USER|LOGNAME|MAIL.*|TMPDIR|TZ.*|LANG|LANGUAGE|LC_.*|LD_.*|DYLD_.*|"
    r"BASH.*|PS[0-4]|PROMPT.*|HIST.*|OPT.*|SHELLOPTS|UID|EUID|PPID|RANDOM|SECONDS|LINENO|REPLY|FUNCNAME|GLOB.*|FIGNORE|"
    r"PAGER|.*_PAGER|EDITOR|VISUAL|BROWSER|GIT_.*|SSH_.*|PYTHON.*|PERL.*|NODE_.*|JAVA_.*|.*_OPTS|.*_OPTIONS|.*_COLORS?|"
    r"LESS.*|POSIXLY_CORRECT|COLUMNS|LINES|argv|path|status|pipestatus|options|commands|aliases|functions|fpath|cdpath"
)


def parse(text: str) -> Line:
    """The line. Raises Unreadable for everything the grammar does not hold."""
    if len(text) > LONGEST:
        raise Unreadable(f"The line is longer than {LONGEST} characters; send the work as a file, or in steps.")
    for place, character in enumerate(text):
        if character not in _PRINTABLE:
            raise Unreadable(f"Character {place + 1} (U+{ord(character):04X}) is not printable ASCII; leave it out.")
    return _Reader(text).whole()


@dataclass(slots=True)
class _Scope:
    """What is around: names given, how deep, and whether all that stands here is run, so that names may be given."""

    names: dict[str, Word]
    depth: int = 0
    plain: bool = True


class _Reader:
    """One pass over the text, character by character; the body of a loop is passed once for each of its words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._words = 0
        self._commands = 0
        self._scope = _Scope({})

    def whole(self) -> Line:
        line = self._line(frozenset())
        if self._at < len(self._text):
            raise self._stop("is not part of a line here", "Put quotes around words with such characters.")
        if not line:
            raise Unreadable("A command is empty: name a program.")
        return line

    # -- lines and what they are made of

    def _line(self, ends: frozenset[str]) -> Line:
        """Pipelines up to the end, to a closing parenthesis, or to one of the words ``ends`` where a command begins."""
        steps: list[Step] = []
        operator, sure = ";", True  # whether what comes next is run in any case
        while True:
            self._pass_breaks()
            if self._at >= len(self._text) or self._next() == ")" or self._keyword() in ends:
                if operator != ";":
                    raise Unreadable(f"A command is empty: nothing follows {operator}.")
                return tuple(steps)
            named = sure and self._scope.plain and self._naming()
            if not named:
                steps.append(Step(operator, self._pipeline()))
            after = self._separator()
            if after == "":
                return tuple(steps)
            if not named:
                operator, sure = after, after == ";"

    def _separator(self) -> str:
        """What joins this pipeline to the next, "" at the end of the line."""
        self._pass_blanks()
        character = self._next()
        two = self._text[self._at : self._at + 2]
        if two in ("&&", "||"):
            self._at += 2
            return two
        if character == "&":
            raise self._stop("would run it behind one's back", "Send one command after the other.")
        if character in (";", "\n"):
            if two == ";;":
                raise self._stop("ends nothing here", "Write one semicolon.")
            self._at += 1
            return ";"
        if character not in ("", ")"):
            raise self._stop("is not part of a word here", "Put quotes around words with such characters.")
        return ""

    def _naming(self) -> bool:
        """name=word in a command's place: kept, and not sent."""
        found = _NAME.match(self._text, self._at)
        if found is None or self._text[found.end() : found.end() + 1] != "=":
            return False
        start = self._at
        self._at = found.end() + 1
        word = self._word() if self._next() not in ("", *ENDS_WORD) else Word("")
        self._pass_blanks()
        if self._next() not in ("", ";", "\n") and self._text[self._at : self._at + 2] != "&&":
            self._at = start  # a command follows, for which it is set
            return False
        if _TAKEN.fullmatch(found[0]):
            self._at = start
            raise self._stop(f"sets {found[0]}, which means something to programs", "Leave it out.")
        if word is None or word.pattern or word.live:
            raise Unreadable(f"{found[0]} is given a value that only the host knows; write out the value.")
        self._scope.names[found[0]] = word
        return True

    def _pipeline(self) -> Pipeline:
        negated = False
        if self._keyword() == "!":
            self._at += 1
            negated = True
            self._pass_blanks()
        parts = [self._part()]
        while self._next() == "|" and self._text[self._at : self._at + 2] != "||":
            self._at += 1
            if self._next() == "&":
                raise self._stop("only a plain pipe joins commands", "Write 2>&1 | for both outputs.")
            self._pass_breaks()
            parts.append(self._part())
            if len(parts) > MOST_COMMANDS:
                raise Unreadable(f"More than {MOST_COMMANDS} commands in one pipeline; send the work in steps.")
        return Pipeline(tuple(parts), negated)

    def _part(self) -> Part:
        keyword = self._keyword()
        if self._next() == "(":
            if self._text[self._at + 1 : self._at + 2] == "(":
                raise self._stop("begins arithmetic", "Leave it out.")
            self._at += 1
            line = self._inside(frozenset())
            self._expect(")")
            return Group(line, True, self._redirections())
        if keyword == "{":
            return Group(self._body("{", "}"), False, self._redirections())
        if keyword == "if":
            return self._choice()
        if keyword == "for":
            return self._loop()
        if keyword in RESERVED:
            raise self._stop(f"begins {keyword!r}, which is the shell's own", "Write plain commands, if or for.")
        return self._command()

    def _body(self, opening: str, closing: str) -> Line:
        self._at += len(opening)
        line = self._inside(frozenset({closing}))
        self._expect(closing)
        return line

    def _inside(self, ends: frozenset[str]) -> Line:
        """A line that stands inside something: what is in it may not be run, so it gives no names."""
        outer = self._scope
        self._scope = _Scope(outer.names, outer.depth + 1, plain=False)
        if self._scope.depth > DEEPEST:
            raise Unreadable(f"More than {DEEPEST} groups stand in one another; send the work in steps.")
        line = self._line(ends)
        self._scope = outer
        if not line:
            raise Unreadable("A command is empty: name a program.")
        return line

    def _choice(self) -> Choice:
        branches: list[tuple[Line, Line]] = []
        otherwise: Line = ()
        opening = "if"
        while opening in ("if", "elif"):
            self._at += len(opening)
            condition = self._inside(frozenset({"then"}))
            self._expect("then")
            body = self._inside(frozenset({"elif", "else", "fi"}))
            branches.append((condition, body))
            opening = self._keyword()
        if opening == "else":
            otherwise = self._body("else", "fi")
        else:
            self._expect("fi")
        return Choice(tuple(branches), otherwise, self._redirections())

    def _loop(self) -> Group:
        self._at += len("for")
        self._pass_blanks()
        found = _NAME.match(self._text, self._at)
        if found is None or _TAKEN.fullmatch(found[0]):
            raise self._stop("should be a name for the loop's words", "Write for f in a b; do ...; done.")
        self._at = found.end()
        self._pass_blanks()
        self._expect("in")
        words: list[Word] = []
        while True:
            self._pass_blanks()
            word = self._word()
            if word is None:
                break
            if word.pattern or word.live:
                raise Unreadable("A loop's words must be written out: what only the host knows is not read there.")
            words.append(word)
        if self._next() not in (";", "\n") or not words:
            raise self._stop("should end the loop's words", "Write for f in a b; do ...; done.")
        self._at += 1
        self._pass_breaks()
        self._expect("do")
        start = self._at
        names = self._scope.names
        steps: list[Step] = []
        for word in words:
            self._at = start
            self._scope.names = {**names, found[0]: word}
            steps += self._inside(frozenset({"done"}))
            self._expect("done")
        self._scope.names = {name: word for name, word in names.items() if name != found[0]}
        return Group(tuple(steps), False, self._redirections())

    def _command(self) -> Command:
        words: list[Word] = []
        redirections: list[Redirection] = []
        environment: list[Word] = []
        start = self._at
        while True:
            self._pass_blanks()
            if self._next() in ("", "|", ";", "\n", "&", ")") and self._text[self._at : self._at + 2] != "&>":
                break
            redirection = self._redirection()
            if redirection:
                redirections += redirection
                continue
            if not words:
                found = _NAME.match(self._text, self._at)
                if found is not None and self._text[found.end() : found.end() + 1] == "=":
                    environment.append(self._setting())
                    continue
                if self._next() == "!":
                    raise self._stop("cannot begin a command", "Begin with the program's name.")
                if self._text[self._at : self._at + 2] in ("[ ", "[\t"):
                    self._at += 1
                    words.append(Word("["))
                    continue
            word = self._word()
            if word is None:
                break
            words.append(word)
            self._words += 1
            if self._words > MOST_WORDS:
                raise Unreadable(f"More than {MOST_WORDS} words; send the work in steps.")
        if not words:
            if environment or redirections:
                raise Unreadable(f"No program follows {self._text[start : self._at].strip()[:60]!r}; name one.")
            if self._at < len(self._text) and self._next() not in ("|", ";", "\n", ")"):
                raise self._stop("cannot begin a command", "Begin with the program's name.")
            raise Unreadable("A command is empty: name a program.")
        self._commands += 1
        if self._commands > MOST_OF_ALL:
            raise Unreadable(f"More than {MOST_OF_ALL} commands; send the work in steps.")
        name = words[0]
        if name.pattern or name.live or "=" in name.text:
            raise Unreadable(f"{name.text!r} is no program's name; write the name as it is.")
        if not name.text:
            raise Unreadable("The program's name is empty.")
        if name.text == "[" and not name.quoted:
            if words[-1] != Word("]"):
                raise Unreadable("A test in brackets ends with ].")
            words = [Word("test"), *words[1:-1]]
        return Command(tuple(words), tuple(redirections), tuple(environment))

    def _setting(self) -> Word:
        """NAME=word before a program."""
        word = self._word()
        if word is None or word.pattern or word.live:
            raise Unreadable("A variable is given a value that only the host knows; write out the value.")
        return word

    # -- words

    def _word(self) -> Word | None:
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

    # -- redirections

    def _redirections(self) -> tuple[Redirection, ...]:
        found: list[Redirection] = []
        while True:
            self._pass_blanks()
            more = self._redirection()
            if not more:
                break
            found += more
        if self._next() not in ("", *ENDS_WORD) or self._next() in ("<", ">"):
            raise self._stop("follows a group", "Join commands with ; or |.")
        return tuple(found)

    def _redirection(self) -> list[Redirection]:
        at = self._at
        descriptor = -1
        both = self._text[at : at + 2] == "&>"
        if both:
            at += 1
        elif self._text[at : at + 1] in ("0", "1", "2") and self._text[at + 1 : at + 2] in ("<", ">"):
            descriptor = int(self._text[at])
            at += 1
        operator = self._text[at : at + 1]
        if operator not in ("<", ">"):
            return []
        at += 1
        if operator == ">" and self._text[at : at + 1] == ">":
            operator, at = ">>", at + 1
        elif operator == ">" and self._text[at : at + 1] == "&" and not both:
            operator, at = ">&", at + 1
        self._at = at
        if descriptor < 0:
            descriptor = usual(operator)
        if operator == ">&":
            target = self._text[at : at + 1]
            after = self._text[at + 1 : at + 2]
            if target not in ("1", "2") or (after and after not in ENDS_WORD) or descriptor == 0:
                raise self._stop("is not a descriptor that may be joined", "Only 2>&1 and 1>&2 are read.")
            self._at += 1
            return [Redirection(descriptor, operator, target)]
        if (operator == "<") != (descriptor == 0):
            raise self._stop("redirects a descriptor the other way round", "Read into 0, write from 1 or 2.")
        self._pass_blanks()
        word = self._word()
        if word is None or not word.text or word.pattern or word.live:
            raise self._stop("should be a file's name", "Here-documents and process substitution are not read.")
        found = [Redirection(descriptor, operator, word.text, word.home)]
        return [*found, Redirection(2, ">&", "1")] if both else found

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
