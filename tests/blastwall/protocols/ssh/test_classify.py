from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.model import Effect, ObjectRef
from blastwall.policy.vocabulary import FLAGS
from blastwall.protocols.ssh.classify import OPERATIONS, classify, sftp_text
from blastwall.protocols.ssh.options import Options
from blastwall.shell.paths import directory

OPTIONS = Options(destinations=("10.0.0.5:5432",))
ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "corpus" / "bypass.jsonl").read_text("utf-8").split("\n")
    if line
]
REQUESTS = [row for row in ROWS if row["protocol"] == "ssh" and not row["payload"].startswith(("output", "upstream"))]


@pytest.mark.parametrize("row", REQUESTS, ids=[row["id"] for row in REQUESTS])
def test_the_corpus(row: dict[str, str]) -> None:
    facts = classify(row["payload"], Options()).facts
    assert (facts.effect is Effect.READ) == (row["class"] == "safe_read")
    assert facts.flags <= FLAGS


def test_a_command_goes_up_as_our_own_text() -> None:
    assert classify("exec: c''at  'a'", OPTIONS).text == "exec: cat a"


def test_a_shell_is_a_question_of_its_own() -> None:
    facts = classify("shell", OPTIONS).facts
    assert facts.effect is Effect.UNKNOWN
    assert facts.flags == {"interactive_shell"}
    assert classify("exec: shell", OPTIONS).facts.flags == {"unlisted_program"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_reads_back(operation: str) -> None:
    effect, accesses, _ = OPERATIONS[operation]
    text = sftp_text(operation, *(f"dir/{number} x".encode() for number in range(len(accesses))))
    request = classify(text, OPTIONS)
    assert request.facts.effect is effect
    assert request.facts.verb == f"sftp {operation}"
    assert [path for path in request.named if path != "dir"] == [f"dir/{number} x" for number in range(len(accesses))]
    assert ("dir" in request.named) == (set(accesses) != {"read"}), "where links themselves stand"


@given(st.sampled_from(sorted(OPERATIONS)), st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=2))
def test_hostile_names_stay_names(operation: str, paths: list[bytes]) -> None:
    wanted = len(OPERATIONS[operation][1])
    paths = (paths * 2)[:wanted]
    request = classify(sftp_text(operation, *paths), OPTIONS)
    names = [path.decode("utf-8", "backslashreplace") for path in paths]
    assert set(names) <= set(request.named) <= {*names, *map(directory, names)}


@pytest.mark.parametrize(
    ("text", "flag"),
    [("sftp: read .ssh/id_rsa", "secret_path"), ("sftp: write /etc/passwd", "outside_paths")],
)
def test_places_count_for_files_too(text: str, flag: str) -> None:
    facts = classify(text, OPTIONS).facts
    assert facts.effect is Effect.ADMINISTER
    assert flag in facts.flags


def test_a_file_opened_for_both_must_be_allowed_for_both() -> None:
    writable_only = Options(readable=("/srv",), writable=("~",))
    assert classify("sftp: write ~/a", writable_only).facts.effect is Effect.WRITE
    assert classify("sftp: update ~/a", writable_only).facts.effect is Effect.ADMINISTER
    facts = classify("sftp: update ~/a", OPTIONS).facts
    assert facts.effect is Effect.WRITE
    assert {ref.access for ref in facts.objects} == {"read", "write"}


def test_what_the_host_says_of_a_path_counts() -> None:
    assert classify("sftp: read innocent", OPTIONS, {"innocent": "~/.env"}).facts.effect is Effect.ADMINISTER


@pytest.mark.parametrize("text", ["sftp: read", "sftp: rename a", "sftp: fly a", "sftp: read a -> b", "sftp: read 'a"])
def test_what_is_no_operation(text: str) -> None:
    assert classify(text, OPTIONS).facts.effect is Effect.UNKNOWN


def test_destinations_are_listed_or_unknown() -> None:
    listed = classify("channel: direct-tcpip 10.0.0.5:5432", OPTIONS).facts
    assert listed.effect is Effect.ADMINISTER
    assert listed.objects == (ObjectRef("destination", "10.0.0.5:5432", "call"),)
    assert classify("channel: direct-tcpip 10.0.0.6:5432", OPTIONS).facts.effect is Effect.UNKNOWN


@pytest.mark.parametrize("text", ["", "EXEC: ls", "exec:ls", "subsystem: netconf", "global: tcpip-forward"])
def test_other_requests_are_unknown(text: str) -> None:
    assert classify(text, OPTIONS).facts.effect is Effect.UNKNOWN
