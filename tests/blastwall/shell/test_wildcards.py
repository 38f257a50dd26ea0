from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from blastwall.shell.grammar import Unreadable, write
from blastwall.shell.reading import parse
from blastwall.shell.walk import Walk
from blastwall.shell.wildcards import fitting

NAMES = ("a", "b.txt", "c.log", ".h", "-n", "A", "a b", "x*y", "[q]", "1.log", "~", "a'b", "d", "e")
PIECES = ("*", "?", "[a-c]", "[!a]", "a", ".", "log", "d", "'*'", "\\?", "-", "[1-9]", ".*", "x")


def names(directory: Path) -> tuple[str, ...]:
    return tuple(each.name for each in directory.iterdir()) if directory.is_dir() else ()


@pytest.mark.parametrize("seed", range(3))
def test_a_shell_finds_the_same_names(tmp_path: Path, seed: int) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("")
    for name in ("dir", "dir/dir", "dir/x"):
        (tmp_path / name).mkdir()
    for name in ("dir/a", "dir/dir/c.log", "dir/x/a"):
        (tmp_path / name).write_text("")
    chance = random.Random(seed)
    for _ in range(60):
        pieces = [chance.choice((*PIECES, "/", "dir/")) for _ in range(chance.randint(1, 5))]
        pattern = "".join(pieces).strip("/").replace("//", "/")
        listed: dict[str, tuple[str, ...]] = {}
        while True:
            walk = Walk(listed)
            sent = walk.line(parse(f"echo x {pattern}"))[2]
            if not walk.wanted:
                break
            listed |= {each: names(tmp_path / each) for each in walk.wanted}
        words = [word.text for word in sent[0].pipeline.parts[0].words[2:]]  # type: ignore[union-attr]
        script = f'for word in {pattern}; do printf "%s\\n" "$word"; done'
        told = subprocess.run(
            ["/bin/sh", "-c", script], cwd=tmp_path, env={"LC_ALL": "C"}, capture_output=True, check=True, text=True
        )
        found = [name for name in told.stdout.splitlines() if name.split("/")[-1] not in (".", "..")]
        assert words == found or (pattern.split("/")[-1].startswith(".") and not found), pattern
        assert parse(write(sent))


def test_names_are_asked_for_level_by_level() -> None:
    walk = Walk({})
    walk.line(parse("cat /var/*/x.log"))
    assert list(walk.wanted) == ["/var"]
    walk = Walk({"/var": ("log", "tmp")})
    walk.line(parse("cat /var/*/x.log"))
    assert list(walk.wanted) == ["/var/log", "/var/tmp"]
    walk = Walk({"/var": ("log", "tmp"), "/var/log": ("x.log", "y"), "/var/tmp": ()})
    assert write(walk.line(parse("cat /var/*/x.log"))[2]) == "cat /var/log/x.log"


@pytest.mark.parametrize("name", ["a\nb", "ä", "a\\xff\x07"])
def test_a_name_that_no_line_holds_ends_it(name: str) -> None:
    with pytest.raises(Unreadable, match="not printable"):
        fitting("*", lambda _: (name,))


def test_patterns_are_held_against_names_in_linear_time() -> None:
    assert fitting("*a" * 120 + "b", lambda _: ("a" * 255,) * 2000) == ()
    with pytest.raises(Unreadable, match="no range"):
        fitting("a[z-b]", lambda _: ("a",))
    with pytest.raises(Unreadable, match="longer than any name"):
        fitting("*" + "a" * 600, lambda _: ())
    many = {".": tuple(f"n{number}" for number in range(10_000))}
    with pytest.raises(Unreadable, match="too many names"):
        Walk(many).line(parse("echo " + " ".join(f"x{number}*" for number in range(30))))


def test_nothing_is_known_of_a_directory_that_was_not_listed() -> None:
    assert fitting("*", lambda _: None) is None
    assert fitting("a/*", lambda _: ()) == ()
