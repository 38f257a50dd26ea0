from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from blastwall.model import Effect
from blastwall.shell.programs import _schemas, use

#: Programs that read their arguments with code of their own.
OWN_READING = frozenset({"awk", "gawk", "mawk", "dpkg", "find", "ps", "rpm", "top", "lsof", "xxd", "chmod", "chown", "chgrp", "kill",
                         "pkill", "killall", "git-upload-pack", "git-receive-pack", "echo", "true", "false", "tee"})  # fmt: skip
NEEDS = re.compile(rb"requires an argument")
UNHEARD = re.compile(rb"unrecognized option|invalid option|ambiguous")


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
        "ps -e -o pid,cmd",
        "ps -e -opid --no-headers",
        "ps -ef --forest",
        "ps -eo pid,cmd --sort=-rss",
        "ps -o pid -p 1",
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
        "systemctl --value status nginx",
        "journalctl -b -1 -u app",
        "journalctl --case-sensitive -g x",
        "tail -50f log",
        "grep -3 x f",
        "ls -l --time-style long-iso --sort size",
        "find -L . -newermt 2024-01-01 -name x",
        "zcat log.1.gz",
        "ip a",
        "ip -4 addr show eth0",
        "ip -br link",
        "ip route get 1.1.1.1",
        "top -bn1",
        "top -b -n 1 -o %MEM",
        "hostnamectl",
        "timedatectl status",
        "command -v python3",
        "type ls",
        "apt list --installed",
        "dpkg-query -W bash",
        "lsof -i :80 -P -n",
        "netstat -tlnp",
        "which -a sh",
        "ifconfig eth0",
        "sysctl -n vm.swappiness",
        "mount",
        "xxd -l 16 f",
        "mpstat -P ALL 1 3",
        "base64 -d f",
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
        "ps -ax -e",
        "ps -auxww -e",
        "ps -auxf -ef",
        "ps -el -TH",
        "ps -e -O e",
        "ps -e -e",
        "/bin/ls",
        "./ls",
        "never-heard-of-it",
        "tail --lines=5 --pid",
        "zcat log",  # reads log.gz where there is no log
        "journalctl --case-sensitive --vacuum-size=1",  # the option takes no word of its own
        "cp -rL a b",
        "cp -aH a b",
        "ip addr add 10.0.0.1 dev eth0",
        "ip link set eth0 down",
        "ip -b f",
        "ip netns exec x sh",
        "top",
        "top -n1",
        "command ls",
        "command -v x -p ls",
        "apt install x",
        "ifconfig eth0 down",
        "sysctl -w vm.swappiness=1",
        "sysctl vm.swappiness=1",
        "mount x y",
        "xxd -r a b",
        "swapon -a",
        "apt show -o x",
        "dpkg-query -l --admindir",
        "hostnamectl set-hostname x",
        "awk -f x",
        "awk -v a=b x",
        "sed -i s/a/b/ f",
        "sed -n w",
        "jq -f x",
        "git-upload-archive x",
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
        ("systemctl --value stop status", Effect.DESTROY),  # the option takes no word of its own
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
        ("python3 -V", Effect.READ),
        ("python3 -V x", Effect.ADMINISTER),
        ("python3 x.py", Effect.ADMINISTER),
        ("psql", Effect.ADMINISTER),
        ("curl x", Effect.ADMINISTER),
        ("[ -v x ]", Effect.ADMINISTER),
        ("test -v x", Effect.UNKNOWN),
        ("test 'a[0]' -eq 1", Effect.UNKNOWN),
        ("test a -o b", Effect.UNKNOWN),
        ("printf -v x y", Effect.UNKNOWN),
        ("printf %d 'a[0]'", Effect.UNKNOWN),
        ("set", Effect.UNKNOWN),
        ("export PATH=x", Effect.UNKNOWN),
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


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("awk", "{print $1}"),
        ("awk", "{ print $1, $NF }"),
        ("awk", '$9 == "500" {print $7}'),
        ("awk", "/error/ && NR > 5 {print $0}"),
        ("awk", "NR==1 || NR%10==0"),
        ("awk", "$3 > 100"),
        ("awk", "{s+=$1} END {print s}"),
        ("awk", "{a[$1]++} END {for (k in a) print k, a[k]}"),
        ("awk", "!s[$0]++"),
        ("awk", "{sum += $10} END {print sum/NR}"),
        ("awk", "{count[$1]++} END {for (ip in count) print count[ip], ip}"),
        ("awk", "length($0) > 80"),
        ("awk", r'{printf "%s\t%d\n", $1, $2}'),
        ("awk", "/start/,/end/"),
        ("awk", "/x/ {n++} END {print n}"),
        ("sed", r"s/^[ \t]*//; s/[[:space:]]*$//"),
        ("sed", "$="),
        ("jq", ".[] | [.a, .b] | @csv"),
        ("sed", "5p"),
        ("sed", "1,50p"),
        ("sed", "$p"),
        ("sed", "/start/,/end/p"),
        ("sed", "s/a[0-9]*/b/g"),
        ("sed", "s|/var/log|log|; 3d"),
        ("jq", "."),
        ("jq", ".a.b[0]"),
        ("jq", '.items[] | select(.state == "up") | {name, id: .i.d}'),
        ("jq", "map(.a) | length"),
    ],
)
def test_small_programs_that_pick_lines_and_fields_are_reads(program: str, script: str) -> None:
    found = use(program, (script, "f"))
    assert (found.effect, found.paths, found.contents) == (Effect.READ, (("f", "read"),), True)


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("awk", 'BEGIN {system("id")}'),
        ("awk", '{print > "f"}'),
        ("awk", '{print $1 | "sh"}'),
        ("awk", '{"id" | getline; print}'),
        ("awk", "{print ENVIRON}"),
        ("awk", '@load "x"'),
        ("awk", '{print "a\\x"}'),
        ("awk", "{print $1 > $2}"),
        ("awk", '{printf "x" > "f"}'),
        ("awk", '{printf "x" | "sh"}'),
        ("awk", '{getline x < "/etc/passwd"; print x}'),
        ("awk", "{system($1)}"),
        ("awk", "{a[system($1)]++}"),
        ("sed", "w out"),
        ("sed", r"s/[/]w x/p; s/[[:x/]w y/p/"),
        ("sed", "1e id"),
        ("sed", "s/a/b/w out"),
        ("sed", "s/a/id/e"),
        ("sed", "r .env"),
        ("sed", "/[/]w x/p"),
        ("sed", "s/[/]/x/"),
        ("jq", "env"),
        ("jq", "$ENV.HOME"),
        ("jq", "input_filename"),
        ("jq", '"\\(env)"'),
        ("jq", 'include "x"; .'),
    ],
)
def test_programs_in_small_languages_that_do_more_are_unknown(program: str, script: str) -> None:
    assert use(program, (script, "f")).effect is Effect.UNKNOWN


def test_a_word_after_the_first_operand_is_a_file_where_the_program_takes_it_for_one() -> None:
    assert use("awk", ("{print}", "-F", ".env")).paths == (("-F", "read"), (".env", "read"))


def test_words_that_keep_secrets_out_stand_where_they_count() -> None:
    sent = use("grep", ("-r", "x", "--include=.env", "--", "-d", ".")).sent
    assert sent is not None
    assert sent[:2] == ("-r", "--include=.env")
    assert sent[-4:] == ("--", "x", "-d", ".")
    assert "--exclude=.env" in sent[2:-4]


@pytest.mark.parametrize("kind", ["long_value", "short_value", "long", "short", "short_optional"])
def test_options_take_a_word_where_the_programs_themselves_take_one(kind: str) -> None:
    """Whoever takes a word for a value that is none reads an option, or a subcommand, as if it were not there."""
    wanted = kind in ("long_value", "short_value")
    tried, wrong = 0, []
    for name, schema in sorted(_schemas().items()):
        program = shutil.which(name)
        if program is None or schema["effect"] not in ("read", "write", "administer") or name in OWN_READING:
            continue
        for option in schema.get(kind, ()):
            word = f"--{option}" if kind.startswith("long") else f"-{option}"
            done = subprocess.run(
                [program, word] if wanted else [program, word, "--help", "--version"],
                capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False, env={"PATH": os.defpath},
            )  # fmt: skip
            if UNHEARD.search(done.stderr):
                continue  # of another version
            tried += 1
            if (NEEDS.search(done.stderr) is not None) != wanted:
                wrong.append(f"{name} {word}: {done.stderr[:80]!r}")
    assert not wrong
    assert tried > 5
