"""A shell line, read: text to the tree of :mod:`blastwall.shell.grammar`, or the reason why not. Pure."""

from __future__ import annotations

import re
from typing import Final

from blastwall.shell.grammar import (
    LONGEST,
    MOST_COMMANDS,
    MOST_OF_ALL,
    MOST_WORDS,
    RESERVED,
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
from blastwall.shell.words import ENDS_WORD, NAME, Scope, Words

DEEPEST: Final = 8  # groups, loops and lines put in, one in another

_PRINTABLE: Final = frozenset(chr(code) for code in range(0x20, 0x7F)) | {"\t", "\n"}
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


class _Reader(Words):
    """One pass over the text, character by character; the body of a loop is passed once for each of its words."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._words = 0
        self._commands = 0

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
        found = NAME.match(self._text, self._at)
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
        self._scope = Scope(outer.names, outer.depth + 1, plain=False)
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
        found = NAME.match(self._text, self._at)
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
                found = NAME.match(self._text, self._at)
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
