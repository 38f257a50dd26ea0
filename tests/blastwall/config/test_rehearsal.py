"""Cases are decided for real, and a difference is told as what was expected and what came."""

from __future__ import annotations

from pathlib import Path

import pytest

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.cases import load_cases
from blastwall.config.rehearsal import Outcome, run_cases, untouched
from blastwall.errors import ConfigFault
from blastwall.model import Effect, Facts, Target
from tests.blastwall.config.configuration import POLICY, write

RULES = (
    POLICY
    + """
@id("enter") permit (principal in Group::"agents", action == Action::"connect", resource);
@id("hold") @approvers("owners, dba") @quorum("2")
permit (principal, action == Action::"write", resource) when { context.approved };
@id("spent") @code("budget") forbid (principal, action == Action::"read", resource)
when { context.exhausted.contains("rows") };
@id("night") forbid (principal, action == Action::"read", resource)
when { context.environment == "production" && context.hour == 3 };
@id("emergency") permit (principal, action == Action::"destroy", resource) when { context.break_glass };
@id("decide") permit (principal in Group::"owners", action == Action::"approve", resource) when { context.routed };
@id("replay") permit (principal in Group::"owners", action == Action::"read-recording", resource);
@id("table") forbid (principal, action == Action::"read", resource)
when { context.objects.contains("read foreign table public.f") };
"""
)
PEOPLE = """\
version: 1
people:
  worker: {agent: a, groups: [agents], on_behalf_of: ada}
  owner: {agent: p, subject: olga, groups: [owners]}
  ada: {agent: p, subject: ada, groups: [owners]}
cases:
"""


def judge(target: Target, text: str) -> Facts:
    assert target.name == "shop"
    return Facts({"SELECT": Effect.READ, "DROP": Effect.DESTROY}[text.split(" ")[0]], text.lower())


def run(directory: Path, *cases: str) -> tuple[list[Outcome], Bundle]:
    bundle = load_bundle(write(directory, policy=RULES))
    lines = [f"  - {{name: n{number}, target: shop, {case}}}\n" for number, case in enumerate(cases)]
    (directory / "policies" / "cases.yaml").write_text(PEOPLE + "".join(lines))
    return list(run_cases(load_cases(directory, bundle), bundle, judge)), bundle


READ = "facts: {effect: read, verb: select}"


@pytest.mark.parametrize(
    "case",
    [
        f"as: worker, {READ}, expect: permit, by: read",
        "as: worker, statement: SELECT 1, expect: permit, by: read",
        "as: worker, statement: DROP TABLE x, expect: denial, by: [], code: policy",
        "as: worker, statement: DROP TABLE x, break_glass: true, expect: permit, by: emergency",
        "as: worker, connect: true, expect: permit, by: enter",
        "as: owner, connect: true, expect: denial, by: []",
        "as: worker, facts: {effect: write, verb: w}, expect: pending, by: hold, approvers: [dba, owners], quorum: 2",
        "as: worker, kind: prepare, facts: {effect: write, verb: w}, expect: permit, by: hold",
        f"as: worker, {READ}, exhausted: [rows], expect: denial, by: spent, code: budget",
        f"as: worker, {READ}, labels: {{environment: production}}, hour: 3, expect: denial, by: night",
        f"as: worker, {READ}, hour: 3, expect: permit",
        "as: worker, facts: {effect: read, verb: s, objects: [read foreign table public.f]}, expect: denial, by: table",
        "as: owner, approve: {requester: worker, approvers: [owners]}, expect: permit",
        "as: owner, approve: {requester: worker, approvers: [dba]}, expect: denial, by: []",
        "as: ada, approve: {requester: worker, approvers: [owners]}, expect: denial",
        "as: owner, recording_of: worker, expect: permit",
        "as: worker, recording_of: worker, expect: denial",
    ],
)
def test_what_a_case_can_ask(tmp_path: Path, case: str) -> None:
    (outcome,), _ = run(tmp_path, case)
    assert outcome.wrong == ()
    assert (outcome.file, outcome.line) == (str(tmp_path / "policies" / "cases.yaml"), 7)


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        (f"as: worker, {READ}, expect: denial", ("expected denial, got permit",)),
        (
            "as: worker, facts: {effect: write, verb: w, reason: it writes}, expect: permit",
            ("expected permit, got pending (rule hold asks owners or dba first: it writes)",),
        ),
        (f"as: worker, {READ}, expect: permit, by: hold", ("expected hold to decide, but read did",)),
        (f"as: worker, {READ}, expect: permit, by: []", ("expected no rule to decide, but read did",)),
        (f"as: worker, {READ}, expect: permit, by: [read, hold]", ("expected hold, read to decide, but read did",)),
        ("as: worker, statement: DROP x, expect: denial, code: budget", ("expected code budget, got policy",)),
        (
            "as: worker, facts: {effect: write, verb: w}, expect: pending, approvers: [owners], quorum: 1",
            ("expected approvers owners, got dba, owners", "expected a quorum of 1, got 2"),
        ),
        ("as: owner, recording_of: worker, expect: denial", ("expected denial, got permit",)),
    ],
)
def test_a_difference_is_told(tmp_path: Path, case: str, wrong: tuple[str, ...]) -> None:
    (outcome,), _ = run(tmp_path, case)
    assert outcome.wrong == wrong


def test_rules_that_no_case_touches_are_known(tmp_path: Path) -> None:
    outcomes, bundle = run(
        tmp_path,
        f"as: worker, {READ}, expect: permit",
        "as: worker, facts: {effect: write, verb: w}, expect: pending",
        "as: worker, connect: true, expect: permit",
    )
    assert untouched(outcomes, bundle) == ("emergency", "night", "spent", "table")


MASKED_RULE = """
@id("no-ssn") forbid (principal, action == Action::"read", resource)
when { context has masked_columns && context.masked_columns.contains("public.customers.ssn") };
"""


def test_facts_say_what_masking_found(tmp_path: Path) -> None:
    directory = write(tmp_path, policy=POLICY + MASKED_RULE)
    (directory / "masking.yaml").write_text(
        "version: 1\ntargets:\n  shop:\n    columns: [{column: public.customers.ssn, strategy: redact}]\n"
    )
    bundle = load_bundle(directory)
    cases = [
        "facts: {effect: read, verb: select}, expect: permit",
        "facts: {effect: read, verb: select, masked_columns: [public.customers.ssn]}, expect: denial, by: no-ssn",
        "facts: {effect: read, verb: select, refusal: it would show ssn}, expect: denial, by: [], code: policy",
    ]
    lines = [f"  - {{name: n{number}, as: worker, target: shop, {case}}}\n" for number, case in enumerate(cases)]
    (directory / "policies" / "cases.yaml").write_text(PEOPLE + "".join(lines))
    assert [outcome.wrong for outcome in run_cases(load_cases(directory, bundle), bundle, judge)] == [(), (), ()]


BLAST = """
@id("few") permit (principal, action == Action::"write", resource)
when { context has blast && context.blast.rows <= 10 && context.blast.triggers.isEmpty() };
"""


def test_a_case_says_what_a_statement_would_do(tmp_path: Path) -> None:
    write_ = "as: worker, facts: {effect: write, verb: update}"
    cases = (
        f"{write_}, blast: {{rows: 10}}, expect: permit, by: few",
        f"{write_}, blast: {{rows: 11}}, expect: denial, by: []",
        f"{write_}, blast: {{rows: 1, triggers: [public.t.x]}}, expect: denial, by: []",
        f"{write_}, blast: {{known: false, rows: 1}}, expect: denial, by: []",
        f"{write_}, expect: denial, by: []",
        f"{write_}, kind: prepare, expect: permit, by: few",
        f"{write_}, blast: {{rows: 1, locks: [access exclusive public.t], irreversible: true}}, expect: permit, by: few",
    )
    bundle = load_bundle(write(tmp_path, policy=POLICY + BLAST))
    lines = [f"  - {{name: n{number}, target: shop, {case}}}\n" for number, case in enumerate(cases)]
    (tmp_path / "policies" / "cases.yaml").write_text(PEOPLE + "".join(lines))
    assert [outcome.wrong for outcome in run_cases(load_cases(tmp_path, bundle), bundle, judge)] == [()] * len(cases)


@pytest.mark.parametrize("blast", ["{rows: -1}", "{row: 3}", "{known: maybe}", "{locks: [exclusive]}"])
def test_what_no_blast_radius_says_is_a_problem(tmp_path: Path, blast: str) -> None:
    bundle = load_bundle(write(tmp_path, policy=POLICY + BLAST))
    case = f"as: worker, facts: {{effect: write, verb: update}}, blast: {blast}, expect: permit"
    (tmp_path / "policies" / "cases.yaml").write_text(f"{PEOPLE}  - {{name: n, target: shop, {case}}}\n")
    with pytest.raises(ConfigFault, match="blast"):
        load_cases(tmp_path, bundle)
