"""The masking rows of the attack corpus, plain and wrapped, and what masking makes of ordinary statements."""

from __future__ import annotations

import json

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.config.judging import Judge
from blastwall.masking.plan import Predicates, Strategy
from blastwall.model import SEVERITY, Effect, Facts
from blastwall.protocols.postgres.classify import Finding
from tests.blastwall.sql.masking.masks import found
from tests.corpus.test_facts import HERE, MASKING, SHARED, WRAPS, legal, payload

BENIGN = [row for row in SHARED if row["id"].startswith("OK-")]


def denied(facts: Facts) -> bool:
    return bool(facts.refusal) or SEVERITY[facts.effect] >= SEVERITY[Effect.ADMINISTER]


def is_masked(finding: Finding) -> bool:
    """Whether whatever comes of it is masked: each statement's columns are laid out, and what else is said reduced."""
    return all(
        each.treatment.touches and (each.treatment.outputs is not None or each.facts.effect is Effect.WRITE)
        for each in finding.statements
    )


@pytest.mark.parametrize("strategy", [Strategy.REDACT, Strategy.HASH, Strategy.PARTIAL])
@pytest.mark.parametrize("predicates", Predicates)
def test_every_row_is_masked_or_refused(predicates: Predicates, strategy: Strategy) -> None:
    wrong = []
    for row in MASKING:
        finding = found(payload(row), predicates, strategy)
        assert "internal_error" not in finding.facts.flags, row["id"]
        outcome = "deny" if denied(finding.facts) else "mask" if is_masked(finding) else "allow"
        if outcome not in row["accept"]:
            wrong.append((row["id"], row["payload"], outcome, finding.facts))
    assert not wrong


def test_with_deny_no_row_decides_anything_by_a_masked_column() -> None:
    for row in MASKING:
        facts = found(payload(row)).facts
        assert denied(facts) or not facts.filters_masked, row


def level(facts: Facts) -> int:
    """How much masking makes of a statement: refused, masked, or nothing."""
    return 2 if denied(facts) else 1 if facts.masked_columns else 0


@pytest.mark.parametrize("wrap", [*WRAPS, "attribute", "lateral", "twice"])
def test_a_wrap_never_shows_more(wrap: str) -> None:
    template = {
        **WRAPS,
        "attribute": "SELECT (wrapped).* FROM (SELECT q AS wrapped FROM ({}) AS q) AS z",
        "lateral": "SELECT w.* FROM orders AS o, LATERAL ({}) AS w",
        "twice": "WITH a AS ({}), b AS (SELECT * FROM a) SELECT * FROM b UNION ALL SELECT * FROM a",
    }[wrap]
    tried = 0
    for row in MASKING:
        text = payload(row).rstrip().rstrip(";")
        wrapped = template.format(text)
        if not legal(text) or not legal(wrapped):
            continue
        tried += 1
        plain, carried = found(text).facts, found(wrapped).facts
        assert level(carried) >= level(plain), (wrapped, plain, carried)
    assert tried > 30


def texts() -> list[str]:
    """What ordinary clients, their libraries and their tools send."""
    lines = [line for name in ("orm", "tools") for line in (HERE / f"{name}.jsonl").read_text("utf-8").split("\n")]
    return [payload(row) for row in BENIGN] + [str(json.loads(line)["text"]) for line in lines if line]


def test_an_ordinary_statement_that_shows_nothing_masked_goes_up_as_it_came() -> None:
    unmasked = 0
    for text in texts():
        finding = found(text)
        assert "internal_error" not in finding.facts.flags, text
        if not finding.facts.masked_columns:
            unmasked += 1
            assert finding.masked is None, text
            assert not finding.facts.refusal, (text, finding.facts.refusal)
    assert unmasked > 200


def test_ordinary_statements_are_refused_only_where_they_compute_with_what_is_masked() -> None:
    refused = [text for text in texts() if found(text).facts.refusal]
    assert len(refused) == 3
    assert all('"profile"' in text.partition("WHERE")[2] for text in refused)


def test_the_corpus_own_rules_mask_its_own_columns() -> None:
    """Through the configuration, as `policy judge` asks."""
    target = load_bundle(HERE.parent / "fixtures" / "corpus").targets["corpus"]
    judge = Judge()
    for row in MASKING:
        facts = judge.judge(target, payload(row))
        treatments = judge.treatments(target, payload(row))
        outcome = (
            "deny" if denied(facts) else "mask" if treatments and all(each.touches for each in treatments) else "allow"
        )
        assert outcome in row["accept"], (row, facts)
    assert [output.name for output in judge.treatments(target, "TABLE customers")[0].outputs or () if output.masks] == [
        "email",
        "ssn",
        "profile",
    ]
