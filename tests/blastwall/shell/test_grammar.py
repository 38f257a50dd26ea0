"""The grammar against real shells: what is accepted means to them what it means to us, before and after rewriting."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.shell.grammar import LONGEST, MOST_COMMANDS, MOST_WORDS, Unreadable, Word, commands, write
from blastwall.shell.reading import parse

SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ls -la /var/log", "ls -la /var/log"),
        ("  ls\t-l  ", "ls -l"),
        ("r''m -rf /x", "rm -rf /x"),
        ("echo 'a b'\"c d\"e", "echo 'a bc de'"),
        ("echo ''", "echo ''"),
        ("cat a.txt 2>&1 | sort | uniq -c", "cat a.txt 2>&1 | sort | uniq -c"),
        ("a >/dev/null 2>&1", "a >/dev/null 2>&1"),
        ("a >> 'b c'", "a >>'b c'"),
        ("ls ~", "ls ~"),
        ("ls ~/", "ls ~/"),
        ("cat ~/a.txt | tee ~/'b c'", "cat ~/a.txt | tee ~/'b c'"),
        ("cat ~//a ~/-n '~/x'", "cat ~//a ~/-n '~/x'"),
        ("a >~/f", "a >~/f"),
        ("a2>f", "a2 >f"),
        ("echo 2 >f", "echo 2 >f"),
        ("wc -l <f", "wc -l <f"),
        ("a >f b <g", "a b >f <g"),
        ("a &>f", "a >f 2>&1"),
        ("a &>>f", "a >>f 2>&1"),
        ("a>&2", "a >&2"),
        ("a;b", "a; b"),
        ("a\n\nb\n", "a; b"),
        ("a;", "a"),
        ("a && b || c; d", "a && b || c; d"),
        ("a &&\n b", "a && b"),
        ("a |\n b", "a | b"),
        ("a \\\n b", "a b"),
        ("a # b; c\nd", "a; d"),
        ("echo a#b", "echo 'a#b'"),
        ("! a | b", "! a | b"),
        ("(a;b)>f", "( a; b ) >f"),
        ("{ a; b; } | c", "{ a; b; } | c"),
        ("if a; then b; elif c\nthen d; else e; fi | f", "if a; then b; elif c; then d; else e; fi | f"),
        ('for f in a \'b c\'; do x "$f" "${f}.txt"; done', "{ x a a.txt; x 'b c' 'b c.txt'; }"),
        ("for f in a b; do for g in 1 2; do x $f$g; done; done", "{ { x a1; x a2; }; { x b1; x b2; }; }"),
        ("for d in ~ ~/a; do ls $d; done", "{ ls ~; ls ~/a; }"),
        ('d=/a/b; ls $d "${d}/c"', "ls /a/b /a/b/c"),
        ("d=~/a && ls $d/b '$d'", "ls ~/a/b '$d'"),
        ("a=1; a=2; x $a", "x 2"),
        ("LC_ALL=C sort", "LC_ALL=C sort"),
        ("A='b c' d", "A='b c' d"),
        ("[ -f x ] && y", "test -f x && y"),
        ("[ ! -f x ]", "test '!' -f x"),
        ('x "$HOME" $HOME/a ${HOME}/b "$HOME/c d"', "x ~ ~/a ~/b ~/'c d'"),
        ("x $?", 'x "$?"'),
        ('x "a $? b"', "x 'a '\"$?\"' b'"),
        ('x "$(a; b | c)"', 'x "$( a; b | c )"'),
        ('x "a $( (y) ) \\"b\\" \\$c $"', "x 'a '\"$( ( y ) )\"' \"b\" $c $'"),
        ("x a\\ b \\* \\'", "x 'a b' '*' ''\"'\"''"),
        ("x a$ b~ c^ !", "x 'a$' 'b~' 'c^' '!'"),
        ("'if' a", "'if' a"),
        ("\\for a", "'for' a"),
        ("echo '|' '>'", "echo '|' '>'"),
        ("echo 'it'\"'\"'s'", "echo 'it'\"'\"'s'"),
    ],
)
def test_a_line_is_written_anew(text: str, written: str) -> None:
    assert write(parse(text)) == written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("|", "empty"),
        ("ls |", "empty"),
        ("ls & rm x", "'&'"),
        ("ls &", "'&'"),
        ("ls;;pwd", "';'"),
        ("ls; ; pwd", "empty"),
        ("; ls", "empty"),
        ("ls &&", "empty"),
        ("ls || ", "empty"),
        ("&& ls", "cannot begin"),
        ("a|&b", "plain pipe"),
        ("echo $x", "'$'"),
        ('echo "$x"', "does not set"),
        ('echo "`x`"', "double quotes"),
        ('echo "a\\"', "not closed"),
        ("echo a\\", "escapes nothing"),
        ("echo `x`", "'`'"),
        ("echo $(x)", "split into words"),
        ('echo "$((1))"', "meaning to the shell"),
        ('echo "${x#y}"', "meaning to the shell"),
        ("echo $'a'", "meaning to the shell"),
        ("echo $1", "meaning to the shell"),
        ("echo [[:alpha:]]", "'['"),
        ("* x", "no program's name"),
        ('a"$HOME"', "home directory"),
        ('echo "$HOME"x', "slash"),
        ('d=~; echo "$d"x', "slash"),
        ("a='b c'; echo $a", "take apart"),
        ("a=; echo $a", "take apart"),
        ("ls && a=b; echo $a", "No program"),
        ("ls || a=b", "No program"),
        ("a=b | ls", "No program"),
        ("( a=b )", "No program"),
        ("for f in a; do g=$f; done", "No program"),
        ("PATH=a; ls", "sets PATH"),
        ("HOME=a; ls ~", "sets HOME"),
        ("IFS=a; ls", "sets IFS"),
        ("a=$(ls); cat $a", "split into words"),
        ("a=*; ls $a", "only the host"),
        ("for f in *; do ls; done", "written out"),
        ("for f in a b; do cat $f; done; cat $f", "does not set"),
        ("for f; do ls; done", "'in'"),
        ("for f in a b; do done", "empty"),
        ("if ls; then pwd", "'fi'"),
        ("if; then pwd; fi", "empty"),
        ("while true; do ls; done", "'while'"),
        ("case a in a) ls;; esac", "'case'"),
        ("f() { ls; }", "'('"),
        ("[[ -f x ]]", "'[['"),
        ("[ -f x", "ends with ]"),
        ("((1))", "arithmetic"),
        ("( ls", "')'"),
        ("ls )", "')'"),
        ("{ ls }", "is not part"),
        ("{ ls; } x", "follows a group"),
        ("! ! ls", "begins '!'"),
        ("(" * 9 + "ls" + ")" * 9, "arithmetic"),
        ("( " * 9 + "ls" + ")" * 9, "groups"),
        ("ls;" * 65, "commands"),
        ("echo ~root", "'r'"),
        ("cat ~root/x", "'r'"),
        ("echo ~'a'", "tilde"),
        ("ls --file=~/x", "'~'"),
        ("{a,b}", "'{'"),
        ("!a", "'!'"),
        ("a=b", "empty"),
        ("'' a", "name is empty"),
        ("echo 'a\nb'", "line break"),
        ("ls\rrm", "U+000D"),
        ("ls \x00", "U+0000"),
        ("ls \x1b[2J", "U+001B"),
        ("ls \u2028 rm", "U+2028"),
        ("ls é", "U+00E9"),
        ("echo 'a", "not closed"),
        ('echo "a', "not closed"),
        ("cat <<EOF", "Here-documents"),
        ("cat <(x)", "process substitution"),
        ("cat >", "file's name"),
        ("a 3>f", "not 0, 1 or 2"),
        ("a 12>f", "not 0, 1 or 2"),
        ("a 2>&3", "descriptor"),
        ("a 2>&-", "descriptor"),
        ("a 2>&1x", "descriptor"),
        ("a 0>f", "other way round"),
        ("a 1<f", "other way round"),
        ("a >|f", "file's name"),
        ("a <>f", "file's name"),
        ("x" * (LONGEST + 1), "longer than"),
        (" ".join(["x"] * (MOST_WORDS + 1)), "words"),
        ("|".join(["x"] * (MOST_COMMANDS + 1)), "commands"),
    ],
)
def test_what_the_grammar_does_not_hold_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=None) as refused:
        parse(text)
    assert says in str(refused.value)


_WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
_PIECES = st.sampled_from(
    [
        "a",
        "-x",
        "--y=1",
        "'q r'",
        '"d d"',
        "''",
        "|",
        " ",
        "  ",
        ">",
        ">>",
        "<",
        "2>&1",
        "1",
        "2",
        "f",
        ".",
        "~",
        "~/",
        "/",
        "'",
        '"',
        ";",
        "; dump ",
        " && dump ",
        " || dump -f ",
        "\ndump",
        " # ",
        "\\",
        "\\ ",
        "$HOME",
        '"$HOME"',
        "~/b",
        "&>f",
        "!",
        "^",
        "#",
        "$",
    ]
)
_LINES = st.lists(_PIECES, max_size=12).map("".join) | _WORDS


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_the_same_words(shell: str, tmp_path: Path) -> None:
    """Programs are replaced by one that writes down its arguments and which files it was given: what the client's line
    and ours make of them must be the same, and what the parser says."""
    bench = _Bench(shell, tmp_path)

    @settings(max_examples=150, deadline=None)
    @given(_LINES)
    def compare(line: str) -> None:
        if shell == "sh" and "&>" in line:
            return  # there it is the end of a command in the background; ours means what bash's does
        text = "dump " + line
        try:
            read = parse(text)
        except Unreadable:
            return
        if any(command.name != "dump" or any(word.pattern for word in command.words) for command in commands(read)):
            return
        written = write(read)
        assert write(parse(written)) == written, "writing is stable"
        ours, theirs = bench.run(written), bench.run(text)
        assert ours == theirs
        files = [r.target for command in commands(read) for r in command.redirections if r.operator == "<"]
        if not files and all(
            r.target == "f" for command in commands(read) for r in command.redirections if r.operator != ">&"
        ):
            given = [[bench.given(word) for word in command.words[1:]] for command in commands(read)]
            assert "&&" in text or "||" in text or sorted(bench.last) == sorted(given)

    compare()


class _Bench:
    """A directory in which ``dump`` notes its arguments; everything a run leaves is compared."""

    def __init__(self, shell: str, place: Path) -> None:
        self.shell = shutil.which(shell) or shell
        self.place = place / shell
        self.bin = self.place / "bin"
        self.bin.mkdir(parents=True)
        self.last: list[list[str]] = []
        dump = self.bin / "dump"
        dump.write_text(
            '#!/bin/sh\n{ for word; do printf "%s\\n" "$word"; done; echo END; } >"$NOTES/$$"\necho out; echo err >&2\n'
            'case "$1" in -f) exit 1;; esac\n'
        )
        dump.chmod(0o755)

    def given(self, word: Word) -> str:
        """What a program is given for the word."""
        return f"{self.place}/work{word.text[1:]}" if word.home else word.text

    def run(self, text: str) -> str:
        work, notes = self.place / "work", self.place / "notes"
        for folder in (work, notes):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        done = subprocess.run(
            [self.shell, "-c", text],
            cwd=work,
            env={"PATH": f"{self.bin}:{os.defpath}", "NOTES": str(notes), "HOME": str(work)},
            capture_output=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.last = [note.read_text().split("\n")[:-2] for note in notes.iterdir()]
        files = {str(file.relative_to(work)): file.read_text() for file in work.rglob("*") if file.is_file()}
        return json.dumps([done.stdout.decode(), sorted(self.last), files, done.returncode], sort_keys=True)
