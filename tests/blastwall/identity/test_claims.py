"""Claims to principals: names by configuration, and only names that a person can read and tell apart."""

from __future__ import annotations

import pytest

from blastwall.errors import TokenFault
from blastwall.identity.claims import MAX_GROUPS, ClaimNames, principal_of

BASE = {"iss": "https://idp.example", "sub": "s", "iat": 1, "exp": 2, "agent": "a"}


def principal(names: ClaimNames | None = None, **claims: object):
    return principal_of(BASE | claims, names or ClaimNames(), token_id="t")


def test_a_dotted_path_walks_into_objects():
    assert principal(ClaimNames(groups="realm_access.roles"), realm_access={"roles": ["x", "y"]}).groups == {"x", "y"}


def test_a_member_whose_name_has_dots_wins_over_the_path():
    name = "https://corp.example/groups"
    assert principal(ClaimNames(groups=name), **{name: ["g"]}).groups == {"g"}
    assert principal(ClaimNames(groups="a.b"), **{"a.b": ["flat"], "a": {"b": ["nested"]}}).groups == {"flat"}


@pytest.mark.parametrize("path", ["act.sub", "act.sub.more", "missing"])
def test_a_missing_agent_says_which_claim_to_add(path):
    with pytest.raises(TokenFault, match=f"no '{path}' claim"):
        principal(ClaimNames(agent=path), act="text")


def test_absent_groups_and_person_are_none_and_a_person_may_be_out_of_configuration():
    found = principal()
    assert found.groups == frozenset()
    assert found.on_behalf_of is None
    assert principal(ClaimNames(on_behalf_of=None), on_behalf_of="alice").on_behalf_of is None


@pytest.mark.parametrize("groups", ["admins", {"admins": True}, 1, True])
def test_groups_are_a_list_or_nothing(groups):
    with pytest.raises(TokenFault, match="not a list"):
        principal(groups=groups)


def test_too_many_groups_are_refused_not_cut():
    assert len(principal(groups=[f"g{n}" for n in range(MAX_GROUPS)]).groups) == MAX_GROUPS
    with pytest.raises(TokenFault, match="257 groups"):
        principal(groups=[f"g{n}" for n in range(MAX_GROUPS + 1)])


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a ", " a", "a\n", "a\x00b", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\u2066b", "a\ufeff", "a\u00a0b", "a\u2028b",
        "\ufb01n", "e\u0301", "x" * 257, 7, True, None, ["a"], {"a": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("claim", ["sub", "agent", "on_behalf_of", "groups"])
def test_names_that_would_not_show_as_they_are_are_refused(claim, name):
    if name is None and claim == "on_behalf_of":
        assert principal(on_behalf_of=None).on_behalf_of is None
        return
    with pytest.raises(TokenFault, match=claim):
        principal(**{claim: [name] if claim == "groups" else name})


@pytest.mark.parametrize(
    "name", ["agent-7", "alice@corp.example", "auth0|5f7c", "Jürgen Müller", "报表机器人", "x" * 256]
)
def test_ordinary_names_pass(name):
    assert principal(sub=name, agent=name, groups=[name], on_behalf_of=name).agent == name
