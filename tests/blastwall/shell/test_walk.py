"""Lines made at random, run by real shells: programs run where the walk says, and our text does what the client's does."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from blastwall.shell.grammar import Unreadable, write
from blastwall.shell.reading import parse
from blastwall.shell.walk import MOST_ASKED, Walk

SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]
LINES = 120
COMPARED_AT_LEAST = 15

DIRECTORIES = ("a", "a/b", "c", "a/b/d")
#: Where ``cd`` may be told to go; some are not there.
GOALS = ("a", "a/b", "..", "c", "nope", "b", "~", "~/a", "", "./a", "../c", "b/d", "link", "link/..", "'a'")


class _Lines:
    """A line of commands in every way of joining them; each program has a number of its own."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.count = 0

    def line(self, depth: int = 2) -> str:
        parts = [self.pipeline(depth) for _ in range(self.chance.choice((1, 2, 2, 3, 4)))]
        text = parts[0]
        for part in parts[1:]:
            text += self.chance.choice(("; ", " && ", " && ", " || ", "\n")) + part
        return text

    def pipeline(self, depth: int) -> str:
        parts = [self.part(depth) for _ in range(self.chance.choice((1, 1, 1, 1, 2)))]
        return self.chance.choice(("", "", "", "! ")) + " | ".join(parts)

    def part(self, depth: int) -> str:
        kind = self.chance.random()
        if depth == 0 or kind < 0.45:
            return self.program()
        if kind < 0.75:
            return f"cd {self.chance.choice(GOALS)}"
        if kind < 0.8:
            return f"( {self.line(depth - 1)} )"
        if kind < 0.85:
            return f"{{ {self.line(depth - 1)}; }}"
        if kind < 0.92:
            otherwise = f"else {self.line(depth - 1)}; " if self.chance.random() < 0.5 else ""
            return f"if {self.line(depth - 1)}; then {self.line(depth - 1)}; {otherwise}fi"
        if kind < 0.95:
            return f"for i in x -f; do {self.line(depth - 1)}; done"
        if kind < 0.97:
            return f'echo "$({self.line(depth - 1)})"'
        if kind < 0.985:
            return f"sh -c '{self.program()}; {self.program()}'"
        return f"exit {self.chance.choice('03')}"

    def program(self) -> str:
        self.count += 1
        return (
            f"dump {self.chance.choice(('x', 'x', '-f'))} n{self.count} {self.chance.choice(('', '~/q', '>>f', '>&2'))}"
        )


def _bench(place: Path) -> Path:
    programs = place / "bin"
    programs.mkdir(parents=True)
    dump = programs / "dump"
    dump.write_text(
        '#!/bin/sh\nprintf "%s %s %s\\n" "$2" "$(pwd -P)" "$*" >>"$NOTES"\necho out "$*"\n'
        'case "$1" in -f) exit 1;; esac\n'
    )
    dump.chmod(0o755)
    return programs


def _run(shell: str, text: str, place: Path, programs: Path) -> tuple[list[str], int, str, dict[str, str]]:
    home, notes = place / "home", place / "notes"
    shutil.rmtree(home, ignore_errors=True)
    for name in DIRECTORIES:
        (home / name).mkdir(parents=True)
    (home / "link").symlink_to("a/b")
    notes.write_text("")
    done = subprocess.run(
        [shutil.which(shell) or shell, "-c", text],
        cwd=home,
        env={"PATH": f"{programs}:{os.defpath}", "NOTES": str(notes), "HOME": str(home), "CDPATH": str(home / "a")},
        capture_output=True,
        timeout=20,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    files = {str(file.relative_to(home)): file.read_text() for file in home.rglob("*") if file.is_file()}
    return sorted(notes.read_text().splitlines()), done.returncode, done.stdout.decode(), files


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_run_where_the_walk_says(shell: str, tmp_path: Path) -> None:
    programs = _bench(tmp_path)
    home = Path(os.path.realpath(tmp_path / "home"))
    compared = 0
    for number in range(LINES):
        text = _Lines(f"{shell} {number}").line()
        walk = Walk({})
        try:
            sent = write(walk.line(parse(text))[2])
        except Unreadable:
            continue
        said, *_ = ours = _run(shell, sent, tmp_path, programs)
        for note in said:
            name, where, _ = note.split(" ", 2)
            places = {place for visit in walk.visits if name in visit.arguments for place in visit.places}
            assert where in {os.path.realpath(home / place) for place in places}, (
                f"{note} of {text!r}, sent as {sent!r}"
            )
        if "CDPATH" not in text and not re.search(r"cd (b|link)|\|", text):  # by CDPATH; through links; side by side
            assert ours == _run(shell, text, tmp_path, programs), f"{text!r} sent as {sent!r}"
            compared += 1
    assert compared >= COMPARED_AT_LEAST


def visits(text: str, listed: dict[str, tuple[str, ...]] | None = None) -> list[tuple[str, list[str]]]:
    walk = Walk(listed or {})
    walk.line(parse(text))
    return [(visit.name, sorted(visit.places)) for visit in walk.visits if visit.name]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("cd /a && x", ["/a"]),
        ("cd /a; x", [".", "/a"]),
        ("cd /a || x", ["."]),
        ("cd /a || exit; x", ["/a"]),
        ("cd /a || exit 1 && x", ["/a"]),
        ("! cd /a && x", ["."]),
        ("cd a && cd b && x", ["a/b"]),
        ("cd a && cd .. && x", ["a/.."]),
        ("cd /a && cd && x", ["."]),
        ("cd /a && cd ~/b && x", ["./b"]),
        ("(cd /a); x", ["."]),
        ("{ cd /a; }; x", [".", "/a"]),
        ("cd /a | x", ["."]),
        ("if cd /a; then x; fi", ["/a"]),
        ("if ls; then cd /a; fi; x", [".", "/a"]),
        ("if cd /a; then ls; else x; fi", ["."]),
        ("exit; x", ["."]),
        ("cd /a && sh -c 'cd b && x'", ["/a/b"]),
        ("cd /a && timeout 5 x", ["/a"]),
    ],
)
def test_where_a_command_may_run(text: str, where: list[str]) -> None:
    assert [places for name, places in visits(text) if name == "x"] == [where]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("cd a && x", "cd ./a && x"),
        ("cd", "cd ~"),
        ("cd -- /a/..", "cd -P /a/.."),
        ("bash -lc 'x  a; y'", "bash -lc 'x a; y'"),
        ("timeout -k 1 5s nice -n 5 x", "timeout -k 1 5s nice -n 5 x"),
        ("env LANG=C x", "env LANG=C x"),
    ],
)
def test_what_is_sent(text: str, sent: str) -> None:
    assert write(Walk({}).line(parse(text))[2]) == sent


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cd -", "one directory"),
        ("cd a b", "one directory"),
        ("cd +1", "one directory"),
        ("cd ''", "one directory"),
        ("exit x", "a number"),
        ("exit 1 2", "a number"),
        ("cd a; cd b; cd c; x", "too many directories"),
        ("timeout 5 cd a", "none"),
        ("sh -c 'ls &'", "'&'"),
        ('sh -c "sh -c \\"sh -c \'sh -c ls\'\\""', "one another"),
        ("cd a; ls *", "several directories"),
        ("ls " + "/a/*/" * 3, "slash"),
        (" ".join(["ls", *(f"/{number}/*" for number in range(MOST_ASKED + 1))]), "too many directories"),
    ],
)
def test_what_cannot_be_followed(text: str, says: str) -> None:
    with pytest.raises(Unreadable) as refused:
        Walk({}).line(parse(text))
    assert says in str(refused.value)


def test_many_shells_in_many_loops_end() -> None:
    loop = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do ls; done"
    for _ in range(2):
        loop = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sh -c {_quoted(loop)}; done"
    with pytest.raises(Unreadable, match="too many commands"):
        Walk({}).line(parse(loop))


def _quoted(text: str) -> str:
    return '"' + re.sub(r'([\\$"])', r"\\\1", text) + '"'
