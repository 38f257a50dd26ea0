"""A target more is a line of YAML: the difference of the templates is the rules and logins that follow, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stacks.snapshot import readable
from tests.stacks.deployment import Deployment, listed, plain

Resources = Mapping[str, Mapping[str, Any]]


def resources(deployment: Deployment, stack: str) -> Resources:
    """By logical id; a layer's and a role's version of the configuration are not a difference."""
    return {plain(id): resource for id, resource in deployment.templates[stack]["Resources"].items()}


def version(deployment: Deployment) -> str:
    (task,) = deployment.properties("AWS::ECS::TaskDefinition").values()
    (found,) = [
        item["Value"]
        for item in task["ContainerDefinitions"][0]["Environment"]
        if item["Name"] == "BLASTWALL_CONFIG_VERSION"
    ]
    return str(found)


def differing(before: Deployment, after: Deployment, stack: str) -> set[str]:
    """Logical ids of resources that are not the same, hashes of assets and the configuration's version left aside."""
    old, new = resources(before, stack), resources(after, stack)
    return {
        id
        for id in old.keys() | new.keys()
        if readable({"Resources": old.get(id, {})}) != readable({"Resources": new.get(id, {})})
    }


def test_everybody_gets_the_new_version(given: Deployment, grown: Deployment) -> None:
    assert version(given) != version(grown)
    for function in grown.properties("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["BLASTWALL_CONFIG_VERSION"] == version(grown)


def test_the_network_opens_the_way_to_it_and_nothing_else(given: Deployment, grown: Deployment) -> None:
    assert differing(given, grown, "Network") == {"Proxy", "Functions"}
    for group in ("Proxy", "Functions"):
        old, new = (
            resources(deployment, "Network")[group]["Properties"]["SecurityGroupEgress"]
            for deployment in (given, grown)
        )
        added = [rule for rule in new if rule not in old]
        assert [rule for rule in old if rule not in new] == []
        assert [(rule["CidrIp"], rule["FromPort"], rule["ToPort"]) for rule in added] == [("10.1.9.0/24", 5433, 5433)]


def test_those_who_answer_for_targets_may_log_in_to_it_and_nothing_else(given: Deployment, grown: Deployment) -> None:
    changed = differing(given, grown, "Credentials")
    policies = {id for id in changed if "Policy" in id}
    assert {id.removesuffix("RoleDefaultPolicy") for id in policies} == {
        "CredentialVendor",
        "SessionRevoker",
        "SessionReconciler",
    }
    for role in ("CredentialVendorRole", "SessionRevokerRole", "SessionReconcilerRole"):
        old, new = (
            {str(resource) for statement in deployment.roles[role] for resource in listed(statement["Resource"])}
            for deployment in (given, grown)
        )
        (added,) = new - old
        assert old <= new and "dbuser:db-STOCK/stock_agent" in added


def test_nothing_else_changes(given: Deployment, grown: Deployment) -> None:
    for stack in ("Data", "Audit", "Approvals", "Gateway", "Monitoring"):
        assert differing(given, grown, stack) <= {"Configuration"}, stack


def exported(deployment: Deployment) -> Mapping[str, set[str]]:
    """What each stack exports."""
    return {
        stack: {output["Export"]["Name"] for output in template.get("Outputs", {}).values() if "Export" in output}
        for stack, template in deployment.templates.items()
    }


def imported(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "Fn::ImportValue" else imported(value)
    elif isinstance(node, list):
        for value in node:
            yield from imported(value)


#: By the page, what must be deployed first, alone, for these to go.
SAML = {"GatewayKey", "SignInsTable"}


def test_what_a_configuration_may_drop_again_holds_no_stack_up(given: Deployment, deployed: Deployment) -> None:
    """CloudFormation lets nothing go that another stack imports, and the one that exports is deployed first.

    ``given`` has a protocol, AWS roles and sign-in by SAML that the committed configuration lacks.
    """
    before, after = exported(given), exported(deployed)
    held = {
        name
        for stack in before.keys() - {"Network"}  # another network is another deployment
        for name in before[stack] - after[stack]
        if any(name in imported(template) for template in given.templates.values())
    }
    assert held and {name for name in held if not any(part in name for part in SAML)} == set()
    users = {stack for stack, template in given.templates.items() if held & set(imported(template))}
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    assert users == {"Credentials", "Approvals"}
    assert all(f"Blastwall-{stack}" in page.partition("**Drop SAML.**")[2].partition("**")[0] for stack in users)
    assert "in use" in page, json.dumps(sorted(held))
