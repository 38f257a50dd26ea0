from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from blastwall.model import Effect, ObjectRef
from blastwall.policy.vocabulary import FLAGS
from blastwall.shell.facts import Bounds, judge, judge_paths

BOUNDS = Bounds()
ELSEWHERE = "/".join(("", "home", "web"))  # somebody's home directory by its absolute name


def test_a_pipeline_is_as_bad_as_its_worst_command() -> None:
    line = judge("cat a | tee b | wc -l", BOUNDS)
    assert line.facts.effect is Effect.WRITE
    assert line.facts.verb == "tee"
    assert "pipeline" in line.facts.flags
    assert ObjectRef("path", "~/b", "write") in line.facts.objects
    assert ObjectRef("program", "wc", "call") in line.facts.objects
    assert line.text == "cat a | tee b | wc -l"


def test_the_text_that_goes_up_is_ours() -> None:
    assert judge("r''m   'a'", BOUNDS).text == "rm a"


def test_outside_the_grammar_the_bytes_stay() -> None:
    line = judge("ls & rm  x", BOUNDS)
    assert line.facts.effect is Effect.UNKNOWN
    assert line.facts.flags == {"outside_grammar"}
    assert line.text == "ls & rm  x"


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("ls >>x", Effect.WRITE),
        ("ls 2>>x", Effect.WRITE),
        ("ls >x", Effect.DESTROY),
        ("ls >/dev/null 2>&1", Effect.READ),
        ("ls 2>/dev/null", Effect.READ),
        ("wc -l <x", Effect.READ),
        ("wc -l </etc/shadow", Effect.ADMINISTER),
        ("ls >>/etc/passwd", Effect.ADMINISTER),
        ("ls >>~x", Effect.UNKNOWN),
    ],
)
def test_redirections_count_as_the_commands_own(text: str, effect: Effect) -> None:
    assert judge(text, BOUNDS).facts.effect is effect


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("cat /etc/shadow", "secret_path"),
        ("cat .ssh/id_rsa", "secret_path"),
        ("grep -r x /", "secret_path"),
        ("grep -r x", "secret_path"),
        ("cat ../x", "outside_paths"),
        ("touch /opt/x", "outside_paths"),
        ("cp /etc/shadow x", "secret_path"),
        ("ln -s /etc/shadow x", "secret_path"),
    ],
)
def test_places_raise_the_effect(text: str, flag: str) -> None:
    facts = judge(text, BOUNDS).facts
    assert facts.effect is Effect.ADMINISTER
    assert flag in facts.flags
    assert facts.reason


def test_what_the_target_says_of_a_path_counts() -> None:
    line = judge("cat notes", BOUNDS, {"notes": "/etc/shadow"})
    assert line.facts.effect is Effect.ADMINISTER
    assert line.named == ("notes",)
    harmless = judge("cat notes", BOUNDS, {"notes": "/srv/notes"})
    assert harmless.facts.objects[1] == ObjectRef("path", "/srv/notes", "read")


def test_a_link_is_in_the_facts_with_where_it_leads() -> None:
    """Removing takes the link, writing goes through it: who allows the one need not allow the other."""
    narrow = Bounds(readable=("/",), writable=("~",))
    inside = judge("rm current", narrow, {"current": "~/releases/7"})
    assert {ref.name for ref in inside.facts.objects if ref.kind == "path"} == {"~/current", "~/releases/7"}
    assert inside.facts.effect is Effect.DESTROY
    absolute = judge("rm /srv/deploy/a", narrow, {"/srv/deploy/a": "~/a", "/srv/deploy": "~"})
    assert absolute.named == ("/srv/deploy/a", "/srv/deploy")
    assert absolute.facts.effect is Effect.DESTROY and "outside_paths" not in absolute.facts.flags
    for text, where in (("rm /srv/current", "~/releases/7"), ("rm current", "/srv/releases/7")):
        facts = judge(text, narrow, {text.split()[1]: where}).facts
        assert "outside_paths" in facts.flags, text
    reading = judge("cat current", narrow, {"current": "/srv/notes"}).facts
    assert [ref.name for ref in reading.objects] == ["cat", "/srv/notes"]


def test_the_owner_narrows_it() -> None:
    narrow = Bounds(readable=("/var/log",), writable=())
    assert judge("cat /var/log/x", narrow).facts.effect is Effect.READ
    assert "outside_paths" in judge("cat /srv/x", narrow).facts.flags
    assert "outside_paths" in judge("touch x", narrow).facts.flags


def test_recursive_changes_have_no_bound() -> None:
    assert judge("rm x", BOUNDS).facts.bounded
    assert not judge("rm -r x", BOUNDS).facts.bounded
    assert judge("ls -R x", BOUNDS).facts.bounded


def test_fingerprints_forget_operands_only() -> None:
    one, other = judge("tail -n 5 a", BOUNDS).facts, judge("tail -n 6 b", BOUNDS).facts
    assert one.fingerprint == other.fingerprint
    assert judge("tail -f a", BOUNDS).facts.fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "line", ["grep -r planted app", "grep -rh planted app other", "diff -rN app other", "diff -N app other"]
)
def test_what_descends_passes_over_secrets_when_it_really_runs(line: str, tmp_path: Path) -> None:
    for place in ("app/.env", "app/.ssh/id_x", "app/deep/server.key", "app/deep/seen.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"planted in {place}\n")
    (tmp_path / "outside").write_text("planted outside\n")
    (tmp_path / "app" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "other").mkdir()
    judged = judge(line, BOUNDS)
    assert judged.facts.effect is Effect.READ
    shown = subprocess.run(["sh", "-c", judged.text], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    places = set(re.findall(r"planted (?:in )?(\S+)", shown))
    assert places == ({"app/deep/seen.txt"} if "-r" in line else set())


def test_a_home_directory_is_not_descended_into_by_any_of_its_names() -> None:
    for written, resolved in (
        (".", {".": "/srv/people/web"}),
        (ELSEWHERE, None),
        ("/etc/ssl", None),
        ("/var/lib", None),
    ):
        assert judge(f"grep -r x {written}", BOUNDS, resolved).facts.effect is Effect.ADMINISTER
    assert judge("grep -r x /srv/app/logs", BOUNDS).facts.effect is Effect.READ


@pytest.mark.parametrize(
    "line",
    [
        "cp a .bashrc",
        "mv a b/../.profile",
        "tee -a .zshenv",
        "echo x >> .gitconfig",
        "cp hook app/.git/hooks/pre-commit",
        "cp hook app.git/hooks/post-receive",
        "ln -s evil bin/ls",
        "cp unit .config/systemd/user/x.service",
        f"touch {ELSEWHERE}/.local/bin/sudo",
        "mkdir -p .config/autostart",
    ],
)
def test_what_is_written_to_run_later_is_no_plain_write(line: str) -> None:
    facts = judge(line, BOUNDS).facts
    assert facts.effect is Effect.ADMINISTER
    assert "startup_path" in facts.flags
    assert facts.flags <= FLAGS
    reads = judge("cat .bashrc app/.git/hooks/pre-commit", BOUNDS).facts
    assert (reads.effect, reads.flags) == (Effect.READ, frozenset())


@pytest.mark.parametrize(
    ("line", "resolved", "flag"),
    [
        ("cp -r bin .", {"bin": "/tmp/bin", ".": "~", "./.": "~", "./bin": "~/bin"}, "startup_path"),
        ("mv systemd d", {"d": "~/.config", "d/.": "~/.config", "d/systemd": "~/.config/systemd"}, "startup_path"),
        ("mv x d", {"d": "~/.config", "x": "~/x"}, "startup_path"),  # no directory yet: x takes its name
        ("cp -r g/. d", {"d": "~/r/.git", "d/.": "~/r/.git", "g": "~/g", "g/.": "~/g"}, "startup_path"),
        ("cp -rT g d", {"d": "~/.local", "g": "~/g"}, "startup_path"),
        ("ln -s /tmp/x d", {"d": "~/.local"}, "startup_path"),
        ("cp evil d", {"d": "~/d", "d/.": "~/d", "d/evil": "~/.bashrc"}, "startup_path"),  # d/evil is a link
        ("cp evil d", {"d": "~/d", "d/.": "~/d", "d/evil": "/etc/x"}, "outside_paths"),
        ("mv d x", {"d": "~/.config", "x": "~/x"}, "secret_path"),  # ~/.config/gcloud would be ~/x/gcloud
        ("grep -r x d", {"d": "/proc/4711"}, "secret_path"),
        ("diff a d", {"a": "/tmp/environ", "d": "/proc/4711"}, "secret_path"),
        ("grep -r x d", {"d": "/var/lib/cloud/instances"}, "secret_path"),
        ("awk '{print}' /inet/tcp/0/example.com/80", {}, "secret_path"),
    ],
)
def test_what_comes_along_and_where_it_comes_to_stand_counts(line: str, resolved: dict[str, str], flag: str) -> None:
    facts = judge(line, Bounds(), resolved).facts
    assert (facts.effect, flag in facts.flags) == (Effect.ADMINISTER, True), facts


@pytest.mark.parametrize(
    ("line", "resolved"),
    [
        ("cp .bashrc d", {"d": "~/d", ".bashrc": "~/.bashrc"}),  # a copy under another name
        ("mv a .", {"a": "/tmp/a", ".": "~", "./.": "~", "./a": "~/a"}),
        ("cp -r a d", {"a": "~/a", "d": "~/d", "d/.": "~/d", "d/a": "~/d/a"}),
        ("cp -r a .", {"a": "/srv/a", ".": "~", "./.": "~", "./a": "~/a"}),
        ("ln -s a b", {"b": "~/b"}),
        ("mv a b", {"a": "~/a", "b": "~/b"}),
    ],
)
def test_moving_things_about_is_a_write(line: str, resolved: dict[str, str]) -> None:
    assert judge(line, Bounds(), resolved).facts.effect is Effect.WRITE


def test_a_rename_by_sftp_brings_everything_along() -> None:
    touched = (("a", "write"), ("b", "write"))
    for resolved, flag in (
        ({"a": "~/a", "b": "~/r.git"}, "startup_path"),
        ({"a": "~/.config", "b": "~/b"}, "secret_path"),
    ):
        facts = judge_paths(
            "sftp rename", Effect.WRITE, touched, Bounds(), resolved, contents=False, flag="x", moves=True
        )
        assert (facts.effect, flag in facts.flags) == (Effect.ADMINISTER, True)


def test_a_tilde_names_what_a_relative_path_does() -> None:
    assert judge("cat ~/.env", BOUNDS).facts.effect is Effect.ADMINISTER
    assert judge("ls > ~/.bashrc", BOUNDS).facts.effect is Effect.ADMINISTER
    line = judge("grep -r x ~/notes ~", BOUNDS)
    assert line.facts.effect is Effect.ADMINISTER, "the home directory itself holds secrets"
    assert judge("grep -r x ~/notes", BOUNDS).text.endswith("-- x ~/notes")
    assert judge("cat ~/a", BOUNDS).named == ("./a",)
    assert [each.name for each in judge("cat ~/a", BOUNDS).facts.objects] == ["cat", "~/a"]


def test_the_host_is_asked_where_things_come_to_stand() -> None:
    assert set(judge("cp -r a sub/b d", Bounds()).named) == {"a", "sub/b", "d", ".", "d/.", "d/a", "d/b"}
