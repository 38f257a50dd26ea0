from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import ClientFault
from blastwall.model import Effect, ObjectRef
from blastwall.policy.vocabulary import FLAGS
from blastwall.protocols.ssh.classify import OPERATIONS, classify, named_bytes, sftp_text, unplaced
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


NAMES = st.one_of(st.binary(min_size=1, max_size=12), st.text(r"\xfe89é/", min_size=1, max_size=9).map(str.encode))


@given(st.sampled_from(sorted(OPERATIONS)), st.lists(NAMES, min_size=1, max_size=2))
def test_hostile_names_stay_names(operation: str, paths: list[bytes]) -> None:
    wanted = len(OPERATIONS[operation][1])
    paths = (paths * 2)[:wanted]
    try:
        text = sftp_text(operation, *paths)
    except ClientFault:
        assert any(b"\0" in path or b"\\x" in path for path in paths)
        return
    request = classify(text, OPTIONS)
    names = [path.decode("utf-8", "backslashreplace") for path in paths]
    assert set(names) <= set(request.named) <= {*names, *map(directory, names)}
    raw = named_bytes(*paths)
    assert all(raw[name] == path for name, path in zip(names, paths, strict=True))
    assert set(request.named) <= set(raw)


@given(NAMES, NAMES)
def test_no_two_names_have_one_text(one: bytes, other: bytes) -> None:
    try:
        assert (sftp_text("remove", one) == sftp_text("remove", other)) == (one == other)
    except ClientFault:
        pass


@pytest.mark.parametrize("path", [b"a\0b", b"x" * 4097, rb"a\xff"], ids=["nul", "long", "another's"])
def test_names_that_no_host_has_or_that_read_like_others_are_refused(path: bytes) -> None:
    with pytest.raises(ClientFault):
        sftp_text("stat", path)


@pytest.mark.parametrize(
    ("settings", "effect"),
    [
        ((), Effect.WRITE),
        (("mode=0644", "times=1:2"), Effect.WRITE),
        (("mode=4755",), Effect.ADMINISTER),
        (("mode=0666",), Effect.ADMINISTER),
        (("owner=0:0",), Effect.ADMINISTER),
        (("size=0",), Effect.DESTROY),
        (("size=0", "owner=0:0"), Effect.ADMINISTER),
        (("rm",), Effect.UNKNOWN),
    ],
)
def test_what_is_set_of_a_file_counts_and_is_shown(settings: tuple[str, ...], effect: Effect) -> None:
    text = sftp_text("setstat", b"a b", settings=settings)
    assert text == " ".join(("sftp: setstat 'a b'", *settings))
    assert classify(text, OPTIONS).facts.effect is effect
    assert classify(sftp_text("setstat", b".env", settings=("mode=0644",)), OPTIONS).facts.effect is Effect.ADMINISTER


def test_what_the_host_does_not_place_is_not_judged() -> None:
    found = unplaced(classify("exec: cat a", OPTIONS), "it is silent")
    assert (found.facts.effect, found.facts.reason) == (Effect.UNKNOWN, "Not judged: it is silent.")
    assert found.facts.flags <= FLAGS


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
