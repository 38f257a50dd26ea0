"""What lines do when a shell runs them, against what their facts say: in a directory of their own, some hundreds of them.

Lines are made at random from the table's own programs and options. Every line that facts do not count as unknown or
administering is run as it would be sent; then the directory and what was printed must fit the facts.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import string
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blastwall.model import Effect, Facts
from blastwall.shell.facts import Bounds, Line, judge
from blastwall.shell.grammar import write
from blastwall.shell.paths import HOME
from blastwall.shell.programs import _patterns, _schemas
from blastwall.shell.reading import parse
from rig import account

PRINTABLE = st.sampled_from(string.ascii_letters + string.digits + string.punctuation + " ")
LINES = 130  # of each kind
RUN_AT_LEAST = 40  # of those
SECONDS = 10.0

READERS = (
    "ls", "cat", "tac", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "nl", "rev", "column", "paste", "comm", "diff",
    "cmp", "grep", "egrep", "stat", "file", "du", "md5sum", "sha256sum", "realpath", "readlink", "basename", "dirname",
    "pwd", "echo", "seq", "find", "zcat",
)  # fmt: skip
WRITERS = ("mkdir", "touch", "cp", "mv", "ln", "tee", "cat", "ls", "echo")
DESTROYERS = ("rm", "rmdir", "truncate", "shred", "ls", "echo", "sort")
#: Options that wait for more to come.
WAITING = frozenset({"f", "F", "follow", "retry", "pid", "s", "sleep-interval"})

FILES = ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt", "-n", "with space", "other/e.txt")
SECRETS = (".env", ".ssh/id_rsa", "sub/.env", "other/key.pem")
EMPTY = ("empty", "empty/inner")
LINKS = {"link": "a.txt", "trap": ".env", "way": "sub", "trapdoor": ".ssh"}
NAMES = (
    *FILES,
    *SECRETS,
    *LINKS,
    *EMPTY,
    "sub",
    "sub/deep",
    "other",
    "new",
    "new/er",
    ".",
    "./a.txt",
    "sub/../b.txt",
    "nope",
    "*",
    "*.txt",
    "sub/*",
    "*/*.txt",
    "../*.txt",
    "~/b.txt",
    "li?k",
)
VALUES = ("1", "3", "c", "*", "*.pem", "canary", "a.txt", "new", "-", ".env", "=", "10", "sub", "f", "d")


@dataclass(frozen=True)
class Sandbox:
    """A home directory that is made anew whenever a line has changed it."""

    home: Path

    def fill(self) -> None:
        for child in self.home.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        for name in EMPTY:
            (self.home / name).mkdir()
        for name in (*FILES, *SECRETS):
            file = self.home / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{canary(name)}\n1 shared line\n")
        for name, target in LINKS.items():
            (self.home / name).symlink_to(target)
        owner = account.unprivileged()
        if owner is not None:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, owner.uid, owner.gid, follow_symlinks=False)

    def seen(self) -> dict[str, tuple[Any, ...]]:
        """Everything that a change would show in: kinds, contents, targets, rights, times."""
        found: dict[str, tuple[Any, ...]] = {}
        for path in self.home.rglob("*"):
            about = path.lstat()
            name = str(path.relative_to(self.home))
            if path.is_symlink():
                found[name] = ("link", str(path.readlink()))
            elif path.is_dir():
                found[name] = ("directory", about.st_mode)
            else:
                found[name] = ("file", about.st_mode, about.st_mtime_ns, path.read_bytes())
        return found

    def run(self, text: str) -> str:
        """What the line prints, run by a shell as a host's own would."""
        owner = account.unprivileged()
        identity: dict[str, Any] = {} if owner is None else {"user": owner.uid, "group": owner.gid, "extra_groups": ()}
        done = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -f 1024; exec /bin/sh -c "$1"', "sh", text],  # some append to what they read
            cwd=self.home,
            env={"PATH": os.defpath, "HOME": str(self.home), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            **identity,
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    def resolved(self, named: tuple[str, ...]) -> dict[str, str]:
        """As the gateway asks the host: where the paths really are, from the home directory on."""
        found = {}
        for path in named:
            if path.endswith("/.") and not (self.home / path).is_dir():
                continue
            real = Path(os.path.realpath(self.home / path))
            found[path] = f"{HOME}/{real.relative_to(self.home)}" if real.is_relative_to(self.home) else str(real)
            found[path] = found[path].removesuffix("/.")
        return found

    def judged(self, text: str, bounds: Bounds) -> Line:
        """As the gateway judges: with where paths lead, and the names that wildcards may fit."""
        listed: dict[str, tuple[str, ...]] = {}
        while True:
            found = judge(text, bounds, self.resolved(judge(text, bounds, None, listed).named), listed)
            if not found.wanted:
                return found
            for each in found.wanted:
                place = self.home / each
                listed[each] = tuple(child.name for child in place.iterdir()) if place.is_dir() else ()


def canary(name: str) -> str:
    """Eight letters that stand in this file only."""
    return random.Random(name).randbytes(6).hex()


def command(chance: random.Random, name: str) -> str:
    """The program with some of its listed options, and sometimes one that is not listed, and operands."""
    schema: Mapping[str, Any] = _schemas()[name]
    words = [name]
    options = [(f"-{letter}", "") for letter in schema.get("short", "") if letter not in WAITING or name != "tail"]
    options += [(f"-{letter}", "value") for letter in schema.get("short_value", "") if letter not in WAITING]
    options += [(f"--{word}", "") for word in schema.get("long", ()) if word not in WAITING]
    options += [(f"--{word}", "value") for word in schema.get("long_value", ()) if word not in WAITING]
    options += [(word, "") for word in schema.get("alone", ()) if word.isascii() and word[0] == "-" and name == "find"]
    tests = []
    for option, value in chance.sample(options, min(len(options), chance.choice((0, 0, 1, 1, 2)))):
        tests += [option] if not value else [option, chance.choice(VALUES)]
    if chance.random() < 0.05:
        tests.append(chance.choice(("--delete", "-delete", "-o", "--output=new", "-exec", "-i")))
    operands = [chance.choice(NAMES) for _ in range(chance.choice((0, 1, 1, 2, 2, 3)))]
    if schema.get("operands") == "pattern_paths":
        operands.insert(0, chance.choice(("canary", "shared", "1", ".")))
    words += [*operands, *tests] if name == "find" or chance.random() < 0.5 else [*tests, *operands]
    if name in ("tr", "seq", "echo"):
        words = [name, *(chance.choice(("a", "1", "2", "z", "a-z", "c")) for _ in range(2))]
    return " ".join(word if word in NAMES and " " not in word else quoted(chance, word) for word in words)


def quoted(chance: random.Random, word: str) -> str:
    if " " in word or not word or chance.random() < 0.2 or any(each in word for each in "!(),*"):
        return f"'{word}'"
    return word


def line(chance: random.Random, names: tuple[str, ...]) -> str:
    commands = [command(chance, chance.choice(names))]
    if chance.random() < 0.4:
        commands.append(command(chance, chance.choice(READERS if names is READERS else (*names, "sort", "wc"))))
    if names is not READERS and chance.random() < 0.3:
        commands[-1] += (
            f" {chance.choice(('>', '>>', '2>', '2>>'))} {chance.choice(('new', 'a.txt', 'link', 'sub/x', 'trap'))}"
        )
    elif chance.random() < 0.1:
        commands[-1] += chance.choice((" 2>&1", " >/dev/null", " <a.txt", " <trap", " < sub/c.txt"))
    text = " | ".join(commands)
    if chance.random() < 0.3:
        joint = chance.choice(("; ", " && ", " || ", "\n", " && ! "))
        text = f"cd {chance.choice(('sub', 'other', 'nope', 'way', 'sub/deep/..', '~/sub'))}{joint}{text}"
    if chance.random() < 0.25:
        text += chance.choice(("; ", " && ", " || ")) + command(chance, chance.choice(names))
    if chance.random() < 0.1:
        text = chance.choice(
            (f"( {text} )", f"{{ {text}; }}", f"if {text}; then pwd; fi", f"bash -c {shlex.quote(text)}")
        )
    return text


def touched(facts: Facts, *accesses: str) -> list[str]:
    """Paths of the facts' objects with such an access, as they are below the home directory."""
    objects = [each for each in facts.objects if each.kind == "path" and each.access in accesses]
    return [each.name.removeprefix(HOME).removeprefix("/") for each in objects]


def below(name: str, places: list[str]) -> bool:
    return any(place == "" or name == place or name.startswith(place + "/") for place in places)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    (tmp_path / "home").mkdir()
    home = account.reachable_directory(tmp_path / "home", account.unprivileged())
    made = Sandbox(Path(os.path.realpath(home)))
    made.fill()
    yield made
    shutil.rmtree(made.home, ignore_errors=True)


@pytest.mark.parametrize(
    ("names", "may"),
    [
        (READERS, {Effect.READ}),
        (WRITERS, {Effect.READ, Effect.WRITE}),
        (DESTROYERS, {Effect.READ, Effect.WRITE, Effect.DESTROY}),
    ],
    ids=["reading", "writing", "destroying"],
)
def test_what_a_line_does_is_what_its_facts_say(sandbox: Sandbox, names: tuple[str, ...], may: set[Effect]) -> None:
    there = tuple(name for name in names if shutil.which(name))
    names = READERS if names is READERS and there == READERS else there
    bounds = Bounds(readable=(HOME,), writable=(HOME,))
    ran = dict.fromkeys(may, 0)
    before = sandbox.seen()
    for number in range(LINES):
        text = line(random.Random(f"{names[-1]} {number}"), names)
        judged = sandbox.judged(text, bounds)
        facts = judged.facts
        if facts.effect not in may:
            continue
        assert write(parse(judged.text)) == judged.text
        ran[facts.effect] += 1
        printed = sandbox.run(judged.text)
        after = sandbox.seen()
        told = f"{text!r} sent as {judged.text!r}: {facts}"

        changed = set(changes(before, after))
        if facts.effect is Effect.READ:
            assert not changed, f"a read changed {changed}: {told}"
        if changed:
            written = touched(facts, "write", "destroy")
            for name in changed:
                above = [each for each in written if each.startswith(name + "/")]
                made_on_the_way = name not in before and after[name][0] == "directory" and above
                emptied_on_the_way = name not in after and facts.effect is Effect.DESTROY and above
                assert below(name, written) or made_on_the_way or emptied_on_the_way, f"{name} changed: {told}"
            gone = before.keys() - after.keys()
            assert not gone or facts.effect is Effect.DESTROY or "mv" in judged.text, f"{gone} are gone: {told}"
            sandbox.fill()
            before = sandbox.seen()

        read = touched(facts, "read", "write", "destroy")
        for name in (*FILES, *SECRETS):
            if canary(name) in printed or canary(name)[::-1] in printed:
                assert name not in SECRETS, f"{name} was disclosed: {told}"
                assert below(name, read), f"{name} was read: {told}"
    assert sum(ran.values()) >= RUN_AT_LEAST, ran
    assert all(ran.values()), ran


@pytest.mark.parametrize("wanted", [".env", "*.pem", "*"])
def test_no_pattern_for_names_brings_a_secret_back(sandbox: Sandbox, wanted: str) -> None:
    judged = judge(f"grep -r --include='{wanted}' . sub other", Bounds(readable=(HOME,), writable=(HOME,)))
    assert judged.facts.effect is Effect.READ
    printed = sandbox.run(judged.text)
    assert not [name for name in SECRETS if canary(name) in printed]
    assert (canary("sub/c.txt") in printed) == (wanted == "*")


def test_a_pattern_for_names_leaves_the_others_out(sandbox: Sandbox) -> None:
    (sandbox.home / "sub" / "x.py").write_text("import sys\n")
    printed = sandbox.run(judge("grep -r --include='*.py' . sub", Bounds()).text)
    assert printed == "sub/x.py:import sys\n"


@pytest.mark.parametrize("program", ["sed", "awk"])
def test_listed_forms_of_small_programs_change_nothing(sandbox: Sandbox, program: str) -> None:
    forms = _patterns(tuple(_schemas()[program]["scripts"]))
    tried = 0

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(*(st.from_regex(form, fullmatch=True, alphabet=PRINTABLE) for form in forms)))
    def run(script: str) -> None:
        nonlocal tried
        judged = judge(f"{program} {shlex.quote(script)} a.txt b.txt", Bounds())
        assert judged.facts.effect is Effect.READ
        sandbox.run(f"timeout 5 {judged.text}")
        tried += 1

    before = sandbox.seen()
    run()
    assert sandbox.seen() == before
    assert tried > 10


@pytest.mark.parametrize("line", ['printf "$(cat said)" b', 'printf "x$(cat said)"', 'printf "$?%s" b'])
def test_nothing_that_only_the_host_knows_is_a_format(line: str) -> None:
    """A file that says -va[$(...)] makes bash run what stands there: printf -v names a variable."""
    assert judge(line, Bounds()).facts.effect is Effect.UNKNOWN
    assert judge('printf "%s" "$(cat said)"', Bounds()).facts.effect is Effect.READ
