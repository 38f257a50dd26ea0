"""What an operator sees of check, test and judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import policy
from rig.postgres import EmbeddedPostgres
from tests.blastwall.config.configuration import GATEWAY, POLICY, write

ROOT = Path(__file__).parents[2]
CORPUS = str(ROOT / "tests" / "fixtures" / "corpus")


def run(*arguments: str, lines: str | bytes = "") -> Result:
    return CliRunner().invoke(policy.command, list(arguments), input=lines, catch_exceptions=False)


def judge(*asked: object, options: tuple[str, ...] = ("--group", "agents", "--hour", "12")) -> list[dict[str, object]]:
    lines = "".join(json.dumps(line) + "\n" for line in asked)
    result = run("judge", "--config", CORPUS, *options, lines=lines)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# -- check


def test_the_shipped_configuration_passes() -> None:
    result = run("check", "--config", str(ROOT / "config"))
    assert result.exit_code == 0
    assert "no problems" in result.output


def test_every_problem_has_its_place(tmp_path: Path) -> None:
    directory = write(
        tmp_path, gateway=GATEWAY.replace("port: 5432", "prot: 5432"), policy=POLICY + POLICY + "permit(principal,"
    )
    result = run("check", "--config", str(directory))
    assert result.exit_code == 1
    assert f"{directory}/gateway.yaml:13: unknown key 'prot'; did you mean 'port'?" in result.stdout
    assert f"{directory}/policies/rules.cedar:2: @id 'read' is already used" in result.stdout
    assert f"{directory}/policies/rules.cedar:3: not a Cedar policy" in result.stdout
    assert "nothing of this configuration would be loaded" in result.stderr


def test_problems_as_json(tmp_path: Path) -> None:
    directory = write(tmp_path, gateway=GATEWAY.replace("version: 1", "version: 9"))
    result = run("check", "--config", str(directory), "--format", "json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert found["problems"] == [
        {"file": f"{directory}/gateway.yaml", "line": 1, "message": "version: input should be 1, not 9"}
    ]
    sound = json.loads(run("check", "--config", str(write(tmp_path)), "--format", "json").stdout)
    assert (sound["ok"], sound["problems"], len(sound["version"])) == (True, [], 64)


def test_cases_are_checked_too(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "policies" / "cases.yaml").write_text("version: 1\npeople: {}\ncases: []\n")
    result = run("check", "--config", str(directory))
    assert result.exit_code == 1
    assert "cases.yaml:3: cases is empty" in result.stdout


def test_cases_are_checked_although_the_rest_is_wrong(tmp_path: Path) -> None:
    directory = write(tmp_path, gateway=GATEWAY.replace("version: 1", "version: 9"))
    (directory / "policies" / "cases.yaml").write_text("version: 1\npeople: {}\ncases: []\n")
    result = run("check", "--config", str(directory))
    assert result.exit_code == 1
    assert "gateway.yaml:1: version" in result.stdout and "cases.yaml:3: cases is empty" in result.stdout
    assert "2 problem(s)" in result.stderr


# -- test


def test_the_shipped_cases_pass_and_leave_no_rule_untouched() -> None:
    result = run("test", "--config", str(ROOT / "config"))
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.stdout
    assert "no case touches" not in result.stdout
    assert len(result.stdout.splitlines()) > 40


def test_the_corpus_cases_pass() -> None:
    result = run("test", "--config", CORPUS)
    assert result.exit_code == 0, result.output


def test_a_failing_case_is_shown_with_its_line(tmp_path: Path) -> None:
    directory = write(tmp_path)
    (directory / "policies" / "cases.yaml").write_text(
        "version: 1\npeople:\n  w: {agent: a, groups: [agents]}\ncases:\n"
        "  - {name: good, as: w, target: shop, facts: {effect: read, verb: select}, expect: permit}\n"
        "  - {name: bad, as: w, target: shop, facts: {effect: write, verb: update}, expect: permit}\n"
    )
    result = run("test", "--config", str(directory))
    assert result.exit_code == 1
    assert "ok    good" in result.stdout
    assert "FAIL  bad" in result.stdout
    assert f"{directory}/policies/cases.yaml:6: expected permit, got denial (no rule permits" in result.stdout
    assert "1 of 2 cases as expected" in result.stdout
    rows = json.loads(run("test", "--config", str(directory), "--format", "json").stdout)
    assert [row["ok"] for row in rows["cases"]] == [True, False]


# -- judge


def test_decisions_come_line_by_line_with_what_led_to_them() -> None:
    permit, pending, denial = judge(
        {"id": 1, "statement": "SELECT status FROM orders WHERE id = $1", "parameters": ["5"]},
        {"id": "two", "statement": "UPDATE orders SET status = 'paid' WHERE id = 5"},
        {"id": None, "statement": "DROP TABLE orders"},
    )
    assert (permit["id"], permit["decision"], permit["effect"], permit["verb"]) == (1, "permit", "read", "select")
    assert permit["policies"] == ["read"]
    assert "read table public.orders" in permit["objects"]  # type: ignore[operator]  # a list
    assert (pending["id"], pending["decision"], pending["effect"]) == ("two", "pending", "write")
    assert (pending["policies"], pending["approvers"]) == (["hold-bounded-writes"], ["owners"])
    assert (denial["id"], denial["decision"], denial["effect"]) == (None, "denial", "destroy")
    assert (denial["code"], denial["policies"]) == ("policy", [])
    assert denial["hint"]
    assert isinstance(denial["risk"], int)
    assert denial["risk"] > pending["risk"] > permit["risk"]  # type: ignore[operator]  # numbers


def test_who_asks_decides() -> None:
    (outsider,) = judge({"id": 1, "statement": "SELECT 1"}, options=("--group", "interns"))
    assert outsider["decision"] == "denial"
    (connecting,) = judge({"id": 1, "statement": ""}, options=("--group", "agents", "--kind", "connect"))
    assert (connecting["decision"], connecting["policies"]) == ("permit", ["connect"])
    (naming,) = judge(
        {"id": 1, "statement": "DELETE FROM orders WHERE id = 1"}, options=("--group", "agents", "--kind", "prepare")
    )
    assert (naming["decision"], naming["policies"]) == ("permit", ["hold-bounded-writes"])


@pytest.mark.parametrize(
    ("line", "id", "expected"),
    [
        (b"not json", None, "not a JSON object"),
        (b"[1, 2]", None, "not a JSON object"),
        (b"\xff\xfe", None, "not a JSON object"),
        (b"[" * 100_000, None, "not a JSON object"),
        (b'{"id": 7}', 7, "there is no statement"),
        (b'{"id": 7, "statement": 5}', 7, "there is no statement"),
        (b'{"id": 7, "statement": ["A", "B"]}', 7, "send each text on a line of its own"),
        (b'{"id": 7, "statement": "A", "parameters": "x"}', 7, "parameters must be"),
        (b'{"id": 7, "statement": "A", "parameters": [5]}', 7, "parameters must be"),
        (b'{"id": 7, "statement": "' + b"x" * policy.LONGEST_LINE + b'"}', None, "the line is longer than"),
    ],
    ids=["text", "list", "bytes", "deep", "none", "number", "several", "parameters", "parameter", "long"],
)
def test_a_line_that_cannot_be_judged_is_denied_and_the_next_one_answered(
    line: bytes, id: object, expected: str
) -> None:
    lines = line + b'\n\n{"id": 8, "statement": "SELECT 1"}'
    result = run("judge", "--config", CORPUS, "--group", "agents", lines=lines)
    assert result.exit_code == 0
    bad, good = (json.loads(line) for line in result.stdout.splitlines())
    assert (bad["id"], bad["decision"], bad["effect"]) == (id, "denial", "unknown")
    assert expected in bad["reason"]
    assert (good["id"], good["decision"]) == (8, "permit")
    assert bad.keys() == good.keys()


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1\u0000", "\ud800", "SELECT FROM WHERE", "/*" * 600, "1+" * 100_000],
    ids=["nul", "surrogate", "grammar", "comments", "long"],
)
def test_statements_that_are_none_are_denied(statement: str) -> None:
    answer, after = judge({"id": 1, "statement": statement}, {"id": 2, "statement": "SELECT 1"})
    assert (answer["decision"], answer["effect"], answer["code"]) == ("denial", "unknown", "unknown")
    assert answer["reason"]
    assert after["decision"] == "permit"


def test_an_empty_text_does_nothing_and_may() -> None:
    (answer,) = judge({"id": 1, "statement": ""})
    assert (answer["decision"], answer["effect"]) == ("permit", "session")


def test_mistakes_of_the_command_line() -> None:
    two = run("judge", "--config", CORPUS, "--dsn", "x", "--catalog", "y")
    assert two.exit_code == 2
    assert "not both" in two.output
    nobody = run("judge", "--config", CORPUS, "--target", "shop")
    assert nobody.exit_code == 2
    assert "known are corpus" in nobody.output
    url = run("judge", "--config", CORPUS, "--dsn", "host=x")
    assert url.exit_code == 2
    assert "postgresql://user@host" in url.output


def test_a_catalogue_that_is_not_there_is_the_configurations_fault() -> None:
    command = [sys.executable, "-m", "cli", "policy", "judge", "--config", CORPUS, "--catalog", "nowhere.json"]
    done = subprocess.run(command, input='{"statement": "SELECT 1"}', capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "nowhere.json" in done.stderr
    assert done.stdout == ""


def test_a_live_database_can_be_the_catalogue(postgres18: EmbeddedPostgres, database18: str) -> None:
    postgres18.psql("CREATE TABLE only_there (id int)", database=database18)
    statement = {"id": 1, "statement": "SELECT id FROM only_there"}
    (without,) = judge(statement)
    assert without["decision"] == "denial"
    dsn = f"{postgres18.dsn(database18)}?sslmode=disable"
    (with_it,) = judge(statement, options=("--group", "agents", "--dsn", dsn))
    assert (with_it["decision"], with_it["objects"]) == ("permit", ["read table public.only_there"])


def test_what_a_statement_would_do_can_be_given() -> None:
    text = "DELETE FROM public.carts WHERE id = 1"
    lines = [
        {"id": 1, "statement": text, "blast": {"rows": 3}},
        {"id": 2, "statement": text, "blast": {"rows": 101}},
        {"id": 3, "statement": text, "blast": {"rows": 100001}},
        {"id": 4, "statement": text},
        {"id": 5, "statement": text, "blast": {"row": 3}},
        {"id": 6, "statement": text, "blast": 3},
    ]
    shipped = str(Path(__file__).parents[2] / "config")
    options = ("--group", "agents", "--group", "trusted-agents", "--hour", "12")
    result = run(
        "judge", "--config", shipped, *options, lines=b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    )
    answers = [json.loads(line) for line in result.output.splitlines()]
    assert [answer["decision"] for answer in answers] == ["permit", "pending", "denial", "pending", "denial", "denial"]
    assert answers[2]["policies"] == ["no-huge-writes"]
    assert "blast: row:" in answers[4]["reason"]
