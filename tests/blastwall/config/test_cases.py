"""A suite that cannot mean what it says is refused at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.config.cases import load_cases
from blastwall.errors import ConfigFault
from blastwall.model import Effect
from tests.blastwall.config.configuration import write

SUITE = """\
version: 1
people:
  worker: {agent: a, groups: [agents]}
cases:
  - name: reads pass
    as: worker
    target: shop
    facts: {effect: read, verb: select, objects: [read materialized view public.v], flags: [reset]}
    expect: permit
    by: read
"""


def load(directory: Path, text: str) -> list[tuple[int, str]]:
    bundle = load_bundle(write(directory))
    (directory / "policies" / "cases.yaml").write_text(text)
    try:
        load_cases(directory, bundle)
    except ConfigFault as fault:
        return [(problem.line, problem.message) for problem in fault.problems]
    return []


def test_a_sound_suite_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, SUITE) == []
    suite = load_cases(tmp_path, load_bundle(tmp_path))
    (case,) = suite.cases
    assert (case.by_whom, case.by, case.hour) == ("worker", ("read",), 12)
    assert case.facts is not None
    assert case.facts.effect is Effect.READ


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("as: worker", "as: walker", 6, "there is no person 'walker'; people has worker"),
        ("target: shop", "target: shpo", 7, "there is no target 'shpo'; known are shop"),
        ("by: read", "by: [read, raed]", 10, "there is no rule 'raed'"),
        ("expect: permit", "expect: yes", 9, "expect"),
        ("flags: [reset]", "flags: [rest]", 8, "rest: not in the vocabulary of flags"),
        ("effect: read", "effect: look", 8, "cases.0.facts.effect"),
        ("read materialized view public.v", "public.v", 8, "should match pattern"),
        ("    by: read", "    statement: SELECT 1", 5, "needs exactly one of"),
        ("facts:", "recording_of: walker\n    factz:", 9, "did you mean 'facts'?"),
        ("    expect", "    hour: 24\n    expect", 9, "less than or equal to 23"),
        ("    expect", "    exhausted: [row]\n    expect", 9, "'rows', 'bytes' or 'statements'"),
        ("    expect", "    kind: run\n    expect", 9, "'connect', 'prepare', 'execute' or 'cancel'"),
        ("version: 1", "version: 2", 1, "version"),
        (SUITE[SUITE.index("  - name") :], "  []\n", 4, "cases is empty"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, old: str, new: str, line: int, expected: str) -> None:
    assert old in SUITE
    found = load(tmp_path, SUITE.replace(old, new))
    assert any(at == line and expected in message for at, message in found), found


def test_a_case_that_asks_nothing_and_a_name_that_is_taken(tmp_path: Path) -> None:
    more = "  - {name: reads pass, as: worker, target: shop, expect: permit}\n"
    found = load(tmp_path, SUITE + more)
    assert [line for line, _ in found] == [11, 11]
    assert "exactly one of statement, facts, connect, approve and recording_of" in found[0][1]
    assert "two cases are called 'reads pass'" in found[1][1]


def test_a_missing_suite_says_so(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path))
    with pytest.raises(ConfigFault, match=r"cases\.yaml: cannot be read"):
        load_cases(tmp_path, bundle)


def test_what_no_text_file_holds_has_its_line(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path))
    (tmp_path / "policies" / "cases.yaml").write_bytes(SUITE.encode().replace(b"worker\n", b"w\xe9rker\n"))
    with pytest.raises(ConfigFault, match=r"cases\.yaml:6: not UTF-8"):
        load_cases(tmp_path, bundle)


def test_without_a_bundle_only_its_names_are_left_unchecked(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "policies" / "cases.yaml").write_text(SUITE.replace("target: shop", "target: nobody-knows"))
    assert load_cases(tmp_path, None).cases[0].target == "nobody-knows"
    (tmp_path / "policies" / "cases.yaml").write_text(SUITE.replace("as: worker", "as: walker"))
    with pytest.raises(ConfigFault, match="there is no person 'walker'"):
        load_cases(tmp_path, None)
