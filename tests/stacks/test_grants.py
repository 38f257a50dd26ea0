from pathlib import Path

import pytest

from stacks.function_stack import ALWAYS
from stacks.functions import TABLE, read_functions
from stacks.gateway import TABLE as GATEWAY
from stacks.grants import VOCABULARY, statements
from stacks.values import Values

ROOT = Path(__file__).parents[2]


def test_a_word_becomes_one_statement() -> None:
    values = Values()
    values.own("token-key", "arn:key")
    (statement,) = statements(["open-task-tokens"], values)
    assert statement.to_statement_json() == {
        "Sid": "OpenTaskTokens",
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": "arn:key",
    }


def test_a_word_without_resources_in_this_deployment_allows_nothing() -> None:
    values = Values()
    values.own("target-secrets")
    assert statements(["read-target-secrets"], values) == []


def test_a_word_by_a_condition_is_a_statement_for_each_of_its_values() -> None:
    values = Values()
    values.share("target-instances", {"reader": ("arn:i-2",), "deploy": ("arn:i-1", "arn:i-2")})
    assert [statement.to_statement_json() for statement in statements(["push-ssh-keys"], values)] == [
        {
            "Sid": f"PushSshKeys{number}",
            "Effect": "Allow",
            "Action": "ec2-instance-connect:SendSSHPublicKey",
            "Resource": resources,
            "Condition": {"StringEquals": {"ec2:osuser": user}},
        }
        for number, (user, resources) in enumerate((("deploy", ["arn:i-1", "arn:i-2"]), ("reader", "arn:i-2")))
    ]
    values.share("target-instances", {})
    assert statements(["push-ssh-keys"], values) == []
    with pytest.raises(LookupError, match="'target-instances'"):
        statements(["push-ssh-keys"], Values())


def test_unknown_words_and_resources_are_named() -> None:
    with pytest.raises(LookupError, match=r"'do-anything'.*answer-approvals"):
        statements(["do-anything"], Values())
    with pytest.raises(LookupError, match="'token-key'"):
        statements(["open-task-tokens"], Values())


def test_no_word_allows_all_of_anything() -> None:
    for word, row in VOCABULARY.items():
        assert row["about"], word
        assert row["actions"] and row["resources"], word
        assert not [action for action in row["actions"] if "*" in action], word
        assert ("any" in row["resources"]) == (word == "answer-approvals"), word


def test_every_word_is_somebodys() -> None:
    """A word that nobody has is a permission waiting to be handed out without a thought."""
    held = {word for row in read_functions(TABLE.read_text(), ROOT).values() for word in row.grants}
    assert held | set(GATEWAY["grants"]) | set(GATEWAY["starter"]) | set(ALWAYS) | {"read-approvals"} == set(VOCABULARY)
