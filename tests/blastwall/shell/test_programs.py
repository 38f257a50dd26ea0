from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.shell.programs import use


def effect_of(line: str) -> Effect:
    name, *arguments = line.split()
    return use(name, tuple(arguments)).effect


@pytest.mark.parametrize(
    "line",
    [
        "ls -la",
        "head -5 f",
        "head -n5 f",
        "head -n 5 f",
        "tail --lines=5 f",
        "tail --lines 5 f",
        "grep -rn --include=*.py x .",
        "ps aux --sort=-%mem",
        "ps -ef",
        "ps -aux",
        "ps -eo pid,cmd",
        "ps -U root -o pid",
        "find . -name x -type f -maxdepth 2 -print",
        "date +%F",
        "date -Iseconds",
        "journalctl -u app -n50 --no-pager",
        "systemctl status nginx",
        "systemctl",
        "dpkg -l",
        "rpm -qa",
        "getent passwd",
        "echo -x --anything",
        "uniq in",
        "git-upload-pack /srv/repo.git",
    ],
)
def test_what_only_looks_is_a_read(line: str) -> None:
    assert effect_of(line) is Effect.READ


@pytest.mark.parametrize(
    "line",
    [
        "ls --al",  # an abbreviation that getopt_long would complete
        "sort -o out f",
        "sort -oout f",
        "sort -nro out f",
        "sort --out=f x",
        "sort --output=f x",
        "sort --compress-program=./x f",
        "uniq in out",
        "date 010100002030",
        "date -s now",
        "date -I -s now",  # -I takes no word of its own: -s stays an option
        "hostname other",
        "find / -delete",
        "find . -exec x",
        "find . -fprint f",
        "find . -name",
        "tail -n",
        "tail --lines",
        "journalctl -n --vacuum-size=1",
        "journalctl --rotate",
        "dmesg -C",
        "systemctl edit x",
        "cp -t dir f",
        "ln -s elsewhere/f",  # makes ./f, which it does not name
        "file -C -m x",
        "grep -d recurse x .",
        "grep -drecurse x .",
        "grep --directories=recurse x .",
        "grep -R x a",
        "ps e",
        "ps ef",
        "ps auxe",
        "ps -auxe",
        "ps -ef e",
        "ps -ef -u xe",
        "ps -aux -C e",
        "ps -eo pid,environ",
        "ps -eo",
        "/bin/ls",
        "./ls",
        "never-heard-of-it",
        "tail --lines=5 --pid",
    ],
)
def test_what_is_not_listed_is_unknown(line: str) -> None:
    assert effect_of(line) is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        ("mkdir -p a/b", Effect.WRITE),
        ("tee -a f", Effect.WRITE),
        ("systemctl restart app", Effect.WRITE),
        ("git-receive-pack r.git", Effect.WRITE),
        ("systemctl stop app", Effect.DESTROY),
        ("rm -rf x", Effect.DESTROY),
        ("rm -- -rf", Effect.DESTROY),
        ("truncate -s 0 f", Effect.DESTROY),
        ("chmod 777 f", Effect.ADMINISTER),
        ("kill -9 1", Effect.ADMINISTER),
        ("dpkg", Effect.ADMINISTER),
        ("rpm -i x", Effect.ADMINISTER),
        ("getent shadow", Effect.ADMINISTER),
        ("env ls", Effect.ADMINISTER),
        ("sudo ls", Effect.ADMINISTER),
        ("sh -c ls", Effect.ADMINISTER),
        ("python3 -V", Effect.ADMINISTER),
        ("psql", Effect.ADMINISTER),
        ("curl x", Effect.ADMINISTER),
        ("[ -v x ]", Effect.ADMINISTER),
        ("printf -v x y", Effect.ADMINISTER),
    ],
)
def test_what_does_more_says_so(line: str, effect: Effect) -> None:
    assert effect_of(line) is effect
    if effect is Effect.ADMINISTER:
        name, *arguments = line.split()
        assert name in use(name, tuple(arguments)).reason


def test_operands_are_told_from_patterns_and_values() -> None:
    assert use("grep", ("-n", "x", "a", "b")).paths == (("a", "read"), ("b", "read"))
    assert use("grep", ("-e", "x", "a", "b")).paths == (("a", "read"), ("b", "read"))
    assert use("grep", ("-f", "list", "a")).paths == (("list", "read"), ("a", "read"))
    assert use("head", ("-n", "5", "a")).paths == (("a", "read"),)
    assert use("cat", ("-", "a")).paths == (("a", "read"),)
    assert use("cat", ("--", "-n")).paths == (("-n", "read"),)
    assert use("cp", ("a", "b", "c")).paths == (("a", "read"), ("b", "read"), ("c", "write"))
    assert use("chmod", ("600", "a")).paths == (("a", "write"),)
    assert use("grep", ("-r", "x")).paths == ((".", "read"),)
    assert use("find", ("a", "b", "-name", "c")).paths == (("a", "read"), ("b", "read"))
    assert use("find", ("-name", "c")).paths == ((".", "read"),)
    assert use("ps", ("aux",)).paths == ()
