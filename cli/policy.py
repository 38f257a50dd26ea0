"""``blastwall policy``: check a configuration, run its cases, and judge statements without running anything."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import click
from pydantic import ValidationError

from blastwall import registry
from blastwall.blast import Blast
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.cases import CASES, GivenBlast, load_cases
from blastwall.config.judging import Judge
from blastwall.config.rehearsal import Outcome, run_cases, untouched, word
from blastwall.errors import ConfigFault, Fault, Problem
from blastwall.masking.plan import Treatment
from blastwall.model import Denial, DenialCode, Facts, Pending, Permit, Principal, Secret, StatementKind, Target
from blastwall.policy.decide import Question
from cli import place

LONGEST_LINE = 8 * 1024 * 1024  # bytes of one line of input
HERE = "command-line"  # the issuer of principals that the command line makes up

_config = click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("config"),
    show_default=True,
    help="The configuration directory: gateway.yaml and policies.",
)
_format = place.format_option("text", "json")


@click.group(short_help="Check policies, run their cases, judge statements.")
def command() -> None:
    """Judge statements and check policies without running anything."""


@command.command(short_help="Find every problem, with file and line.")
@_config
@_format
@click.option("--target", "target_name", metavar="NAME", help="Whose database --catalog or --dsn is.")
@click.option("--catalog", metavar="FILE", help="Hold the masking rules against this catalogue snapshot.")
@click.option(
    "--dsn", metavar="URL", help="Hold the masking rules against this database; the password from PGPASSWORD."
)
@click.pass_context
def check(
    ctx: click.Context, config: Path, form: str, target_name: str | None, catalog: str | None, dsn: str | None
) -> None:
    """Find every problem in a configuration directory, each with its file and line.

    Masking rules are held against the catalogue of --dsn or --catalog, else against the snapshots that targets name
    (catalogue_file): a rule must name what exists, and its strategy must fit the type.

    Exit code 1 when there is a problem.
    """
    if catalog is not None and dsn is not None:
        raise click.UsageError("give --catalog or --dsn, not both")
    problems: tuple[Problem, ...] = ()
    bundle: Bundle | None = None
    try:
        bundle = load_bundle(config)
    except ConfigFault as fault:
        problems = fault.problems
    try:
        if (config / CASES).exists():
            load_cases(config, bundle)
        if bundle is not None:
            problems = _masking_problems(bundle, target_name, catalog, dsn)
    except ConfigFault as fault:
        problems += fault.problems
    if form == "json":
        found = [{"file": problem.file, "line": problem.line, "message": problem.message} for problem in problems]
        version = bundle.version if bundle is not None else None
        place.echo_json({"ok": not problems, "version": version, "problems": found})
    elif bundle is not None and not problems:
        rules, targets = len(bundle.policies.rules), len(bundle.targets)
        click.echo(f"{config}: {rules} rules for {targets} target(s), no problems; version {bundle.version[:12]}")
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"{len(problems)} problem(s); nothing of this configuration would be loaded", err=True)
    if problems:
        ctx.exit(1)


def _masking_problems(bundle: Bundle, name: str | None, catalog: str | None, dsn: str | None) -> tuple[Problem, ...]:
    """What in the masking rules does not fit the catalogues at hand."""
    judging = Judge(catalog)
    masked = [target for target in bundle.targets.values() if target.masking is not None]
    if catalog is not None or dsn is not None:
        masked = [_target(bundle, name)]
        if masked[0].masking is None:
            raise click.UsageError(f"masking.yaml has no rules for {masked[0].name}: there is nothing to check")
        if dsn is not None:
            _use_database(judging, masked[0], dsn)
    found: list[Problem] = []
    for target in masked:
        catalogue = judging.catalogue(target)
        if catalogue is not None:
            found += target.masking.problems(catalogue)
    return tuple(sorted(found, key=lambda problem: (problem.file, problem.line)))


@command.command(short_help="Decide every case of cases.yaml.")
@_config
@_format
@click.option(
    "--cases",
    type=click.Path(file_okay=False, path_type=Path),
    help="A configuration directory to take policies/cases.yaml from.",
)
@click.option("--catalog", metavar="FILE", help="A catalogue snapshot instead of the targets' own.")
@click.pass_context
def test(ctx: click.Context, config: Path, form: str, cases: Path | None, catalog: str | None) -> None:
    """Decide every case of cases.yaml and compare with what it expects.

    Exit code 1 when a case fails.
    """
    bundle = load_bundle(config)
    suite = load_cases(cases or config, bundle)
    outcomes = list(run_cases(suite, bundle, Judge(catalog).judge))
    failed = [outcome for outcome in outcomes if outcome.wrong]
    quiet = untouched(outcomes, bundle)
    if form == "json":
        rows = [_row(outcome) for outcome in outcomes]
        place.echo_json({"ok": not failed, "cases": rows, "rules_without_case": list(quiet)})
    else:
        for line in _table(outcomes):
            click.echo(line)
        if quiet:
            click.echo(f"rules that no case touches: {', '.join(quiet)}")
        click.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases as expected")
    if failed:
        ctx.exit(1)


def _row(outcome: Outcome) -> Mapping[str, object]:
    return {
        "name": outcome.case.name,
        "file": outcome.file,
        "line": outcome.line,
        "ok": not outcome.wrong,
        "decision": outcome.got,
        "policies": list(outcome.rules),
        "wrong": list(outcome.wrong),
    }


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    width = max((len(outcome.case.name) for outcome in outcomes), default=0)
    for outcome in outcomes:
        mark = "FAIL" if outcome.wrong else "ok  "
        rules = ", ".join(outcome.rules) or "-"
        yield f"{mark}  {outcome.case.name:<{width}}  {outcome.got:<7}  {rules}"
        for difference in outcome.wrong:
            yield f"      {outcome.file}:{outcome.line}: {difference}"


@command.command(short_help="JSON lines of statements in, decisions out.")
@_config
@click.option("--target", "target_name", metavar="NAME", help="Needed when the configuration has several.")
@click.option("--agent", default="agent", show_default=True, help="The agent that asks.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the agent; may be repeated.")
@click.option("--on-behalf-of", metavar="PERSON", help="The person the agent works for.")
@click.option("--hour", type=click.IntRange(0, 23), help="The hour to judge at, in UTC; now unless given.")
@click.option("--kind", type=click.Choice([kind.value for kind in StatementKind]), default="execute", show_default=True)
@click.option("--break-glass", is_flag=True, help="Judge as in a break-glass session.")
@click.option("--catalog", metavar="FILE", help="A catalogue snapshot instead of the target's own.")
@click.option("--dsn", metavar="URL", help="Read the catalogue from this database; the password from PGPASSWORD.")
def judge(
    config: Path,
    target_name: str | None,
    agent: str,
    groups: tuple[str, ...],
    on_behalf_of: str | None,
    hour: int | None,
    kind: str,
    break_glass: bool,
    catalog: str | None,
    dsn: str | None,
) -> None:
    """Read statements as JSON lines, write one decision a line; nothing is run.

    In: {"id": 1, "statement": "SELECT 1"}, with "parameters": ["text", null] if it has any, and "blast": {"rows": 3}
    (or more of what context.blast holds) if rules read what it would do; left out, that is unknown.
    Out: id, decision (permit, pending, denial), effect, verb, objects, flags, policies, reason, hint, code, approvers,
    risk; masked (which output columns would be masked, how, and by which rule), masked_columns, filters_masked and
    refusal (what masking itself refuses). A line that cannot be judged is answered with a denial that says why.
    """
    if catalog is not None and dsn is not None:
        raise click.UsageError("give --catalog or --dsn, not both")
    bundle = load_bundle(config)
    target = _target(bundle, target_name)
    judging = Judge(catalog)
    if dsn is not None:
        _use_database(judging, target, dsn)
    if target.masking is not None:
        target = replace(target, masking=target.masking.for_groups(frozenset(groups)))
    principal = Principal(HERE, agent, agent, frozenset(groups), on_behalf_of)
    now = time.gmtime().tm_hour if hour is None else hour
    asking = Asking(bundle, target, principal, StatementKind(kind), now, break_glass, judging)
    judging.judge(target, "")  # loads the catalogue: its problems are the caller's, not every line's
    output = sys.stdout.buffer
    for line in _lines(sys.stdin.buffer):
        output.write(json.dumps(asking.answer(line)).encode() + b"\n")
        output.flush()  # whoever writes the lines may wait for each answer


def _use_database(judging: Judge, target: Target, dsn: str) -> None:
    password = os.environ.get("PGPASSWORD")
    try:
        read = registry.read_catalogue(target.protocol)
        judging.use(target, read(dsn, Secret(password) if password else None))
    except (LookupError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--dsn") from None


def _target(bundle: Bundle, name: str | None) -> Target:
    known = ", ".join(sorted(bundle.targets))
    if name is None:
        if len(bundle.targets) > 1:
            raise click.UsageError(f"say which target with --target; known are {known}")
        (target,) = bundle.targets.values()
        return target
    if name not in bundle.targets:
        raise click.UsageError(f"there is no target {name!r}; known are {known}")
    return bundle.targets[name]


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Lines without their end; None for one that is longer than :data:`LONGEST_LINE`. Blank lines are left out."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
            if line.strip():
                yield line.rstrip(b"\r\n")
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


@dataclass(frozen=True, slots=True)
class Asking:
    """Answers one line of input after the other, always with a line of output."""

    bundle: Bundle
    target: Target
    principal: Principal
    kind: StatementKind
    hour: int
    break_glass: bool
    judge: Judge

    def answer(self, line: bytes | None) -> Mapping[str, object]:
        """The decision about one line (None: it was too long). Never raises for what the line holds."""
        if line is None:
            return _refused(None, f"the line is longer than {LONGEST_LINE} bytes; send the statement in a smaller one")
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _refused(None, f"not a JSON object ({error}); send one a line, such as {_EXAMPLE}")
        if not isinstance(asked, dict):
            return _refused(None, f"not a JSON object; send one a line, such as {_EXAMPLE}")
        id = asked.get("id")
        statement, parameters = asked.get("statement"), asked.get("parameters", [])
        if isinstance(statement, list):
            return _refused(id, "the statement is a list; send each text on a line of its own, in order")
        if not isinstance(statement, str):
            return _refused(id, f"there is no statement in it; send it as text, such as {_EXAMPLE}")
        if not isinstance(parameters, list) or not all(value is None or isinstance(value, str) for value in parameters):
            return _refused(id, 'parameters must be a list of texts and nulls, such as ["5", null]')
        try:
            given = None if asked.get("blast") is None else GivenBlast.model_validate(asked["blast"]).blast()
        except ValidationError as error:
            first = error.errors()[0]
            return _refused(id, f"blast: {'.'.join(map(str, first['loc']))}: {first['msg']}; it is as in cases.yaml")
        try:
            facts = self.judge.judge(self.target, statement, tuple(parameters))
            answer = _answer(id, facts, self._decide(statement, facts, given))
            if self.target.masking is not None:
                answer["masked"] = _masked(self.judge.treatments(self.target, statement))
            return answer
        except Fault as fault:
            return _refused(id, str(fault))
        except Exception as error:  # noqa: BLE001  one statement that breaks us must not cost the answers to the others
            return _refused(id, f"internal error: {type(error).__name__}: {error}")

    def _decide(self, statement: str, facts: Facts, given: Blast | None) -> Permit | Pending | Denial:
        question = Question(
            principal=self.principal,
            target=self.target,
            statement_kind=self.kind,
            facts=facts,
            hour=self.hour,
            break_glass=self.break_glass,
            upstream_text=statement,
        )
        return self.bundle.policies.decide(self.bundle.policies.supposing(question, given))


_EXAMPLE = '{"id": 1, "statement": "SELECT 1"}'


def _masked(treatments: Iterable[Treatment]) -> list[dict[str, str]]:
    """Each output column that shows a mask, once for each masked column behind it."""
    return [
        {"output": output.name, "column": mask.column, "strategy": mask.strategy.value, "origin": mask.origin}
        for treatment in treatments
        for output in treatment.outputs or ()
        for mask in (*((output.sink,) if output.sink is not None else ()), *output.masks)
    ]


def _answer(id: object, facts: Facts, decision: Permit | Pending | Denial) -> dict[str, object]:
    return {
        "id": id,
        "decision": word(decision),
        "effect": facts.effect.value,
        "verb": facts.verb,
        "objects": [str(ref) for ref in facts.objects],
        "flags": sorted(facts.flags),
        "policies": list(decision.policies),
        "reason": facts.reason if isinstance(decision, Permit) else decision.reason,
        "hint": decision.hint if isinstance(decision, Denial) else "",
        "code": decision.code.value if isinstance(decision, Denial) else None,
        "approvers": list(decision.approvers) if isinstance(decision, Pending) else [],
        "risk": decision.risk.score,
        "risk_reasons": [list(reason) for reason in decision.risk.reasons],
        "would_have": decision.would_have if isinstance(decision, Permit) else None,
        "masked": [],
        "masked_columns": sorted(facts.masked_columns),
        "filters_masked": facts.filters_masked,
        "refusal": facts.refusal,
    }


def _refused(id: object, reason: str) -> Mapping[str, object]:
    """The same shape for a line that was not judged."""
    return {
        "id": id,
        "decision": "denial",
        "effect": "unknown",
        "verb": "",
        "objects": [],
        "flags": [],
        "policies": [],
        "reason": reason,
        "hint": "",
        "code": DenialCode.FAULT.value,
        "approvers": [],
        "risk": 100,
        "risk_reasons": [],
        "would_have": None,
        "masked": [],
        "masked_columns": [],
        "filters_masked": False,
        "refusal": "",
    }
