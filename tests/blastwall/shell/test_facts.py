from __future__ import annotations

import pytest

from blastwall.model import Effect, ObjectRef
from blastwall.shell.facts import Bounds, judge

BOUNDS = Bounds()


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
    line = judge("ls; rm x", BOUNDS)
    assert line.facts.effect is Effect.UNKNOWN
    assert line.facts.flags == {"outside_grammar"}
    assert line.text == "ls; rm x"


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
