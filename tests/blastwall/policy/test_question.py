"""Policy sees what the schema promises, no more and no less."""

from __future__ import annotations

import json
from dataclasses import replace

import cedarpy
import pytest

from blastwall.blast import Blast
from blastwall.model import Effect, Facts, ObjectRef, Principal, Risk, StatementKind, Target
from blastwall.policy.check import SCHEMA
from blastwall.policy.question import (
    Question,
    action_entities,
    agent_entity,
    context_of,
    environment_of,
    is_light,
    target_entity,
)

AGENT = Principal("https://idp", "s-1", "reporter", frozenset({"agents", "b"}), "ada@example.com", "token", 1.0, 2.0)
TARGET = Target("shop", "postgres", "db", 5432, {"environment": "demo", "team": "shop"})
FACTS = Facts(
    Effect.WRITE,
    "update",
    (
        ObjectRef("table", "public.carts", "write"),
        ObjectRef("view", "public.v", "read"),
        ObjectRef("function", "f", "call"),
    ),
    frozenset({"reset", "cartesian"}),
    True,
    "reason",
    "fingerprint",
    3,
)
QUESTION = Question(AGENT, TARGET, StatementKind.PREPARE, FACTS, 7, frozenset({"rows"}), True, "text")


def test_the_context_is_the_schemas_ask() -> None:
    assert context_of(QUESTION, Risk(42)) == {
        "kind": "prepare",
        "verb": "update",
        "effect": "write",
        "bounded": True,
        "flags": ["cartesian", "reset"],
        "objects": ["call function f", "read view public.v", "write table public.carts"],
        "tables": ["public.carts", "public.v"],
        "statements": 3,
        "risk": 42,
        "hour": 7,
        "environment": "demo",
        "exhausted": ["rows"],
        "approved": False,
        "break_glass": True,
    }


def test_a_blast_radius_is_a_record_of_its_own() -> None:
    assert "blast" not in context_of(QUESTION, Risk(42))
    known = context_of(QUESTION._replace(blast=Blast(True, 3, rows_exact=True)), Risk(42))
    assert known == context_of(QUESTION, Risk(42)) | {"blast": Blast(True, 3, rows_exact=True).context()}


def test_what_reads_or_is_only_named_needs_no_look() -> None:
    assert is_light(StatementKind.PREPARE, FACTS)
    assert not is_light(StatementKind.EXECUTE, FACTS)
    assert is_light(StatementKind.EXECUTE, replace(FACTS, effect=Effect.READ))
    assert is_light(StatementKind.EXECUTE, replace(FACTS, effect=Effect.SESSION))
    assert not is_light(StatementKind.EXECUTE, replace(FACTS, effect=Effect.UNKNOWN))


def test_what_masking_adds_is_there_where_there_is_masking() -> None:
    facts = replace(FACTS, masked_columns=frozenset({"public.c.b", "public.c.a"}), filters_masked=True)
    question = QUESTION._replace(facts=facts)
    assert context_of(question, Risk(42)) == context_of(QUESTION, Risk(42))
    masked = question._replace(target=replace(TARGET, masking=object()))
    added = {"masked_columns": ["public.c.a", "public.c.b"], "filters_masked": True}
    assert context_of(masked, Risk(42)) == context_of(QUESTION, Risk(42)) | added
    plain = context_of(masked._replace(facts=FACTS), Risk(42))
    assert (plain["masked_columns"], plain["filters_masked"]) == ([], False)


@pytest.mark.parametrize("person", [AGENT, Principal("i", "s", "a")])
def test_entities_and_request_fit_the_schema(person: Principal) -> None:
    """Evaluation runs without the schema; this is where the two are held together."""
    entities = [agent_entity(person), target_entity(TARGET)]
    cedarpy.Entities.from_json_str(json.dumps(entities), SCHEMA)
    for effect in Effect:
        answer = cedarpy.is_authorized(
            {
                "principal": {"type": "Agent", "id": person.identity},
                "action": {"type": "Action", "id": effect.value},
                "resource": {"type": "Target", "id": "shop"},
                "context": context_of(QUESTION, Risk(0)),
            },
            'permit (principal, action in Action::"statement", resource);',
            entities,
            SCHEMA,
        )
        assert answer.allowed, answer.diagnostics.errors


def test_the_action_group_is_the_schemas() -> None:
    schema = json.dumps(action_entities())
    cedarpy.Entities.from_json_str(schema, SCHEMA)
    assert {entity["uid"]["id"] for entity in action_entities()} == {effect.value for effect in Effect}  # type: ignore[index]


def test_policy_does_not_see_tokens_hosts_or_texts() -> None:
    seen = json.dumps([agent_entity(AGENT), target_entity(TARGET), context_of(QUESTION, Risk(0))])
    assert "token" not in seen
    assert "5432" not in seen
    assert '"text"' not in seen


def test_a_target_without_the_label_is_of_an_unknown_environment() -> None:
    assert environment_of(Target("t", "postgres", "h", 1)) == "unknown"
