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

from blastwall.shell.grammar import LONGEST, MOST_COMMANDS, MOST_WORDS, Unreadable, parse, write

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
        ("a >~/f", "a >./f"),
        ("a2>f", "a2 >f"),
        ("echo 2 >f", "echo 2 >f"),
        ("wc -l <f", "wc -l <f"),
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
        ("ls; rm x", "';'"),
        ("ls && rm x", "'&'"),
        ("ls & rm x", "'&'"),
        ("a||b", "plain pipe"),
        ("a|&b", "plain pipe"),
        ("echo $x", "'$'"),
        ('echo "$x"', "double quotes"),
        ('echo "`x`"', "double quotes"),
        ('echo "a\\"', "double quotes"),
        ('echo "a!"', "double quotes"),
        ("echo `x`", "'`'"),
        ("echo a\\b", "'\\\\'"),
        ("echo *", "'*'"),
        ("echo ~root", "'r'"),
        ("cat ~root/x", "'r'"),
        ("echo ~'a'", "tilde"),
        ("echo a~b", "'~'"),
        ("ls --file=~/x", "'~'"),
        ("echo a#b", "'#'"),
        ("echo #b", "'#'"),
        ("{a,b}", "'{'"),
        ("(a)", "'('"),
        ("!a", "'!'"),
        ("a=b", "sets a variable"),
        ("A=b c", "sets a variable"),
        ("'' a", "name is empty"),
        ("ls\nrm x", "U+000A"),
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
        ("a >f b", "redirections at the end"),
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
        text = "dump " + line
        try:
            commands = parse(text)
        except Unreadable:
            return
        if any(command.name != "dump" for command in commands):
            return
        written = write(commands)
        assert parse(written) == tuple(parse(written)), "writing is stable"
        assert write(parse(written)) == written
        ours, theirs = bench.run(written), bench.run(text)
        assert ours == theirs
        files = [r.target for command in commands for r in command.redirections if r.operator == "<"]
        if not files and all(
            r.target == "f" for command in commands for r in command.redirections if r.operator != ">&"
        ):
            assert sorted(bench.last) == sorted([list(command.arguments) for command in commands])

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
        )
        dump.chmod(0o755)

    def run(self, text: str) -> str:
        work, notes = self.place / "work", self.place / "notes"
        for folder in (work, notes):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        done = subprocess.run(
            [self.shell, "-c", text],
            cwd=work,
            env={"PATH": f"{self.bin}:{os.defpath}", "NOTES": str(notes), "HOME": "."},  # so a tilde is a dot
            capture_output=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.last = [note.read_text().split("\n")[:-2] for note in notes.iterdir()]
        files = {str(file.relative_to(work)): file.read_text() for file in work.rglob("*") if file.is_file()}
        return json.dumps([done.stdout.decode(), sorted(self.last), files, done.returncode], sort_keys=True)
